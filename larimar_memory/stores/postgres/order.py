"""Documents in the order of first writing: pages, the newest, neighbours, those of an episode."""

from __future__ import annotations

from collections.abc import Sequence

from larimar_memory.stores.base import Document, Episode
from larimar_memory.stores.pages import LAST, Page, Words
from larimar_memory.stores.postgres.connection import Connection
from larimar_memory.stores.postgres.filters import chosen
from larimar_memory.stores.postgres.queries import DOCUMENT, SELECT_DOCUMENT, SPACE, document_from
from larimar_memory.stores.postgres.schema import digest


def texts_before(db: Connection, name: str, number: int, count: int) -> list[Document]:
    """The last documents with text before the document of a number, newest first."""
    sql = f"{SELECT_DOCUMENT} AND d.characters > 0 AND d.id < %s ORDER BY d.id DESC LIMIT %s"
    return [*map(document_from, db.execute(sql, (digest(name), number, count)))]


def last_texts(db: Connection, name: str, count: int) -> list[Document]:
    """The last documents with text, newest first."""
    return texts_before(db, name, LAST, count)


def texts_around(db: Connection, name: str, document_id: str, reach: int) -> list[Document]:
    """A document with text between its neighbours; an empty list if there is no such document."""
    row = db.execute(
        f"SELECT id FROM documents WHERE namespace_id = {SPACE} AND digest = %s AND characters > 0",
        (digest(name), digest(document_id)),
    ).fetchone()
    if row is None:
        return []
    sql = f"{SELECT_DOCUMENT} AND d.characters > 0 AND d.id >= %s ORDER BY d.id LIMIT %s"
    onwards = db.execute(sql, (digest(name), row[0], reach + 1)).fetchall()
    return [*texts_before(db, name, row[0], reach)[::-1], *map(document_from, onwards)]


def texts_beside(db: Connection, name: str, names: Sequence[str], reach: int) -> list[list[Document]]:
    """For each name, the documents with text around it in its episode, in order."""
    near = (
        "(SELECT n.id FROM documents n WHERE n.namespace_id = a.namespace_id AND n.episode = a.episode "
        "AND hashtextextended(n.episode, 0) = hashtextextended(a.episode, 0) "
        "AND n.characters > 0 AND n.id {} LIMIT %s)"
    )
    found = db.execute(
        f"SELECT {DOCUMENT}, w.n FROM unnest(%s::bytea[]) WITH ORDINALITY AS w (digest, n) "
        f"JOIN documents a ON a.namespace_id = {SPACE} AND a.digest = w.digest "
        f"CROSS JOIN LATERAL (SELECT a.id UNION ALL {near.format('< a.id ORDER BY n.id DESC')} "
        f"UNION ALL {near.format('> a.id ORDER BY n.id')}) AS o (id) "
        "JOIN documents d ON d.id = o.id ORDER BY w.n, d.id",
        ([digest(of) for of in names], digest(name), reach, reach),
    ).fetchall()
    beside: list[list[Document]] = [[] for _ in names]
    for *row, n in found:
        beside[n - 1].append(document_from(row))
    return beside


_WORDS = Words(
    mark="%s",
    space=SPACE,
    named="d.digest = %s",
    id=digest,
    # An index entry has no room for the longest names.
    in_episode="d.episode = %s AND hashtextextended(d.episode, 0) = hashtextextended(%s, 0)",
    matching='position(lower(%s COLLATE "C") IN lower(d.name)) > 0',
    passing=chosen,
)


def page_of(db: Connection, name: str, count: int, page: Page) -> list[Document]:
    """The next documents of a page, at most `count`."""
    condition, given = _WORDS.on(page, digest(name))
    sql = f"SELECT {DOCUMENT} FROM documents d WHERE {condition} ORDER BY d.id {page.order} LIMIT %s"
    return [*map(document_from, db.execute(sql, (*given, count)))]


def episodes_after(db: Connection, name: str, count: int, after: str | None) -> list[Episode]:
    """The next episodes by name, each with its number of documents."""
    return [Episode(*row) for row in db.execute(*_WORDS.episodes_after(digest(name), count, after))]
