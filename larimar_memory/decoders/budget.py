"""What fits into a budget of tokens: recalled text, latents, the chat before a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, takewhile
from typing import TypeVar

from larimar_memory.types import Message

Item = TypeVar("Item")


def fit(items: Sequence[Item], fits: Callable[[Sequence[Item]], bool]) -> int:
    """How many of the first items fit together: all before the first with which they do not.

    Args:
        items: best first.
        fits: whether so many of them do.
    """
    count = 0
    while count < len(items) and fits(items[: count + 1]):
        count += 1
    return count


def latest(
    history: Sequence[Message],
    budget: int,
    count: Callable[[str], int],
    fits: Callable[[Sequence[Message]], bool],
) -> list[Message]:
    """The latest messages of a chat that there is room for, and all that it has for the system.

    No message is cut, none is left out between two that are there, and what is left does not begin with
    a reply to one that is not.

    Args:
        history: the chat, oldest first.
        budget: most tokens of its contents.
        count: counts the tokens of a content.
        fits: whether a prompt with these messages fits the decoder's context.
    """
    system = [message for message in history if message["role"] == "system"]
    said = [message for message in history if message["role"] != "system"]
    left = budget - sum(count(message["content"]) + 1 for message in system)
    sums = accumulate(count(message["content"]) + 1 for message in reversed(said))
    kept = said[len(said) - sum(1 for _ in takewhile(lambda total: total <= left, sums)) :]
    while kept and not fits([*system, *kept]):
        del kept[0]
    while kept and len(kept) < len(said) and kept[0]["role"] == "assistant":
        del kept[0]
    return [*system, *kept]
