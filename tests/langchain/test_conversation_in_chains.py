"""Conversation memory where LangChain expects one: in LCEL, around a chain, in classic chains."""

from __future__ import annotations

import sys
from itertools import cycle
from typing import Any

import pytest
from langchain_classic.chains import ConversationChain, LLMChain
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_larimar import LarimarChatMessageHistory, LarimarMemory
from langchain_larimar.classic_memory import classic_class
from langchain_larimar.convert import Line
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar

from .conftest import ASKED, ScriptedChat

PROMPT = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{input}")])


async def test_lcel_assign(turns: LarimarMemory) -> None:
    chat = ScriptedChat(messages=cycle(["4711."]))
    chain = RunnablePassthrough.assign(history=turns.as_runnable()) | PROMPT | chat
    assert chain.invoke({"input": ASKED}).text == "4711."
    assert "the alarm code is 4711" in chat.prompt
    assert "toner" not in chat.prompt
    await chain.ainvoke({"input": ASKED})
    assert chat.prompts[0] == chat.prompts[1]
    as_text = PromptTemplate.from_template("{history}\n{input}")
    (RunnablePassthrough.assign(history=turns.as_runnable(as_text=True)) | as_text | chat).invoke(
        {"input": ASKED}
    )
    assert chat.prompts[2][0].text == f"{turns.load_text(ASKED)}\n{ASKED}"


@pytest.mark.parametrize("tail", [StrOutputParser(), RunnablePassthrough()])
async def test_a_chain_that_remembers(store: Larimar, tail: Runnable[Any, Any]) -> None:
    chat = ScriptedChat(messages=cycle(["First reply.", "Second reply."]))
    chain = LarimarMemory(store).remembering(PROMPT | chat | tail)
    ana: Any = {"configurable": {"session_id": "ana"}}
    bob: Any = {"configurable": {"session_id": "bob"}}
    chain.invoke("one", ana)
    assert len(list(chain.stream({"input": "two"}, ana))) > 1
    await chain.ainvoke({"input": "three"}, ana)
    assert len([chunk async for chunk in chain.astream("four", ana)]) > 1
    chain.invoke("five", bob)
    assert [m.text for m in chat.prompts[3]] == [
        *("one", "First reply.", "two", "Second reply.", "three", "First reply."),
        "four",
    ]
    assert [m.text for m in chat.prompts[4]] == ["five"]
    lines = LarimarMemory(store, "ana").all_lines()
    assert [line.text for line in lines[-2:]] == ["four", "Second reply."]
    with pytest.raises(InputError, match="No session is named"):
        chain.invoke("six")
    assert len(chat.prompts) == 5


def test_only_complete_turns_are_kept(store: Larimar) -> None:
    def fail(_: Any) -> str:
        raise RuntimeError("the model is gone")

    memory = LarimarMemory(store, "ana")
    with pytest.raises(RuntimeError, match="gone"):
        memory.remembering(RunnableLambda(fail)).invoke("one")
    chat = ScriptedChat(messages=cycle(["A reply of many words."]))
    stream = memory.remembering(PROMPT | chat).stream("two")
    next(stream)
    stream.close()
    assert memory.all_lines() == []


def test_a_chain_with_sources_needs_no_keys(store: Larimar) -> None:
    memory = LarimarMemory(store, "ana")
    chain = RunnableLambda(lambda x: {"query": x["query"], "result": "42", "source_documents": []})
    memory.remembering(chain).invoke({"query": "six by seven", "lang": "en"})
    assert [line.text for line in memory.all_lines()] == ["six by seven", "42"]
    with pytest.raises(InputError, match="input_key"):
        memory.said({"a": "1", "b": "2"})
    with pytest.raises(InputError, match="neither text nor a message"):
        memory.replied(42)
    assert LarimarMemory(store, "ana", input_key="b").said({"a": "1", "b": "2"}) == "2"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_classic_chains(turns: LarimarMemory) -> None:
    chat = ScriptedChat(messages=cycle(["4711."]))
    ConversationChain(llm=chat, memory=turns.as_classic()).invoke({"input": ASKED})
    assert "the alarm code is 4711" in chat.prompt
    assert "toner" not in chat.prompt
    assert turns.all_lines()[-2:] == [Line(7, "Human", ASKED), Line(7, "AI", "4711.")]
    messages = turns.as_classic(return_messages=True)
    assert messages.memory_variables == ["history"]
    chain = LLMChain(llm=chat, prompt=PROMPT, memory=messages)
    assert (await chain.ainvoke({"input": "Thanks."}))["text"] == "4711."
    assert [m.text for m in chat.prompts[1][-3:]] == [ASKED, "4711.", "Thanks."]
    await messages.aclear()
    assert messages.load_memory_variables({"input": ASKED}) == {"history": []}
    assert turns.all_lines() == []


def test_classic_memory_needs_its_package_and_a_session(
    store: Larimar, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="No session"):
        LarimarMemory(store).as_classic()
    classic_class.cache_clear()
    monkeypatch.setitem(sys.modules, "langchain_classic.base_memory", None)
    with pytest.raises(InputError, match="langchain-classic is not installed"):
        LarimarMemory(store, "ana").as_classic()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_message_history(store: Larimar) -> None:
    history = LarimarChatMessageHistory(store, "ana")
    history.add_user_message("one")
    history.add_ai_message("two")
    await history.aadd_messages(
        [HumanMessage("three"), ToolMessage("x", tool_call_id="1"), AIMessage("")]
    )
    history.add_messages([AIMessage([{"type": "text", "text": "four"}])])
    texts = ["one", "two", "three", "four"]
    assert [m.text for m in history.messages] == texts
    assert [line.turn for line in LarimarMemory(store, "ana").all_lines()] == [1, 1, 2, 2]
    assert [m.text for m in LarimarChatMessageHistory(store, "ana", limit=3).messages] == texts[1:]
    assert LarimarChatMessageHistory(store, "ana", limit=0).messages == []
    assert LarimarChatMessageHistory(store, "bob").messages == []
    chat = ScriptedChat(messages=cycle(["five"]))
    chain = RunnableWithMessageHistory(
        PROMPT | chat,
        lambda session_id: LarimarChatMessageHistory(store, session_id),
        input_messages_key="input",
        history_messages_key="history",
    )
    await chain.ainvoke({"input": "go on"}, {"configurable": {"session_id": "ana"}})
    assert [m.text for m in chat.prompts[0]] == [*texts, "go on"]
    assert [m.text for m in history.messages] == [*texts, "go on", "five"]
    await history.aclear()
    assert await history.aget_messages() == []
