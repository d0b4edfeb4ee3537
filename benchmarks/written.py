"""Texts of reading comprehension, written to a memory as their users would write them."""

from __future__ import annotations

from larimar_memory.larimar import Larimar
from larimar_memory.train.shown import units_of


def write(memory: Larimar, context: str) -> None:
    """Write a text as a document, or a conversation turn by turn, with its speakers."""
    units = units_of(context)
    if not units.talked:
        memory.write([context])
        return
    ids = [str(n) for n in range(len(units.texts))]
    memory.write(units.texts, ids, [{"speaker": by} for by in units.by], episode="conversation")
