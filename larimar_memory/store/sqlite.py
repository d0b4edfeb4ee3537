"""The store in one SQLite file: rows are the truth, FTS5 gives BM25, the vector index is a cache."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from larimar_memory.errors import EncoderMismatchError
from larimar_memory.store.base import (
    Document,
    Hit,
    Store,
    StoredSegment,
    StoreStats,
    Where,
    WriteBatch,
)
from larimar_memory.store.connection import Database
from larimar_memory.store.filters import to_sql
from larimar_memory.store.vectors import Vectors
from larimar_memory.types import Metadata

_KEY = np.dtype("<f2")
_CHUNK = 4096
_VARIABLES = 500
_SEGMENT = (
    'SELECT s.id, d.name, s.position, s.start, s."end", s.text, d.metadata, s.key '
    "FROM segments s JOIN documents d ON d.id = s.document_id WHERE s.namespace_id = ?"
)


class SQLiteStore(Store):
    """The contract over one file; safe for many threads, and for many processes (one writes at a time).

    Args:
        path: the memory file.
        encoder: fingerprint of the sentence encoder; must be the one the file was written with.
        dimension: d, numbers in a key.

    Raises:
        MemoryFileError: if the file cannot be opened.
        EncoderMismatchError: if it was written with another encoder.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        encoder: str,
        dimension: int,
        read_only: bool = False,
        busy_seconds: float = 5.0,
        synchronous: str = "full",
    ) -> None:
        self.path = Path(path)
        self._dimension = dimension
        self._db = Database(
            self.path, read_only=read_only, busy_seconds=busy_seconds, synchronous=synchronous
        )
        self._vectors: dict[int, Vectors] = {}
        self._vectors_lock = threading.RLock()
        self._closed = False
        try:
            self._check_encoder(encoder)
        except BaseException:
            self._db.close()
            raise

    # --- writing ---

    def write(self, namespace: str, batches: Sequence[WriteBatch]) -> None:
        removed = list[int]()
        with self._db.writing() as db:
            space = _namespace_for_writing(db, namespace)
            first = _next_row(db)
            for batch in batches:
                document, stale = self._put_document(db, space, batch)
                removed += stale
                row = _next_row(db)
                db.executemany(
                    'INSERT INTO segments (id, namespace_id, document_id, position, start, "end", '
                    "text, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        (row + i, space, document, s.index, s.start, s.end, s.text, key)
                        for i, (s, key) in enumerate(
                            zip(batch.segments, _blobs(batch.keys), strict=True)
                        )
                    ),
                )
            db.execute(
                f"INSERT INTO fts_{space} (rowid, text) SELECT id, text FROM segments WHERE id >= ?",
                (first,),
            )
            if removed:
                _bump(db, space)
        self._after_write(space, removed)

    def set_metadata(self, namespace: str, document_id: str, metadata: Metadata) -> None:
        with self._db.writing() as db:
            db.execute(
                "UPDATE documents SET metadata = ? WHERE name = ? AND namespace_id = "
                "(SELECT id FROM namespaces WHERE name = ?)",
                (_json(metadata), document_id, namespace),
            )

    def delete(
        self,
        namespace: str,
        *,
        ids: Sequence[str] | None = None,
        where: Where | None = None,
    ) -> int:
        condition, parameters = to_sql(where, "d.metadata")
        with self._db.writing() as db:
            space = _namespace(db, namespace)
            if space is None:
                return 0
            sql = f"SELECT d.id, d.name FROM documents d WHERE d.namespace_id = ? AND {condition}"
            found = db.execute(sql, [space, *parameters]).fetchall()
            wanted = None if ids is None else set(ids)
            doomed = [d for d, name in found if wanted is None or name in wanted]
            removed = [row for document in doomed for row in _drop_segments(db, space, document)]
            db.executemany("DELETE FROM documents WHERE id = ?", [(d,) for d in doomed])
            _bump(db, space)
            (left,) = db.execute(
                "SELECT count(*) FROM documents WHERE namespace_id = ?", (space,)
            ).fetchone()
            if not left:
                db.execute(f"DROP TABLE fts_{space}")
                db.execute("DELETE FROM namespaces WHERE id = ?", (space,))
        with self._vectors_lock:
            vectors = self._opened(space)
            vectors.remove(np.array(removed, dtype=np.int64))
            vectors.discard_files()
            if not left:
                del self._vectors[space]
        return len(doomed)

    def purge(self) -> None:
        with self._db.maintaining() as db:
            for (space,) in db.execute("SELECT id FROM namespaces").fetchall():
                db.execute(f"INSERT INTO fts_{space} (fts_{space}) VALUES ('optimize')")
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    # --- reading ---

    def document(self, namespace: str, document_id: str) -> Document | None:
        with self._db.reading() as db:
            row = db.execute(
                "SELECT d.name, d.content_hash, d.characters, d.metadata, d.complete "
                "FROM documents d JOIN namespaces n ON n.id = d.namespace_id "
                "WHERE n.name = ? AND d.name = ?",
                (namespace, document_id),
            ).fetchone()
        return None if row is None else _document(row)

    def documents(self, namespace: str, where: Where | None = None) -> Iterator[Document]:
        condition, parameters = to_sql(where, "d.metadata")
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT d.name, d.content_hash, d.characters, d.metadata, d.complete "
                "FROM documents d JOIN namespaces n ON n.id = d.namespace_id "
                f"WHERE n.name = ? AND {condition} ORDER BY d.id",
                [namespace, *parameters],
            ).fetchall()
        return (_document(row) for row in rows)

    def segment_count(self, namespace: str, document_id: str) -> int:
        with self._db.reading() as db:
            (count,) = db.execute(
                "SELECT count(*) FROM segments s JOIN documents d ON d.id = s.document_id "
                "JOIN namespaces n ON n.id = d.namespace_id WHERE n.name = ? AND d.name = ?",
                (namespace, document_id),
            ).fetchone()
        return int(count)

    def nearest(
        self,
        namespace: str,
        key: Float[np.ndarray, " d"],
        k: int,
        where: Where | None = None,
    ) -> list[Hit]:
        with self._db.reading() as db:
            space = _namespace(db, namespace)
            if space is None:
                return []
            if where:
                return _nearest_where(db, space, key, k, where)
            with self._vectors_lock:
                vectors = self._synced(db, space)
                while True:
                    found = vectors.search(key, k)
                    gone = {row for row, _ in found} - _existing(db, [row for row, _ in found])
                    if not gone:
                        return [Hit(row, score) for row, score in found]
                    vectors.remove(np.array(sorted(gone), dtype=np.int64))

    def lexical(
        self, namespace: str, terms: Sequence[str], k: int, where: Where | None = None
    ) -> list[Hit]:
        if not terms:
            return []
        condition, parameters = to_sql(where, "d.metadata")
        with self._db.reading() as db:
            space = _namespace(db, namespace)
            if space is None:
                return []
            found = db.execute(
                f"SELECT f.rowid, -f.rank FROM fts_{space} f "
                + (
                    "JOIN segments s ON s.id = f.rowid JOIN documents d ON d.id = s.document_id "
                    if where
                    else ""
                )
                + f"WHERE fts_{space} MATCH ? AND {condition} ORDER BY f.rank, f.rowid LIMIT ?",
                [" OR ".join(map(_quoted, terms)), *parameters, k],
            ).fetchall()
        return [Hit(int(row), float(score)) for row, score in found]

    def document_frequency(self, namespace: str, terms: Sequence[str], cap: int) -> list[int]:
        with self._db.reading() as db:
            space = _namespace(db, namespace)
            if space is None:
                return [0] * len(terms)
            sql = f"SELECT count(*) FROM (SELECT 1 FROM fts_{space} WHERE fts_{space} MATCH ? LIMIT ?)"
            return [db.execute(sql, (_quoted(term), cap)).fetchone()[0] for term in terms]

    def fetch(self, namespace: str, rows: Sequence[int]) -> list[StoredSegment]:
        found = dict[int, StoredSegment]()
        with self._db.reading() as db:
            space = _namespace(db, namespace)
            for chunk in _chunks(list(rows)):
                marks = ",".join("?" * len(chunk))
                for row in db.execute(f"{_SEGMENT} AND s.id IN ({marks})", [space, *chunk]):
                    found[row[0]] = _stored(row)
        return [found[row] for row in rows if row in found]

    def neighbours(
        self, namespace: str, document_id: str, first: int, last: int
    ) -> list[StoredSegment]:
        with self._db.reading() as db:
            rows = db.execute(
                f"{_SEGMENT} AND d.name = ? AND d.namespace_id = s.namespace_id "
                "AND s.position BETWEEN ? AND ? ORDER BY s.position",
                (_namespace(db, namespace), document_id, first, last),
            ).fetchall()
        return [_stored(row) for row in rows]

    def namespaces(self) -> list[str]:
        with self._db.reading() as db:
            return [name for (name,) in db.execute("SELECT name FROM namespaces ORDER BY name")]

    def stats(self, namespace: str | None = None) -> StoreStats:
        with self._db.reading() as db:
            chosen = "SELECT id FROM namespaces WHERE ? IS NULL OR name = ?"
            both = (namespace, namespace)
            (spaces,) = db.execute(f"SELECT count(*) FROM ({chosen})", both).fetchone()
            documents, characters = db.execute(
                "SELECT count(*), coalesce(sum(characters), 0) FROM documents "
                f"WHERE namespace_id IN ({chosen})",
                both,
            ).fetchone()
            (segments,) = db.execute(
                f"SELECT count(*) FROM segments WHERE namespace_id IN ({chosen})", both
            ).fetchone()
        files = [self.path, *self.path.parent.glob(f"{self.path.name}-*")]
        files += self._folder().glob("*")
        size = sum(f.stat().st_size for f in files if f.is_file())
        return StoreStats(spaces, documents, segments, characters, size)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._db.read_only:
            with self._vectors_lock, self._db.reading() as db:
                for space, vectors in self._vectors.items():
                    live = db.execute("SELECT id FROM segments WHERE namespace_id = ?", (space,))
                    rows = np.fromiter((row for (row,) in live), dtype=np.int64)
                    vectors.save(_generation(db, space), rows)
        self._db.close()

    # --- inside ---

    def _check_encoder(self, encoder: str) -> None:
        mine = {"encoder": encoder, "dimension": str(self._dimension)}
        with self._db.reading() as db:
            known = dict(db.execute("SELECT key, value FROM meta").fetchall())
        if not known and not self._db.read_only:
            with self._db.writing() as db:
                db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", mine.items())
                known = dict(db.execute("SELECT key, value FROM meta").fetchall())
        if known.get("encoder") != encoder:
            raise EncoderMismatchError(
                f"The memory {self.path} cannot be opened with this sentence encoder.",
                f"It was written with encoder {known.get('encoder', 'unknown')[:12]} "
                f"({known.get('dimension', '?')} numbers a key), and this one is {encoder[:12]} "
                f"({self._dimension}); their keys cannot be compared.",
                "Open it with the encoder it was written with, or write the texts to a new memory.",
            )

    def _put_document(
        self, db: sqlite3.Connection, space: int, batch: WriteBatch
    ) -> tuple[int, list[int]]:
        document = batch.document
        (number,) = db.execute(
            "INSERT INTO documents (namespace_id, name, content_hash, characters, metadata, complete) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (namespace_id, name) DO UPDATE SET "
            "content_hash = excluded.content_hash, characters = excluded.characters, "
            "metadata = excluded.metadata, complete = excluded.complete, "
            "written_at = CURRENT_TIMESTAMP RETURNING id",
            (
                space,
                document.id,
                document.content_hash,
                document.characters,
                _json(document.metadata),
                document.complete,
            ),
        ).fetchone()
        return number, _drop_segments(db, space, number) if batch.replace else []

    def _after_write(self, space: int, removed: list[int]) -> None:
        with self._vectors_lock, self._db.reading() as db:
            if removed:
                vectors = self._opened(space)
                vectors.remove(np.array(removed, dtype=np.int64))
                vectors.discard_files()
            self._synced(db, space)

    def _opened(self, space: int) -> Vectors:
        if space not in self._vectors:
            self._vectors[space] = Vectors(self._dimension, self._folder(), space)
            with self._db.reading() as db:
                self._vectors[space].open(_generation(db, space))
        return self._vectors[space]

    def _synced(self, db: sqlite3.Connection, space: int) -> Vectors:
        vectors = self._opened(space)
        rows = db.execute(
            "SELECT id, key FROM segments WHERE namespace_id = ? AND id > ? ORDER BY id",
            (space, vectors.last_row),
        )
        while chunk := rows.fetchmany(_CHUNK):
            vectors.append(*_matrix(chunk))
            if not self._db.read_only:
                vectors.index_tail()
        return vectors

    def _folder(self) -> Path:
        return self.path.with_name(f"{self.path.name}-vectors")


