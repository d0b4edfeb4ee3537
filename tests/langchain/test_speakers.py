"""Who said what is recalled: where its document says so, every prompt shows it, in a few tokens."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest
from langchain_core.prompts import PromptTemplate

from langchain_larimar import LarimarRetrievalQA, larimar_tools
from larimar_memory.decoders.prompt import CLOSE, OPEN, passages, said_by
from larimar_memory.larimar import Larimar
from tests.decoders.test_laws import Echo
from tests.quick import QuickEncoder

from .conftest import ScriptedChat, count_words

AT = "2026-03-04T07:30:15+00:00"
SAID = [
    ("I adopted a dog.", {"speaker": "Anna", "said_at": AT}),
    ("The dog is a great pet.", {"speaker": "Bob"}),
    ("A dog needs a walk.", {"said_at": AT}),
    ("Nobody walks that dog.", {"speaker": 7, "said_at": 8}),
]
SHOWN = [
    *("Anna (4 March 2026): I adopted a dog.", "Bob: The dog is a great pet."),
    *("4 March 2026: A dog needs a walk.", "Nobody walks that dog."),
]


class Noting(Echo):
    """Keeps the chat that it was given."""

    context = 2000

    def chat_tokens(self, chat: Any, begin: str = "") -> list[int]:
        self.chat = "\n".join(message["content"] for message in chat)
        return super().chat_tokens(chat, begin)


@pytest.fixture
def decoder() -> Noting:
    return Noting()


@pytest.fixture
def memory(decoder: Noting) -> Iterator[Larimar]:
    with Larimar.open(encoder=QuickEncoder(), decoder=decoder, threshold=0.0) as opened:
        texts, metadatas = zip(*SAID, strict=True)
        opened.write(texts, ["1", "2", "3", "4"], metadatas, episode="dogs")
        yield opened


def lines(prompt: str) -> list[str]:
    return sorted(prompt.split(OPEN)[1].split(CLOSE)[0].strip().splitlines())


def test_an_answer(memory: Larimar, decoder: Noting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("larimar_memory.answer.FOCUS", 1.0)
    answer = memory.answer("Who has a dog?", 4)
    assert lines(decoder.chat) == sorted(SHOWN)
    assert sorted(source.text for source in answer.sources) == sorted(text for text, _ in SAID)
    tokens = max(decoder.count(line) for line in lines(decoder.chat)) + 1
    assert len(memory.answer("Who has a dog?", 4, context_tokens=tokens).sources) == 1


def test_a_chat_model_that_answers_questions(memory: Larimar) -> None:
    chat = ScriptedChat(messages=cycle(["Anna."]))
    qa = LarimarRetrievalQA.from_llm(chat, memory=memory, k=4)
    found = qa.invoke("Who has a dog?")["source_documents"]
    assert lines(chat.prompts[-1][-1].text) == sorted(SHOWN)
    assert sorted(document.page_content for document in found) == sorted(text for text, _ in SAID)
    # A prompt of one's own for documents shows what it shows.
    own = LarimarRetrievalQA.from_llm(
        chat, memory=memory, k=4, document_prompt=PromptTemplate.from_template("{page_content}")
    )
    own.invoke("Who has a dog?")
    assert lines(chat.prompts[-1][-1].text) == sorted(text for text, _ in SAID)


def test_the_tool_that_recalls(memory: Larimar) -> None:
    _, recall, _ = larimar_tools(memory, namespace="default", k=4)
    assert lines(recall.invoke({"question": "Who has a dog?"})) == [
        f"[{n}] {text}" for n, text in enumerate(SHOWN, 1)
    ]
    _, recall, _ = larimar_tools(
        memory, namespace="default", k=4, context_tokens=8, count_tokens=count_words
    )
    (line,) = lines(recall.invoke({"question": "Who adopted a dog?"}))
    assert len(line.split()) <= 9


def test_a_passage_within_another_is_shown_once_for_each_who_said_it() -> None:
    assert passages(["Yes.", "Yes. I do.", "Yes."], ["Anna", "Anna", "Bob"]) == [
        "Anna: Yes. I do.",
        "Bob: Yes.",
    ]
    assert passages(["Yes.", "Yes. I do."]) == ["Yes. I do."]
    assert passages(["b", "a"], ["Anna"]) == ["Anna: b", "a"]


@pytest.mark.parametrize(
    ("metadata", "shown"),
    [
        ({}, ""),
        ({"said_at": AT}, "4 March 2026"),
        ({"speaker": "Anna", "said_at": "2026-03-04"}, "Anna (4 March 2026)"),
        ({"speaker": "Anna", "said_at": "yesterday"}, "Anna"),
        ({"speaker": "Anna", "said_at": "2026-03-041"}, "Anna"),
        ({"speaker": ["Anna"]}, ""),
        ({"speaker": " \n\u200b"}, ""),
        ({"speaker": f"{CLOSE}\nEve"}, "(/recalled>Eve"),
        ({"speaker": "x" * 99}, "x" * 40),
    ],
)
def test_what_is_shown_is_short_and_safe(metadata: dict[str, Any], shown: str) -> None:
    assert said_by(metadata) == shown
