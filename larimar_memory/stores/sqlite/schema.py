"""The tables of a memory file, and the migration of files of older versions.

The table `meta` says twice which encoder made the file's keys, each time with a checksum.
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larimar_memory.errors import MemoryFileError
from larimar_memory.stores.sqlite import checksums, text_index

log = logging.getLogger(__name__)

APPLICATION_ID = 0x4C41524D
SCHEMA_VERSION = STEMS_SINCE = 4
"""The first version whose text indexes hold stems, and which has fine keys and episodes."""

WORDS_SINCE = 3
"""The first version that cuts texts into words as it cuts questions; before, SQLite did it its own
way."""

PAGE_BYTES = 8192
"""The size of pages in new files. A segment with its latent takes some 3 KB: SQLite's usual pages of
4 KB hold one each and are a quarter empty; pages larger than this would make every namespace larger."""

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE namespaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL DEFAULT 0,
    checksum INTEGER
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
    checksum INTEGER,
    episode TEXT,
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
    checksum INTEGER,
    key_checksum INTEGER,
    latent_checksum INTEGER,
    UNIQUE (document_id, position)
);
CREATE INDEX segments_by_namespace ON segments (namespace_id, id);
CREATE TABLE fine_keys (
    id INTEGER PRIMARY KEY,
    namespace_id INTEGER NOT NULL,
    key BLOB NOT NULL,
    checksum INTEGER
);
CREATE INDEX fine_keys_by_namespace ON fine_keys (namespace_id);
"""
"""Fine keys are the encoder's keys of a lazy file's segments. They have a table of their own: a row
that gets a value later is written again, with its text and latent."""

RECEIPTS = """
CREATE TABLE IF NOT EXISTS receipts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL,
    checksum INTEGER
)
"""
"""Made with the first receipt. The last number used tells how many there ever were."""

_FINE_KEYS = SCHEMA[SCHEMA.index("CREATE TABLE fine_keys") :]
_INDEX_OF_EPISODES = (
    "CREATE INDEX documents_by_episode ON documents (namespace_id, episode, id) "
    "WHERE episode IS NOT NULL"
)
_INDEX_OF_TEXTS = "CREATE INDEX texts_by_namespace ON documents (namespace_id, id) WHERE characters > 0"
"""The index by which the newest documents with text are found."""


def _described() -> dict[str, dict[str, type | None]]:
    kinds = {"INTEGER": int, "TEXT": str, "BLOB": bytes}
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(f"{SCHEMA}{RECEIPTS}")
        return {
            table: {
                name: kinds[kind] if filled else None
                for _, name, kind, filled, *_ in db.execute(f"PRAGMA table_info({table})")
            }
            for table in ("namespaces", "documents", "segments", "fine_keys", "receipts")
        }


TABLES = _described()
"""The columns of each table in their order, with the type of those that always hold a value."""


def columns(table: str, prefix: str = "") -> str:
    """All columns of a table in SQL."""
    return ", ".join(f'{prefix}"{name}"' for name in TABLES[table])


def has_table(db: sqlite3.Connection, name: str) -> bool:
    """Whether a table exists that is made when it is first needed."""
    sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
    return bool(db.execute(sql, (name,)).fetchone()[0])


def _first(table: str, count: int) -> str:
    # After the table's name: SQLite takes a quoted name for text if there is no such column.
    return ", ".join(columns(table, f"{table}.").split(", ")[:count])


_SEALS: dict[str, dict[str, str]] = {
    "namespaces": {"checksum": f"of_values({_first('namespaces', 2)})"},
    "documents": {"checksum": f"of_values({_first('documents', 8)})"},
    "segments": {
        "checksum": f"of_segment({_first('segments', 7)})",
        "key_checksum": "of_blob(id, key)",
        "latent_checksum": "of_blob(id, latent)",
    },
}


_LAZY = "lazy"


@dataclass(frozen=True, slots=True)
class About:
    """The facts about a file's keys.

    Attributes:
        encoder: fingerprint of the encoder that makes them; None if none is recorded yet, or it is
            lost.
        dimension: d; 0 if it is unknown.
        lazy: whether segments have coarse keys, with fine keys beside them.
        whole: whether none of the facts is damaged; their second copy makes up for damage.
    """

    encoder: str | None
    dimension: int
    whole: bool
    lazy: bool = False


def rows_about(encoder: str, dimension: int, lazy: bool) -> dict[str, str]:
    """The rows of the table `meta`."""
    said: list[int | str] = [encoder, dimension, *([_LAZY] if lazy else [])]
    seal = checksums.of_values(*said)
    return {
        "encoder": encoder,
        "dimension": str(dimension),
        "checksum": str(seal),
        "again": json.dumps([*said, seal]),
        **({"keys": _LAZY} if lazy else {}),
    }


