"""Text indexes: FTS5 without the texts, one for each namespace, so that words and counts never mix.

An index is given words as `text.words` makes them, and cuts nothing further: questions and texts have
the same words, in every script. FTS5 keeps the stems of English words, in texts and questions alike:
"running" finds "runs". To take a segment out of an index, the same words are given again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from larimar_memory.text.words import indexed

OPTIONS = "content='', tokenize='porter ascii'"
"""The tokenizer takes characters beyond ASCII for letters, and the stemmer leaves them alone."""

OPTIONS_BEFORE = {
    2: "content='', tokenize='unicode61 remove_diacritics 2'",
    3: "content='', tokenize='ascii'",
}
"""The options in files of versions up to that one."""

WORDS = "words(CAST(text AS BLOB))"
"""The words of a segment's text, in SQL; the text as bytes, since damaged text may not be UTF-8."""


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
    """Make the indexes of all namespaces from the segments; those in `main` are replaced.

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