def _namespace(db: sqlite3.Connection, name: str) -> int | None:
    row = db.execute("SELECT id FROM namespaces WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def _namespace_for_writing(db: sqlite3.Connection, name: str) -> int:
    known = _namespace(db, name)
    if known is not None:
        return known
    cursor = db.execute("INSERT INTO namespaces (name) VALUES (?)", (name,))
    number = int(cursor.lastrowid or 0)
    # One text index per namespace: neither words nor their frequencies are shared.
    db.execute(
        f"CREATE VIRTUAL TABLE fts_{number} USING fts5(text, content='segments', "
        "content_rowid='id', tokenize='unicode61 remove_diacritics 2')"
    )
    return number


def _generation(db: sqlite3.Connection, space: int) -> int:
    row = db.execute("SELECT generation FROM namespaces WHERE id = ?", (space,)).fetchone()
    return int(row[0]) if row else 0


def _bump(db: sqlite3.Connection, space: int) -> None:
    db.execute("UPDATE namespaces SET generation = generation + 1 WHERE id = ?", (space,))


def _next_row(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'segments'").fetchone()
    return int(row[0]) + 1 if row else 1


def _drop_segments(db: sqlite3.Connection, space: int, document: int) -> list[int]:
    db.execute(
        f"INSERT INTO fts_{space} (fts_{space}, rowid, text) "
        "SELECT 'delete', id, text FROM segments WHERE document_id = ?",
        (document,),
    )
    rows = db.execute("DELETE FROM segments WHERE document_id = ? RETURNING id", (document,))
    return [row for (row,) in rows.fetchall()]


def _existing(db: sqlite3.Connection, rows: list[int]) -> set[int]:
    existing = set[int]()
    for chunk in _chunks(rows):
        marks = ",".join("?" * len(chunk))
        found = db.execute(f"SELECT id FROM segments WHERE id IN ({marks})", chunk)
        existing.update(row for (row,) in found)
    return existing


def _nearest_where(
    db: sqlite3.Connection, space: int, key: Float[np.ndarray, " d"], k: int, where: Where
) -> list[Hit]:
    """Exact scan of the segments whose document satisfies the filter, a chunk at a time."""
    condition, parameters = to_sql(where, "d.metadata")
    cursor = db.execute(
        "SELECT s.id, s.key FROM documents d JOIN segments s ON s.document_id = d.id "
        f"WHERE d.namespace_id = ? AND {condition}",
        [space, *parameters],
    )
    best = list[Hit]()
    while chunk := cursor.fetchmany(_CHUNK):
        rows, keys = _matrix(chunk)
        best += [Hit(int(r), float(s)) for r, s in zip(rows, keys @ key, strict=True)]
        best = sorted(best, key=lambda hit: (-hit.score, hit.row))[:k]
    return best


def _matrix(pairs: list[tuple[int, bytes]]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.array([row for row, _ in pairs], dtype=np.int64)
    keys = np.frombuffer(b"".join(key for _, key in pairs), dtype=_KEY)
    return rows, keys.reshape(len(pairs), -1).astype(np.float32)


def _blobs(keys: Float[np.ndarray, "n d"]) -> Iterator[bytes]:
    return (row.tobytes() for row in np.asarray(keys).astype(_KEY))


def _chunks(rows: list[int]) -> Iterator[list[int]]:
    return (rows[i : i + _VARIABLES] for i in range(0, len(rows), _VARIABLES))


def _quoted(term: str) -> str:
    return '"' + term.replace('"', '""') + '"'


def _json(metadata: Metadata) -> str:
    return json.dumps(metadata, ensure_ascii=False, allow_nan=False, sort_keys=True)


def _document(row: tuple[Any, ...]) -> Document:
    name, content_hash, characters, metadata, complete = row
    return Document(name, content_hash, characters, json.loads(metadata), bool(complete))


def _stored(row: tuple[Any, ...]) -> StoredSegment:
    number, name, position, start, end, text, metadata, key = row
    vector = np.frombuffer(key, dtype=_KEY).astype(np.float32)
    return StoredSegment(number, name, position, start, end, text, json.loads(metadata), vector)
