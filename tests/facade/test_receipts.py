"""A receipt says what was erased and how that was checked; the check is real, and the chain holds."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from larimar_memory.errors import InputError, MemoryBusyError, MemoryFileError
from larimar_memory.exchange import export, import_into
from larimar_memory.larimar import Larimar
from larimar_memory.stores import SQLiteStore
from larimar_memory.stores.exported import look
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.opening import backup
from larimar_memory.stores.sqlite.repair import repair
from tests.damage import resealed, sql
from tests.quick import QuickCoarse, QuickEncoder
from tests.stores.dict_store import DictStore
from tests.stores.test_erasures import ROOT, raw

SECRET = "The quixotic zymurgy of Mallory began on an isle, and nobody was told. "
TRACES = [b"quixotic", b"zymurgy", b"zymurgi", b"quixot", b"mallory jones", SECRET.encode()[20:44]]
PERSON = {"person": "mallory jones"}


def filled(memory: Larimar) -> Larimar:
    """What Mallory wrote lies in two namespaces, beside what others did."""
    memory.write([SECRET, "Bread is baked in the morning."], ["s", "k"], [PERSON, {"person": "ana"}])
    memory.write([f"More {SECRET}" * 40], ["t"], [PERSON], namespace="other")
    memory.write(["The ferry leaves at nine."], ["f"], [{}], namespace="other")
    return memory


def open_memory(path: Path | None, **options: object) -> Larimar:
    return Larimar.open(path, encoder=QuickEncoder(), **options)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "m").mkdir()
    return tmp_path / "m" / "m.larimar"


@pytest.fixture(params=[QuickEncoder, QuickCoarse])
def memory(path: Path, request: pytest.FixtureRequest) -> Iterator[Larimar]:
    with Larimar.open(path, encoder=request.param()) as opened:
        yield filled(opened)


def left(path: Path) -> list[bytes]:
    held = raw(path)
    return [trace for trace in TRACES if trace in held]


def test_a_person_is_forgotten_everywhere_with_one_receipt(memory: Larimar, path: Path) -> None:
    texts = {id: memory.text(id, namespace=space) for space, id in (("default", "s"), ("other", "t"))}
    assert left(path)
    made = memory.forget(where=PERSON, everywhere=True, receipt=True)
    assert [(d.namespace, d.id, d.characters) for d in made.documents] == [
        ("default", "s", len(texts["s"])),
        ("other", "t", len(texts["t"])),
    ]
    assert made.documents[1].segments > 1
    assert all(made.is_of(text) for text in texts.values())
    assert not made.is_of(SECRET.strip())
    assert made.check is not None
    assert made.check.files.keys() >= {"m.larimar"}
    assert made.check.pieces > 20
    assert (made.erased, made.check.left_in, made.number) == (True, (), 1)
    assert memory.receipts(verify=True) == [made]
    assert left(path) == []
    said = json.dumps(made.to_dict()) + "".join(memory.store.receipts().lines)
    assert not any(trace.decode() in said for trace in TRACES)
    assert [d.id for d in memory.documents()] == ["k"]
    assert [d.id for d in memory.documents(namespace="other")] == ["f"]


def test_the_receipts_of_a_memory(memory: Larimar) -> None:
    first = memory.forget(ids=["s", "absent"], receipt=True)
    second = memory.forget(namespace="other", receipt=True)
    third = memory.forget(ids="absent", receipt=True)
    assert [[d.id for d in r.documents] for r in (first, second, third)] == [["s"], ["t", "f"], []]
    assert memory.forget(ids=["k"]) == 1
    assert memory.receipts(verify=True) == [first, second, third]
    assert [receipt.number for receipt in memory.receipts()] == [1, 2, 3]
    assert len({receipt.salt for receipt in memory.receipts()}) == 3
    assert all(receipt.erased for receipt in memory.receipts())


def test_what_other_documents_say_as_well_is_not_left(memory: Larimar, path: Path) -> None:
    # Its words, a part of it, and metadata are in others: nothing of it is left that is its own.
    memory.write([f"They say: {SECRET}", "segments and checksum"], ["quoted", "own"], [PERSON, {}])
    made = memory.forget(ids=["s", "own"], receipt=True)
    assert made.check is not None
    assert (made.check.left_in, made.check.shared > 3) == ((), True)
    assert left(path)


@pytest.mark.parametrize("undone", ["VACUUM", "vectors", "backup", "log"])
def test_the_check_finds_what_is_left(
    memory: Larimar, path: Path, undone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = "m.larimar"
    if undone == "VACUUM":
        # As if SQLite had left its free pages as they were.
        monkeypatch.setattr(SQLiteStore, "purge", SQLiteStore.clear)
        with memory.store._db.maintaining() as db:  # type: ignore[attr-defined]
            db.execute("PRAGMA secure_delete = OFF")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    elif undone == "log":
        monkeypatch.setattr(SQLiteStore, "purge", SQLiteStore.clear)
        where = "m.larimar-wal"
    elif undone == "vectors":
        (path.parent / "m.larimar-vectors").mkdir(exist_ok=True)
        key = memory.store.segments("default", "s")[0].best_key
        where = "m.larimar-vectors/of another program"
        (path.parent / where).write_bytes(b"x" * 9 + key.astype("<f2").tobytes())
    else:
        where = "m.larimar.before-repair-1"
        (path.parent / where).write_bytes(b"\0" + SECRET.encode()[5:40])
    made = memory.forget(ids=["s", "t"], everywhere=True, receipt=True)
    assert made.check is not None
    assert where in made.check.left_in
    assert not made.erased
    assert memory.receipts(verify=True) == [made]


def test_a_file_that_cannot_be_read_is_told(memory: Larimar, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path) -> Iterator[bytes]:
        raise PermissionError(13, "no", str(path))

    monkeypatch.setattr("larimar_memory.stores.sqlite.receipts.chunks_of", fails)
    made = memory.forget(ids=["s"], receipt=True)
    assert made.check is not None
    assert (made.erased, made.check.unread[0]) == (False, "m.larimar")


def test_reading_the_files_takes_no_lock_away(memory: Larimar, path: Path) -> None:
    # POSIX would, where this process closed the file itself: SQLite holds a lock while it is open.
    memory.forget(ids=["s"], receipt=True)
    script = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=0);"
        "db.execute('PRAGMA locking_mode = EXCLUSIVE');"
        "db.execute('PRAGMA journal_mode = DELETE').fetchall(); db.execute('BEGIN EXCLUSIVE')"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, check=False)
    assert b"locked" in done.stderr


def test_what_cannot_be_asked_for(memory: Larimar) -> None:
    for arguments, why in (
        ({"ids": ["s"], "purge": False, "receipt": True}, "purge=False leaves it there"),
        ({"everywhere": True}, "Neither ids nor a filter were given for what is to be forgotten every"),
        ({"everywhere": True, "where": {}}, "Neither ids nor a filter were given"),
        ({"everywhere": True, "ids": "s", "namespace": "default"}, "A namespace was given for what"),
        ({"receipt": True}, "Neither ids, nor a filter, nor a namespace was given"),
    ):
        with pytest.raises(InputError, match=why):
            memory.forget(**arguments)
    assert memory.stats().documents == 4
    assert memory.receipts() == []
    assert memory.forget(ids=["s", "t"], everywhere=True) == 2
    with Larimar(DictStore(), QuickEncoder(), "none") as other:
        other.write(["a text"], ["a"])
        with pytest.raises(InputError, match="A DictStore keeps none"):
            other.forget(ids=["a"], receipt=True)
        assert (other.stats().documents, other.receipts(verify=True)) == (1, [])


def test_in_ram_there_are_no_files() -> None:
    with open_memory(None) as memory:
        made = filled(memory).forget(where=PERSON, everywhere=True, receipt=True)
        assert made.check is not None
        assert (made.erased, made.check.files, len(made.documents)) == (True, {}, 2)
        assert memory.receipts(verify=True) == [made]


# --- interrupted ---

FORGET = """
import os, sys
from pathlib import Path
from tests.facade.test_receipts import PERSON, SQLiteStore, open_memory
memory = open_memory(Path(sys.argv[1]))
before = getattr(SQLiteStore, sys.argv[2])
def killed(*arguments, **named):
    if sys.argv[3] == "after":
        before(*arguments, **named)
    os._exit(9)
