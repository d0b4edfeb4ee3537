"""Agents with a memory as middleware, what they are told, and what a prompt recalls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.tools import tool

from langchain_larimar import LarimarMemory, LarimarMiddleware
from larimar_memory.decoders.prompt import CLOSE, OPEN
from larimar_memory.larimar import Larimar

from .conftest import TURNS, Context, ScriptedChat

TOLD = "Please remember that the alarm code is 4711."


@tool
def lookup(word: str) -> str:
    """Look a word up."""
    return f"Noise about {word}."


@tool(return_direct=True)
def show(word: str) -> str:
    """Show a word to the user, and stop."""
    return f"Noise about {word}."


def calling(text: str = "Let me look that up.", word: str = "x", name: str = "lookup") -> AIMessage:
    return AIMessage(text, tool_calls=[ToolCall(name=name, args={"word": word}, id=f"call-{word}")])


def script(*replies: str | AIMessage) -> ScriptedChat:
    return ScriptedChat(messages=iter(replies))


def say(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def agent_of(
    memory: Larimar, chat: ScriptedChat, tools: Sequence[Any] = (), more: Any = (), **fields: Any
) -> Any:
    graph = {name: fields.pop(name) for name in ("checkpointer", "interrupt_before") if name in fields}
    middleware = [*more, LarimarMiddleware(memory, **fields)]
    return create_agent(chat, tools, middleware=middleware, context_schema=Context, **graph)


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


def texts(memory: Larimar, user: str = "ana") -> list[str]:
    return [line.text for line in LarimarMemory(memory, user).all_lines()]


def recalled(prompt: str) -> list[str]:
    """The recalled lines of a prompt."""
    _, rest = prompt.split(OPEN)
    between, _ = rest.split(CLOSE)
    return between.strip().splitlines()


def told(memory: Larimar, user: str = "ana", turns: Sequence[tuple[str, str]] = TURNS) -> None:
    conversation = LarimarMemory(memory, user)
    for said, reply in turns:
        conversation.save(said, reply)
