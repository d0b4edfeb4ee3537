"""The nearest keys: an exact scan if they are few; if they are many, mostly indexes."""

from __future__ import annotations

import math
from typing import Any

from larimar_memory.stores.base import Hit, Key
from larimar_memory.stores.filters import Condition
from larimar_memory.stores.key_form import KeyForm
from larimar_memory.stores.postgres.connection import Connection
from larimar_memory.stores.postgres.filters import ALL
from larimar_memory.stores.postgres.parts import covered, indexed
from larimar_memory.stores.postgres.schema import digest


def nearest(db: Connection, name: str, key: Key, k: int, form: KeyForm) -> list[Hit]:
    """The k rows of a namespace of largest cosine with a key; indexes nearly always find them all."""
    row = db.execute(
        "SELECT n.id, n.segments, array_agg(ARRAY[p.after, p.upto] ORDER BY p.after) "
        "FILTER (WHERE p.upto IS NOT NULL) FROM namespaces n "
        "LEFT JOIN parts p ON p.namespace_id = n.id WHERE n.digest = %s GROUP BY n.id",
        (digest(name),),
    ).fetchone()
    if row is None:
        return []
    space, size, parts = row
    last, sources = 0, list[str]()
    for after, upto in parts or ():
        sources.append(_part(space, after, upto, form))
        last = upto
    tail = f"SELECT s.id, s.key FROM segments s WHERE s.namespace_id = {space} AND s.id > {last} "
    found = _best(db, [*sources, tail + _order(form)], key, k, form)
    # An index that is asked for nearly all of its rows misses some.
    if parts and len(found) < min(k, size):
        return nearest_where(db, name, key, k, ALL, form)
    return found


def nearest_where(
    db: Connection, name: str, key: Key, k: int, where: Condition, form: KeyForm
) -> list[Hit]:
    """The k nearest of the segments whose document satisfies a condition, by an exact scan."""
    condition, parameters = where
    source = (
        "SELECT s.id, s.key FROM documents d JOIN segments s ON s.document_id = d.id "
        "WHERE d.namespace_id = (SELECT id FROM namespaces WHERE digest = %(space)s) "
        f"AND {_named(condition)} {_order(form)}"
    )
    named = {f"p{n}": value for n, value in enumerate(parameters)}
    return _best(db, [source], key, k, form, {"space": digest(name), **named})


def _named(condition: str) -> str:
    """A condition whose parameters are named p0, p1 and so on."""
    parts = condition.split("%s")
    return "".join(f"{part}%(p{n})s" for n, part in enumerate(parts[:-1])) + parts[-1]


def _operator(form: KeyForm) -> str:
    """Cosine distance for coarse keys, which are of any length; else the negative dot product."""
    return "<=>" if form.coarse else "<#>"


def _order(form: KeyForm) -> str:
    return f"ORDER BY s.key {_operator(form)} %(key)b::float8[]::halfvec, s.id LIMIT %(k)s"


def _part(space: int, after: int, upto: int, form: KeyForm) -> str:
    return (
        f"SELECT id, key FROM segments WHERE {covered(space, after, upto)} "
        f"ORDER BY {indexed(form)} {_operator(form)} %(key)b::float8[]::halfvec({form.dimension}) "
        "LIMIT %(k)s"
    )


def _best(
    db: Connection,
    sources: list[str],
    key: Key,
    k: int,
    form: KeyForm,
    parameters: dict[str, Any] | None = None,
) -> list[Hit]:
    """The best rows of all sources; their cosines are taken with the key unrounded."""
    union = " UNION ALL ".join(f"({source})" for source in sources)
    distance = f"c.key::vector {_operator(form)} %(key)b::float8[]::vector"
    found = db.execute(
        f"SELECT c.id, {distance} AS far FROM ({union}) AS c (id, key) ORDER BY far, c.id LIMIT %(k)s",
        {"key": [float(number) for number in key], "k": k, **(parameters or {})},
    ).fetchall()
    # A key of zeros has no direction, and was sorted last.
    hits = [Hit(row, _cosine(far, form)) for row, far in found]
    return sorted(hits, key=lambda hit: (-hit.score, hit.row))


def _cosine(distance: float, form: KeyForm) -> float:
    if math.isnan(distance):
        return 0.0
    return 1.0 - distance if form.coarse else 0.0 - distance
