"""Indexes of keys, each for a range of a namespace's rows, made of many rows at once.

Rows above the last range are searched exactly, and writing a segment updates no index. Once there are
many such rows, one index is made for them and for smaller ranges before them: so indexes are few, and
each row is indexed only a few times.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from larimar_memory.errors import MemoryFileError
from larimar_memory.stores.key_form import KeyForm
from larimar_memory.stores.postgres.connection import Connection, Database, try_lock, unlock
from larimar_memory.stores.postgres.schema import UPKEEP_LOCK, digest

log = logging.getLogger(__name__)

EXACT_LIMIT = 16_384
"""How many rows are searched exactly: in some 20 ms on one core, where an index takes three."""

_MANY_AT_ONCE, _LONGER = 1_024, 8
"""More writes are expected after a write of so many segments: then an index waits for so many times as
many rows, and the rest are indexed when the store is closed."""

_GROWTH = 2
"""A range is merged into the next if it has fewer than so many times as many rows."""

_DENSITY = "m = 12, ef_construction = 40"
"""Links of a row, and rows looked at for them. pgvector's own 16 and 64 take twice the time to make an
index, and find 99.4% of the 64 nearest keys of 46,000 in place of 98.5%."""

_MOST_NUMBERS = 4_000
"""The most numbers of a key that pgvector indexes."""


class Part(NamedTuple):
    """A range of a namespace's rows that has an index: those above `after`, up to `upto`."""

    space: int
    after: int
    upto: int
    segments: int

    @property
    def name(self) -> str:
        """The name of its index."""
        return f"segments_by_key_{self.space}_{self.after}_{self.upto}"


def limit(segments: int = 0) -> int:
    """The most rows that are searched exactly, after a write of so many segments."""
    return EXACT_LIMIT * (_LONGER if segments >= _MANY_AT_ONCE else 1)


def unindexed(db: Connection, name: str) -> int:
    """About how many rows of a namespace are searched exactly."""
    row = db.execute(
        "SELECT n.segments - coalesce(sum(p.segments), 0) FROM namespaces n "
        "LEFT JOIN parts p ON p.namespace_id = n.id WHERE n.digest = %s GROUP BY n.id",
        (digest(name),),
    ).fetchone()
    return 0 if row is None else int(row[0])


def parts_of(db: Connection, space: int) -> list[Part]:
    """The ranges of a namespace, in order."""
    found = db.execute(
        "SELECT namespace_id, after, upto, segments FROM parts WHERE namespace_id = %s ORDER BY after",
        (space,),
    )
    return [Part(*row) for row in found]


def index_tail(database: Database, name: str, form: KeyForm) -> None:
    """Make an index of the rows that are searched exactly, unless another process is making one."""
    if database.restricted or form.dimension > _MOST_NUMBERS:
        return
    try:
        with database.alone() as db:
            if try_lock(db, UPKEEP_LOCK):
                try:
                    _drop_stray(db)
                    _index_tail(db, name, form)
                finally:
                    unlock(db, UPKEEP_LOCK)
    except MemoryFileError as error:
        # Searches are exact without an index, and a later write tries again.
        log.warning("an index of %s is made later: %s", database.name, error)


def clear(database: Database) -> None:
    """Drop indexes that no namespace has any more, or that an interrupted process left unfinished."""
    if database.restricted or database.read_only:
        return
    with database.alone() as db:
        if try_lock(db, UPKEEP_LOCK):
            try:
                _drop_stray(db)
            finally:
                unlock(db, UPKEEP_LOCK)


def _index_tail(db: Connection, name: str, form: KeyForm) -> None:
    row = db.execute("SELECT id FROM namespaces WHERE digest = %s", (digest(name),)).fetchone()
    if row is None:
        return
    held = parts_of(db, row[0])
    after = held[-1].upto if held else 0
    size, upto = db.execute(
        "SELECT count(*), max(id) FROM segments WHERE namespace_id = %s AND id > %s", (row[0], after)
    ).fetchone() or (0, None)
    if upto is None or size <= EXACT_LIMIT:
        return
    while held and held[-1].segments < _GROWTH * size:
        taken = held.pop()
        after, size = taken.after, size + taken.segments
    made = Part(row[0], after, upto, size)
    kind = "halfvec_cosine_ops" if form.coarse else "halfvec_ip_ops"
    db.execute(
        f"CREATE INDEX CONCURRENTLY {made.name} ON segments USING hnsw ({indexed(form)} {kind}) "
        f"WITH ({_DENSITY}) WHERE {covered(made.space, made.after, made.upto)}"
    )
    with db.transaction():
        db.execute("DELETE FROM parts WHERE namespace_id = %s AND after >= %s", (made.space, after))
        db.execute("INSERT INTO parts VALUES (%s, %s, %s, %s)", made)
    _drop_stray(db)


def _drop_stray(db: Connection) -> None:
    db.execute("DELETE FROM parts WHERE namespace_id NOT IN (SELECT id FROM namespaces)")
    known = {Part(*row).name for row in db.execute("SELECT * FROM parts")}
    there = db.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'larimar'::regnamespace AND relkind = 'i' "
        r"AND relname LIKE 'segments\_by\_key\_%'"
    ).fetchall()
    for (index,) in there:
        if index not in known:
            db.execute(f"DROP INDEX CONCURRENTLY {index}")


def indexed(form: KeyForm) -> str:
    """The expression that an index is over."""
    return f"(key::halfvec({form.dimension}))"


def covered(space: int, after: int, upto: int) -> str:
    """The condition that a segment is in a range, as the range's index states it."""
    return f"namespace_id = {space} AND id > {after} AND id <= {upto}"
