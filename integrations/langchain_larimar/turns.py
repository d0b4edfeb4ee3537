"""The turns in an agent's messages: what the user said, and the agent's final reply."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage


@dataclass(frozen=True)
class Turn:
    """What a user said, and the reply to it, "" if there is none yet.

    Attributes:
        place: index of the first of the user's messages.
        asked: the last of the user's messages, without a name if several users spoke.
        answered: the message of the reply, or "".
    """

    said: str
    reply: str
    place: int
    asked: HumanMessage
    answered: AIMessage | str = ""

    @property
    def id(self) -> str | None:
        """The id of the last of the user's messages."""
        return self.asked.id

    @property
    def key(self) -> str:
        """A name of the turn, which stays the same if an agent comes to it again.

        It covers what was said, because messages of two threads may have the same ids.
        """
        return _digest([self.id, self.said]) if self.id else self.mark

    @property
    def mark(self) -> str:
        """A hash of what was said and replied, whatever the ids of the messages."""
        return _digest([self.said, self.reply])


def turns_of(messages: Sequence[BaseMessage]) -> list[Turn]:
    """The turns in a list of messages, oldest first.

    Consecutive messages of the user count as one. A reply is the agent's last text that calls no tool.
    Messages of tools, and summaries that an agent made, belong to no turn.
    """
    turns, speaking = list[Turn](), False
    for place, message in enumerate(messages):
        if isinstance(message, HumanMessage) and not message.additional_kwargs.get("lc_source"):
            before = turns.pop() if speaking else Turn("", "", place, message)
            said = "\n".join(filter(str.strip, [before.said, str(message.text)]))
            if before.asked.name != message.name:
                message = message.model_copy(update={"name": None})
            turns.append(Turn(said, "", before.place, message))
            speaking = True
            continue
        speaking = False
        if turns and isinstance(message, AIMessage) and not message.tool_calls and message.text.strip():
            turns[-1] = replace(turns[-1], reply=str(message.text), answered=message)
    return turns


def saying(message: BaseMessage | str, text: str) -> BaseMessage | str:
    """A text in place of a message's own, with the speaker and the time that the message has."""
    return text if isinstance(message, str) else message.model_copy(update={"content": text})


def with_block(message: BaseMessage, block: str) -> BaseMessage:
    """A copy of a user's message with recalled text in front.

    The recalled text gets no message of its own, because the templates of some small models refuse two
    messages of the same side in a row.
    """
    content = message.content
    joined: str | list[Any] = (
        f"{block}\n\n{content}"
        if isinstance(content, str)
        else [{"type": "text", "text": f"{block}\n\n"}, *content]
    )
    return message.model_copy(update={"content": joined})


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=16).hexdigest()