setattr(SQLiteStore, sys.argv[2], killed)
memory.forget(where=PERSON, everywhere=True, receipt=True)
"""


@pytest.mark.parametrize(
    ("step", "when", "gone", "settled_by"),
    [
        ("delete", "before", [], "forget"),
        ("delete", "after", ["s"], "forget"),
        ("purge", "before", ["s", "t"], "purge"),
        ("search_files", "after", ["s", "t"], "forget"),
    ],
)
def test_a_deletion_that_was_killed_has_its_receipt(
    path: Path, step: str, when: str, gone: list[str], settled_by: str
) -> None:
    filled(open_memory(path)).close()
    command = [sys.executable, "-c", FORGET, str(path), step, when]
    assert subprocess.run(command, check=False, cwd=ROOT).returncode == 9
    with open_memory(path) as memory:
        (begun,) = memory.receipts(verify=True)
        assert ([d.id for d in begun.documents], begun.ended_at) == (["s", "t"], None)
        if settled_by == "purge":
            memory.purge()
        else:
            again = memory.forget(where=PERSON, everywhere=True, receipt=True)
            assert {d.id for d in again.documents} == {"s", "t"} - set(gone)
            assert left(path) == []
        first = memory.receipts(verify=True)[0]
        assert ([d.id for d in first.documents], first.check) == (gone, None)
        assert first.ended_at is not None
        assert not first.erased


def test_a_deletion_that_others_hold_up_ends_later(path: Path) -> None:
    filled(open_memory(path)).close()
    reader = open_memory(path)
    with open_memory(path, busy_seconds=0.05) as memory:
        with reader.store.snapshot(), pytest.raises(MemoryBusyError, match="not yet erased"):
            memory.forget(ids=["s"], receipt=True)
        assert memory.receipts()[0].ended_at is None
        reader.close()
        memory.purge()
        assert memory.receipts(verify=True)[0].ended_at is not None


def test_a_deletion_that_another_process_ends_meanwhile(
    memory: Larimar, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    purge = SQLiteStore.purge

    def slow(store: SQLiteStore) -> None:
        with Larimar.open(path, encoder=None) as other:
            monkeypatch.setattr(SQLiteStore, "purge", purge)
            other.purge()
        store.purge()

    monkeypatch.setattr(SQLiteStore, "purge", slow)
    made = memory.forget(where=PERSON, everywhere=True, receipt=True)
    assert [d.id for d in made.documents] == ["s", "t"]
    assert made.erased
    assert len(memory.store.receipts().lines) == 3
    assert memory.receipts(verify=True) == [made]


def test_files_are_found_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for path in (Path("m"), Path("in/m"), Path("in/../n")):
        with open_memory(path) as memory:
            made = filled(memory).forget(ids=["s"], receipt=True)
            assert made.check is not None
            assert list(made.check.files) == [path.name, f"{path.name}-wal"]


def test_files_are_found_by_a_link_and_by_any_name(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    name = "m [1]*?.larimar"
    (tmp_path / "link").symlink_to(tmp_path / "there" / name)
    open_memory(tmp_path / "there" / name).close()
    (tmp_path / "there" / "m [1]*?.larimar.txt").write_text(SECRET)
    (tmp_path / "there" / f"{name}.set-aside-1.jsonl").write_text("{}")
    with open_memory(tmp_path / "link") as memory:
        made = filled(memory).forget(where=PERSON, everywhere=True, receipt=True)
        assert made.check is not None
        beside = [f"there/{name}{ending}" for ending in ("-wal", ".set-aside-1.jsonl")]
        assert list(made.check.files) == ["link", *beside]
        assert made.erased


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
