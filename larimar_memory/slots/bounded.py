"""A bounded memory for the facade: K slots that segments share, or a slot for each of K segments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from larimar_memory.slots.slots import SlotMemory
from larimar_memory.stores.base import Store
from larimar_memory.stores.given import check_eager
from larimar_memory.system import forking


@dataclass(slots=True)
class _Space:
    memory: SlotMemory
    generation: int = -1
    last_row: int = 0


@dataclass(frozen=True, slots=True)
class SlotReading:
    """What a question finds in the slots.

    Attributes:
        weights: address weights w over the K slots, float64, summing to 1.
        key: the readout, which is the key of what is meant, as the slots hold it; unit length, float32;
            zeros if nothing is written.
        coefficients: what each segment, by its row in the store, adds to the readout.
    """

    weights: Float[np.ndarray, " K"]
    key: Float[np.ndarray, " d"]
    coefficients: dict[int, float]

    def shares(self, rows: list[int]) -> Float[np.ndarray, " n"]:
        """How the readout divides among these segments: non-negative, summing to 1."""
        parts = np.array([max(self.coefficients.get(row, 0.0), 0.0) ** 2 for row in rows])
        total = float(parts.sum())
        return parts / total if total > 0 else np.full(len(rows), 1.0 / max(len(rows), 1))


class Slots:
    """Reads every namespace of a store through a slot memory of its own.

    The slots hold keys under keys. A question addresses them, and the store is searched with the
    readout, from which all that no written key has is removed. The store is the truth; the slots follow
    it.

    Args:
        store: where segments are kept.
        slots: K.
        dimension: d.

    Raises:
        InputError: if the store searches by coarse keys.
    """

    def __init__(self, store: Store, slots: int, dimension: int) -> None:
        self.slots = slots
        self._store, self._dimension = check_eager(store), dimension
        self._spaces: dict[str, _Space] = {}
        self._lock = forking.Lock()

    def read(self, namespace: str, key: Float[np.ndarray, " d"]) -> SlotReading:
        """Address the slots of a namespace with a question's key."""
        with self._lock:
            memory = self.memory(namespace)
            reading = memory.read(key[None], k=len(memory))
        found = reading.latents[0]
        length = float(np.linalg.norm(found))
        return SlotReading(
            reading.weights[0],
            found / length if length > 0 else found,
            {int(source.id): source.coefficient for source in reading.sources[0]},
        )

    def memory(self, namespace: str) -> SlotMemory:
        """The namespace's slots, brought up to date with the store."""
        with self._lock:
            if self._lock.lost:
                # Another thread was changing the slots when this process was forked: they are made
                # again.
                self._spaces, self._lock.lost = {}, False
            generation = self._store.generation(namespace)
            if namespace not in self._spaces:
                slots = SlotMemory(self.slots, self._dimension, self._dimension)
                self._spaces[namespace] = _Space(slots)
            space = self._spaces[namespace]
            changed = generation != space.generation
            alive = set[str]()
            for rows, keys in self._store.keys(namespace, 0 if changed else space.last_row):
                names = [str(row) for row in rows]
                alive.update(names)
                new = [n for n, name in enumerate(names) if name not in space.memory]
                space.memory.write([names[n] for n in new], keys[new], keys[new])
                space.last_row = max(space.last_row, int(rows[-1]))
            if changed:
                space.memory.forget([id for id in space.memory if id not in alive])
                space.generation = generation
            return space.memory


def evict_oldest(store: Store, namespace: str, most: int) -> list[str]:
    """Delete the documents first written until a namespace has no more than `most` segments.

    The newest document stays whole, even if it alone has more; documents without text take no slot.

    Returns:
        The ids of the deleted documents.
    """
    excess = store.stats(namespace).segments - most
    held = store.documents(namespace) if excess > 0 else ()
    doomed = list[str]()
    for document in [document for document in held if document.characters][:-1]:
        if excess <= 0:
            break
        excess -= document.segments
        doomed.append(document.id)
    if doomed:
        store.delete(namespace, ids=doomed)
    return doomed
