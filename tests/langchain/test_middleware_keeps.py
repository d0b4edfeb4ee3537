"""A memory as middleware: what of a turn is kept."""

from __future__ import annotations

import threading
from itertools import cycle
from typing import Any

import pytest
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_larimar import LarimarMemory
from langchain_larimar.convert import Line
from larimar_memory.decoders.prompt import OPEN
from larimar_memory.larimar import Larimar

from .conftest import ASKED, HOW, TURNS, Context, ScriptedChat, run
from .middleware_agents import agent_of, calling, lookup, say, script, show, texts, thread, told


def test_the_work_of_tools_is_not_kept(store: Larimar) -> None:
    told(store)
    chat = script(calling(), "The alarm code is 4711.")
    agent_of(store, chat, [lookup]).invoke(say(ASKED), context=Context("ana"))
    assert texts(store)[-2:] == [ASKED, "The alarm code is 4711."]
    assert not any("Noise" in text or "Let me look" in text for text in texts(store))
    first, second = chat.prompts
    assert [type(m).__name__ for m in second] == ["HumanMessage", "AIMessage", "ToolMessage"]
    assert first[0] == second[0]
    assert TURNS[2][0] in first[0].text
    # A run that ends with a tool has no reply.
    chat = script(calling(name="show"))
    agent_of(store, chat, [show]).invoke(say("Show it."), context=Context("ana"))
    assert texts(store)[-2:] == ["The alarm code is 4711.", "Show it."]


def test_nothing_recalled_is_in_the_state_or_kept_again(store: Larimar) -> None:
    told(store)
    saver = InMemorySaver()
    chat = ScriptedChat(messages=cycle([calling(word="a"), "Here you are.", "And again."]))
    agent = agent_of(store, chat, [lookup], checkpointer=saver)
    for text in (ASKED, "Is the alarm code a good one?"):
        agent.invoke(say(text), thread("1"), context=Context("ana"))
    assert all("4711" in prompt[0].text for prompt in chat.prompts[:2])
    saved = repr([saver.storage, saver.blobs, saver.writes])
    assert ASKED in saved
    assert "is 4711" not in saved
    assert OPEN not in saved
    assert len(texts(store)) == 2 * (len(TURNS) + 2)
    assert sum("4711" in text for text in texts(store)) == 1


@pytest.mark.parametrize("how", HOW)
async def test_each_turn_is_kept_once(store: Larimar, how: str) -> None:
    ana = Context("ana")
    chat = ScriptedChat(messages=cycle(["First."]))
    saver = InMemorySaver()
    agent = agent_of(store, chat, checkpointer=saver)
    state = await run(agent, how, say("one"), thread("1"), context=ana)
    await run(agent, how, {"messages": state["messages"]}, thread("1"), context=ana)
    await run(agent, how, {"messages": state["messages"]}, thread("2"), context=ana)
    await run(agent_of(store, script("First.")), how, say("one"), context=ana)
    assert texts(store) == ["one", "First."]
    # Another reply to the same message takes the place of the one before.
    again = {"messages": state["messages"][:1]}
    await run(agent_of(store, script("Second.")), how, again, context=ana)
    assert texts(store) == ["one", "Second."]
    history = [("human", "one"), ("ai", "Second."), ("human", "two")]
    for _ in range(2):
        await run(agent_of(store, script("Third.")), how, {"messages": history}, context=ana)
    assert LarimarMemory(store, "ana").all_lines() == [
        *(Line(1, "Human", "one"), Line(1, "AI", "Second.")),
        *(Line(2, "Human", "two"), Line(2, "AI", "Third.")),
    ]


@pytest.mark.parametrize("how", HOW)
async def test_only_finished_turns_are_kept_also_when_resumed(store: Larimar, how: str) -> None:
    chat = script(calling(), "Done.", "Never asked.")
    agent = agent_of(store, chat, [lookup], checkpointer=InMemorySaver(), interrupt_before=["tools"])
    await run(agent, how, say("one"), thread("1"), context=Context("ana"))
    assert texts(store) == []
    for _ in range(2):
        await run(agent, "invoke", None, thread("1"), context=Context("ana"))
    assert texts(store) == ["one", "Done."]
    with pytest.raises((StopIteration, RuntimeError)):
        await run(agent_of(store, script()), how, say("two"), context=Context("ana"))
    assert texts(store) == ["one", "Done."]


def test_a_write_that_failed_is_made_up_for(store: Larimar, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = agent_of(store, script("First."), checkpointer=InMemorySaver())
    with monkeypatch.context() as patched:
        patched.setattr(Larimar, "write", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            agent.invoke(say("one"), thread("1"), context=Context("ana"))
    agent.invoke(None, thread("1"), context=Context("ana"))
    assert texts(store) == ["one", "First."]


def test_a_question_that_a_summary_took_the_place_of_is_kept(store: Larimar) -> None:
    summary = SummarizationMiddleware(
        ScriptedChat(messages=cycle(["A summary."])), trigger=("messages", 3), keep=("messages", 2)
    )
    chat = script(calling(word="a"), calling(word="b"), "Done.")
    agent = agent_of(store, chat, [lookup], [summary])
    state = agent.invoke(say("one"), context=Context("ana"))
    assert "A summary." in state["messages"][0].text
    assert all(m.text != "one" for m in state["messages"])
    assert texts(store) == ["one", "Done."]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ("turn", ["one", "First."]),
        ("said", ["one"]),
        ("nothing", []),
        (lambda said, reply: (said.upper(), ""), ["ONE"]),
        (lambda said, reply: ("", reply), ["First."]),
        (lambda said, reply: ("", " "), []),
        (lambda said, reply: None, []),
    ],
)
def test_what_is_kept(store: Larimar, keep: Any, kept: list[str]) -> None:
    for _ in range(2):
        agent_of(store, script("First."), keep=keep).invoke(say("one"), context=Context("ana"))
    assert texts(store) == kept


def test_a_reply_that_is_no_longer_kept_is_gone(store: Larimar) -> None:
    message = HumanMessage("one", id="1")
    for keep, reply in (("turn", "First."), ("said", "Second.")):
        agent = agent_of(store, script(reply), keep=keep)
        agent.invoke({"messages": [message]}, context=Context("ana"))
    assert texts(store) == ["one"]


def test_sixteen_threads_at_once(store: Larimar) -> None:
    agent = agent_of(store, ScriptedChat(messages=cycle(["Noted."])), checkpointer=InMemorySaver())
    threads = [
        threading.Thread(
            target=agent.invoke, args=(say("Same."), thread(str(n))), kwargs={"context": Context("ana")}
        )
        for n in range(16)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert texts(store) == ["Same.", "Noted."]
