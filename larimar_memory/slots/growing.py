"""Grow mode: one slot per item, over any store, so that the disk is the limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from larimar_memory.errors import InputError, LatentsUnavailableError
from larimar_memory.slots.address import ALPHA, address
from larimar_memory.slots.blend import (
    Blend,
    Contribution,
    check_items,
    matrix,
    unit_rows,
    unknown_item,
    with_length,
)
from larimar_memory.stores.base import Document, Span, Store, StoredSegment, Where, WriteBatch
from larimar_memory.stores.given import check_eager
from larimar_memory.types import Segment
from larimar_memory.validate import check_ids


class GrowingMemory:
    """A memory whose reference keys R and latents M are the rows of a store.

    Writing appends a slot. Reading addresses the k nearest with Eq. 7 of arXiv 2403.11901, so that its
    cost does not depend on N except through the store's search. Only the directions of keys count.

    Args:
        store: where the rows are kept.
        namespace: the one that is read and written; rows of others are never seen.
        alpha: kernel width.

    Raises:
        InputError: if the store searches by coarse keys.
    """

    def __init__(self, store: Store, namespace: str = "default", *, alpha: float = ALPHA) -> None:
        self.store, self.namespace, self.alpha = check_eager(store), namespace, alpha

    def __len__(self) -> int:
        """N, the slots in use."""
        return self.store.stats(self.namespace).segments

    def write(
        self, ids: Sequence[str], keys: Any, latents: Any, texts: Sequence[str] | None = None
    ) -> None:
        """Append one slot per id; an id held already has its item replaced.

        Args:
            ids: n names; if a name occurs twice, the last item counts.
            keys: (n, d) floating-point numbers, NumPy or torch.
            latents: (n, C) floating-point numbers, NumPy or torch; kept as float32.
            texts: what the items say, if anything.

        Raises:
            InputError: if any of it cannot be used; then nothing was written.
        """
        key_rows, latent_rows = unit_rows(matrix(keys, "keys")), matrix(latents, "latents")
        said = [""] * len(key_rows) if texts is None else list(texts)
        names, places = check_items(ids, keys=key_rows, latents=latent_rows, texts=said)
        self.store.write(
            self.namespace,
            [
                WriteBatch(
                    Document(name, "", len(said[n])),
                    [Segment(0, 0, len(said[n]), said[n])],
                    key_rows[n : n + 1],
                    replace=True,
                    latents=[latent_rows[n]],
                )
                for name, n in zip(names, places, strict=True)
            ],
        )

    def update(self, id: str, key: Any, latent: Any, text: str = "") -> None:
        """Replace an item.

        Raises:
            InputError: if there is no item of that id, or a vector cannot be used.
        """
        if self.store.document(self.namespace, id) is None:
            raise unknown_item(id)
        self.write([id], key[None], latent[None], [text])

    def forget(self, ids: object) -> int:
        """Delete items; returns how many. The store's `purge` erases their traces.

        Args:
            ids: a list of str, or one; unknown ids are ignored.

        Raises:
            InputError: if an id is not a str.
        """
        return self.store.delete(self.namespace, ids=check_ids(ids, "Nothing was forgotten."))

    def merge(self, other: GrowingMemory) -> None:
        """Copy the other memory's items; an item that both hold becomes the other's."""
        for document in other.store.documents(other.namespace):
            (held,) = other.store.spans(other.namespace, [Span(document.id)], latents=True)
            batch = WriteBatch(
                document,
                [Segment(s.index, s.start, s.end, s.text) for s in held],
                np.array([s.best_key for s in held], dtype=np.float32),
                replace=True,
                latents=[s.latent for s in held],
            )
            self.store.write(self.namespace, [batch])

    def read(self, queries: Any, k: int = 5, where: Where | None = None) -> Blend:
        """Address the k nearest slots of each query and blend what they hold.

        Args:
            queries: (q, d) floating-point numbers, NumPy or torch.
            where: a metadata filter.

        Returns:
            The readouts; sources are named by their document.

        Raises:
            InputError: if the queries cannot be used, or the addressed latents differ in size.
            LatentsUnavailableError: if an addressed slot has no latent.
        """
        rows = unit_rows(matrix(queries, "queries"))
        addressed = [self._addressed(row, k, where) for row in rows]
        held = [segment.latent for _, found in addressed for segment in found]
        latents = [latent for latent in held if latent is not None]
        if len(latents) < len(held):
            raise LatentsUnavailableError(
                "The memory cannot be read.",
                "Some of the addressed segments have no latent.",
                "Write latents for them first, or read text.",
            )
        if len({latent.size for latent in latents}) > 1:
            raise InputError(
                "The memory cannot be read.",
                "The addressed latents differ in size and cannot be blended.",
                "Read one query at a time, with k=1.",
            )
        blends = np.zeros((len(rows), latents[0].size if latents else 0), dtype=np.float32)
        for blend, (weights, found) in zip(blends, addressed, strict=True):
            if found:
                blend[:] = _blended(weights, [latents.pop(0).reshape(-1) for _ in found])
        return Blend(
            latents=blends,
            weights=tuple(weights for weights, _ in addressed),
            sources=tuple(
                tuple(
                    Contribution(s.document_id, float(w), float(w))
                    for s, w in zip(found, weights, strict=True)
                )
                for weights, found in addressed
            ),
        )

    def _addressed(
        self, query: Float[np.ndarray, " d"], k: int, where: Where | None
    ) -> tuple[Float[np.ndarray, " n"], list[StoredSegment]]:
        """Address weights and segments of the slots nearest to a query, the heaviest first."""
        hits = self.store.nearest(self.namespace, query, k, where)
        found = self.store.fetch(self.namespace, [hit.row for hit in hits], latents=True)
        if not found:
            return np.zeros(0), []
        weights = address(query, np.array([s.best_key for s in found]), self.alpha)
        order = np.argsort(-weights, kind="stable")
        return weights[order], [found[n] for n in order]


def _blended(
    weights: Float[np.ndarray, " n"], latents: list[Float[np.ndarray, " c"]]
) -> Float[np.ndarray, " c"]:
    """The latents' directions, blended by their weights, at the latents' mean length."""
    rows = matrix(np.array(latents, dtype=np.float32), "latents").astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    units = rows / np.where(lengths > 0, lengths, 1.0)[:, None]
    return np.asarray(with_length((weights @ units)[None], weights[None] @ lengths)[0])
