"""Notes and questions in Chinese, Japanese, Korean and Thai, which the default encoder does not know.

Beside Larimar, with both searches and with each alone: FAISS with the same encoder, and BM25 over words
as SQLite's `unicode61` cuts them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from benchmarks import bm25
from benchmarks.faiss_store import FaissStore
from benchmarks.notes import NOTES
from benchmarks.result import Bar, Figures, bar, rate, share
from benchmarks.session import Session
from larimar_memory.larimar import Larimar

PACKAGES = ("faiss-cpu", "langchain-huggingface")
K = 5

Ranking = Callable[[str], Sequence[str]]
"""The notes that answer a question, best first."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: notes of each language."""

    notes: int


FULL = Size(20)
QUICK = Size(5)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Ask for each note among those of all languages; then, for scope, where it was taken out."""
    notes = {language: pairs[: size.notes] for language, pairs in NOTES.items()}
    texts = [note for pairs in notes.values() for note, _ in pairs]
    figures: Figures = {"notes": len(texts), "languages": {name: {} for name in notes}}
    with session.open(None) as memory, closing(bm25.index(texts)) as index:
        memory.write(texts, ids=texts)
        faiss = FaissStore(session.langchain_embeddings)
        faiss.add_texts(texts)
        systems: dict[str, Ranking] = {
            "Larimar": lambda q: _read(memory, q),
            "Larimar, keys alone": lambda q: _read(memory, q, hybrid=False),
            "FAISS, the same encoder": lambda q: [
                d.page_content for d in faiss.similarity_search(q, K)
            ],
            "BM25, unicode61": lambda q: [texts[n] for n in bm25.best(index, q, K)],
        }
        for language, pairs in notes.items():
            figures["languages"][language] = {
                **{name: _found(pairs, ranked) for name, ranked in systems.items()},
                "scope": _scope(memory, pairs),
            }
            session.note(f"asked in {language}")
    bars = [
        bar(
            f"right note first, {language}, {len(notes[language])} questions",
            share(of["Larimar"]["first"]),
            ">= 0.95",
        )
        for language, of in figures["languages"].items()
    ]
    return figures, bars


def _read(memory: Larimar, question: str, hybrid: bool = True) -> list[str]:
    return [s.document_id for s in memory.read(question, K, hybrid=hybrid, threshold=0).segments]


def _found(pairs: Sequence[tuple[str, str]], ranked: Ranking) -> Figures:
    found = [(note, list(ranked(question))) for note, question in pairs]
    return {
        "first": rate([notes[:1] == [note] for note, notes in found]),
        "in_five": rate([note in notes for note, notes in found]),
    }


def _scope(memory: Larimar, pairs: Sequence[tuple[str, str]]) -> Figures:
    """Questions in scope with their note, and refused without it."""
    with_note = [memory.read(question).in_scope for _, question in pairs]
    without = list[bool]()
    for note, question in pairs:
        memory.forget(ids=[note], purge=False)
        without.append(not memory.read(question).in_scope)
        memory.write([note], ids=[note])
    return {"in_scope": rate(with_note), "refused_without_their_note": rate(without)}
