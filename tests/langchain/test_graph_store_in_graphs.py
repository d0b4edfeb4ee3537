"""The store as LangGraph hands it on: to the tools of an agent and to the nodes of a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.config import get_store
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from langchain_larimar import LarimarStore
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar

from .conftest import ScriptedChat

MODES = pytest.mark.parametrize("mode", ["sync", "async"])


class ToolChat(ScriptedChat):
    """Takes tools, and calls them as its script says."""

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **_: Any
    ) -> Runnable[Any, AIMessage]:
        return self


@dataclass
class User:
    name: str


@tool
def remember(note: str, runtime: ToolRuntime[User]) -> str:
    """Keep a note about the user."""
    runtime.store.put(("users", runtime.context.name), "note", {"note": note})  # type: ignore[union-attr]
    return "Kept."


@tool
def recall(about: str, runtime: ToolRuntime[User]) -> str:
    """Look for a note about the user."""
    found = runtime.store.search(("users", runtime.context.name), query=about, limit=1)  # type: ignore[union-attr]
    return found[0].value["note"] if found else "Nothing."


@tool
async def arecall(about: str, runtime: ToolRuntime[User]) -> str:
    """Look for a note about the user."""
    found = await runtime.store.asearch(("users", runtime.context.name), query=about)  # type: ignore[union-attr]
    return found[0].value["note"] if found else "Nothing."


def called(name: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": name}])


@MODES
async def test_an_agent_remembers_in_the_file(
    tmp_path: Path, encoder: SentenceEncoder, mode: str
) -> None:
    async def replies(script: list[AIMessage], user: str) -> list[str]:
        with Larimar.open(tmp_path / "m.larimar", encoder=encoder) as memory:
            looks = recall if mode == "sync" else arecall
            agent: Any = create_agent(
                ToolChat(messages=iter(script)),
                [remember, looks],
                store=LarimarStore(memory),
                context_schema=User,
            )
            asked: Any = {"messages": [("user", "What do you know about me?")]}
            context = User(user)
            if mode == "sync":
                state = agent.invoke(asked, context=context)
            else:
                state = await agent.ainvoke(asked, context=context)
        assert state["messages"][-1].text == "Done."
        return [m.text for m in state["messages"] if isinstance(m, ToolMessage)]

    done, looks = AIMessage("Done."), "recall" if mode == "sync" else "arecall"
    noted = called("remember", note="Ana is allergic to peanuts.")
    assert await replies([noted, done], "ana") == ["Kept."]
    assert await replies([called(looks, about="food allergies"), done], "ana") == [
        "Ana is allergic to peanuts."
    ]
    assert await replies([called(looks, about="food allergies"), done], "bob") == ["Nothing."]


class Count(TypedDict):
    seen: int


@pytest.fixture
def graph(store: Larimar) -> tuple[LarimarStore, Any, Any]:
    items = LarimarStore(store)

    def counted(_: Count, runtime: Runtime[None]) -> Count:
        assert runtime.store is items
        known = runtime.store.get(("visits",), "count")
        seen = (known.value["n"] if known else 0) + 1
        get_store().put(("visits",), "count", {"n": seen})
        return {"seen": seen}

    async def acounted(_: Count, runtime: Runtime[None]) -> Count:
        assert runtime.store is items
        known = await runtime.store.aget(("visits",), "count")
        seen = (known.value["n"] if known else 0) + 1
        await runtime.store.aput(("visits",), "count", {"n": seen})
        return {"seen": seen}

    def compiled(node: Any) -> Any:
        builder = StateGraph(Count)
        builder.add_node("count", node)
        builder.add_edge(START, "count")
        builder.add_edge("count", END)
        return builder.compile(store=items)

    return items, compiled(counted), compiled(acounted)


async def test_a_graph_shares_the_store_between_runs(graph: tuple[LarimarStore, Any, Any]) -> None:
    items, sync, asynchronous = graph
    assert [sync.invoke({"seen": 0})["seen"] for _ in range(2)] == [1, 2]
    assert [(await asynchronous.ainvoke({"seen": 0}))["seen"] for _ in range(2)] == [3, 4]
    assert sync.invoke({"seen": 0})["seen"] == 5
    item = items.get(("visits",), "count")
    assert item is not None
    assert item.value == {"n": 5}
    assert item.updated_at > item.created_at
