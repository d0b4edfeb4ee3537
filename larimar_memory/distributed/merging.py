"""Commit shards to a memory; documents that are already there, whole and equal, are skipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from larimar_memory import validate
from larimar_memory.distributed.shards import read
from larimar_memory.stores.base import Document, Store, WriteBatch
from larimar_memory.stores.key_form import KeyForm
from larimar_memory.write import BATCH_SEGMENTS, LAZY_BATCHES, NO_KEYS

_COMMIT = BATCH_SEGMENTS * LAZY_BATCHES
_MOST = 16 * _COMMIT
"""Most segments of a document that are committed at once; only longer documents are committed in parts.
So if two processes write the same document, one of them believed dead, one version is left whole."""


@dataclass(frozen=True, slots=True)
class Merged:
    """How many documents and segments were written to a memory that did not have them."""

    documents: int = 0
    segments: int = 0

    def __add__(self, other: Merged) -> Merged:
        return Merged(self.documents + other.documents, self.segments + other.segments)


def merged(shards: Iterable[Path], target: Store, dimension: int, namespace: str) -> Merged:
    """Commit shards to a store in their order, as if one process had written their texts in that order.

    It may be interrupted, and repeated.

    Args:
        dimension: d of the store's keys.

    Raises:
        MemoryFileError: if a shard cannot be read, or the store cannot be written.
    """
    form, done = KeyForm(dimension, target.lazy), Merged()
    for shard in shards:
        batches = (batch for call in read(shard, form) for batch in call)
        for commit in _commits(_lacking(target, namespace, batches)):
            target.write(namespace, commit)
            whole = sum(batch.document.complete and len(batch.segments) > 0 for batch in commit)
            done += Merged(whole, sum(len(batch.segments) for batch in commit))
    return done


def _lacking(
    store: Store, namespace: str, batches: Iterator[WriteBatch]
) -> Iterator[WriteBatch | None]:
    """The batches of documents that the store lacks; None asks to commit the batches before it."""
    wanted, ahead = True, set[str]()
    for batch in batches:
        to = batch.document
        if batch.replace:
            if to.id in ahead:
                yield None
                ahead.clear()
            held = store.document(namespace, to.id)
            wanted = held is None or not held.complete or held.content_hash != to.content_hash
            if held is not None and not wanted:
                _change(store, namespace, held, to)
            ahead.add(to.id)
        # A batch that has no segments and replaces nothing changes only the document.
        if wanted or not (batch.segments or batch.replace):
            yield batch


def _change(store: Store, namespace: str, held: Document, to: Document) -> None:
    """Give a stored document another's metadata and episode, if they differ."""
    if held.episode != to.episode:
        moved = replace(held, metadata=to.metadata, episode=to.episode)
        store.write(namespace, [WriteBatch(moved, [], NO_KEYS, replace=False)])
    elif not validate.same_json(held.metadata, to.metadata):
        store.set_metadata(namespace, held.id, to.metadata)


def _commits(batches: Iterator[WriteBatch | None]) -> Iterator[list[WriteBatch]]:
    """Batches to commit together: documents as a whole, unless they are very long."""
    held, size = list[WriteBatch](), 0
    for batch in batches:
        if batch is not None:
            held.append(batch)
            size += max(len(batch.segments), 1)
        if batch is None or (size >= _COMMIT and batch.document.complete) or size >= _MOST:
            if held:
                yield held
            held, size = [], 0
    if held:
        yield held
