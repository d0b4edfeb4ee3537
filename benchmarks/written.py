"""Texts of reading comprehension, written to a memory or shown as a whole, as users would do it."""

from __future__ import annotations

from larimar_memory.decoders.prompt import passages
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


def whole(context: str) -> list[str]:
    """A text as the passages of a prompt: prose as one, of a conversation each turn."""
    units = units_of(context)
    # A prompt has its best passage last: here, a conversation's last turn.
    return passages(units.texts[::-1], units.by[::-1]) if units.talked else passages([context])
