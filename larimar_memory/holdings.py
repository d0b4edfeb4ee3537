"""Look at what a memory holds: documents, texts, counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from larimar_memory import read, receipts, validate
from larimar_memory.encoders.base import Encoder
from larimar_memory.receipts import Receipt
from larimar_memory.slots import Health, Slots, health_of
from larimar_memory.stats import stats_of
from larimar_memory.stores.base import Document, Episode, Store
from larimar_memory.stores.options import PageOptions
from larimar_memory.types import DEFAULT_NAMESPACE, MemoryStats, Where


class Holdings:
    """The part of the facade that neither asks nor changes anything; see `Larimar`."""

    store: Store
    encoder: Encoder
    path: Path | None
    threshold: float
    slots: Slots | None
    most: int | None
    _limit: int | None

    def documents(
        self, *, namespace: str = DEFAULT_NAMESPACE, where: Where | None = None
    ) -> Iterator[Document]:
        """The documents of a namespace, in the order of first writing."""
        space = validate.check_name(namespace, "namespace")
        return self.store.documents(space, validate.check_where(where))

    def page(
        self,
        count: int = 50,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        after: str | None = None,
        episode: str | None = None,
        matching: str = "",
        newest: bool = False,
        where: Where | None = None,
    ) -> list[Document]:
        """One page of a namespace's documents; it is fast, however many there are.

        Args:
            count: most documents to return.
            after: id of the last document of the page before; None for the first page.
            episode: only documents of this episode.
            matching: only documents whose id contains this; A to Z equal a to z.
            newest: reverse the order of first writing.
            where: only documents whose metadata pass the filter.

        Raises:
            InputError: if an argument cannot be used.
        """
        space = validate.check_name(namespace, "namespace")
        chosen = {"after": after, "episode": episode, "matching": matching or None}
        for name, value in chosen.items():
            if value is not None:
                validate.check_name(value, name)
        where = validate.check_where(where)
        which = PageOptions(after=after, episode=episode, matching=matching, newest=newest, where=where)
        return self.store.page(space, count, **which)

    def episodes(
        self, count: int = 50, *, namespace: str = DEFAULT_NAMESPACE, after: str | None = None
    ) -> list[Episode]:
        """One page of a namespace's episodes, sorted by name, after the name `after`."""
        if after is not None:
            validate.check_episode(after)
        return self.store.episodes(validate.check_name(namespace, "namespace"), count, after)

    def namespaces(self) -> list[str]:
        """Names of the namespaces that hold documents, sorted."""
        return self.store.namespaces()

    def text(self, id: str, *, namespace: str = DEFAULT_NAMESPACE) -> str:
        """A document's text, exactly as it was written.

        Raises:
            InputError: if there is no document with that id.
            MemoryFileError: if a part of it is damaged.
        """
        return read.text(self.store, validate.check_name(namespace, "namespace"), id)

    def receipts(self, *, verify: bool = False) -> list[Receipt]:
        """The receipts of what was forgotten, oldest first.

        Args:
            verify: also check that their chain is whole and unchanged.

        Raises:
            MemoryFileError: if a receipt cannot be read, or the chain is broken.
        """
        return receipts.read(self.store, verify=verify)

    def stats(self, namespace: str | None = None) -> MemoryStats:
        """Counts and sizes of a namespace, or of the whole memory."""
        return stats_of(
            self.store,
            namespace,
            encoder=self.encoder.fingerprint,
            threshold=self.threshold,
            slots=self._limit,
        )

    def health(self, namespace: str = DEFAULT_NAMESPACE) -> Health:
        """How full and how sharp the memory of a namespace is; reads all of its keys once."""
        return health_of(self.store, validate.check_name(namespace, "namespace"), self.slots, self.most)
