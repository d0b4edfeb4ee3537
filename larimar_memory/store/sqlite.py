"""The store in one SQLite file: rows are the truth, FTS5 gives BM25, the vector index is a cache."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

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
from larimar_memory.store.packing import pack
from larimar_memory.store.rows import (
    CHUNK,
    SELECT_SEGMENT,
    bump_generation,
    chunks,
    document_from,
    drop_segments,
    existing_rows,
    generation_of,
    key_blobs,
    keys_after,
    latent_blobs,
    latents_of,
    matrix_of,
    mismatch,
    namespace_for_writing,
    namespace_number,
    nearest_where,
    next_row,
    quoted_term,
    segment_from,
    to_json,
)
from larimar_memory.store.vectors import Vectors
from larimar_memory.types import Metadata


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
            space = namespace_for_writing(db, namespace)
            for batch in batches:
                document, stale = self._put_document(db, space, batch)
                removed += stale
                row = next_row(db)
                db.executemany(
                    'INSERT INTO segments (id, namespace_id, document_id, position, start, "end", '
                    "text, key, latent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        (row + i, space, document, s.index, s.start, s.end, s.text, key, latent)
                        for i, (s, key, latent) in enumerate(
                            zip(batch.segments, key_blobs(batch.keys), latent_blobs(batch), strict=True)
                        )
                    ),
                )
                # At once: a later batch may replace this one, and takes its words out of the index.
                db.execute(
                    f"INSERT INTO fts_{space} (rowid, text) "
                    "SELECT id, text FROM segments WHERE id >= ?",
                    (row,),
                )
            if removed:
                bump_generation(db, space)
        self._after_write(space, removed)

    def set_metadata(self, namespace: str, document_id: str, metadata: Metadata) -> None:
        with self._db.writing() as db:
            db.execute(
                "UPDATE documents SET metadata = ? WHERE name = ? AND namespace_id = "
                "(SELECT id FROM namespaces WHERE name = ?)",
                (to_json(metadata), document_id, namespace),
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
            space = namespace_number(db, namespace)
            if space is None:
                return 0
            sql = f"SELECT d.id, d.name FROM documents d WHERE d.namespace_id = ? AND {condition}"
            found = db.execute(sql, [space, *parameters]).fetchall()
            wanted = None if ids is None else set(ids)
            doomed = [d for d, name in found if wanted is None or name in wanted]
            removed = [row for document in doomed for row in drop_segments(db, space, document)]
            db.executemany("DELETE FROM documents WHERE id = ?", [(d,) for d in doomed])
            bump_generation(db, space)
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
        return None if row is None else document_from(row)

    def documents(self, namespace: str, where: Where | None = None) -> Iterator[Document]:
        condition, parameters = to_sql(where, "d.metadata")
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT d.name, d.content_hash, d.characters, d.metadata, d.complete "
                "FROM documents d JOIN namespaces n ON n.id = d.namespace_id "
                f"WHERE n.name = ? AND {condition} ORDER BY d.id",
                [namespace, *parameters],
            ).fetchall()
        return (document_from(row) for row in rows)

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
            space = namespace_number(db, namespace)
            if space is None:
                return []
            if where:
                return nearest_where(db, space, key, k, where)
            with self._vectors_lock:
                vectors = self._synced(db, space)
                while True:
                    found = vectors.search(key, k)
                    gone = {row for row, _ in found} - existing_rows(db, [row for row, _ in found])
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
            space = namespace_number(db, namespace)
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
                [" OR ".join(map(quoted_term, terms)), *parameters, k],
            ).fetchall()
        return [Hit(int(row), float(score)) for row, score in found]

    def document_frequency(self, namespace: str, terms: Sequence[str], cap: int) -> list[int]:
        with self._db.reading() as db:
            space = namespace_number(db, namespace)
            if space is None:
                return [0] * len(terms)
            sql = f"SELECT count(*) FROM (SELECT 1 FROM fts_{space} WHERE fts_{space} MATCH ? LIMIT ?)"
            return [db.execute(sql, (quoted_term(term), cap)).fetchone()[0] for term in terms]

    def fetch(self, namespace: str, rows: Sequence[int]) -> list[StoredSegment]:
        found = dict[int, StoredSegment]()
        with self._db.reading() as db:
            space = namespace_number(db, namespace)
            for chunk in chunks(list(rows)):
                marks = ",".join("?" * len(chunk))
                for row in db.execute(f"{SELECT_SEGMENT} AND s.id IN ({marks})", [space, *chunk]):
                    found[row[0]] = segment_from(row)
        return [found[row] for row in rows if row in found]

    def latents(self, namespace: str, rows: Sequence[int]) -> list[np.ndarray | None]:
        with self._db.reading() as db:
            found = latents_of(db, namespace_number(db, namespace), rows)
        return [found.get(row) for row in rows]

    def set_latents(self, namespace: str, rows: Sequence[int], latents: Sequence[np.ndarray]) -> None:
        blobs = [pack(latent) for latent in latents]
        with self._db.writing() as db:
            space = namespace_number(db, namespace)
            db.executemany(
                "UPDATE segments SET latent = ? WHERE id = ? AND namespace_id = ?",
                [(blob, row, space) for blob, row in zip(blobs, rows, strict=True)],
            )

    def keys(
        self, namespace: str, after: int = 0
    ) -> Iterator[tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n d"]]]:
        with self._db.reading() as db:
            space = namespace_number(db, namespace)
            found = keys_after(db, space, after)
            while chunk := found.fetchmany(CHUNK):
                yield matrix_of(chunk)

    def generation(self, namespace: str) -> int:
        with self._db.reading() as db:
            space = namespace_number(db, namespace)
            # The namespace's number is part of it: one deleted and made again has begun anew.
            return -1 if space is None else (space << 32) + generation_of(db, space)

    def neighbours(
        self, namespace: str, document_id: str, first: int, last: int
    ) -> list[StoredSegment]:
        with self._db.reading() as db:
            rows = db.execute(
                f"{SELECT_SEGMENT} AND d.name = ? AND d.namespace_id = s.namespace_id "
                "AND s.position BETWEEN ? AND ? ORDER BY s.position",
                (namespace_number(db, namespace), document_id, first, last),
            ).fetchall()
        return [segment_from(row) for row in rows]

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
                    vectors.save(generation_of(db, space), rows)
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
            raise mismatch(self.path, known, mine)

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
                to_json(document.metadata),
                document.complete,
            ),
        ).fetchone()
        return number, drop_segments(db, space, number) if batch.replace else []

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
                self._vectors[space].open(generation_of(db, space))
        return self._vectors[space]

    def _synced(self, db: sqlite3.Connection, space: int) -> Vectors:
        vectors = self._opened(space)
        rows = keys_after(db, space, vectors.last_row)
        while chunk := rows.fetchmany(CHUNK):
            vectors.append(*matrix_of(chunk))
            if not self._db.read_only:
                vectors.index_tail()
        return vectors

    def _folder(self) -> Path:
        return self.path.with_name(f"{self.path.name}-vectors")
