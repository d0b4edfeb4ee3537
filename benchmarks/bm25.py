"""BM25 over words as SQLite's `unicode61` cuts them: FTS5 as it comes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable


def index(texts: Iterable[str]) -> sqlite3.Connection:
    """An index of the texts, in RAM; close it."""
    made = sqlite3.connect(":memory:")
    made.execute("CREATE VIRTUAL TABLE texts USING fts5(text)")
    made.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", enumerate(texts))
    return made


def best(index: sqlite3.Connection, question: str, k: int) -> list[int]:
    """Numbers of the k texts that match best, from 0, best first; any word of the question will do."""
    terms = " OR ".join('"' + word.replace('"', "") + '"' for word in question.split())
    found = index.execute(
        "SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rank, rowid LIMIT ?", (terms, k)
    )
    return [row for (row,) in found]
