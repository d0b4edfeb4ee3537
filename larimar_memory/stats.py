"""Count what a memory holds."""

from __future__ import annotations

from larimar_memory import validate
from larimar_memory.stores.base import Store
from larimar_memory.types import MemoryStats

COUNTS = ("namespaces", "documents", "segments", "characters", "bytes_on_disk", "keyed")


def stats_of(
    store: Store, namespace: str | None, *, encoder: str, threshold: float, slots: int | None
) -> MemoryStats:
    """Counts and sizes of a namespace, or of the whole memory, and how it was opened."""
    if namespace is not None:
        validate.check_name(namespace, "namespace")
    held = store.stats(namespace)
    return MemoryStats(
        path=store.place,
        namespace=namespace,
        encoder=encoder,
        threshold=threshold,
        slots=slots,
        keys="lazy" if store.lazy else "eager",
        **{name: getattr(held, name) for name in COUNTS},
    )