def about(db: sqlite3.Connection) -> About:
    """The facts in the table `meta`.

    Raises:
        sqlite3.DatabaseError: if it cannot be read.
    """
    held = dict(db.execute("SELECT key, value FROM meta").fetchall())
    encoder, dimension = held.get("encoder"), _number(held.get("dimension"))
    if set(held) == {"encoder", "dimension"} and dimension:
        # Of version 1, or shown as such.
        known = isinstance(encoder, str)
        return About(encoder, dimension, True) if known else About(None, 0, False)
    said = [(encoder, dimension, held.get("keys") == _LAZY, held.get("checksum"))]
    with suppress(ValueError, TypeError, RecursionError):
        encoder, dimension, *lazy, seal = json.loads(held.get("again", ""))
        said.insert(0, (encoder, _number(str(dimension)), lazy == [_LAZY], str(seal)))
    for encoder, dimension, is_lazy, seal in said:
        if isinstance(encoder, str) and dimension:
            mine = rows_about(encoder, dimension, is_lazy)
            if mine["checksum"] == seal:
                return About(encoder, dimension, held == mine, is_lazy)
    return About(None, 0, not held)


def _number(text: Any) -> int:
    """How many numbers a key has; 0 if the text is not such a number."""
    if not isinstance(text, str) or not re.fullmatch("[0-9]{1,7}", text):
        return 0
    return int(text)


def prepare(db: sqlite3.Connection, path: Path | None, *, read_only: bool) -> None:
    """Make sure that a new connection finds the tables of this version.

    An empty file gets them. An older file is migrated, all at once or not at all; if it is read-only,
    its rows are shown in this version's form.

    Raises:
        MemoryFileError: if it is not a memory, or is of a newer release.
    """
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables and not read_only:
        format_new(db)
        with transaction(db):
            # Another process may have been first.
            if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                create_tables(db)
    version = version_of(db, path)
    if read_only:
        if version < SCHEMA_VERSION:
            show_as_newest(db, version)
        return
    if version < SCHEMA_VERSION:
        with transaction(db):
            for step in range(version_of(db, path), SCHEMA_VERSION):
                log.info("bringing %s from version %d to %d", path, step, step + 1)
                _MIGRATIONS[step](db)
                db.execute(f"PRAGMA user_version = {step + 1}")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """A transaction that may write, committed on success, else rolled back."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def version_of(db: sqlite3.Connection, path: Path | None) -> int:
    """The version of a memory file's format.

    Raises:
        MemoryFileError: if it is not a memory, or is of a newer release.
    """
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (programs,) = db.execute(
        "SELECT count(*) FROM sqlite_master WHERE type IN ('view', 'trigger')"
    ).fetchone()
    if programs:
        raise MemoryFileError(
            f"The file {path} cannot be opened.",
            "It holds views or triggers, which no Larimar memory does.",
            "Name another file, or restore a backup.",
        )
    if application != APPLICATION_ID or version < 1:
        raise MemoryFileError(
            f"The file {path} cannot be opened.",
            "It is a SQLite database, but not a Larimar memory.",
            "Name another file.",
        )
    if version > SCHEMA_VERSION:
        raise MemoryFileError(
            f"The memory {path} cannot be opened.",
            f"Its format is version {version}, and this release reads up to {SCHEMA_VERSION}.",
            "Upgrade larimar-memory.",
        )
    return int(version)


def show_as_newest(db: sqlite3.Connection, version: int) -> None:
    """Show a read-only connection a file of an older version in this version's form."""
    if version >= 4:
        return
    checksums.add_functions(db)
    for table, seals in _SEALS.items():
        made = [f"{value} AS {column}" for column, value in seals.items()] if version < 2 else []
        if table == "documents":
            made.append("NULL AS episode")
        if made:
            db.execute(f"CREATE TEMP VIEW {table} AS SELECT *, {', '.join(made)} FROM main.{table}")
    db.execute(_FINE_KEYS.replace("TABLE", "TEMP TABLE").partition(";")[0])


def format_new(db: sqlite3.Connection, page_bytes: int = PAGE_BYTES) -> None:
    """Set what cannot be changed once a file has tables."""
    db.execute(f"PRAGMA page_size = {page_bytes:d}")
    db.execute("PRAGMA journal_mode = WAL")


def create_tables(db: sqlite3.Connection) -> None:
    """Make the tables of this version in an empty database, inside the caller's transaction."""
    for statement in [*SCHEMA.split(";"), _INDEX_OF_TEXTS, _INDEX_OF_EPISODES]:
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _add_checksums(db: sqlite3.Connection) -> None:
    checksums.add_functions(db)
    for table, seals in _SEALS.items():
        for column in seals:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER")
        sealed = ", ".join(f"{column} = {value}" for column, value in seals.items())
        db.execute(f"UPDATE {table} SET {sealed}")
    known = about(db)
    if known.encoder is not None:
        said = rows_about(known.encoder, known.dimension, known.lazy)
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", said.items())


def _index_texts(db: sqlite3.Connection) -> None:
    # The next step makes the indexes of words again.
    db.execute(_INDEX_OF_TEXTS)


def _add_fine_keys(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE documents ADD COLUMN episode TEXT")
    for statement in [*_FINE_KEYS.split(";"), _INDEX_OF_EPISODES]:
        db.execute(statement)
    text_index.add_functions(db)
    text_index.make_all(db)
    # Index files have another form now, and are made again.
    db.execute("DROP TABLE IF EXISTS index_files")


_MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {
    1: _add_checksums,
    2: _index_texts,
    3: _add_fine_keys,
}
"""The function that migrates a file of a version to the next."""
