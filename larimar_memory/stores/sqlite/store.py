"""The store in one SQLite file: rows are the truth, FTS5 gives BM25, the vector index is a cache."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from larimar_memory.stores.base import (
    Document,
    Hit,
    Store,
    StoredSegment,
    StoreStats,
    Where,
    WriteBatch,
)
from larimar_memory.stores.filters import to_sql
from larimar_memory.stores.packing import pack
from larimar_memory.stores.sqlite.checksums import Damaged, damaged, of_blob
from larimar_memory.stores.sqlite.connection import Database
from larimar_memory.stores.sqlite.decoding import wrong_type
from larimar_memory.stores.sqlite.disk import bytes_on_disk, remove, repairing
from larimar_memory.stores.sqlite.erasures import erase, erase_if_due, note
from larimar_memory.stores.sqlite.indexes import Indexes
from larimar_memory.stores.sqlite.listed import delist
from larimar_memory.stores.sqlite.meta import about, rows_about
from larimar_memory.stores.sqlite.rows import (
    CHUNK,
    COMPLETE,
    SELECT_DOCUMENT,
    SELECT_SEGMENT,
    bump_generation,
    chunks,
    document_from,
    drop_segments,
    generation_of,
    keys_after,
    latents_of,
    matrix_of,
    mismatch,
    namespace_for_writing,
    namespace_number,
    nearest_where,
    put_document,
    put_metadata,
    put_segments,
    quoted_term,
    segments_from,
)
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
        self._indexes = Indexes(self._db, dimension)
        self._closed = False
        try:
            self._check_encoder(encoder)
            if not read_only:
                # A repair keeps others out until it ends: what is there is of one that was killed.
                remove(repairing(self.path))
                erase_if_due(self._db, self.clear)
        except BaseException:
            self._db.close()
            raise

    # --- writing ---

    def write(self, namespace: str, batches: Sequence[WriteBatch]) -> None:
        removed = list[int]()
        if any(batch.replace for batch in batches):
            self._before_removal(namespace)
        with self._db.writing() as db:
            space = namespace_for_writing(db, namespace)
            for batch in batches:
                document = put_document(db, space, batch.document)
                if batch.replace:
                    removed += drop_segments(db, space, document)
                put_segments(db, space, document, batch)
            if removed:
                bump_generation(db, space)
            delisted = delist(db, self._indexes.folder, space, removed)
        with self._db.reading() as db:
            self._indexes.after_write(db, space, removed, delisted)

    def set_metadata(self, namespace: str, document_id: str, metadata: Metadata) -> None:
        with self._db.writing() as db:
            put_metadata(db, namespace, document_id, metadata)

    def delete(
        self,
        namespace: str,
        *,
        ids: Sequence[str] | None = None,
        where: Where | None = None,
        to_purge: bool = False,
    ) -> int:
        condition, parameters = to_sql(where, "d.metadata")
        self._before_removal(namespace)
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
            if removed:
                bump_generation(db, space)
            delisted = delist(db, self._indexes.folder, space, removed)
            (left,) = db.execute(
                "SELECT count(*) FROM documents WHERE namespace_id = ?", (space,)
            ).fetchone()
            if not left:
                db.execute(f"DROP TABLE fts_{space}")
                db.execute("DELETE FROM namespaces WHERE id = ?", (space,))
            if doomed and to_purge:
                note(db)
        with self._db.reading() as db:
            self._indexes.after_delete(db, space, removed, delisted, gone=not left)
        return len(doomed)

    def purge(self) -> None:
        erase(self._db, self.clear)

    def clear(self) -> None:
        with self._db.reading() as db:
            self._indexes.clear(db)

    # --- reading ---

    def document(self, namespace: str, document_id: str) -> Document | None:
        with self._db.reading() as db:
            row = db.execute(
                f"{SELECT_DOCUMENT} WHERE d.namespace_id = ? AND d.name = ?",
                (namespace_number(db, namespace), document_id),
            ).fetchone()
            return None if row is None else document_from(row)

    def documents(self, namespace: str, where: Where | None = None) -> Iterator[Document]:
        condition, parameters = to_sql(where, "d.metadata")
        return self._documents(namespace, condition, parameters)

    def _documents(self, namespace: str, condition: str, parameters: list[Any]) -> Iterator[Document]:
        sql = f"{SELECT_DOCUMENT} WHERE d.namespace_id = ? AND d.id > ? AND {condition} ORDER BY d.id"
        last = 0
        while True:
            with self._db.reading() as db:
                space = namespace_number(db, namespace)
                rows = db.execute(f"{sql} LIMIT {CHUNK}", [space, last, *parameters]).fetchall()
                found = [document_from(row) for row in rows]
            yield from found
            if len(rows) < CHUNK:
                return
            last = rows[-1][0]

    def segment_count(self, namespace: str, document_id: str) -> int:
        with self._db.reading() as db:
            (count,) = db.execute(
                "SELECT count(*) FROM segments s JOIN documents d ON d.id = s.document_id "
                "JOIN namespaces n ON n.id = d.namespace_id WHERE n.name = ? AND d.name = ?",
                (namespace, document_id),
            ).fetchone()
        return int(count)

    def nearest(
        self, namespace: str, key: Float[np.ndarray, " d"], k: int, where: Where | None = None
    ) -> list[Hit]:
        with self._db.reading() as db:
            space = namespace_number(db, namespace)
            if space is None:
                return []
            if where:
                return nearest_where(db, space, key, k, where)
            found = self._indexes.nearest(db, space, key, k)
        return [Hit(row, score) for row, score in found]

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
                held = db.execute(f"{SELECT_SEGMENT} AND s.id IN ({marks})", [space, *chunk])
                found.update((segment.row, segment) for segment in segments_from(held, self._dimension))
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
                "UPDATE segments SET latent = ?, latent_checksum = ? WHERE id = ? AND namespace_id = ?",
                [(blob, of_blob(row, blob), row, space) for blob, row in zip(blobs, rows, strict=True)],
            )

    def keys(
        self, namespace: str, after: int = 0
    ) -> Iterator[tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n d"]]]:
        while True:
            with self._db.reading() as db:
                chunk = keys_after(db, namespace_number(db, namespace), after)
                if not chunk:
                    return
                rows, keys = matrix_of(chunk, self._dimension)
            yield rows, keys
            after = chunk[-1][0]

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
            found = list(segments_from(rows, self._dimension))
            whole = bool(rows) and rows[0][COMPLETE]
            if whole and [s.index - found[0].index for s in found] != list(range(len(found))):
                raise Damaged(f"document {document_id!r}")
        return found

    def namespaces(self) -> list[str]:
        with self._db.reading() as db:
            rows = db.execute("SELECT name, generation FROM namespaces ORDER BY name").fetchall()
            for name, generation in rows:
                if (
                    why := wrong_type("namespaces", {"name": name, "generation": generation})
                ) is not None:
                    raise Damaged(f"namespace {name!r}", why)
            return [name for name, _ in rows]

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
        return StoreStats(spaces, documents, segments, characters, bytes_on_disk(self.path))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self._db.reading() as db:
            db.execute("BEGIN")
            try:
                # A transaction sees the moment of its first statement.
                db.execute("SELECT count(*) FROM meta").fetchone()
                yield
            finally:
                db.execute("COMMIT")

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if not self._db.read_only:
                with self._db.reading() as db:
                    self._indexes.save(db)
        finally:
            self._db.close()

    # --- inside ---

    def _before_removal(self, namespace: str) -> None:
        with self._db.reading() as db:
            space = namespace_number(db, namespace)
            if space is not None:
                self._indexes.before_removal(db, space)

    def _check_encoder(self, encoder: str) -> None:
        with self._db.reading() as db:
            known = about(db)
        if known.encoder is None and known.whole and not self._db.read_only:
            with self._db.writing() as db:
                mine = rows_about(encoder, self._dimension)
                db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", mine.items())
                known = about(db)
        if not known.whole:
            raise damaged(self.path, "which encoder its keys are of")
        if known.encoder != encoder:
            raise mismatch(self.path, known, encoder, self._dimension)
