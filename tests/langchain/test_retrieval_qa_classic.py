"""What RetrievalQA takes: a conversation, prompts for documents, callbacks, and its other arguments."""

from __future__ import annotations

from functools import reduce
from itertools import count
from operator import add
from typing import Any

import pytest
from langchain_classic.chains import RetrievalQA
from langchain_classic.memory import (
    CombinedMemory,
    ConversationBufferMemory,
    ConversationBufferWindowMemory,
    VectorStoreRetrieverMemory,
)
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate

from langchain_larimar import LarimarMemory, LarimarRetrievalQA, LarimarRetriever, LarimarVectorStore
from larimar_memory.decoders.prompt import NOT_IN_MEMORY
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar

from .conftest import HOW, OUT_OF_SCOPE, QUESTION, TEXTS, ScriptedChat

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TOLD = "I am Ana. What is the pass key of the vault?"
AGAIN = "What is the pass key of the vault, once more?"
ANA: Any = {"configurable": {"session_id": "ana"}}


def numbered() -> ScriptedChat:
    return ScriptedChat(messages=(f"Reply {n} of many." for n in count(1)))


async def ask(qa: Any, how: str, given: Any, config: Any = None, **options: Any) -> dict[str, Any]:
    """The whole output of a call, by the method of that name."""
    if how == "ainvoke":
        return dict(await qa.ainvoke(given, config, **options))
    if how == "astream":
        return dict(reduce(add, [chunk async for chunk in qa.astream(given, config, **options)]))
    if how == "stream":
        return dict(reduce(add, qa.stream(given, config, **options)))
    return dict(qa.invoke(given, config, **options))


@pytest.mark.parametrize("how", HOW)
async def test_what_was_said_reaches_the_prompt_and_turns_are_kept(
    notes: Larimar, store: Larimar, how: str
) -> None:
    chat = numbered()
    qa = LarimarRetrievalQA.from_llm(chat, memory=notes, conversation=LarimarMemory(store))
    bob: Any = {"configurable": {"session_id": "bob"}}
    first = await ask(qa, how, TOLD, ANA)
    assert first["result"] == "Reply 1 of many."
    await ask(qa, how, {"query": QUESTION}, bob)
    await ask(qa, how, AGAIN, ANA)
    assert (await ask(qa, how, OUT_OF_SCOPE, ANA))["result"] == NOT_IN_MEMORY
    assert [m.text for m in chat.prompts[1][1:-1]] == []
    assert [m.text for m in chat.prompts[2][1:-1]] == [TOLD, "Reply 1 of many."]
    assert AGAIN in chat.prompts[2][-1].text
    lines = LarimarMemory(store, "ana").all_lines()
    assert [line.text for line in lines] == [
        *(TOLD, "Reply 1 of many."),
        *(AGAIN, "Reply 3 of many."),
        *(OUT_OF_SCOPE, NOT_IN_MEMORY),
    ]
    with pytest.raises(InputError, match="No session is named"):
        await ask(qa, how, QUESTION)
    assert len(chat.prompts) == 3


@pytest.mark.parametrize("as_messages", [False, True])
@pytest.mark.parametrize("key", [None, "question"])
async def test_the_memory_of_a_classic_chain(
    notes: Larimar, as_messages: bool, key: str | None
) -> None:
    buffer = ConversationBufferMemory(return_messages=as_messages, input_key=key)
    placed = ChatPromptTemplate.from_messages(
        [MessagesPlaceholder("chat_history"), ("human", "{context} {question}")]
    )
    as_text = PromptTemplate.from_template("{chat_history}\n{context}\n{question}")
    retriever, chat = LarimarRetriever(memory=notes, k=1), numbered()
    for prompt in (placed, as_text):
        qa = LarimarRetrievalQA.from_chain_type(
            chat, retriever=retriever, memory=buffer, chain_type_kwargs={"prompt": prompt}
        )
        await qa.ainvoke(TOLD)
    assert buffer.return_messages is as_messages
    assert [m.text for m in buffer.chat_memory.messages] == [
        *(TOLD, "Reply 1 of many.", TOLD, "Reply 2 of many.")
    ]
    assert chat.prompts[1][0].text.startswith(f"Human: {TOLD}\nAI: Reply 1 of many.\n<recalled>")
    inner = LarimarRetrievalQA.from_chain_type(
        chat, retriever=retriever, chain_type_kwargs={"memory": buffer}
    )
    inner.invoke(AGAIN)
    assert [m.text for m in chat.prompts[2][1:5]] == [m.text for m in buffer.chat_memory.messages[:4]]
    last = ConversationBufferWindowMemory(chat_memory=buffer.chat_memory, k=1)
    LarimarRetrievalQA.from_llm(chat, retriever=retriever, conversation=last).invoke(AGAIN)
    assert [m.text for m in chat.prompts[3][1:-1]] == [AGAIN, "Reply 3 of many."]
    # RetrievalQA itself loads its memory, saves the turn, and shows the model nothing of it.
    buffer = ConversationBufferMemory()
    old = RetrievalQA.from_chain_type(chat, retriever=retriever, memory=buffer)
    old.invoke({"query": TOLD})
    old.invoke({"query": AGAIN})
    assert len(buffer.chat_memory.messages) == 4
    assert not any("I am Ana" in m.text for m in chat.prompts[5])


