"""Which of the messages before a question reach the decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from larimar_memory.decoders.prompt import Message


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
    kept, left = list[Message](), budget - sum(count(m["content"]) + 1 for m in system)
    for message in reversed(said):
        left -= count(message["content"]) + 1
        if left < 0:
            break
        kept.insert(0, message)
    while kept and not fits([*system, *kept]):
        del kept[0]
    while kept and len(kept) < len(said) and kept[0]["role"] == "assistant":
        del kept[0]
    return [*system, *kept]
