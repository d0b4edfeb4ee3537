"""Documents in the order of first writing: pages, the newest, neighbours, those of an episode."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from larimar_memory.stores.base import Document, Episode, Where
from larimar_memory.stores.filters import Condition
from larimar_memory.stores.pages import LAST, Page, Words
from larimar_memory.stores.sqlite.queries import LISTED, SELECT_DOCUMENT, chosen, document_from

_SELECT_TEXT = f"{SELECT_DOCUMENT} AND d.characters > 0"
"""Worded so that SQLite goes by the index of documents with text, in their order."""


def texts_before(
    db: sqlite3.Connection, space: int | None, number: int | None, count: int
) -> list[Document]:
    """The last documents with text, newest first; with a number, those before that document."""
    sql = f"{_SELECT_TEXT} AND d.id < ? ORDER BY d.id DESC LIMIT ?"
    rows = db.execute(sql, (space, LAST if number is None else number, count)).fetchall()
    return [document_from(row) for row in rows]


def texts_around(db: sqlite3.Connection, space: int | None, name: str, reach: int) -> list[Document]:
    """A document with text between its neighbours; an empty list if there is no such document."""
    (number,) = db.execute(
        "SELECT max(id) FROM documents WHERE namespace_id = ? AND name = ? AND characters > 0",
        (space, name),
    ).fetchone()
    if number is None:
        return []
    sql = f"{_SELECT_TEXT} AND d.id >= ? ORDER BY d.id LIMIT ?"
    onwards = db.execute(sql, (space, number, reach + 1)).fetchall()
    before = texts_before(db, space, number, reach)
    return [*reversed(before), *(document_from(row) for row in onwards)]


_NUMBERED = SELECT_DOCUMENT.replace("d.namespace_id = ?", "+d.namespace_id = ?")
"""Worded so that SQLite goes by the documents' numbers, and not through a namespace."""


def texts_beside(
    db: sqlite3.Connection, space: int | None, names: Sequence[str], reach: int
) -> list[list[Document]]:
    """For each name, the documents with text around it in its episode, in order."""
    in_episode = "FROM documents n WHERE n.namespace_id = d.namespace_id AND n.episode = d.episode "
    far = (
        "(SELECT {}(id) FROM (SELECT n.id " + in_episode + "AND n.characters > 0 AND n.id {} LIMIT ?))"
    )
    named = "FROM json_each(?) AS w CROSS JOIN documents d ON d.namespace_id = ? AND d.name = w.value "
    own_rows = db.execute(
        f"SELECT w.key, d.name, d.id, NULL {named}", (json.dumps(names), space)
    ).fetchall()
    # In this order: the document of a name, then those of its episode, by the index of episodes.
    # Documents without an episode do not form one, and are not looked through.
    found = (
        own_rows
        + db.execute(
            f"SELECT w.key, d.name, d.id, o.id {named} AND +d.episode IS NOT NULL "
            "CROSS JOIN documents o ON o.namespace_id = d.namespace_id AND o.episode = d.episode "
            "AND o.episode IS NOT NULL AND o.characters > 0 AND o.id <> d.id "
            f"AND o.id >= coalesce({far.format('min', '< d.id ORDER BY n.id DESC')}, d.id) "
            f"AND o.id <= coalesce({far.format('max', '> d.id ORDER BY n.id')}, d.id)",
            (json.dumps(names), space, reach, reach),
        ).fetchall()
    )
    near: list[set[int]] = [set() for _ in names]
    for n, name, own, other in found:
        # SQLite reads a name in a list only up to its first NUL.
        if name == names[n]:
            near[n].add(own if other is None else other)
    listed = json.dumps(sorted(set[int]().union(*near)))
    rows = db.execute(f"{_NUMBERED} AND d.id IN {LISTED}", (space, listed)).fetchall()
    held = {row[0]: document_from(row) for row in rows}
    return [[held[number] for number in sorted(of)] for of in near]


def _passing(where: Where) -> Condition:
    return chosen(where, None)


_WORDS = Words(
    mark="?",
    space="?",
    named="d.name = ?",
    id=str,
    in_episode="d.episode = ?",
    matching="instr(lower(d.name), lower(?)) > 0",
    passing=_passing,
)


def page_of(db: sqlite3.Connection, space: int | None, count: int, page: Page) -> list[Document]:
    """The next documents of a page, at most `count`."""
    condition, given = _WORDS.on(page, space)
    # Numbers are chosen first, from an index alone: otherwise the metadata's texts are sorted, too.
    numbers = f"SELECT d.id FROM documents d WHERE {condition} ORDER BY d.id {page.order} LIMIT ?"
    sql = f"{_NUMBERED} AND d.id IN ({numbers}) ORDER BY d.id {page.order}"
    return [document_from(row) for row in db.execute(sql, (space, *given, count))]


def episodes_after(
    db: sqlite3.Connection, space: int | None, count: int, after: str | None
) -> list[Episode]:
    """The next episodes by name, each with its number of documents."""
    return [Episode(*row) for row in db.execute(*_WORDS.episodes_after(space, count, after))]