def test_a_memory_that_fills_in_text(notes: Larimar, store: Larimar) -> None:
    store.write(["Ana keeps parrots."])
    retriever = LarimarVectorStore(memory=store).as_retriever()
    recalling = VectorStoreRetrieverMemory(retriever=retriever, input_key="query")
    chat = numbered()
    qa = LarimarRetrievalQA.from_llm(chat, memory=notes, conversation=recalling)
    qa.invoke(QUESTION)
    assert chat.prompts[0][1] == HumanMessage("Ana keeps parrots.")
    assert store.stats().documents == 2
    qa.invoke(QUESTION)
    assert f"query: {QUESTION}\nresult: Reply 1 of many." in chat.prompts[1][1].text
    both = CombinedMemory(
        memories=[ConversationBufferMemory(memory_key=name, input_key="query") for name in "ab"]
    )
    qa = LarimarRetrievalQA.from_llm(chat, memory=notes, conversation=both)
    with pytest.raises(InputError, match=r"It fills in 'a', 'b', where one history is wanted\. Use a"):
        qa.invoke(QUESTION)


async def test_only_complete_turns_are_kept(notes: Larimar, store: Larimar) -> None:
    turns = LarimarMemory(store, "ana")
    qa = LarimarRetrievalQA.from_llm(numbered(), memory=notes, conversation=turns)
    for chunk in (stream := qa.stream(QUESTION)):
        if "result" in chunk:
            break
    stream.close()
    failing = LarimarRetrievalQA.from_llm(
        ScriptedChat(messages=iter(())), memory=notes, conversation=turns
    )
    with pytest.raises((StopIteration, RuntimeError)):
        failing.invoke(QUESTION)
    assert turns.all_lines() == []


def asked(memory: Larimar, monkeypatch: pytest.MonkeyPatch, qa: Any, *given: Any) -> str:
    """The prompt that the memory's own decoder is given for the last of the questions."""
    prompts, generate = list[str](), TransformersDecoder.generate

    def watched(self: TransformersDecoder, tokens: list[int], **options: Any) -> Any:
        prompts.append(self.tokenizer.decode(tokens))
        return generate(self, tokens, **options)

    with monkeypatch.context() as patched:
        patched.setattr(TransformersDecoder, "generate", watched)
        for each in given:
            qa.invoke(each, max_tokens=2)
    return prompts[-1]


def test_the_memorys_own_decoder(
    notes: Larimar, store: Larimar, monkeypatch: pytest.MonkeyPatch
) -> None:
    qa = LarimarRetrievalQA.from_llm(memory=notes)
    history = [
        *(HumanMessage("Hello, I am Ana."), AIMessage("", tool_calls=[])),
        *(ToolMessage("Noise.", tool_call_id="1"), AIMessage("Hello Ana.")),
    ]
    prompt = asked(notes, monkeypatch, qa, {"query": QUESTION, "chat_history": history})
    assert "<|im_start|>user\nHello, I am Ana.<|im_end|>\n<|im_start|>assistant\nHello Ana." in prompt
    assert prompt.index("Hello Ana.") < prompt.index("<recalled>") < prompt.index(QUESTION)
    assert "Noise" not in prompt
    turns = LarimarMemory(store, "ana")
    qa = LarimarRetrievalQA.from_llm(memory=notes, conversation=turns)
    prompt = asked(notes, monkeypatch, qa, TOLD, AGAIN)
    assert f"<|im_start|>user\n{TOLD}<|im_end|>" in prompt
    assert len(turns.all_lines()) == 4
    instructed = {"query": QUESTION, "chat_history": [SystemMessage("Be brief.")]}
    assert "Be brief." in asked(
        notes, monkeypatch, LarimarRetrievalQA.from_llm(memory=notes), instructed
    )


def test_a_budget_for_the_memorys_own_decoder(notes: Larimar) -> None:
    qa = LarimarRetrievalQA.from_llm(memory=notes, context_tokens=3)
    with pytest.raises(InputError, match="fits into 3 tokens"):
        qa.invoke(QUESTION)
    assert qa.invoke(QUESTION, context_tokens=500, max_tokens=1)["source_documents"]


