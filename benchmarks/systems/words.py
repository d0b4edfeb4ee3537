"""BM25 alone: SQLite's full-text index over the segments that Larimar writes, and its prompt."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.session import Session
from benchmarks.systems.base import ANSWER_TOKENS, Piece, Reply, generated
from larimar_memory.decoders.prompt import messages, passage
from larimar_memory.text.segments import segment
from larimar_memory.text.words import indexed, query_terms

_K = 5


class Words:
    """Segments found by the words they share with the question; no encoder.

    Args:
        session: has the decoder.
        folder: where the file is made.
    """

    def __init__(self, session: Session, folder: Path) -> None:
        self._decoder = session.decoder
        self._file = sqlite3.connect(folder / "words.db")
        self._file.execute(
            "CREATE VIRTUAL TABLE pieces USING "
            "fts5(words, text UNINDEXED, document UNINDEXED, tokenize = 'ascii')"
        )

    def write(self, documents: Mapping[str, str]) -> None:
        rows = (
            (indexed(piece.text), piece.text, id)
            for id, text in documents.items()
            for piece in segment(text)
        )
        with self._file:
            self._file.executemany("INSERT INTO pieces VALUES (?, ?, ?)", rows)

    def update(self, id: str, text: str) -> None:
        self.forget(id)
        self.write({id: text})

    def forget(self, id: str) -> None:
        with self._file:
            self._file.execute("DELETE FROM pieces WHERE document = ?", [id])

    def read(self, question: str, k: int) -> list[Piece]:
        terms = " OR ".join(f'"{term}"' for term in query_terms(question))
        found = self._file.execute(
            "SELECT document, text FROM pieces WHERE pieces MATCH ? ORDER BY rank LIMIT ?", [terms, k]
        )
        return [Piece(document, text) for document, text in found]

    def ask(self, question: str, max_tokens: int = ANSWER_TOKENS, begin: str = "") -> Reply:
        started = time.perf_counter()
        found = dict.fromkeys(passage(piece.text) for piece in self.read(question, _K))
        prompt = self._decoder.chat_tokens(messages(question, [text for text in found if text]))
        return generated(self._decoder, prompt, max_tokens, started, ("\nQuestion:",), begin)

    def close(self) -> None:
        self._file.close()
