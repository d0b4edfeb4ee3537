"""Fixed mode: K slots whose sufficient statistics are exact, so that any edit can be undone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from larimar_memory.errors import InputError
from larimar_memory.slots.address import SLOT_ALPHA, address_all, reference_keys
from larimar_memory.slots.blend import (
    Blend,
    Contribution,
    check_items,
    matrix,
    unit_rows,
    unknown_item,
    with_length,
)
from larimar_memory.slots.fixed_point import (
    MAX_ROWS,
    ONE,
    PRODUCT,
    product,
    quantise_directions,
    quantise_weights,
)
from larimar_memory.slots.table import Table
from larimar_memory.system import forking
from larimar_memory.validate import check_ids

if TYPE_CHECKING:
    import torch

WhenFull: TypeAlias = Literal["blend", "evict"]
"""What happens with more than K items: readouts become blends, or the oldest items are forgotten."""

RIDGE = 5e-5
"""lambda, as a multiple of the mean squared weight of a write.

Without it, reading is worst at N = K. With ten times as much, readouts are no longer what was written
(cosine .90 at N = K instead of .98).
"""


@dataclass(frozen=True, slots=True)
class Solution:
    """M with what it was solved from; the same bits for the same items, in whatever order they came.

    Attributes:
        ids: all items, sorted, so that rounding in sums does not depend on their order.
        weights: W, the address weights of each item.
        lengths: of the items' latents.
        factor: lower Cholesky factor of A + lambda I (K x K), float64.
        memory: M.
    """

    ids: list[str]
    weights: Float[np.ndarray, "n k"]
    lengths: Float[np.ndarray, " n"]
    factor: torch.Tensor
    memory: Float[np.ndarray, "k c"]

    def coefficients(self, weights: Float[np.ndarray, "q k"]) -> Float[np.ndarray, "q n"]:
        """`c = W (A + lambda I)^-1 w` for each query: its readout is `sum_n c_n u_n`."""
        import torch

        queries = torch.from_numpy(np.ascontiguousarray(weights.T))
        solved: np.ndarray = torch.cholesky_solve(queries, self.factor).numpy()
        return np.asarray((self.weights @ solved).T)


class SlotMemory:
    """K slots over fixed reference keys R (arXiv 2403.11901, with R held fixed as in 2407.01437).

    With w the address weights of an item (Eq. 7) and u its latent's direction, the memory keeps
    `A = sum w w^T` and `B = sum w u^T` and reads `M = (A + lambda I)^-1 B`, the least-squares solution
    of `W M = U` with a ridge; what was never written is zero. Weights and directions are
    multiples of 2^-22, so that A and B are exact: writing in any order, merging, and writing followed
    by forgetting give the same bits. Only the directions of keys count. Thread-safe.

    Args:
        slots: K.
        dimension: d, numbers in a key.
        latent: C, numbers in a latent.
        alpha: kernel width.
        ridge: lambda, as a multiple of the mean squared weight of a write.
        seed: of the random keys R.
        when_full: what happens with more than K items.
        reference: R itself, in place of random keys.

    Raises:
        InputError: if an argument cannot be used.
    """

    def __init__(
        self,
        slots: int,
        dimension: int,
        latent: int,
        *,
        alpha: float = SLOT_ALPHA,
        ridge: float = RIDGE,
        seed: int = 0,
        when_full: WhenFull = "blend",
        reference: Float[np.ndarray, "k d"] | None = None,
    ) -> None:
        check_slots(slots, when_full)
        if not (0 < alpha < np.inf and 0 < ridge < np.inf and dimension > 0 and latent > 0):
            raise InputError(
                "The slot memory cannot be made.",
                f"Its alpha is {alpha}, ridge {ridge}, key size {dimension}, latent size {latent}.",
                "Give positive, finite numbers.",
            )
        if reference is None:
            reference = reference_keys(slots, dimension, seed)
        self.reference = matrix(reference, "reference keys", dimension)
        self.alpha, self.ridge, self.latent, self.when_full = alpha, ridge, latent, when_full
        self._table = Table(slots, latent)
        self._gram: Int[np.ndarray, "k k"] = np.zeros((slots, slots), dtype=np.int64)
        self._cross: Int[np.ndarray, "k c"] = np.zeros((slots, latent), dtype=np.int64)
        self._solution: Solution | None = None
        self._lock = forking.Lock("The slot memory")

    @property
    def slots(self) -> int:
        """K."""
        return len(self.reference)

    def __len__(self) -> int:
        """N, the items held."""
        return len(self._table)

    def __contains__(self, id: str) -> bool:
        return id in self._table

    def __iter__(self) -> Iterator[str]:
        """Ids, oldest first."""
        return iter(list(self._table))

    def write(self, ids: Sequence[str], keys: Any, latents: Any) -> list[str]:
        """Add items; an id held already has its item replaced.

        Args:
            ids: n names; if a name occurs twice, the last item counts.
            keys: (n, d) floating-point numbers, NumPy or torch.
            latents: (n, C) floating-point numbers, NumPy or torch.

        Returns:
            Ids of items forgotten to make room; empty unless `when_full` is "evict".

        Raises:
            InputError: if any of it cannot be used; then nothing was written.
        """
        key_rows = unit_rows(matrix(keys, "keys", self.reference.shape[1]))
        latent_rows = matrix(latents, "latents", self.latent)
        names, places = check_items(ids, keys=key_rows, latents=latent_rows)
        weights = quantise_weights(address_all(key_rows[places], self.reference, self.alpha))
        directions, lengths = quantise_directions(latent_rows[places])
        with self._lock:
            return self._put(names, weights, directions, lengths)

    def update(self, id: str, key: Any, latent: Any) -> None:
        """Replace an item; the old one leaves no trace.

        Args:
            key: d numbers.
            latent: C numbers.

        Raises:
            InputError: if there is no item of that id, or a vector cannot be used.
        """
        with self._lock:
            if id not in self._table:
                raise unknown_item(id)
            self.write([id], key[None], latent[None])

    def forget(self, ids: object) -> int:
        """Subtract what was added for these items; unknown ids are ignored.

        Args:
            ids: a list of str, or one.

        Returns:
            How many items there were. To the last bit, the memory is then as if they had never been
            written.

        Raises:
            InputError: if an id is not a str.
        """
        named = check_ids(ids, "Nothing was forgotten.")
        with self._lock:
            held = [id for id in dict.fromkeys(named) if id in self._table]
            self._drop(held)
            return len(held)

    def merge(self, other: SlotMemory) -> list[str]:
        """Add the other memory's items; an item that both hold becomes the other's.

        Returns:
            Ids of items forgotten to make room; empty unless `when_full` is "evict".

        Raises:
            InputError: if its slots, reference keys, alpha or latent size are not this memory's.
        """
        same = (
            self.latent == other.latent
            and self.alpha == other.alpha
            and np.array_equal(self.reference, other.reference)
        )
        if not same:
            raise InputError(
                "The memories cannot be merged.",
                "Their reference keys, alpha or latent size differ.",
                "Make both with the same slots, sizes, alpha and seed.",
            )
        with other._lock:
            names = list(other._table)
            values = other._table.take(names)
        with self._lock:
            return self._put(names, *values)

    def read(self, queries: Any, k: int = 5) -> Blend:
        """Address the slots with queries and blend what they hold.

        Args:
            queries: (q, d) floating-point numbers, NumPy or torch.
            k: the most sources to name for a query.

        Raises:
            InputError: if the queries cannot be used.
        """
        weights, solution = self.weights(queries), self.solution()
        coefficients = solution.coefficients(weights)
        squared = coefficients**2
        total = squared.sum(axis=1, keepdims=True)
        shares = squared / np.where(total > 0, total, 1.0)
        return Blend(
            latents=with_length(weights @ solution.memory, shares @ solution.lengths),
            weights=tuple(weights),
            sources=tuple(
                tuple(
                    Contribution(solution.ids[n], float(c[n]), float(s[n]))
                    for n in np.argsort(-c, kind="stable")[:k]
                )
                for c, s in zip(coefficients, shares, strict=True)
            ),
        )

    def contents(self) -> Float[np.ndarray, "k c"]:
        """M, float64."""
        return np.array(self.solution().memory)

    def gram(self) -> Float[np.ndarray, "k k"]:
        """A = W^T W, float64."""
        gram: np.ndarray = self._gram / PRODUCT
        return gram

    def penalty(self) -> float:
        """Lambda."""
        trace = float(np.trace(self._gram)) / PRODUCT
        return self.ridge * (trace / len(self._table) if len(self._table) else 1.0)

    def state(self) -> dict[str, np.ndarray]:
        """Everything that is held, as arrays that `restore` takes."""
        with self._lock:
            names = list(self._table)
            weights, directions, lengths = self._table.take(names)
            encoded = [name.encode("utf-8", "surrogatepass") for name in names]
            return {
                "reference": self.reference,
                "gram": self._gram.copy(),
                "cross": self._cross.copy(),
                "weights": weights,
                "directions": directions,
                "lengths": lengths,
                "ids": np.frombuffer(b"".join(encoded), dtype=np.uint8).copy(),
                "ends": np.cumsum([len(e) for e in encoded], dtype=np.int64),
            }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Replace what is held by what `state` returned.

        Raises:
            ValueError: if its parts do not fit together.
        """
        joined, names, start = state["ids"].tobytes(), list[str](), 0
        for end in state["ends"]:
            names.append(joined[start : int(end)].decode("utf-8", "surrogatepass"))
            start = int(end)
        if len(set(names)) != len(state["weights"]):
            raise ValueError("there are not as many ids as items")
        table = Table(self.slots, self.latent)
        table.add(names, state["weights"], state["directions"], state["lengths"])
        with self._lock:
            self._table, self._solution = table, None
            self._gram, self._cross = state["gram"].copy(), state["cross"].copy()

    def solution(self) -> Solution:
        """M = (A + lambda I)^-1 B by Cholesky, solved again only after a change."""
        import torch

        with self._lock:
            if self._solution is None:
                ids = sorted(self._table)
                weights, _, lengths = self._table.take(ids)
                normal = torch.from_numpy(self.gram())
                normal.diagonal().add_(self.penalty())
                factor = torch.linalg.cholesky(normal)
                cross = torch.from_numpy(self._cross / PRODUCT)
                memory: np.ndarray = torch.cholesky_solve(cross, factor).numpy()
                self._solution = Solution(ids, weights / ONE, lengths, factor, memory)
            return self._solution

    def weights(self, queries: Any) -> Float[np.ndarray, "q k"]:
        """Address weights w over the slots, multiples of 2^-22, each row summing to exactly 1.

        Args:
            queries: (q, d) floating-point numbers, NumPy or torch.

        Raises:
            InputError: if the queries cannot be used.
        """
        rows = unit_rows(matrix(queries, "queries", self.reference.shape[1]))
        return np.asarray(quantise_weights(address_all(rows, self.reference, self.alpha)) / ONE)

    def _put(
        self,
        names: list[str],
        weights: Int[np.ndarray, "n k"],
        directions: Int[np.ndarray, "n c"],
        lengths: Float[np.ndarray, " n"],
    ) -> list[str]:
        known = [name for name in names if name in self._table]
        if len(self._table) + len(names) - len(known) > MAX_ROWS:
            raise InputError(
                "Nothing was written.",
                f"The exact sums of a slot memory hold at most {MAX_ROWS:,} items.",
                "Use a growing memory, or forget some.",
            )
        self._drop(known)
        self._table.add(names, weights, directions, lengths)
        self._gram += product(weights, weights)
        self._cross += product(weights, directions)
        self._solution = None
        excess = len(self._table) - self.slots if self.when_full == "evict" else 0
        evicted = list(self._table)[: max(0, excess)]
        self._drop(evicted)
        return evicted

    def _drop(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        weights, directions, _ = self._table.take(ids)
        self._gram -= product(weights, weights)
        self._cross -= product(weights, directions)
        self._table.drop(ids)
        self._solution = None


def check_slots(slots: object, when_full: object) -> None:
    """Raise InputError unless there can be a memory of so many slots, or None, with that policy."""
    if slots is None:
        return
    if not isinstance(slots, int) or isinstance(slots, bool) or slots < 1:
        raise InputError(
            f"There cannot be {slots!r} slots.",
            "The number of slots is a whole number, 1 or more.",
            "Use 512, for example.",
        )
    if when_full not in ("blend", "evict"):
        raise InputError(
            f"A full memory cannot {when_full!r}.",
            "What happens when it is full is either 'blend' or 'evict'.",
            "Use 'blend' to keep everything, less sharply, or 'evict' to forget the oldest.",
        )
