"""A memory as middleware of an agent: recall before the model, keep the turn after the agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from langchain_core.messages import HumanMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.runnables.config import run_in_executor
from typing_extensions import NotRequired

from langchain_larimar.conversation import LarimarMemory
from langchain_larimar.identity import User, check_user, thread_of, user_of
from langchain_larimar.moments import now
from langchain_larimar.tokens import CountTokens
from langchain_larimar.turns import Turn, saying, turns_of, with_block
from larimar_memory.errors import InputError

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
    from langchain.agents.middleware.types import ModelCallResult, PrivateStateAttr
except ImportError as error:
    raise InputError(
        "LarimarMiddleware cannot be used.",
        "The package langchain, 1.2 or later, whose agents it is for, is not installed.",
        'Install it with `pip install "larimar-memory[agents]"`.',
    ) from error

if TYPE_CHECKING:
    from langgraph.runtime import Runtime

    from larimar_memory import Larimar


Keep: TypeAlias = Literal["turn", "said", "nothing"] | Callable[[str, str], tuple[str, str] | None]
"""What to keep of a turn; a function gets what was said and the reply, and returns what to keep."""


class State(AgentState[Any]):
    """An agent's state, with what the user said when the run began."""

    larimar_said: NotRequired[Annotated[HumanMessage | None, PrivateStateAttr]]


class LarimarMiddleware(AgentMiddleware[State, Any, Any]):
    """Gives an agent a memory of each of its users, across threads.

    agent = create_agent(model, tools, middleware=[LarimarMiddleware(memory)], context_schema=Context)
    agent.invoke({"messages": [...]}, context=Context(user_id="ana"))

    Before a model call, the middleware puts earlier turns in front of what the user says now, between
    delimiters, as data: turns that are relevant and not yet in the prompt. They are only in the
    request, never in the agent's state. When the agent has finished, the middleware keeps the turn:
    what the user said and the final reply, without the work of tools. It keeps a turn once, even if an
    agent is resumed or gets the same messages again; a new reply replaces the one before.

    Turns say who spoke and when, as `LarimarMemory` keeps them. Turns of a thread are one episode, and
    turns of runs without a thread are another; see `LarimarMemory.episode`.

    Only the context of the run says whose turns they are. If the context names no user, the run is
    refused before the model is called.

    Args:
        memory: the memory that keeps the turns, together with those of
            `LarimarMemory(memory, session=user)`.
        user: where the context of a run holds the user's id, a str: an attribute, an entry if the
            context is a mapping, or a function of the context.
        k: most turns to recall; 0 recalls nothing.
        recall_tokens: most tokens of recalled turns, with everything else in front of a model call.
        count_tokens: counts tokens, given a list of messages, such as the model's own
            `get_num_tokens_from_messages`.
        score_threshold: score below which a turn is not relevant; None is the memory's own.
        keep: "turn", "said" (without the reply), "nothing", or a function that gets what was said and
            the reply, and returns what to keep of them, or None.
        clock: gives the time, as `datetime.now(timezone.utc)` does.

    Raises:
        InputError: if an argument cannot be used.
    """

    state_schema = State

    def __init__(
        self,
        memory: Larimar,
        *,
        user: User = "user_id",
        k: int = 4,
        recall_tokens: int = 500,
        count_tokens: CountTokens = count_tokens_approximately,
        score_threshold: float | None = None,
        keep: Keep = "turn",
        clock: Callable[[], datetime] = now,
    ) -> None:
        super().__init__()
        # The agent's own messages hold the latest turns, so no window is needed.
        self._turns = LarimarMemory(
            memory,
            k=k,
            window=0,
            recall_tokens=recall_tokens,
            score_threshold=score_threshold,
            count_tokens=count_tokens,
            clock=clock,
        )
        self._user = check_user(user)
        self._keep: Keep = keep
        if not callable(keep) and keep not in ("turn", "said", "nothing"):
            raise InputError(
                "The middleware cannot be made.",
                f"It cannot keep {keep!r} of a turn.",
                'Use "turn", "said", "nothing", or a function of what was said and the reply.',
            )

    def conversation(self, user: str) -> LarimarMemory:
        """A user's conversation, to look at or to clear."""
        return replace(self._turns, session=user)

    def before_agent(self, state: State, runtime: Runtime[Any]) -> dict[str, Any]:
        """Note what the user said, since a summary may replace it before the reply is there.

        Raises:
            InputError: if the context does not say whose memory to use.
        """
        user_of(runtime, self._user)
        turns = turns_of(state["messages"])
        return {"larimar_said": saying(turns[-1].asked, turns[-1].said) if turns else None}

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelCallResult[Any]:
        """Call the model with what is recalled.

        Raises:
            InputError: if the context does not say whose memory to use.
        """
        return handler(self._recalled(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelCallResult[Any]:
        """As `wrap_model_call`, with the memory's work off the event loop."""
        return await handler(await run_in_executor(None, self._recalled, request))

    def after_agent(self, state: State, runtime: Runtime[Any]) -> None:
        """Keep the finished turn.

        Raises:
            InputError: if the context does not say whose memory to use.
        """
        conversation = self.conversation(user_of(runtime, self._user))
        conversation = replace(conversation, thread=thread_of(runtime))
        messages, said = state["messages"], state.get("larimar_said")
        if said is not None and all(message.id != said.id for message in messages):
            messages = [said, *messages]
        for turn in turns_of(messages)[-1:]:
            if kept := self._kept(turn):
                asked, answered = map(saying, (turn.asked, turn.answered), kept)
                conversation.save_once(asked, answered, key=turn.key, mark=turn.mark)

    async def aafter_agent(self, state: State, runtime: Runtime[Any]) -> None:
        """As `after_agent`, off the event loop."""
        await run_in_executor(None, self.after_agent, state, runtime)

    def _recalled(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        conversation = self.conversation(user_of(request.runtime, self._user))
        turns = turns_of(request.messages)
        if not turns or not conversation.k:
            return request
        latest = turns[-1]
        lines, _ = conversation.recall(latest.said, but={turn.mark for turn in turns})
        if not lines:
            return request
        messages: list[Any] = list(request.messages)
        messages[latest.place] = with_block(messages[latest.place], conversation.block(lines))
        return request.override(messages=messages)

    def _kept(self, turn: Turn) -> tuple[str, str] | None:
        if callable(self._keep):
            return self._keep(turn.said, turn.reply)
        if self._keep == "nothing":
            return None
        return turn.said, turn.reply if self._keep == "turn" else ""
