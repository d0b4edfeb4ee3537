"""Memories for agents, without a language model: what they give back, to whom, and what they call."""

from __future__ import annotations

import pytest
from langchain_core.embeddings import Embeddings

from benchmarks.langmem_store import LangMem
from tests.network import cut_off

WORDS = ("ferry", "bread", "bell", "boat")
SAID = {f"{word} turn": f"Something about the {word}." for word in WORDS}


class Counted(Embeddings):
    """How often each word is in a text; of the texts of memories, what they were is kept."""

    def __init__(self) -> None:
        self.given = list[str]()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.given += texts
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return [*(float(text.count(word)) for word in WORDS), 0.1]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every attempt to reach another machine fails, and is noted."""
    return cut_off(monkeypatch)


@pytest.fixture
def kept(called: list[str], monkeypatch: pytest.MonkeyPatch) -> LangMem:
    """A store with nothing in it, where neither a network nor anyone's key is at hand."""
    pytest.importorskip("langmem")
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return LangMem(Counted())


def test_what_was_written_is_given_back_best_first(kept: LangMem, called: list[str]) -> None:
    kept.write("one", SAID)
    for id, text in SAID.items():
        assert kept.search("one", f"A question on the {id}", 1) == [(id, text)]
    assert kept.search("one", "bell, bell, and a boat", 2) == [
        ("bell turn", SAID["bell turn"]),
        ("boat turn", SAID["boat turn"]),
    ]
    assert sorted(kept.search("one", "bell", 10)) == sorted(SAID.items())
    assert called == []


def test_namespaces_do_not_meet(kept: LangMem) -> None:
    kept.write("one", SAID)
    kept.write("one more", {"another": "A ferry, a ferry, a ferry."})
    assert kept.search("one more", "ferry", 10) == [("another", "A ferry, a ferry, a ferry.")]
    assert len(kept.search("one", "ferry", 10)) == len(SAID)
    assert kept.search("none", "ferry", 10) == []


def test_equal_texts_are_memories_of_their_own(kept: LangMem) -> None:
    kept.write("one", {"first": "The bell.", "second": "The bell."})
    assert sorted(kept.search("one", "bell", 10)) == [("first", "The bell."), ("second", "The bell.")]


def test_texts_stay_as_they_are(kept: LangMem) -> None:
    odd = {
        "number": "17",
        "list": "[1, 2]",
        "template": "{conversation}",
        "none": "",
        "tongue": "Größe",
    }
    kept.write("one", odd)
    assert dict(kept.search("one", "{conversation}", 10)) == odd


def test_langmem_embeds_the_json_that_the_store_keeps() -> None:
    pytest.importorskip("langmem")
    embeddings = Counted()
    LangMem(embeddings).write("one", {"a": "The bell."})
    assert embeddings.given == ['{"content": "The bell."}']
