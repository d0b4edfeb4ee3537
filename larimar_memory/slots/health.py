"""How full and how sharp a memory is, in figures that tell what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from larimar_memory.slots.address import ALPHA, address_all
from larimar_memory.slots.bounded import Slots
from larimar_memory.slots.growing import GrowingMemory
from larimar_memory.slots.slots import SlotMemory
from larimar_memory.stores.base import Store

SAMPLE = 1_024
"""The most items that are looked at; of more, a sample at even distances."""

_SHARP = 0.9


@dataclass(frozen=True, slots=True)
class Health:
    """The state of a memory.

    Attributes:
        mode: "grow" (a slot per item) or "fixed" (K slots).
        items: N.
        slots: K.
        load: N / K.
        effective_rank: the exponential of the entropy of the eigenvalues of the covariance of the
            weights (fixed) or of the keys (grow): how many directions are really in use.
        condition: largest over smallest eigenvalue of the matrix that is solved with (fixed), or of the
            keys' Gram matrix (grow; infinite if a key is a combination of others).
        margin: how far an item stands out when asked for by its own key: its coefficient less the
            largest other coefficient, mean over items, at most about 1.
        expected_recall: share of the items that come out first when asked for by their own key.
        expected_cosine: cosine of such a readout with what was written, as if the latents were
            orthogonal; about sqrt(K / N) above capacity.
        advice: one sentence.
    """

    mode: Literal["grow", "fixed"]
    items: int
    slots: int
    load: float
    effective_rank: float
    condition: float
    margin: float
    expected_recall: float
    expected_cosine: float
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON-serialisable values; an infinite condition as None."""
        values = asdict(self)
        if not np.isfinite(self.condition):
            values["condition"] = None
        return values


def slot_health(memory: SlotMemory) -> Health:
    """The health of a fixed-slot memory; for a sample of N items, takes time in proportion to N K."""
    solution, gram = memory.solution(), memory.gram()
    count = len(solution.ids)
    eigenvalues = np.linalg.eigvalsh(gram)
    penalty = memory.penalty()
    chosen = _sample(count)
    coefficients = solution.coefficients(solution.weights[chosen])
    squared = np.einsum("sn,sn->s", coefficients, coefficients)
    own = coefficients[np.arange(len(chosen)), chosen]
    cosines = own / np.sqrt(np.where(squared > 0, squared, 1.0))
    margin, recall = _standing_out(coefficients, chosen)
    cosine = float(cosines.mean()) if count else 0.0
    load = count / memory.slots
    return Health(
        mode="fixed",
        items=count,
        slots=memory.slots,
        load=load,
        effective_rank=_effective_rank(gram / max(count, 1), solution.weights),
        condition=float((max(eigenvalues[-1], 0) + penalty) / (max(eigenvalues[0], 0) + penalty)),
        margin=margin,
        expected_recall=recall,
        expected_cosine=cosine,
        advice=_slot_advice(count, load, cosine),
    )


def grow_health(memory: GrowingMemory, slots: int | None = None) -> Health:
    """The health of a growing memory, from a sample of its keys; reads all keys once.

    Args:
        slots: the most slots that there may be, if that is limited.
    """
    return _health_of_keys(memory.store, memory.namespace, memory.alpha, slots)


def _health_of_keys(store: Store, namespace: str, alpha: float, slots: int | None) -> Health:
    """The health by the keys that the store searches by, which are coarse if the store is lazy."""
    keys = [part for _, part in store.keys(namespace)]
    everything = np.concatenate(keys) if keys else np.zeros((0, 1), dtype=np.float32)
    count = len(everything)
    chosen = _sample(count)
    sample = everything[chosen]
    eigenvalues = np.linalg.eigvalsh((sample @ sample.T).astype(np.float64))
    weights = address_all(sample, sample, alpha)
    margin, recall = _standing_out(weights, np.arange(len(chosen)))
    positive = eigenvalues[eigenvalues > len(chosen) * 1e-6] if count else eigenvalues
    full = len(positive) == len(chosen)
    return Health(
        mode="grow",
        items=count,
        slots=count if slots is None else slots,
        load=count / (slots or count) if count else 0.0,
        effective_rank=_effective_rank(sample.T @ sample / max(len(sample), 1), sample),
        condition=float(positive[-1] / positive[0]) if count and full else float("inf"),
        margin=margin,
        expected_recall=recall,
        expected_cosine=1.0 if count else 0.0,
        advice=_grow_advice(count, recall),
    )


def health_of(store: Store, namespace: str, slots: Slots | None, most: int | None) -> Health:
    """The state of a namespace's memory.

    Args:
        slots: the slots that the namespace is read through, if segments share slots.
        most: how many segments it may hold, if it is bounded without shared slots.
    """
    if slots is not None:
        return slot_health(slots.memory(namespace))
    return _health_of_keys(store, namespace, ALPHA, most)


def _sample(count: int) -> np.ndarray:
    if count <= SAMPLE:
        return np.arange(count)
    return np.linspace(0, count - 1, SAMPLE).astype(np.int64)


def _effective_rank(second: Float[np.ndarray, "k k"], rows: Float[np.ndarray, "n k"]) -> float:
    """The effective rank of rows with these second moments."""
    if not len(rows):
        return 0.0
    mean = rows.mean(axis=0, dtype=np.float64)
    eigenvalues = np.linalg.eigvalsh(second.astype(np.float64) - np.outer(mean, mean))
    # Differences of nearly equal numbers leave rounding errors, which are not directions.
    positive = eigenvalues[eigenvalues > 1e-9 * float(np.trace(second))]
    if not len(positive):
        return 0.0
    parts = positive / positive.sum()
    return float(np.exp(-(parts * np.log(parts)).sum()))


def _standing_out(values: Float[np.ndarray, "s n"], own: np.ndarray) -> tuple[float, float]:
    """By how much rows' own columns exceed the largest others, on average, and the share that do."""
    if not len(own):
        return 0.0, 0.0
    rows, others = np.arange(len(own)), values.copy()
    others[rows, own] = -np.inf
    margin = values[rows, own] - np.maximum(others.max(axis=1, initial=-np.inf), 0.0)
    return float(margin.mean()), float((margin > 0).mean())


def _slot_advice(count: int, load: float, cosine: float) -> str:
    if not count:
        return "Nothing is written yet."
    if load <= 1 and cosine >= _SHARP:
        return "There is room: what was written is read back as it was."
    if load <= 1:
        return "Some keys are so alike that they share slots: use more slots to tell them apart."
    return (
        f"It holds {load:.1f} times as many items as slots, and readouts are blends: use more slots, "
        "or when_full='evict'."
    )


def _grow_advice(count: int, recall: float) -> str:
    if not count:
        return "Nothing is written yet."
    if recall < 1:
        return (
            f"Of the items looked at, {1 - recall:.1%} have the same key as another: remove duplicates."
        )
    return "Every item has a key of its own."
