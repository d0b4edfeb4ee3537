"""A memory file whose rows make no sense, with checksums or without: an error of ours, and a repair."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from larimar_memory.errors import LarimarError, MemoryFileError
from larimar_memory.stores import SQLiteStore
from larimar_memory.stores.sqlite import checksums, salvage
from larimar_memory.stores.sqlite import integrity as integrity_module
from larimar_memory.stores.sqlite.decoding import metadata_from
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.repair import repair
from larimar_memory.testing.writes import found, key_of
from larimar_memory.validate import MAX_DEPTH
from tests.damage import contents, filled, sql, whole, with_index
from tests.stores.test_laws import open_file
from tests.stores.test_schema import TEXTS, version_1

DEEP = '{"a":' * 5000 + "1" + "}" * 5000


def uses(store: SQLiteStore) -> list[Callable[[], Any]]:
    """What a damaged row of namespace "n" would come up in."""
    return [
        lambda: store.document("n", "d"),
        lambda: list(store.documents("n")),
        lambda: store.segments("n", "d"),
        lambda: found(store, "n", TEXTS[2], 5),
        lambda: found(store, "n", TEXTS[2], 5, where={"a": {"$ne": 2}}),
        lambda: list(store.keys("n")),
        lambda: store.fetch("n", [h.row for h in store.lexical("n", ["ferry"], 9)]),
        lambda: store.set_metadata("n", "d", {"b": 1}),
        lambda: store.fetch("n", list(range(10, 15)), latents=True),
    ]


@pytest.mark.parametrize(
    ("change", "what", "lost"),
    [
        ("UPDATE documents SET metadata = '{no'", "metadata that is no JSON object", "documents"),
        ("UPDATE documents SET metadata = '[1]'", "metadata that is no JSON object", "documents"),
        ("UPDATE documents SET metadata = '{\"a\": NaN}'", "metadata that is", "documents"),
        (f"UPDATE documents SET metadata = '{DEEP}'", "metadata that is no JSON", "documents"),
        ("UPDATE documents SET metadata = x'7b7d'", "columns of another type", "documents"),
        ("UPDATE documents SET characters = 'many'", "columns of another type", "documents"),
        ("UPDATE segments SET key = zeroblob(15) WHERE id = 12", "keys of another size", "segments"),
        ("UPDATE segments SET key = zeroblob(18) WHERE id = 12", "keys of another size", "segments"),
        ("UPDATE segments SET key = 'text' WHERE id = 12", "keys that are not what", "segments"),
        ("UPDATE segments SET text = x'00ff' WHERE id = 12", "segments that are not", "segments"),
        ("UPDATE segments SET start = 'x' WHERE id = 12", "segments that are not", "segments"),
        ("UPDATE segments SET position = -1 WHERE id = 12", "places before the first", "segments"),
        ("UPDATE segments SET latent = 'text' WHERE id = 12", "latents that are not", "latents"),
        ("UPDATE segments SET latent = x'09' WHERE id = 12", "latents of no known form", "latents"),
    ],
)
@pytest.mark.parametrize("migrated", [False, True])
def test_a_file_of_version_1_that_makes_no_sense(
    tmp_path: Path, change: str, what: str, lost: str, migrated: bool
) -> None:
    path = version_1(tmp_path / "old.larimar")
    sql(path, change)
    store = open_file(path, read_only=not migrated)
    refused = 0
    for use in uses(store):
        try:
            use()
        except MemoryFileError as error:
            refused += "is damaged." in str(error)
    assert refused > (2 if lost == "documents" else 0)
    store.close()
    report = check(path)
    assert any(what in finding.what for finding in report.findings)
    done = repair(path)
    assert lost in done.lost
    assert done.after is not None
    assert done.after.sound
    assert Path(str(done.set_aside)).read_text().count("\n") == sum(done.lost.values())
    store = open_file(path)
    for use in uses(store):
        use()
    store.close()
    assert check(path).sound


@pytest.mark.parametrize("dimension", ["\u00b2", "9" * 5000, "", "-8", "0", "8.0"])
def test_what_is_said_of_the_encoder_is_no_number(tmp_path: Path, dimension: str) -> None:
    path = version_1(tmp_path / "old.larimar")
    sql(path, "UPDATE meta SET value = ? WHERE key = 'dimension'", dimension)
    for use in (open_file, repair):
        with pytest.raises(MemoryFileError, match=r"which encoder its keys are of"):
            use(path)
    assert not check(path).sound


@pytest.mark.parametrize("again", ["[" * 50_000, '["x", "8", 1]', '["x", true, 1]', "1", '"abc"'])
def test_what_is_said_once_more_of_the_encoder_makes_no_sense(tmp_path: Path, again: str) -> None:
    path = filled(tmp_path / "m.larimar")
    seal = str(checksums.of_values("x", "8"))
    sql(path, "UPDATE meta SET value = ? WHERE key = 'again'", again.replace("1]", f"{seal}]"))
    assert not check(path).sound
    assert repair(path).lost == {}
    sql(path, "UPDATE meta SET value = '' WHERE key = 'encoder'")
    assert repair(path).lost == {}


def test_metadata_is_as_deep_as_it_may_be() -> None:
    deepest = '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH
    assert metadata_from(deepest)
    for text in (
        '{"a":' + deepest + "}",
        '{"a": "\\ud800"}',
        "",
        "null",
        '"x"',
        b"{}",
        None,
        "9" * 9000,
    ):
        with pytest.raises(ValueError):
            metadata_from(text)
    assert metadata_from('{"a": "\\u00e9"}') == {"a": "\u00e9"}


def test_deep_metadata_with_a_checksum_is_set_aside(tmp_path: Path) -> None:
    path = filled(tmp_path / "m.larimar")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        row = db.execute("SELECT * FROM documents WHERE name = 'd3'").fetchone()
        seal = checksums.of_values(*row[:5], DEEP, *row[6:8])
        db.execute("UPDATE documents SET metadata = ?, checksum = ? WHERE id = ?", (DEEP, seal, row[0]))
    store = open_file(path)
    with pytest.raises(
        MemoryFileError, match=r"its metadata is no JSON object \(it is nested too deep"
    ):
        contents(store)
    store.close()
    assert [f.what for f in check(path).findings] == ["metadata that is no JSON object"]
    done = repair(path)
    assert done.lost == {"documents": 1, "segments": 3}
    assert done.after is not None
    assert done.after.sound


@pytest.fixture
def indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    return with_index(tmp_path, monkeypatch, [f"fact {i}" for i in range(40)])


def test_which_encoder_it_was_is_lost_and_there_is_an_index(indexed: tuple[Path, Path]) -> None:
    path, _ = indexed
    sql(path, "DELETE FROM meta")
    sql(path, "INSERT INTO meta VALUES ('again', '[]')")
    report = check(path)
    assert [f.what for f in report.findings] == ["what is said of the encoder"]
    with pytest.raises(MemoryFileError, match="does not say any more which encoder"):
        repair(path)


def test_an_index_file_of_other_bytes_whose_name_fits_is_told(indexed: tuple[Path, Path]) -> None:
    path, index = indexed
    other = index.with_name("other")
    other.write_bytes(b"other keys" * 20)
    named = "-".join([*index.stem.split("-")[:3], integrity_module.checksum_of(other)])
    other.rename(index.with_name(f"{named}.keys"))
    index.unlink()
    sql(path, f"UPDATE index_files SET name = '{named}.keys'")
    assert [f.what for f in check(path).findings] == ["files that cannot be read"]
    store = open_file(path)
    assert found(store, "n", "fact 3", 1) == ["fact 3"]
    store.close()


def test_an_index_file_that_vanishes_is_no_error(
    indexed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, index = indexed
    kept = index.read_bytes()

    def gone(file: Path) -> str:
        index.unlink()
        return real(file)

    real = integrity_module.checksum_of
    monkeypatch.setattr(integrity_module, "checksum_of", gone)
    report = check(path)
    assert report.sound
    assert report.index_files == 0
    index.write_bytes(kept)
    store = open_file(path)
    real_is_file = Path.is_file

    def is_file_until_now(file: Path) -> bool:
        there = real_is_file(file)
        if file == index:
            index.unlink(missing_ok=True)
        return there

    monkeypatch.setattr(Path, "is_file", is_file_until_now)
    size = store.stats().bytes_on_disk
    monkeypatch.undo()
    assert not index.exists()
    assert size == store.stats().bytes_on_disk > 0
    store.close()


def test_a_row_of_an_enormous_number_takes_no_time(tmp_path: Path) -> None:
    path = filled(tmp_path / "m.larimar")
    store = open_file(path)
    held = contents(store)
    store.close()
    text, key = "far away", key_of("far away").astype("<f2").tobytes()
    row = 2**62
    seal = checksums.of_segment(row, 1, 10**9, 0, 0, 8, text)
    values = (row, 1, 10**9, 0, 0, 8, text, key, None, seal, checksums.of_key(row, key), None)
    sql(path, f"INSERT INTO segments VALUES ({','.join('?' * 12)})", *values)
    assert not check(path).sound
    assert repair(path).lost == {"segments": 1}
    store = open_file(path)
    assert contents(store) == held
    store.close()


class Failing:
    """A table whose rows from `first` to `last` cannot be read."""

    def __init__(self, db: sqlite3.Connection, first: int, last: int) -> None:
        self.db, self.first, self.last, self.asked = db, first, last, 0

    def execute(self, sql: str, values: tuple[int, ...] = ()) -> Any:
        self.asked += 1
        found = self.db.execute(sql, values)
        if len(values) == 2:
            held = found.fetchall()
            reached = held[-1][0] if "LIMIT" in sql and len(held) == salvage._RANGE else values[1]
            if values[0] <= self.last and reached >= self.first:
                raise sqlite3.DatabaseError("database disk image is malformed")
            return held
        return found


def test_rows_beside_those_that_cannot_be_read_are_read(tmp_path: Path) -> None:
    store = open_file(tmp_path / "m.larimar")
    store.write("n", [whole("d", [f"text {n}" for n in range(2000)])])
    store.close()
    with closing(sqlite3.connect(tmp_path / "m.larimar")) as db:
        for first, last in ((700, 730), (1, 3), (1990, 2000)):
            failing = Failing(db, first, last)
            held = list(salvage.rows(failing, "segments"))  # type: ignore[arg-type]
            assert [r.number for r in held] == list(range(1, 2001))
            assert [r.number for r in held if r.values is None] == list(range(first, last + 1))
            assert failing.asked < 150


def test_views_and_triggers_are_refused(tmp_path: Path) -> None:
    path = filled(tmp_path / "m.larimar")
    sql(path, "CREATE TRIGGER t AFTER INSERT ON documents BEGIN DELETE FROM segments; END")
    for use in (open_file, check, repair):
        with pytest.raises(
            MemoryFileError, match="It holds views or triggers, which no Larimar memory"
        ):
            use(path)


def test_two_namespaces_of_one_name_are_both_kept(tmp_path: Path) -> None:
    path = filled(tmp_path / "m.larimar")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("DELETE FROM sqlite_master WHERE name = 'sqlite_autoindex_namespaces_1'")
        db.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'UNIQUE', '') WHERE name = 'namespaces'"
        )
    sql(
        path,
        "UPDATE namespaces SET name = 'one', checksum = ? WHERE id = 2",
        checksums.of_values(2, "one"),
    )
    done = repair(path)
    assert done.lost == {"names of namespaces": 1}
    assert done.after is not None
    assert done.after.sound
    store = open_file(path)
    assert store.namespaces() == ["one", "recovered namespace 2"]
    assert store.stats("recovered namespace 2").segments == 31
    store.close()


@pytest.mark.parametrize("column", ["namespace_id", "name", "characters", "metadata", "written_at"])
def test_whatever_a_column_holds_nothing_but_our_errors(tmp_path: Path, column: str) -> None:
    for n, value in enumerate([-1, 2**63 - 1, 1.5, "\0", b"\xff"]):
        path = version_1(tmp_path / f"{n}.larimar")
        sql(path, f"UPDATE documents SET {column} = ?", value)
        for use in (check, repair, lambda p: contents(open_file(p)), check):
            with suppress(LarimarError):
                use(path)
