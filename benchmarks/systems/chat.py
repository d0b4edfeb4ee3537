"""The decoder as a LangChain chat model, so that a chain answers with the same weights."""

from __future__ import annotations

import time
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from benchmarks.systems.base import ANSWER_TOKENS, Reply, generated

_ROLES = {"human": "user", "ai": "assistant"}


class DecoderChat(BaseChatModel):
    """Greedy answers of a `Decoder`.

    Attributes:
        decoder: answers.
        max_tokens: most tokens of an answer.
        begin: what the answer begins with; set by the caller.
        started: when the question was asked, by `time.perf_counter`; set by the caller.
        reply: the last answer, with its times since then.
    """

    decoder: Any
    max_tokens: int = ANSWER_TOKENS
    begin: str = ""
    started: float = 0.0
    reply: Reply | None = None

    @property
    def _llm_type(self) -> str:
        return "larimar-bench"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        chat = [
            {"role": _ROLES.get(message.type, message.type), "content": message.text}
            for message in messages
        ]
        prompt = self.decoder.chat_tokens(chat)
        started = self.started or time.perf_counter()
        self.reply = generated(
            self.decoder, prompt, self.max_tokens, started, tuple(stop or ()), self.begin
        )
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.reply.text))])
