"""The PostgreSQL store: rows are the truth, an index of words gives BM25, pgvector the nearest keys."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import numpy as np
from typing_extensions import Unpack

from larimar_memory.stores.base import (
    Document,
    Episode,
    Hit,
    Key,
    Keys,
    Place,
    Rows,
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
from larimar_memory.stores.options import PageOptions, StoreOptions
from larimar_memory.stores.packing import pack
from larimar_memory.stores.pages import Page
from larimar_memory.stores.postgres import changes, order, parts, queries, roles, schema, vectors, words
from larimar_memory.stores.postgres.connection import Connection, Database
from larimar_memory.stores.postgres.erasures import erase, erase_if_due
from larimar_memory.stores.postgres.filters import chosen
from larimar_memory.types import Metadata

_T = TypeVar("_T")


class PostgresStore(Store):
    """The contract over a PostgreSQL database with pgvector: one memory, in the schema `larimar`.

    Safe for many threads, processes and machines. Writers to one namespace take turns; readers never
    wait.

    Args:
        address: `postgresql://user:password@host:port/database`, by libpq's rules.
        encoder: fingerprint of the sentence encoder; must be the one the memory was written with.
        dimension: d, numbers in a key.
        lazy: whether a new memory is searched by coarse keys; an existing memory stays as it is.
        options: see `StoreOptions`.

    Raises:
        MemoryFileError: if the memory cannot be opened.
        EncoderMismatchError: if it was written with another encoder.
    """

    encoder: str
    dimension: int

    def __init__(
        self,
        address: str,
        *,
        encoder: str,
        dimension: int,
        lazy: bool = False,
        **options: Unpack[StoreOptions],
    ) -> None:
        self.encoder, self.dimension = encoder, dimension
        self._db = Database(address, **options)
        self.place = self._db.name
        self._longer = set[str]()
        try:
            self.lazy = self._check_encoder(lazy)
            self._form = KeyForm(dimension, self.lazy)
            if not self._db.read_only:
                erase_if_due(self._db)
        except BaseException:
            self._db.close()
            raise

    def admit(self, role: str, namespace: str | None = None) -> None:
        """Let a role use the memory; the server shows it the rows of one namespace at a time.

        Args:
            namespace: bind the role to this one. By default, it sees the one that the store is asked
                for.

        Raises:
            MemoryFileError: if there is no such role, or another role owns the memory.
        """
        roles.admit(self._db, role, namespace)

    # --- writing ---

    def write(self, namespace: str, batches: Sequence[WriteBatch]) -> None:
        def work(db: Connection) -> int:
            changes.put_batches(db, namespace, batches, self._form, self.lazy)
            return parts.unindexed(db, namespace)

        tail = self._db.write(namespace, work) or 0
        if tail > parts.limit(sum(len(batch.segments) for batch in batches)):
            parts.index_tail(self._db, namespace, self._form)
            self._longer.discard(namespace)
        elif tail > parts.limit():
            self._longer.add(namespace)

    def set_metadata(self, namespace: str, document_id: str, metadata: Metadata) -> None:
        def work(db: Connection) -> None:
            changes.put_metadata(db, namespace, document_id, metadata)

        self._db.write(namespace, work)

    def delete(
        self,
        namespace: str,
        *,
        ids: Sequence[str] | None = None,
        where: Where | None = None,
        to_purge: bool = False,
    ) -> int:
        doomed = chosen(where, ids)
        return (
            self._db.write(
                namespace, lambda db: changes.drop_documents(db, namespace, doomed, to_purge)
            )
            or 0
        )

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

        def work(db: Connection) -> bool:
            space = queries.namespace_number(db, namespace)
            if space is not None and blobs is not None:
                changes.put_latents(db, space, rows, blobs)
            if space is not None and keys is not None and self.lazy:
                changes.put_fine_keys(db, space, rows, keys)
            return True

        if not wait and self._db.read_only:
            return False
        return bool(self._db.write(namespace, work, wait=wait))

    def lacking(self, namespace: str, after: int, count: int) -> list[int]:
        if not self.lazy:
            return []
        return self._read(namespace, lambda db: queries.rows_lacking(db, namespace, after, count))

    def purge(self) -> None:
        self.clear()
        erase(self._db)

    def identity(self) -> Hashable:
        return self._read(None, queries.identity)

    def clear(self) -> None:
        parts.clear(self._db)

    # --- reading ---

    def documents(
        self, namespace: str, where: Where | None = None, ids: Sequence[str] | None = None
    ) -> Iterator[Document]:
        # Not a generator itself, so that a filter that cannot be used raises at once.
        return self._documents(namespace, chosen(where, ids))

    def _documents(self, namespace: str, which: Condition) -> Iterator[Document]:
        last: int | None = 0
        while last is not None:
            after = last
            found, last = self._read(
                namespace,
                lambda db: queries.documents_after(db, namespace, after, which),  # noqa: B023
            )
            yield from found

    def document(self, namespace: str, document_id: str) -> Document | None:
        return self._read(namespace, lambda db: queries.document_in(db, namespace, document_id))

    def page(self, namespace: str, count: int, **which: Unpack[PageOptions]) -> list[Document]:
        page = Page(**which)
        return self._read(namespace, lambda db: order.page_of(db, namespace, count, page))

    def episodes(self, namespace: str, count: int, after: str | None = None) -> list[Episode]:
        return self._read(namespace, lambda db: order.episodes_after(db, namespace, count, after))

    def latest(self, namespace: str, count: int) -> list[Document]:
        return self._read(namespace, lambda db: order.last_texts(db, namespace, count))

    def around(self, namespace: str, document_id: str, reach: int) -> list[Document]:
        return self._read(namespace, lambda db: order.texts_around(db, namespace, document_id, reach))

    def beside(self, namespace: str, document_ids: Sequence[str], reach: int) -> list[list[Document]]:
        return self._read(namespace, lambda db: order.texts_beside(db, namespace, document_ids, reach))

    def size(self, namespace: str) -> int:
        return self._read(namespace, lambda db: queries.size_of(db, namespace))

    def places(self, namespace: str, rows: Sequence[int]) -> list[Place]:
        return self._read(namespace, lambda db: queries.places_of(db, namespace, rows))

    def keys_near(self, namespace: str, rows: Sequence[int], reach: int) -> list[list[tuple[int, Key]]]:
        return self._read(
            namespace, lambda db: queries.keys_near(db, namespace, rows, reach, self._form)
        )

    def spans(
        self, namespace: str, spans: Sequence[Span], latents: bool = False
    ) -> list[list[StoredSegment]]:
        return self._read(
            namespace, lambda db: queries.segments_in(db, namespace, spans, self._form, latents)
        )

    def fetch(self, namespace: str, rows: Sequence[int], latents: bool = False) -> list[StoredSegment]:
        return self._read(
            namespace, lambda db: queries.segments_of(db, namespace, rows, self._form, latents)
        )

    def nearest(self, namespace: str, key: Key, k: int, where: Where | None = None) -> list[Hit]:
        which = chosen(where)

        def work(db: Connection) -> list[Hit]:
            if where:
                return vectors.nearest_where(db, namespace, key, k, which, self._form)
            return vectors.nearest(db, namespace, key, k, self._form)

        return self._read(namespace, work)

    def lexical(
        self,
        namespace: str,
        terms: Sequence[str],
        k: int,
        where: Where | None = None,
        most: int | None = None,
    ) -> list[Hit]:
        which = chosen(where) if where else None

        def work(db: Connection) -> list[Hit]:
            asked = terms
            if most is not None:
                asked = sorted(terms)
                asked = rarest(asked, words.frequencies(db, namespace, asked, most), most)
            return words.ranked(db, namespace, asked, k, which) if asked else []

        return self._read(namespace, work)

    def frequencies(self, namespace: str, terms: Sequence[str], most: int | None = None) -> list[int]:
        return self._read(namespace, lambda db: words.frequencies(db, namespace, terms, most))

    def keys(self, namespace: str, after: int = 0) -> Iterator[tuple[Rows, Keys]]:
        while True:
            last = after
            rows, keys = self._read(
                namespace,
                lambda db: queries.keys_after(db, namespace, last, self._form),  # noqa: B023
            )
            if not len(rows):
                return
            yield rows, keys
            after = int(rows[-1])

    def generation(self, namespace: str) -> int:
        return self._read(namespace, lambda db: queries.generation_of(db, namespace))

    def namespaces(self) -> list[str]:
        return self._read(None, lambda db: [name for name, *_ in queries.namespaces_of(db, None)])

    def stats(self, namespace: str | None = None) -> StoreStats:
        def work(db: Connection) -> StoreStats:
            spaces = queries.namespaces_of(db, namespace)
            documents, characters, keyed = queries.counts(db, [number for _, number, _ in spaces])
            segments = sum(of for *_, of in spaces)
            names, size = tuple(name for name, *_ in spaces), queries.bytes_on_disk(db)
            keyed = keyed if self.lazy else segments
            return StoreStats(names, documents, segments, characters, size, keyed)

        return self._read(namespace, work)

    def snapshot(self) -> AbstractContextManager[None]:
        return self._db.one_moment()

    def close(self) -> None:
        while self._longer:
            parts.index_tail(self._db, self._longer.pop(), self._form)
        self._db.close()

    # --- inside ---

    def _read(self, namespace: str | None, work: Callable[[Connection], _T]) -> _T:
        return self._db.read(work, namespace)

    def _check_encoder(self, lazy: bool) -> bool:
        """Whether the memory is lazy; `lazy` decides for a new one."""
        known = self._db.read(schema.about)
        if not known.encoder and not self._db.read_only:
            with self._db.alone() as db:
                known = schema.say(db, schema.About(self.encoder, self.dimension, lazy))
        if known.encoder and known.encoder != self.encoder:
            mine = self.encoder, self.dimension
            raise mismatch(self._db.name, (known.encoder, known.dimension), mine)
        return known.lazy if known.encoder else lazy
