"""What a memory holds, and reading it: documents, texts, counts, health."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Float

from larimar_memory import validate
from larimar_memory.encoders.keys import KeyEncoder, check_key
from larimar_memory.errors import InputError
from larimar_memory.recall import search
from larimar_memory.slots import GrowingMemory, Health, grow_health, slot_health
from larimar_memory.slots.bounded import Room, Slots
from larimar_memory.stores import Document, Store
from larimar_memory.stores.base import Where
from larimar_memory.stores.sqlite.failures import damaged
from larimar_memory.types import MemoryStats, Readout

DEFAULT_NAMESPACE = "default"


class Contents:
    """The part of `Larimar` that looks and changes nothing.

    Attributes:
        store: where segments are kept.
        encoder: made their keys.
        path: the memory file, None in RAM.
        threshold: score under which a question is out of scope.
        slots: what is read through where segments share slots.
    """

    store: Store
    encoder: KeyEncoder
    path: Path | None
    threshold: float
    slots: Slots | None
    _limit: int | None
    _room: Room | None

    def __reduce__(self) -> NoReturn:
        raise InputError(
            "The memory cannot be pickled or copied.",
            "It holds an open file, or texts in RAM.",
            "Pass its path on, and open it with `Larimar.open(path)` where it is needed.",
        )

    def read(
        self,
        question: str,
        k: int = 5,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        where: Where | None = None,
        neighbours: int = 0,
        hybrid: bool = True,
        threshold: float | None = None,
    ) -> Readout:
        """Address the memory with a question.

        Args:
            k: most segments to return.
            where: a metadata filter.
            neighbours: segments of context to add on either side of each.
            hybrid: search by words as well as by key.
            threshold: overrides the memory's own; 0 returns the best segments whatever their score.
        """
        started = time.perf_counter()
        question = validate.check_question(question)
        validate.check_k(k)
        validate.check_name(namespace, "namespace")
        return search.read(
            self.store,
            namespace,
            question,
            self.encoder.encode_questions([question])[0],
            k,
            where=where,
            neighbours=neighbours,
            hybrid=hybrid,
            threshold=float(self.threshold if threshold is None else threshold),
            slots=self.slots,
            started=started,
        )

    def documents(
        self, *, namespace: str = DEFAULT_NAMESPACE, where: Where | None = None
    ) -> Iterator[Document]:
        """The documents of a namespace, in the order they were first written."""
        return self.store.documents(validate.check_name(namespace, "namespace"), where)

    def text(self, id: str, *, namespace: str = DEFAULT_NAMESPACE) -> str:
        """A document's text, exactly as it was written.

        Raises:
            InputError: if there is no document of that id.
            MemoryFileError: if a part of it is damaged.
        """
        document = self._known(id, namespace)
        found = self.store.segments(namespace, id)
        text = "".join(s.text for s in found)
        if document.complete and len(text) != document.characters:
            if self.store.document(namespace, id) != document:
                # It was changed or forgotten while it was read.
                return self.text(id, namespace=namespace)
            raise damaged(self.path, f"document {id!r}")
        return text

    def search(
        self,
        question: str | Float[np.ndarray, " d"],
        k: int = 5,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        where: Where | None = None,
        hybrid: bool = True,
    ) -> list[search.Candidate]:
        """The k segments that match best, with their keys, whatever they score; best first.

        Args:
            question: text, or the key to go by, of any length; with a key, words do not count.
            k, namespace, where, hybrid: as in `read`.
        """
        validate.check_k(k)
        validate.check_name(namespace, "namespace")
        if isinstance(question, str):
            asked = validate.check_question(question)
            key = self.encoder.encode_questions([asked])[0]
        else:
            asked, key = "", check_key(question, self.encoder.dimension)
        probe = None if self.slots is None else self.slots.read(namespace, key).key
        return search.search(
            self.store, namespace, asked, key, k, where=where, hybrid=hybrid, probe=probe
        )

    def stats(self, namespace: str | None = None) -> MemoryStats:
        """Counts and sizes, of a namespace or of the whole memory."""
        if namespace is not None:
            validate.check_name(namespace, "namespace")
        held = self.store.stats(namespace)
        return MemoryStats(
            path=None if self.path is None else str(self.path),
            namespace=namespace,
            namespaces=held.namespaces,
            documents=held.documents,
            segments=held.segments,
            characters=held.characters,
            bytes_on_disk=held.bytes_on_disk,
            encoder=self.encoder.fingerprint,
            threshold=self.threshold,
            slots=self._limit,
        )

    def health(self, namespace: str = DEFAULT_NAMESPACE) -> Health:
        """How full and how sharp the memory of a namespace is; reads all of its keys once."""
        validate.check_name(namespace, "namespace")
        if self.slots is not None:
            return slot_health(self.slots.memory(namespace))
        room = None if self._room is None else self._room.slots
        return grow_health(GrowingMemory(self.store, namespace), slots=room)

    def _known(self, id: str, namespace: str) -> Document:
        validate.check_name(namespace, "namespace")
        known = self.store.document(namespace, validate.check_name(id, "document id"))
        if known is None:
            raise InputError(
                f"There is no document {id!r}.",
                f"Nothing of that id was written to namespace {namespace!r}, or it was forgotten.",
                "List the ids with `documents()`, or write it with `write`.",
            )
        return known
