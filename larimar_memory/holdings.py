"""What a memory holds, as it is looked at: documents, texts, counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from larimar_memory import read, receipts, validate
from larimar_memory.encoders.base import Encoder
from larimar_memory.receipts import Receipt
from larimar_memory.slots import Health, Slots, health_of
from larimar_memory.stats import stats_of
from larimar_memory.stores.base import Document, Store
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
        """The documents of a namespace, in the order they were first written."""
        space = validate.check_name(namespace, "namespace")
        return self.store.documents(space, validate.check_where(where))

    def text(self, id: str, *, namespace: str = DEFAULT_NAMESPACE) -> str:
        """A document's text, exactly as it was written.

        Raises:
            InputError: if there is no document of that id.
            MemoryFileError: if a part of it is damaged.
        """
        return read.text(self.store, validate.check_name(namespace, "namespace"), id)

    def receipts(self, *, verify: bool = False) -> list[Receipt]:
        """The receipts of what was forgotten, the first one first.

        Args:
            verify: also see whether their chain is whole, and as it was written.

        Raises:
            MemoryFileError: if one cannot be read, or the chain is broken.
        """
        return receipts.read(self.store, verify=verify)

    def stats(self, namespace: str | None = None) -> MemoryStats:
        """Counts and sizes, of a namespace or of the whole memory."""
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
