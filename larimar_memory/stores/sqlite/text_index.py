"""Text indexes: one for each namespace, so that neither words nor counts meet; FTS5 without the texts.

An index is given words as `text.words` makes them, and cuts at nothing else: a question's words are
those of the texts, in every script. FTS5 keeps the stems of English ones, of texts and questions alike:
"running" finds "runs". What an index was given is taken out of it by the same words.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from larimar_memory.text.words import indexed

OPTIONS = "content='', tokenize='porter ascii'"
"""The tokenizer takes what is beyond ASCII for letters, and the stemmer leaves it alone."""

OPTIONS_BEFORE = {
    2: "content='', tokenize='unicode61 remove_diacritics 2'",
    3: "content='', tokenize='ascii'",
}
"""Of files of versions up to that one."""

WORDS = "words(CAST(text AS BLOB))"
"""Of a segment's text in SQL; as bytes, for text that was damaged may be no UTF-8."""


def add_functions(db: sqlite3.Connection) -> None:
    """Let SQL on this connection make words."""
    db.create_function("words", 1, _words, deterministic=True)


def create(db: sqlite3.Connection, space: int, schema: str = "main") -> None:
    """Make a namespace's index, empty."""
    db.execute(f"CREATE VIRTUAL TABLE {schema}.fts_{space} USING fts5(text, {OPTIONS})")


def add(db: sqlite3.Connection, space: int, texts: Iterable[tuple[int, str]]) -> None:
    """Index segments by row and text."""
    given = ((row, indexed(text)) for row, text in texts)
    db.executemany(f"INSERT INTO fts_{space} (rowid, text) VALUES (?, ?)", given)


def take_out(db: sqlite3.Connection, space: int, document: int) -> None:
    """Take a document's segments out of the index, while they are still there."""
    db.execute(
        f"INSERT INTO fts_{space} (fts_{space}, rowid, text) "
        f"SELECT 'delete', id, {WORDS} FROM segments WHERE document_id = ?",
        (document,),
    )


def make_all(db: sqlite3.Connection, schema: str = "main") -> None:
    """Make the indexes of all namespaces from the segments; in place of those there are in `main`.

    Args:
        schema: `temp` keeps them with the connection, which then finds them in place of the file's.
    """
    for (space,) in db.execute("SELECT id FROM namespaces").fetchall():
        if schema == "main":
            db.execute(f"DROP TABLE IF EXISTS fts_{space}")
        create(db, space, schema)
        db.execute(
            f"INSERT INTO fts_{space} (rowid, text) "
            f"SELECT id, {WORDS} FROM segments WHERE namespace_id = ? ORDER BY id",
            (space,),
        )


def _words(text: bytes | None) -> str:
    return indexed((text or b"").decode("utf-8", "replace"))
