"""The chain of receipts holds, and outlives what becomes of the file."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from larimar_memory.errors import InputError, MemoryFileError
from larimar_memory.exchange import export, import_into
from larimar_memory.larimar import Larimar
from larimar_memory.stores.exported import look
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.opening import backup
from larimar_memory.stores.sqlite.repair import repair
from tests.damage import resealed, sql
from tests.facade.receipted import filled, open_memory
from tests.quick import QuickEncoder
from tests.stores.dict_store import DictStore

# --- the chain ---


def chained(path: Path) -> list[str]:
    """A closed memory with three receipts; returns its lines."""
    with filled(open_memory(path)) as memory:
        for id in "sk":
            memory.forget(ids=[id], receipt=True)
        memory.forget(namespace="other", receipt=True)
        memory.receipts(verify=True)
        return memory.store.receipts().lines


def resealed_row(path: Path, number: int, line: str) -> None:
    """Put a line in place of another, as who forges it would."""
    from larimar_memory.stores.sqlite import checksums

    seal = checksums.of_values(number, line)
    sql(path, "UPDATE receipts SET body = ?, checksum = ? WHERE id = ?", line, seal, number)


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        ("change", "Entry 2 is not what was written"),
        ("exchange", "Entry 1 does not follow the one before it|Entry 1 is not what"),
        ("take one out", "Entry 2 does not follow the one before it"),
        ("cut the beginning off", "Entry 1 does not follow the one before it"),
        ("cut the end off", "6 entries were added, and 4 are there"),
        ("take all", "6 entries were added, and 0 are there"),
        ("repeat", "Entry 7 does not follow"),
    ],
)
def test_a_chain_that_is_not_what_was_written_is_told(path: Path, forge: str, why: str) -> None:
    lines = chained(path)
    if forge == "change":
        resealed_row(path, 2, lines[1].replace('"shared":', '"shared":1'))
    elif forge == "exchange":
        resealed_row(path, 1, lines[2])
        resealed_row(path, 3, lines[0])
    elif forge == "repeat":
        sql(path, "INSERT INTO receipts (body) VALUES (?)", lines[5])
        resealed_row(path, 7, lines[5])
    else:
        cut = {"take one out": "= 2", "cut the beginning off": "< 3", "cut the end off": "> 4"}
        sql(path, f"DELETE FROM receipts WHERE id {cut.get(forge, '> 0')}")
    with open_memory(path) as memory:
        memory.receipts()
        with pytest.raises(MemoryFileError, match=why):
            memory.receipts(verify=True)
        # What follows does not heal it.
        memory.write(["new text here"], ["new"])
        memory.forget(ids=["new"], receipt=True)
        with pytest.raises(MemoryFileError, match="are not what was written"):
            memory.receipts(verify=True)


def test_lines_that_are_no_receipts(path: Path) -> None:
    chained(path)
    for line in ("no json", "[1]", '{"kind":"begun","at":1}', '{"kind":"begun","documents":[[1]]}'):
        resealed_row(path, 1, line)
        with open_memory(path) as memory, pytest.raises(MemoryFileError, match="cannot be read"):
            memory.receipts()


# --- what becomes of the file ---


def test_receipts_outlive_vacuum_backups_and_reading_only(path: Path, tmp_path: Path) -> None:
    chained(path)
    with open_memory(path) as memory:
        held = memory.receipts(verify=True)
        memory.purge()
        assert memory.receipts(verify=True) == held
        backup(path, tmp_path / "copy.larimar")
    for file in (tmp_path / "copy.larimar", path):
        with open_memory(file, read_only=True) as memory:
            assert memory.receipts(verify=True) == held
    assert check(path).sound


def test_receipts_outlive_a_repair_and_a_lost_one_is_told(path: Path) -> None:
    lines = chained(path)
    with open_memory(path) as memory:
        memory.write(["One that stays. "], ["stays"])
        held = memory.receipts()
    sql(path, "UPDATE segments SET text = 'x'")
    assert repair(path).lost == {"segments": 1}
    with open_memory(path) as memory:
        assert memory.receipts(verify=True) == held
    sql(path, "UPDATE receipts SET body = 'x' WHERE id = 6")
    report = check(path)
    assert [(f.what, f.examples) for f in report.findings] == [
        ("receipts that are not what was written", ["entry 6 of the receipts"])
    ]
    with open_memory(path) as memory, pytest.raises(MemoryFileError, match="entry 6 of the receipts"):
        memory.receipts()
    assert repair(path).lost == {"receipts": 1}
    assert check(path).sound
    with open_memory(path) as memory:
        assert memory.store.receipts() == (lines[:5], 6)
        with pytest.raises(MemoryFileError, match="6 entries were added, and 5 are there"):
            memory.receipts(verify=True)
    sql(path, "UPDATE receipts SET body = 'x'")
    assert repair(path).lost == {"receipts": 5}
    with open_memory(path) as memory, pytest.raises(MemoryFileError, match="6 entries were added"):
        memory.receipts(verify=True)


def moved(source: Larimar, out: Path, target: Larimar) -> None:
    keys = {"encoder": "quick", "dimension": 16}
    export(source.store, out, **keys)  # type: ignore[arg-type]
    import_into(target.store, look(out), replace_documents=True, **keys)  # type: ignore[arg-type]


def test_receipts_go_out_and_in_again(path: Path, tmp_path: Path) -> None:
    chained(path)
    with open_memory(path) as old, open_memory(tmp_path / "new") as new, open_memory(None) as third:
        moved(old, tmp_path / "out", new)
        assert json.loads((tmp_path / "out" / "memory.json").read_text())["version"] == 3
        assert new.store.receipts() == old.store.receipts()
        assert new.receipts(verify=True) == old.receipts()
        # To one that has its own they are chained, and once.
        filled(third).forget(ids=["s"], receipt=True)
        for n in range(2):
            moved(new, tmp_path / f"again {n}", third)
            assert len(third.receipts(verify=True)) == 4
        assert [r.imported for r in third.receipts()] == [False, True, True, True]
        assert [r.documents for r in third.receipts()[1:]] == [r.documents for r in old.receipts()]
        third.forget(ids=["k"], receipt=True)
        with open_memory(None) as last:
            filled(last).forget(ids=["t"], everywhere=True, receipt=True)
            moved(third, tmp_path / "on", last)
            assert [r.imported for r in last.receipts(verify=True)] == [False, *[True] * 5]


def test_a_broken_chain_is_not_made_whole_by_an_export(path: Path, tmp_path: Path) -> None:
    chained(path)
    sql(path, "DELETE FROM receipts WHERE id > 4")
    with open_memory(path) as old, open_memory(tmp_path / "new") as new:
        moved(old, tmp_path / "out", new)
        assert len(new.receipts()) == 2
        with pytest.raises(
            MemoryFileError, match="imported from a memory whose own were broken: 6 ent"
        ):
            new.receipts(verify=True)


def test_lines_of_any_unicode_are_chained(path: Path, tmp_path: Path) -> None:
    chained(path)
    with open_memory(path) as old:
        export(old.store, tmp_path / "out", encoder="quick", dimension=16)
    # As who tampers with an export could write it.
    said = (
        '{"kind":"begun","at":"","salt":"","hash":"h","\\ud800":1,"documents":[["n","\\ud800",1,0,""]]}'
    )
    (tmp_path / "out" / "receipts.jsonl").write_text(said + "\n")
    resealed(tmp_path / "out")
    with open_memory(None) as new:
        import_into(new.store, look(tmp_path / "out"), encoder="quick", dimension=16)
        assert [receipt.imported for receipt in new.receipts()] == [True]
        with pytest.raises(MemoryFileError, match="Entry 1 is not what was written"):
            new.receipts(verify=True)


def test_an_export_without_receipts_is_as_before(tmp_path: Path) -> None:
    with open_memory(None) as memory, open_memory(None) as other:
        moved(filled(memory), tmp_path / "out", other)
        about = json.loads((tmp_path / "out" / "memory.json").read_text())
        assert (about["version"], "receipts" in about) == (2, False)
        assert not (tmp_path / "out" / "receipts.jsonl").exists()
        assert other.receipts(verify=True) == []


def test_exports_with_lines_that_are_no_receipts_are_refused(path: Path, tmp_path: Path) -> None:
    chained(path)
    with open_memory(path) as old:
        export(old.store, tmp_path / "out", encoder="quick", dimension=16)
    for line in (
        "x",
        "{}",
        '{"kind":"begun","at":"","salt":"","hash":"","documents":[["n","d","x",0,""]]}',
    ):
        (tmp_path / "out" / "receipts.jsonl").write_text(line + "\n")
        resealed(tmp_path / "out")
        with open_memory(None) as new, pytest.raises(InputError, match="jsonl holds no receipts"):
            import_into(new.store, look(tmp_path / "out"), encoder="quick", dimension=16)
    with Larimar(DictStore(), QuickEncoder(), "none") as plain, open_memory(path) as old:
        export(old.store, tmp_path / "out 2", encoder="quick", dimension=16)
        with pytest.raises(InputError, match="A DictStore keeps none"):
            import_into(plain.store, look(tmp_path / "out 2"), encoder="quick", dimension=16)
        assert plain.stats().documents == 0


def test_a_file_of_before_has_no_receipts_and_gets_some(path: Path) -> None:
    filled(open_memory(path)).close()
    with sqlite3.connect(path) as db:
        assert not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'receipts'").fetchall()
    with open_memory(path, read_only=True) as memory:
        assert memory.receipts(verify=True) == []
    with open_memory(path) as memory:
        assert memory.forget(ids=["s"], receipt=True).erased
        assert len(memory.receipts(verify=True)) == 1
