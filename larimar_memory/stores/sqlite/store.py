"""The SQLite store: rows are the truth, FTS5 gives BM25, the vector index is a cache."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
from typing_extensions import Unpack

from larimar_memory.errors import MemoryFileError
from larimar_memory.stores.base import (
    Document,
    Episode,
    Hit,
    KeptReceipts,
    Key,
    Keys,
    Place,
    Rows,
    SearchedFile,
    Span,
    Store,
    StoredSegment,
    StoreStats,
    Where,
    WriteBatch,
    rarest,
)
from larimar_memory.stores.filters import Condition
from larimar_memory.stores.given import mismatch
from larimar_memory.stores.key_form import KeyForm
from larimar_memory.stores.options import ConnectionOptions, PageOptions
from larimar_memory.stores.packing import pack
from larimar_memory.stores.pages import Page
from larimar_memory.stores.sqlite import changes, order, places, queries, receipts
from larimar_memory.stores.sqlite.connection import Database
from larimar_memory.stores.sqlite.erasures import erase, erase_if_due, note
from larimar_memory.stores.sqlite.failures import called, damaged
from larimar_memory.stores.sqlite.files import bytes_on_disk, delist, remove, repairing
from larimar_memory.stores.sqlite.queries import CHUNK, SELECT_DOCUMENT
from larimar_memory.stores.sqlite.schema import about, rows_about
from larimar_memory.stores.sqlite.vectors import Indexes
from larimar_memory.system.pieces import Pieces
from larimar_memory.system.plain import lone_surrogate
from larimar_memory.types import Metadata


class SQLiteStore(Store):
    """The contract over one file or in RAM, by the same code.

    Safe for many threads; a file also for many processes, one of which writes at a time.

    Args:
        path: the memory file; None for one in RAM, which ends with the store.
        encoder: fingerprint of the sentence encoder; must be the one the file was written with.
        dimension: d, numbers in a key.
        lazy: whether a new file is searched by coarse keys; an existing file stays as it is.
        options: of a file; see `ConnectionOptions`.

    Raises:
        MemoryFileError: if the file cannot be opened.
        EncoderMismatchError: if it was written with another encoder.
    """

    encoder: str
    dimension: int

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        *,
        encoder: str,
        dimension: int,
        lazy: bool = False,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        self.path = None if path is None else Path(path)
        self.place = None if path is None else str(self.path)
        self.encoder, self.dimension = encoder, dimension
        self._db = Database(self.path, **options)
        self._closed = False
        try:
            self.lazy = self._check_encoder(lazy)
            self._form = KeyForm(dimension, self.lazy)
            self._indexes = Indexes(self._db, self._form)
            if self.path is not None and not self._db.read_only:
                # A repair keeps others out until it ends, so this file is left from one that was
                # killed.
                remove(repairing(self.path))
                erase_if_due(self._db, self.clear)
        except BaseException:
            self._db.close()
            raise

    # --- writing ---

    def write(self, namespace: str, batches: Sequence[WriteBatch]) -> None:
        removed, rows, keys = list[int](), list[Rows](), list[Keys]()
        if any(batch.replace for batch in batches):
            self._before_removal(namespace)
        with self._db.writing() as db:
            space = changes.namespace_for_writing(db, namespace)
            held = dict[int, list[WriteBatch]]()

            def put() -> None:
                if held:
                    made = changes.put_segments(db, space, held, self._form)
                    rows.append(made[0])
                    keys.append(made[1])
                    held.clear()

            for batch in batches:
                document = changes.put_document(db, space, batch.document)
                if batch.replace:
                    if document in held:
                        put()  # what is replaced was in the index, and is taken out of it
                    removed += changes.drop_segments(db, space, document)
                if len(batch.segments):
                    held.setdefault(document, []).append(batch)
            put()
            delisted = self._delisted(db, space, removed)
        with self._db.reading() as db:
            self._indexes.forget(db, space, removed, delisted)
            if rows:
                self._indexes.sync(db, space, np.concatenate(rows), np.concatenate(keys))

    def set_metadata(self, namespace: str, document_id: str, metadata: Metadata) -> None:
        with self._db.writing() as db:
            changes.put_metadata(db, namespace, document_id, metadata)

    def delete(
        self,
        namespace: str,
        *,
        ids: Sequence[str] | None = None,
        where: Where | None = None,
        to_purge: bool = False,
    ) -> int:
        chosen, names = queries.chosen(where, ids), None if ids is None else set(ids)
        self._before_removal(namespace)
        with self._db.writing() as db:
            space = queries.namespace_number(db, namespace)
            if space is None:
                return 0
            count, removed = changes.drop_documents(db, space, chosen, names)
            delisted = self._delisted(db, space, removed)
            gone = changes.drop_if_empty(db, space)
            if count and to_purge:
                note(db)
        with self._db.reading() as db:
            self._indexes.forget(db, space, removed, delisted)
        if gone:
            self._indexes.drop(space)
        return count

    def attach(
        self,
        namespace: str,
        rows: Sequence[int],
        latents: Sequence[np.ndarray] | None = None,
        keys: Keys | None = None,
        *,
        wait: bool = True,
    ) -> bool:
        blobs = None if latents is None else [pack(latent) for latent in latents]
        with self._db.writing() if wait else self._db.writing_at_once() as db:
            if db is None:
                return False
            space = queries.namespace_number(db, namespace)
            if blobs is not None:
                changes.put_latents(db, space, rows, blobs)
            if keys is not None and self.lazy:
                changes.put_fine_keys(db, space, rows, keys)
        return True

    def lacking(self, namespace: str, after: int, count: int) -> list[int]:
        with self._reading(namespace) as (db, space):
            return queries.rows_lacking(db, space, after, count) if self.lazy else []

    def purge(self) -> None:
        erase(self._db, self.clear)

    def identity(self) -> Hashable:
        if self.path is None:
            return super().identity()
        found = self.path.stat()
        return found.st_dev, found.st_ino

    def clear(self) -> None:
        with self._db.reading() as db:
            self._indexes.clear(db)

    def receipts(self) -> KeptReceipts:
        with self._db.reading() as db:
            return receipts.kept(db)

    def add_receipts(self, make: Callable[[str | None], Sequence[str]]) -> None:
        with self._db.writing() as db:
            receipts.add(db, make)

    def search_files(self, pieces: Pieces) -> list[SearchedFile]:
        with self._db.reading() as db:
            return [] if self.path is None else receipts.search(db, self.path, pieces)

    # --- reading ---

    def documents(
        self, namespace: str, where: Where | None = None, ids: Sequence[str] | None = None
    ) -> Iterator[Document]:
        # Not a generator itself, so that a filter that cannot be used raises at once.
        return self._documents(namespace, queries.chosen(where, ids), None if ids is None else set(ids))

    def _documents(
        self, namespace: str, chosen: Condition, names: set[str] | None
    ) -> Iterator[Document]:
        condition, parameters = chosen
        sql = f"{SELECT_DOCUMENT} AND d.id > ? AND {condition} ORDER BY d.id LIMIT {CHUNK}"
        last = 0
        while True:
            with self._reading(namespace) as (db, space):
                rows = db.execute(sql, [space, last, *parameters]).fetchall()
                found = [queries.document_from(row) for row in rows]
            yield from (d for d in found if names is None or d.id in names)
            if len(rows) < CHUNK:
                return
            last = rows[-1][0]

    def document(self, namespace: str, document_id: str) -> Document | None:
        if lone_surrogate(document_id) is not None:
            # No document has such a name, and SQLite takes none.
            return None
        with self._reading(namespace) as (db, space):
            row = db.execute(f"{SELECT_DOCUMENT} AND d.name = ?", (space, document_id)).fetchone()
            return None if row is None else queries.document_from(row)

    def page(self, namespace: str, count: int, **which: Unpack[PageOptions]) -> list[Document]:
        with self._reading(namespace) as (db, space):
            return order.page_of(db, space, count, Page(**which))

    def episodes(self, namespace: str, count: int, after: str | None = None) -> list[Episode]:
        with self._reading(namespace) as (db, space):
            return order.episodes_after(db, space, count, after)

    def latest(self, namespace: str, count: int) -> list[Document]:
        with self._reading(namespace) as (db, space):
            return order.texts_before(db, space, None, count)

    def around(self, namespace: str, document_id: str, reach: int) -> list[Document]:
        with self._reading(namespace) as (db, space):
            return order.texts_around(db, space, document_id, reach)

    def size(self, namespace: str) -> int:
        with self._reading(namespace) as (db, space):
            return 0 if space is None else places.indexed_count(db, space)

    def places(self, namespace: str, rows: Sequence[int]) -> list[Place]:
        with self._reading(namespace) as (db, space):
            return places.places_of(db, space, rows)

    def keys_near(self, namespace: str, rows: Sequence[int], reach: int) -> list[list[tuple[int, Key]]]:
        with self._reading(namespace) as (db, space):
            return places.keys_near(db, space, rows, reach, self._form)

    def beside(self, namespace: str, document_ids: Sequence[str], reach: int) -> list[list[Document]]:
        with self._reading(namespace) as (db, space):
            return order.texts_beside(db, space, document_ids, reach)

    def spans(
        self, namespace: str, spans: Sequence[Span], latents: bool = False
    ) -> list[list[StoredSegment]]:
        with self._reading(namespace) as (db, space):
            return queries.segments_in(db, space, spans, self._form, latents)

    def nearest(self, namespace: str, key: Key, k: int, where: Where | None = None) -> list[Hit]:
        chosen = queries.chosen(where, None)
        with self._reading(namespace) as (db, space):
            if space is None:
                return []
            if not where:
                found = [Hit(*pair) for pair in self._indexes.nearest(db, space, key, k)]
                # An index that is asked for nearly all of its rows misses some.
                if len(found) >= k or len(found) == queries.segment_count(db, space):
                    return found
            return queries.nearest_where(db, space, key, k, chosen, self._form)

    def lexical(
        self,
        namespace: str,
        terms: Sequence[str],
        k: int,
        where: Where | None = None,
        most: int | None = None,
    ) -> list[Hit]:
        chosen = queries.chosen(where, None) if where else None
        with self._reading(namespace) as (db, space):
            if space is not None and most is not None:
                terms = sorted(terms)
                terms = rarest(terms, queries.frequencies(db, space, terms, most), most)
            return queries.ranked(db, space, terms, k, chosen) if space is not None and terms else []

    def frequencies(self, namespace: str, terms: Sequence[str], most: int | None = None) -> list[int]:
        with self._reading(namespace) as (db, space):
            return [0] * len(terms) if space is None else queries.frequencies(db, space, terms, most)

    def fetch(self, namespace: str, rows: Sequence[int], latents: bool = False) -> list[StoredSegment]:
        with self._reading(namespace) as (db, space):
            return queries.segments_of(db, space, rows, self._form, latents)

    def keys(self, namespace: str, after: int = 0) -> Iterator[tuple[Rows, Keys]]:
        while True:
            with self._reading(namespace) as (db, space):
                chunk = queries.keys_after(db, space, after)
                if not chunk:
                    return
                rows, keys = queries.matrix_of(chunk, self._form)
            yield rows, keys
            after = chunk[-1][0]

    def generation(self, namespace: str) -> int:
        with self._reading(namespace) as (db, space):
            # The namespace's number is part of it: a namespace deleted and made again counts from the
            # start.
            return -1 if space is None else (space << 32) + queries.generation_of(db, space)

    def namespaces(self) -> list[str]:
        with self._db.reading() as db:
            return [name for name, _ in queries.namespaces_of(db, None)]

    def stats(self, namespace: str | None = None) -> StoreStats:
        with self._db.reading() as db:
            spaces = queries.namespaces_of(db, namespace)
            documents, segments, characters, keyed = queries.counts(db, [of for _, of in spaces])
        names, size = tuple(name for name, _ in spaces), bytes_on_disk(self.path)
        keyed = keyed if self.lazy else segments
        return StoreStats(names, documents, segments, characters, size, keyed)

    def damaged(self, what: str, why: str) -> MemoryFileError:
        return damaged(self.path, what, why)

    def snapshot(self) -> AbstractContextManager[None]:
        return self._db.one_moment()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if not self._db.read_only and not self._db.lost:
                with self._db.reading() as db:
                    self._indexes.save(db)
        finally:
            self._db.close()

    # --- inside ---

    @contextmanager
    def _reading(self, namespace: str) -> Iterator[tuple[sqlite3.Connection, int | None]]:
        """This thread's connection, and a namespace's number; None if the namespace is empty."""
        with self._db.reading() as db:
            yield db, queries.namespace_number(db, namespace)

    def _before_removal(self, namespace: str) -> None:
        with self._reading(namespace) as (db, space):
            if space is not None:
                self._indexes.before_removal(db, space)

    def _delisted(self, db: sqlite3.Connection, space: int, removed: list[int]) -> list[Path]:
        """Note a removal, inside its transaction; returns the files that are no longer used."""
        if removed:
            # What was made of the rows before is stale.
            db.execute("UPDATE namespaces SET generation = generation + 1 WHERE id = ?", (space,))
        return delist(db, self._indexes.folder, space, removed)

    def _check_encoder(self, lazy: bool) -> bool:
        """Whether the file is lazy; `lazy` decides for a new one."""
        mine = self.encoder, self.dimension
        with self._db.reading() as db:
            known = about(db)
        if known.encoder is None and known.whole and not self._db.read_only:
            with self._db.writing() as db:
                # Another process may have been first.
                if about(db).encoder is None:
                    said = rows_about(*mine, lazy)
                    db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", said.items())
                known = about(db)
        if not known.whole:
            raise damaged(self.path, "which encoder its keys are of")
        if known.encoder != self.encoder:
            raise mismatch(called(self.path), (known.encoder or "", known.dimension), mine)
        return known.lazy