@pytest.mark.parametrize("how", HOW)
async def test_only_outputs(notes: Larimar, chat: ScriptedChat, how: str) -> None:
    qa = LarimarRetrievalQA.from_llm(chat, memory=notes, k=1)
    output = await ask(qa, how, QUESTION, return_only_outputs=True)
    assert set(output) == {"result", "source_documents"}
    assert chat.options == [{}] or "return_only_outputs" not in chat.options[0]


def test_how_documents_are_written(notes: Larimar, chat: ScriptedChat) -> None:
    document_prompt = PromptTemplate.from_template("[{topic}] {page_content}")
    inner: dict[str, Any] = {"document_prompt": document_prompt, "document_separator": "\n--\n"}
    prompt = PromptTemplate.from_template("{context}\nQ: {question}")
    for options in ({"chain_type_kwargs": {**inner, "prompt": prompt}}, {**inner, "prompt": prompt}):
        qa = LarimarRetrievalQA.from_chain_type(chat, memory=notes, k=8, **options)
        documents = qa.invoke(QUESTION)["source_documents"]
        recalled = chat.prompts[-1][0].text.split("<recalled>\n")[1].split("\n</recalled>")[0]
        assert recalled.split("\n--\n") == [
            f"[{d.metadata['topic']}] {' '.join(d.page_content.split())}" for d in documents
        ]
    qa = LarimarRetrievalQA.from_llm(chat, memory=notes, k=8, **inner)
    qa.invoke(QUESTION)
    assert recalled.split("\n--\n")[::-1] == (
        chat.prompts[-1][1].text.split("<recalled>\n")[1].split("\n</recalled>")[0].split("\n--\n")
    )
    assert TEXTS["ops"][:20] in recalled


async def test_callbacks_tags_and_metadata(
    notes: Larimar, chat: ScriptedChat, capsys: pytest.CaptureFixture[str]
) -> None:
    class Watch(BaseCallbackHandler):
        def __init__(self) -> None:
            self.seen = list[tuple[Any, ...]]()

        def on_chain_start(self, *_: Any, **kwargs: Any) -> None:
            if kwargs["parent_run_id"] is None:
                self.seen.append((kwargs["name"], sorted(kwargs["tags"]), kwargs["metadata"]))

    own, other = Watch(), Watch()
    qa = LarimarRetrievalQA.from_llm(
        chat, memory=notes, callbacks=[own], tags=["a"], metadata={"m": 1}, verbose=True
    )
    for how in HOW:
        await ask(qa, how, QUESTION, {"callbacks": [other], "tags": ["b"], "metadata": {"n": 2}})
    assert own.seen == other.seen == [("LarimarRetrievalQA", ["a", "b"], {"m": 1, "n": 2})] * 4
    assert "Entering new LarimarRetrievalQA chain" in capsys.readouterr().out
    LarimarRetrievalQA.from_llm(chat, memory=notes, llm_chain_kwargs={"verbose": False}).invoke(
        QUESTION
    )
    assert capsys.readouterr().out == ""
    assert len(own.seen) == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"conversation": "ana"}, "It is a str, neither a LarimarMemory nor a classic chain's memory"),
        (
            {"conversation": True, "prompt": PromptTemplate.from_template("{context} {question}")},
            "It has a conversation, and its prompt has no place for one. Put chat_history into",
        ),
        (
            {"chain_type_kwargs": {"question_prompt": None}},
            "There is no inner chain that would take 'question_prompt'. Pass prompt,",
        ),
        ({"chain_type_kwargs": {"document_variable_name": "text"}}, "'document_variable_name'"),
        ({"llm_chain_kwargs": {"llm_kwargs": {}}}, r"options of a model with `llm\.bind"),
        ({"llm": None, "document_separator": "\n\n"}, "Give an llm, or leave out the prompts"),
    ],
)
def test_what_does_not_go_together(
    notes: Larimar, chat: ScriptedChat, fields: dict[str, Any], message: str
) -> None:
    given = {"llm": chat, "memory": notes, **fields}
    if given.get("conversation") is True:
        given["conversation"] = LarimarMemory(notes, "ana")
    with pytest.raises(InputError, match=message):
        LarimarRetrievalQA.from_chain_type(**given)


def test_one_history(notes: Larimar, store: Larimar, chat: ScriptedChat) -> None:
    qa = LarimarRetrievalQA.from_llm(chat, memory=notes, conversation=LarimarMemory(store, "ana"))
    with pytest.raises(InputError, match=r"has a conversation, .* Leave one of them out"):
        qa.invoke({"query": QUESTION, "chat_history": [("human", "Hello.")]})
    assert chat.prompts == []
    same = {"document_variable_name": "context"}
    assert LarimarRetrievalQA.from_chain_type(chat, memory=notes, chain_type_kwargs=same)
    prompt = PromptTemplate.from_template("{context} {question}")
    assert LarimarRetrievalQA.from_llm(chat, prompt, memory=notes).prompt is prompt
