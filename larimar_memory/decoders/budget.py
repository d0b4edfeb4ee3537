"""Fitting into a budget of tokens: recalled text, latents, the chat before a question."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TypeVar

from larimar_memory.types import Message

Item = TypeVar("Item")


def fit(items: Sequence[Item], fits: Callable[[Sequence[Item]], bool]) -> int:
    """How many of the first items fit together, so that one more does not fit or does not exist.

    Tries about 2 log2(n) prefixes, none longer than twice what fits.

    Args:
        items: best first.
        fits: whether a prefix of the items fits; if it does, every shorter prefix should, too.
    """
    most = 1
    while most <= len(items) and fits(items[:most]):
        most *= 2
    counts = range(most // 2 + 1, min(most, len(items) + 1))
    return most // 2 + bisect_left(counts, True, key=lambda count: not fits(items[:count]))


def latest(
    history: Sequence[Message],
    budget: int,
    count: Callable[[str], int],
    fits: Callable[[Sequence[Message]], bool],
) -> list[Message]:
    """The latest messages of a chat that fit, and all of its system messages.

    Messages are kept whole and without gaps, and the first one kept is not a reply to one that is left
    out.

    Args:
        history: the chat, oldest first.
        budget: the most tokens of the messages' contents.
        count: counts the tokens of a message's content.
        fits: whether a prompt with these messages fits the decoder's context.
    """
    system = [message for message in history if message["role"] == "system"]
    said = [message for message in history if message["role"] != "system"]
    left = budget - sum(count(message["content"]) + 1 for message in system)
    newest = said[::-1]
    newest = newest[: fit(newest, lambda some: sum(count(m["content"]) + 1 for m in some) <= left)]
    kept = newest[: fit(newest, lambda some: fits([*system, *some[::-1]]))][::-1]
    while kept and len(kept) < len(said) and kept[0]["role"] == "assistant":
        del kept[0]
    return [*system, *kept]
