"""A damaged file is never answered from: it is noticed, told, and repaired as far as it can be."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from larimar_memory.errors import LarimarError, MemoryBusyError, MemoryFileError
from larimar_memory.larimar import Larimar
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.repair import repair
from larimar_memory.stores.sqlite.schema import PAGE_BYTES
from larimar_memory.testing.writes import found
from tests.damage import answers, contents, copied, filled, flip, places, sql, told, whole
from tests.stores.test_laws import open_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return filled(tmp_path / "m" / "m.larimar")


def test_a_sound_file_is_sound_and_not_touched(path: Path) -> None:
    before = {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}
    seen: list[tuple[str, int, int]] = []
    report = check(path, lambda *told: seen.append(told))
    assert report.sound
    assert report.findings == []
    assert (report.version, report.namespaces, report.documents) == (4, 2, 22)
    assert (report.segments, report.latents) == (62, 30)
    assert seen[-1] == ("segments", 62, 62)
    done = repair(path)
    assert done.to_dict()["changed"] is False
    assert (done.backup, done.set_aside, done.lost) == (None, None, {})
    assert {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()} == before


def test_a_file_in_use_is_checked_and_not_repaired(path: Path) -> None:
    store = open_file(path)
    store.write("one", [whole("new", ["in the log alone"])])
    report = check(path)
    assert report.sound
    assert report.segments == 63
    sql(path, "UPDATE segments SET text = 'no' WHERE id = 1 + (SELECT min(id) FROM segments)")
    unfinished = path.with_name(f"{path.name}.repairing")
    unfinished.touch()
    with pytest.raises(MemoryBusyError, match=r"cannot be repaired\. Another process has it open\."):
        repair(path)
    assert unfinished.exists(), "the other process may be one that repairs it"
    store.close()
    assert repair(path).lost == {"segments": 1}


@pytest.mark.parametrize("page_bytes", [4096, PAGE_BYTES])
def test_whoever_waits_for_a_repair_writes_to_what_it_made(page_bytes: int, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for change in ("journal_mode = DELETE", f"page_size = {page_bytes}"):
            db.execute(f"PRAGMA {change}")
        db.execute("VACUUM")
        db.execute("PRAGMA journal_mode = WAL")
        assert db.execute("PRAGMA page_size").fetchone() == (page_bytes,)
    sql(path, "UPDATE segments SET text = 'no' WHERE id = (SELECT min(id) FROM segments)")
    with closing(sqlite3.connect(path, isolation_level=None)) as waiting:
        assert repair(path).lost == {"segments": 1}
        assert waiting.execute("SELECT count(*) FROM segments").fetchone() == (61,)
        waiting.execute("UPDATE namespaces SET generation = 77 WHERE name = 'one'")
    assert check(path).segments == 61
    with closing(open_file(path)) as store:
        assert store.generation("one") & 0xFFFF == 77


def test_what_a_killed_repair_left_goes_when_the_memory_is_opened(path: Path) -> None:
    left = [path.with_name(f"{path.name}.repairing{suffix}") for suffix in ("", "-wal", "-shm")]
    for file in left:
        file.write_bytes(b"copied texts")
    open_file(path, read_only=True).close()
    assert [file.exists() for file in left] == [True] * 3
    open_file(path).close()
    assert [file.exists() for file in left] == [False] * 3


@pytest.mark.parametrize(
    ("change", "what", "lost"),
    [
        ("UPDATE segments SET text = replace(text, 'says', 'said')", "segments", {"segments": 1}),
        ("UPDATE segments SET start = start + 1", "segments", {"segments": 1}),
        ("UPDATE segments SET position = 9", "segments", {"segments": 1}),
        ("UPDATE segments SET key = zeroblob(16)", "keys", {"segments": 1}),
        ("UPDATE segments SET latent = zeroblob(9)", "latents", {"latents": 1}),
        ("UPDATE segments SET latent = NULL", "latents", {"latents": 1}),
    ],
)
def test_every_column_of_a_segment_is_sealed(
    path: Path, change: str, what: str, lost: dict[str, int]
) -> None:
    sql(path, f"{change} WHERE id = (SELECT max(id) FROM segments WHERE latent IS NOT NULL)")
    report = check(path)
    assert ("rows", f"{what} that are not what was written") in told(report)
    assert not report.sound
    store = open_file(path)
    with pytest.raises(
        MemoryFileError, match=r"is damaged\. What is stored for .* Run `larimar repair"
    ):
        contents(store)
    store.close()
    done = repair(path)
    assert done.lost == lost
    assert done.after is not None
    assert done.after.sound
    assert done.after.segments == 62 - lost.get("segments", 0)


@pytest.mark.parametrize("column", ["name", "content_hash", "metadata", "written_at"])
def test_every_column_of_a_document_is_sealed(path: Path, column: str) -> None:
    sql(path, f"UPDATE documents SET {column} = '{{}}' WHERE name = 'd3'")
    assert told(check(path)) == [("rows", "documents that are not what was written")]
    store = open_file(path)
    for use in (
        lambda: list(store.documents("one")),
        lambda: store.set_metadata("one", "{}" if column == "name" else "d3", {"a": 1}),
        lambda: store.segments("one", "{}" if column == "name" else "d3", 0, 5),
    ):
        with pytest.raises(MemoryFileError, match=r"for document '.*' is not what was written"):
            use()
    store.close()
    done = repair(path)
    assert done.lost == {"documents": 2, "segments": 6}
    aside = [json.loads(line) for line in Path(str(done.set_aside)).read_text().splitlines()]
    assert {line["values"].get("text", "")[:10] for line in aside if line["kind"] == "segments"} == {
        "one says 3",
        "two \u00e9 says",
    }


def test_a_namespace_keeps_what_is_in_it_when_its_name_is_lost(path: Path) -> None:
    sql(path, "UPDATE namespaces SET name = 'onf' WHERE name = 'one'")
    assert told(check(path)) == [("rows", "namespaces that are not what was written")]
    store = open_file(path)
    with pytest.raises(MemoryFileError, match="namespace 'onf'"):
        found(store, "onf", "one says 3 and 1")
    store.close()
    assert repair(path).lost == {"names of namespaces": 1}
    store = open_file(path)
    assert store.stats("recovered namespace 1").segments == 31
    assert len(found(store, "recovered namespace 1", "one says 3 and 1", 1)) == 1
    store.close()


def test_a_document_that_lost_a_segment_can_be_written_again(path: Path) -> None:
    store = open_file(path)
    held = contents(store)
    store.close()
    sql(path, "UPDATE segments SET text = 'x' WHERE text LIKE 'one says 3 and 1%'")
    done = repair(path)
    assert done.incomplete == {"one": ["d3"]}
    store = open_file(path)
    assert [s.index for s in store.segments("one", "d3")] == [0, 2]
    document = store.document("one", "d3")
    assert document is not None
    assert not document.complete
    assert document.content_hash != held["one", "d3"][0]
    assert {k: v for k, v in contents(store).items() if k != ("one", "d3")} == {
        k: v for k, v in held.items() if k != ("one", "d3")
    }
    assert found(store, "one", "one says 7 and 1 caf\u00e9 word ", 1)
    store.close()


def test_what_was_lost_heals_when_it_is_written_again(tmp_path: Path, encoder: object) -> None:
    file = tmp_path / "m.larimar"
    text = "The lighthouse was built in 1887. Its keeper was Odile. The lamp on top is green."
    with Larimar.open(file, encoder=encoder) as memory:  # type: ignore[arg-type]
        memory.write([text, "The ferry leaves at nine."], ["light", "ferry"])
    sql(file, "UPDATE segments SET text = upper(text) WHERE text LIKE '%keeper%'")
    with Larimar.open(file, encoder=encoder) as memory:  # type: ignore[arg-type]
        with pytest.raises(MemoryFileError, match="is damaged"):
            memory.read("Who was the keeper?")
        with pytest.raises(MemoryFileError, match="is damaged"):
            memory.text("light")
    assert repair(file).incomplete == {"default": ["light"]}
    with Larimar.open(file, encoder=encoder) as memory:  # type: ignore[arg-type]
        assert memory.text("ferry") == "The ferry leaves at nine."
        memory.write([text], ["light"])
        assert memory.text("light") == text
    assert check(file).sound


def test_which_encoder_it_was_is_said_twice(path: Path) -> None:
    for key in ("encoder", "dimension", "checksum", "again"):
        sql(path, "UPDATE meta SET value = '12' WHERE key = ?", key)
        assert told(check(path)) == [("rows", "what is said of the encoder")]
        with pytest.raises(MemoryFileError, match="is stored for which encoder its keys are of is not"):
            open_file(path)
        assert repair(path).lost == {}
        open_file(path).close()
    sql(path, "DELETE FROM meta")
    sql(path, "INSERT INTO meta VALUES ('again', '[]')")
    with pytest.raises(MemoryFileError, match=r"It does not say any more which encoder .* Restore a b"):
        repair(path)


def test_orphans_are_dropped(path: Path) -> None:
    sql(path, "DELETE FROM documents WHERE name = 'd4'")
    assert ("rows", "segments without their document") in told(check(path))
    done = repair(path, backup=False)
    assert (done.backup, done.lost) == (None, {"segments": 6})
    assert done.after is not None
    assert done.after.sound
    assert done.after.segments == 56


def test_the_text_index_is_compared_word_by_word_and_made_again(path: Path) -> None:
    store = open_file(path)
    expected = answers(store)
    store.close()
    damage = [
        "INSERT INTO fts_1 (fts_1, rowid, text) SELECT 'delete', id, text FROM segments "
        "WHERE text LIKE 'one says 3%'",
        "INSERT INTO fts_1 (rowid, text) VALUES (1, 'never written')",
        "DELETE FROM fts_1_data WHERE id > 10",
        "DROP TABLE fts_1",
    ]
    for n, statement in enumerate(damage):
        file = copied(path, path.parent.parent / f"c{n}")
        sql(file, statement)
        assert {part for part, _ in told(check(file))} >= {"text index"}
        done = repair(file)
        assert done.lost == {}
        assert done.after is not None
        assert done.after.sound
        store = open_file(file)
        assert answers(store) == expected
        store.close()


def test_a_flipped_byte_anywhere_is_noticed_or_means_nothing(path: Path, tmp_path: Path) -> None:
    store = open_file(path)
    held, expected = contents(store), answers(store)
    store.close()
    outcomes = set()
    for at in places(path.stat().st_size, 120):
        file = copied(path, tmp_path / "flipped")
        flip(file, at, 1 << at % 8 if at % 2 else 0xFF)
        try:
            noticed = not check(file).sound
        except LarimarError:
            noticed = True
        try:
            store = open_file(file)
            try:
                read, said = contents(store), answers(store)
            finally:
                store.close()
            outcomes.add("read")
            # Where an index of SQLite's own is damaged, rows may not be reached; none is another.
            assert (read, said) == (held, expected) or noticed
            for name, document in read.items():
                assert document[:5] == held[name][:5]
                assert document[5] == held[name][5][: len(document[5])]
        except LarimarError:
            outcomes.add("refused")
            assert noticed
        shutil.rmtree(file.parent)
    assert outcomes == {"read", "refused"}


def test_after_a_repair_the_file_is_sound_and_what_is_missing_was_told(
    path: Path, tmp_path: Path
) -> None:
    store = open_file(path)
    held = contents(store)
    store.close()
    repaired, refused = 0, list[int]()
    for at in places(path.stat().st_size, 120, seed=1):
        file = copied(path, tmp_path / "flipped")
        flip(file, at)
        try:
            done = repair(file)
        except LarimarError:
            # Nothing can be read without the header and the list of tables.
            refused.append(at)
        else:
            if done.after is not None:
                repaired += 1
                assert done.after.sound
                assert Path(str(done.backup)).stat().st_size == path.stat().st_size
            store = open_file(file)
            read = contents(store)
            store.close()
            assert set(read) == set(held) or done.lost.get("documents") or "names" in str(done.lost)
            for name, document in read.items():
                if document != held.get(name):
                    assert done.lost or name[1] in done.incomplete.get(name[0], [])
        shutil.rmtree(file.parent)
    assert repaired > 10
    assert [at for at in refused if at >= PAGE_BYTES] == []


def test_a_row_whose_number_became_too_large_hides_none_of_those_after_it(path: Path) -> None:
    """Every search by number ends at it: SQLite tells of no error, and of none of the others."""
    with closing(sqlite3.connect(path)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'segments'").fetchone()
        ids = [number for (number,) in db.execute("SELECT id FROM segments ORDER BY id")]
    data = bytearray(path.read_bytes())
    page, middle = (root - 1) * PAGE_BYTES, len(ids) // 2
    assert data[page] == 13, "the table is one leaf"
    pointer = page + 8 + 2 * middle
    at = page + int.from_bytes(data[pointer : pointer + 2], "big")
    # A cell begins with its length, seven bits a byte; its number comes next.
    while data[at] & 0x80:
        at += 1
    at += 1
    assert (data[at], max(ids) < 127) == (ids[middle], True)
    data[at] = 127
    path.write_bytes(data)
    done = repair(path)
    assert done.lost == {"segments": 1}
    assert done.after is not None
    assert done.after.segments == len(ids) - 1
    assert done.incomplete


def test_a_torn_database_is_told(path: Path, tmp_path: Path) -> None:
    size = path.stat().st_size
    for length in (0, 10, 100, 4096, size // 2, size - 1):
        file = copied(path, tmp_path / f"torn{length}")
        os.truncate(file, length)
        if length == 0:
            continue
        with pytest.raises(MemoryFileError, match=r"cut off|not a Larimar memory"):
            open_file(file)
        if length >= 100:
            assert ("file", "cut off") in told(check(file))


def test_a_sqlite_error_that_is_no_text_is_told(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA writable_schema = ON")
    database.execute("UPDATE sqlite_master SET sql = replace(sql, 'position', 'positiom')")
    database.commit()
    database.close()
    with pytest.raises(MemoryFileError, match=r"is damaged|cannot be used"):
        open_file(path).segments("one", "d2", 0, 5)
    assert not check(path).sound
