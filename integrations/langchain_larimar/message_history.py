"""A session's messages as LangChain's chat message history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

from langchain_larimar.conversation import LarimarMemory
from langchain_larimar.convert import to_messages
from langchain_larimar.moments import now
from langchain_larimar.tokens import CountTokens
from larimar_memory.errors import InputError

if TYPE_CHECKING:
    from larimar_memory import Larimar


class LarimarChatMessageHistory(BaseChatMessageHistory):
    """A session's messages, as `RunnableWithMessageHistory` takes them.

    It returns the latest messages and recalls none; `LarimarMemory.remembering` does both. It keeps the
    text of human, AI and system messages, with who wrote them and when, and skips those of tools. All
    are one episode, which `LarimarMemory.episode` names.

    Args:
        memory: the memory that keeps the messages, together with those of `LarimarMemory`.
        session: id of the session.
        limit: most messages to return, the latest ones; None is all of them.
        max_tokens: most tokens of these messages; of a message that is too long for what is left, only
            the end stays. None is any number.
        count_tokens: counts tokens, given a list of messages.
        clock: gives the time of a message that has none of its own; see `LarimarMemory`.

    Raises:
        InputError: if an argument cannot be used.
    """

    def __init__(
        self,
        memory: Larimar,
        session: str,
        *,
        limit: int | None = None,
        max_tokens: int | None = None,
        count_tokens: CountTokens = count_tokens_approximately,
        clock: Callable[[], datetime] = now,
    ) -> None:
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
            raise InputError(
                "The history cannot be made.",
                f"It was given limit={limit!r}.",
                "Use a whole number, 0 for none, or None for all messages.",
            )
        tokens = 0 if max_tokens is None else max_tokens
        self._turns = LarimarMemory(
            memory, session, window_tokens=tokens, count_tokens=count_tokens, clock=clock
        )
        self._limit, self._cut = limit, max_tokens is not None

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """The messages, oldest first."""
        return to_messages(self._turns.latest_lines(self._limit, cut=self._cut))

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Keep messages that have text."""
        self._turns.save_messages(messages)

    def clear(self) -> None:
        """Forget the session's messages, for good."""
        self._turns.clear()
