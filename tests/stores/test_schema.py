"""A file of an older format becomes one of this format, or is read as one; a newer one is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from larimar_memory.errors import MemoryFileError
from larimar_memory.stores.packing import pack
from larimar_memory.stores.sqlite import checksums, schema, text_index
from larimar_memory.stores.sqlite.files import index_folder
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.repair import repair
from larimar_memory.testing.writes import found, key_of
from tests.damage import contents, sql, whole
from tests.stores.test_laws import open_file

VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE namespaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace_id INTEGER NOT NULL REFERENCES namespaces(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    characters INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    complete INTEGER NOT NULL,
    written_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (namespace_id, name)
);
CREATE TABLE segments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace_id INTEGER NOT NULL,
    document_id INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    text TEXT NOT NULL,
    key BLOB NOT NULL,
    latent BLOB,
    UNIQUE (document_id, position)
);
CREATE INDEX segments_by_namespace ON segments (namespace_id, id);
CREATE VIRTUAL TABLE fts_1 USING fts5(
    text, content='segments', content_rowid='id', tokenize='unicode61 remove_diacritics 2'
);
"""
TEXTS = [f"The ferry number {n} leaves at nine. " for n in range(5)]


def version_1(path: Path) -> Path:
    """A file as the first release wrote it."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(VERSION_1)
    db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    db.execute("PRAGMA user_version = 1")
    db.executemany("INSERT INTO meta VALUES (?, ?)", [("encoder", "test-encoder"), ("dimension", "8")])
    db.execute("INSERT INTO namespaces (name, generation) VALUES ('n', 3)")
    db.execute(
        "INSERT INTO documents VALUES (7, 1, 'd', 'hash', ?, '{\"a\": 1}', 1, '2025-02-03 04:05:06')",
        (len("".join(TEXTS)),),
    )
    start = 0
    for n, text in enumerate(TEXTS):
        latent = pack(np.arange(n, dtype=np.int8)) if n % 2 else None
        key = key_of(text).astype("<f2").tobytes()
        db.execute(
            "INSERT INTO segments VALUES (?, 1, 7, ?, ?, ?, ?, ?, ?)",
            (10 + n, n, start, start + len(text), text, key, latent),
        )
        start += len(text)
    db.execute("INSERT INTO fts_1 (rowid, text) SELECT id, text FROM segments")
    db.close()
    return path


def version_2(path: Path) -> Path:
    """A file as the second format has it: rows have checksums, and SQLite cuts words."""
    db = sqlite3.connect(version_1(path), isolation_level=None)
    with schema.transaction(db):
        schema._MIGRATIONS[1](db)
        db.execute("PRAGMA user_version = 2")
    db.close()
    return path


def version_3(path: Path) -> Path:
    """A file as the third format has it: words are those of questions, and not their stems."""
    db = sqlite3.connect(version_2(path), isolation_level=None)
    text_index.add_functions(db)
    with schema.transaction(db):
        schema._MIGRATIONS[2](db)
        db.execute("DROP TABLE fts_1")
        db.execute("CREATE VIRTUAL TABLE fts_1 USING fts5(text, content='', tokenize='ascii')")
        db.execute("INSERT INTO fts_1 (rowid, text) SELECT id, words(CAST(text AS BLOB)) FROM segments")
        db.execute("PRAGMA user_version = 3")
    db.close()
    return path


MAKERS = {1: version_1, 2: version_2, 3: version_3}


@pytest.fixture(params=[1, 2, 3])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def old(version: int, tmp_path: Path) -> Path:
    return MAKERS[version](tmp_path / "old.larimar")


def holds_what_was_written(path: Path, **options: object) -> None:
    store = open_file(path, **options)
    ((name, document),) = contents(store).items()
    assert name == ("n", "d")
    assert document[0] == "hash"
    assert document[2:5] == ({"a": 1}, True, "2025-02-03 04:05:06")
    assert [segment[3] for segment in document[5]] == TEXTS
    assert [latent is not None for latent in document[6]] == [False, True, False, True, False]
    for text in TEXTS:
        assert found(store, "n", text, 1) == [text]
        assert found(store, "n", text, 1, where={"a": 1}) == [text]
    assert len(store.lexical("n", ["ferry"], 9)) == len(store.lexical("n", ["leaving"], 9)) == 5
    assert (store.lazy, store.stats("n").keyed, store.lacking("n", 0, 9)) == (False, 5, [])
    assert store.beside("n", ["d", "x"], 1) == [[store.document("n", "d")], []]
    assert store.document("n", "d").episode is None
    assert len(store.lexical("n", ["ferry"], 9, {"a": 1})) == 5
    store.close()


def test_a_file_of_an_old_version_becomes_one_of_this_version(old: Path) -> None:
    holds_what_was_written(old)
    report = check(old)
    assert (report.version, report.sound, report.segments) == (schema.SCHEMA_VERSION, True, 5)
    holds_what_was_written(old)
    store = open_file(old)
    store.write("n", [whole("e", ["More of it."])])
    store.close()
    assert check(old).sound
    sql(old, "UPDATE segments SET text = upper(text) WHERE id = 12")
    store = open_file(old)
    with pytest.raises(MemoryFileError, match=r"for segment 2 of document 'd' is not what was written"):
        contents(store)
    store.close()


def test_a_file_of_an_old_version_is_read_where_it_cannot_be_written(old: Path, version: int) -> None:
    before = old.read_bytes()
    holds_what_was_written(old, read_only=True)
    assert (check(old).version, check(old).sound) == (version, True)
    assert old.read_bytes() == before
    assert sorted(p.name for p in old.parent.iterdir()) == [old.name]


def test_a_migration_happens_all_at_once_or_not_at_all(
    old: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(db: sqlite3.Connection) -> None:
        add(db)
        raise sqlite3.OperationalError("database or disk is full")

    last = schema.SCHEMA_VERSION - 1
    add = schema._MIGRATIONS[last]
    monkeypatch.setitem(schema._MIGRATIONS, last, fails)
    with pytest.raises(MemoryFileError, match="The disk is full"):
        open_file(old)
    monkeypatch.undo()
    assert check(old).version == version
    holds_what_was_written(old)


def test_a_damaged_file_of_an_old_version_is_repaired(old: Path, version: int) -> None:
    seals = ", of_segment(99, 1, 1234, 0, 0, 1, 'orphan'), of_blob(99, zeroblob(16)), NULL"
    orphan = f"99, 1, 1234, 0, 0, 1, 'orphan', zeroblob(16), NULL{seals if version > 1 else ''}"
    db = sqlite3.connect(old, isolation_level=None)
    checksums.add_functions(db)
    db.execute(f"INSERT INTO segments VALUES ({orphan})")
    db.close()
    assert repair(old).lost == {"segments": 1}
    assert check(old).version == schema.SCHEMA_VERSION
    holds_what_was_written(old)


def test_there_is_a_way_from_every_version_to_this_one() -> None:
    assert sorted(schema._MIGRATIONS) == list(range(1, schema.SCHEMA_VERSION))


@pytest.mark.parametrize("newer", [schema.SCHEMA_VERSION + 1, 99])
def test_a_newer_format_is_refused_by_all(old: Path, newer: int) -> None:
    sql(old, f"PRAGMA user_version = {newer}")
    for use in (open_file, check, repair):
        with pytest.raises(
            MemoryFileError,
            match=rf"Its format is version {newer}, and this release reads up to 4\. Upgrade larimar",
        ):
            use(old)


def test_new_files_are_of_this_version(tmp_path: Path) -> None:
    store = open_file(tmp_path / "new")
    store.close()
    db = sqlite3.connect(tmp_path / "new")
    assert db.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA_VERSION,)
    db.close()


def test_an_old_file_gets_the_indexes_of_its_texts_and_episodes(old: Path, version: int) -> None:
    def indexes() -> int:
        with closing(sqlite3.connect(old)) as db:
            names = "('texts_by_namespace', 'documents_by_episode')"
            sql = f"SELECT count(*) FROM sqlite_master WHERE name IN {names}"
            return int(db.execute(sql).fetchone()[0])

    for read_only, there in ((True, int(version > 2)), (False, 2)):
        store = open_file(old, read_only=read_only)
        assert [document.id for document in store.latest("n", 2)] == ["d"]
        store.close()
        assert indexes() == there


def test_the_index_files_of_an_old_version_are_made_anew(tmp_path: Path) -> None:
    old = version_3(tmp_path / "old.larimar")
    left = index_folder(old) / "1-0-14-0123456789.usearch"
    left.parent.mkdir()
    left.write_bytes(b"of another form")
    sql(old, "CREATE TABLE index_files (name TEXT PRIMARY KEY) WITHOUT ROWID")
    sql(old, "INSERT INTO index_files VALUES (?)", left.name)
    assert check(old).findings == []
    holds_what_was_written(old, read_only=True)
    assert left.exists()
    holds_what_was_written(old)
    assert not left.exists()
    assert check(old).findings == []
