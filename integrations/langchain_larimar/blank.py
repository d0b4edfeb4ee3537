"""A blank query asks for whatever passes the filter, and for nothing more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from larimar_memory import Larimar
    from larimar_memory.types import ReadOptions, Readout

SCORE = 1.0
"""The score of whatever passes: that was all the query asked for, so no threshold drops it."""


def is_blank(query: Any) -> bool:
    """Whether a query is text without a word."""
    return isinstance(query, str) and not query.strip()


def read_passing(memory: Larimar, query: str, options: ReadOptions) -> Readout:
    """The segments that pass the filter, in the order of writing, up to k of them, of equal weight.

    Raises:
        InputError: if the filter cannot be used.
    """
    from larimar_memory.recall.contexts import contexts, recalled
    from larimar_memory.recall.passing import passing
    from larimar_memory.types import Readout

    started = time.perf_counter()
    found = passing(memory.store, options)
    around = contexts(memory.store, options.namespace, found, options.neighbours)
    segments = tuple(
        recalled(segment, SCORE, 1 / len(found), near)
        for segment, near in zip(found, around, strict=True)
    )
    return Readout(
        query,
        options.namespace,
        segments,
        bool(segments),
        SCORE if segments else 0.0,
        memory.threshold if options.threshold is None else options.threshold,
        time.perf_counter() - started,
        memory.latents,
    )
