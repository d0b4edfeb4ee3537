"""What the conversations' benchmark compares: from a conversation to a ranking of its turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from benchmarks import bm25, previous
from benchmarks.faiss_store import FaissStore
from benchmarks.langmem_store import LangMem
from benchmarks.session import Session
from benchmarks.talks import Talk, as_text
from larimar_memory.answer import FOCUS, focused, text_within
from larimar_memory.larimar import Larimar
from larimar_memory.recall.search import RANKED as DEPTH
from larimar_memory.stores.base import StoredSegment
from larimar_memory.text.words import query_terms
from larimar_memory.types import AnswerOptions, ReadOptions, Readout

PREVIOUS = "the previous ranking"

MOST = 10
"""How many turns a ranking has."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a question brings back.

    Attributes:
        turns: ids, best first.
        texts: gives what is put in the prompt, which is not timed.
    """

    turns: Sequence[str]
    texts: Callable[[], Sequence[str]]


Ranking: TypeAlias = Callable[[str], Found]
"""From a question to what it brings back."""

System: TypeAlias = Callable[[Talk], Ranking]
"""Takes a conversation in, which is timed, and gives its ranking."""


class Memories(NamedTuple):
    """What systems of ours write and search: with its defaults, and with the encoder's keys at once."""

    own: Larimar
    eager: Larimar


class _Said(Protocol):
    """A segment, stored or recalled."""

    @property
    def document_id(self) -> str: ...


def _turns(read: Callable[[int], Sequence[_Said]], depth: int = DEPTH) -> list[str]:
    """The best turns by their best segment: more segments are read where several are of one turn."""
    k = depth
    while True:
        found = read(k)
        turns = list(dict.fromkeys(segment.document_id for segment in found))
        if len(turns) >= MOST or len(found) < k:
            return turns[:MOST]
        k *= 2


def _found(read: Callable[[int], Sequence[StoredSegment]], depth: int = DEPTH) -> Found:
    """The best turns, and the texts of as many segments as an answer reads by default."""
    return Found(_turns(read, depth), lambda: [segment.text for segment in read(ReadOptions().k)])


def _larimar(session: Session, memories: Memories, stack: ExitStack) -> System:
    memory = memories.own

    def system(talk: Talk) -> Ranking:
        memory.write_each(map(as_text, talk.turns), namespace=talk.id)
        return lambda question: recalled(memory, question, talk.id)

    return system


def _previous(session: Session, memories: Memories, stack: ExitStack) -> System:
    memory = memories.eager

    def search(talk: Talk, question: str) -> Found:
        def read(k: int) -> list[StoredSegment]:
            return previous.search(memory, question, k, talk.id)

        return _found(read, previous.CANDIDATES)

    def system(talk: Talk) -> Ranking:
        memory.write_each(map(as_text, talk.turns), namespace=talk.id)
        return lambda question: search(talk, question)

    return system


def _keys(session: Session, memories: Memories, stack: ExitStack) -> System:
    return lambda talk: lambda question: recalled(memories.eager, question, talk.id, hybrid=False)


def recalled(memory: Larimar, question: str, namespace: str, hybrid: bool = True) -> Found:
    """The best turns of a conversation for a question, and what an answer would be given."""
    readouts = list[Readout]()

    def read(k: int) -> Sequence[_Said]:
        readouts.append(memory.read(question, k, namespace=namespace, hybrid=hybrid, threshold=0))
        return readouts[-1].segments

    turns = _turns(read)
    # What an answer would be given, of the segments it reads by default.
    default = focused(readouts[0].segments[: ReadOptions().k], FOCUS)

    def texts() -> Sequence[str]:
        around = memory._recall.surroundings(ReadOptions(namespace=namespace), question)
        budget = AnswerOptions().context_tokens
        return text_within(budget, default, memory.decoder, around)[1]

    return Found(turns, texts)


def _words(session: Session, memories: Memories, stack: ExitStack) -> System:
    def search(talk: Talk, question: str) -> Found:
        store, terms = memories.own.store, query_terms(question)

        def read(k: int) -> list[StoredSegment]:
            return store.fetch(talk.id, [hit.row for hit in store.lexical(talk.id, terms, k)])

        return _found(read)

    return lambda talk: lambda question: search(talk, question)


def _bm25(session: Session, memories: Memories, stack: ExitStack) -> System:
    def system(talk: Talk) -> Ranking:
        index = stack.enter_context(closing(bm25.index(turn.text for turn in talk.turns)))
        return lambda question: _listed(
            [(talk.turns[row].id, talk.turns[row].text) for row in bm25.best(index, question, MOST)]
        )

    return system


def _faiss(session: Session, memories: Memories, stack: ExitStack) -> System:
    embeddings = session.langchain_embeddings

    def system(talk: Talk) -> Ranking:
        # Vectors of another system, or conversation, would be had for nothing.
        embeddings.clear()
        store = FaissStore(embeddings)
        store.add_texts([turn.text for turn in talk.turns], ids=[turn.id for turn in talk.turns])
        return lambda question: _listed(
            [(found.id or "", found.page_content) for found in store.similarity_search(question, MOST)]
        )

    return system


def _langmem(session: Session, memories: Memories, stack: ExitStack) -> System:
    embeddings = session.langchain_embeddings
    kept = LangMem(embeddings)

    def system(talk: Talk) -> Ranking:
        embeddings.clear()
        kept.write(talk.id, {turn.id: turn.text for turn in talk.turns})
        return lambda question: _listed(kept.search(talk.id, question, MOST))

    return system


def _listed(found: Sequence[tuple[str, str]]) -> Found:
    """Turns by id and text, best first: an answer is given as many as it reads by default."""
    return Found([id for id, _ in found], lambda: [text for _, text in found[: ReadOptions().k]])


SYSTEMS: dict[str, Callable[[Session, Memories, ExitStack], System]] = {
    "Larimar": _larimar,
    PREVIOUS: _previous,
    "keys alone": _keys,
    "words alone": _words,
    "BM25, unicode61": _bm25,
    "FAISS, the same encoder": _faiss,
    "LangMem, the same encoder": _langmem,
}
"""What is compared, by name, in order. Each is made of a session, the memories, and a stack for what it
has to close; later ones may search what those before them have written."""
