"""The queries of the PostgreSQL store, and how columns become values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from larimar_memory.stores.base import Document, Key, Keys, Place, Rows, Span, StoredSegment
from larimar_memory.stores.filters import Condition
from larimar_memory.stores.key_form import KeyForm
from larimar_memory.stores.packing import unpack
from larimar_memory.stores.postgres.connection import Connection
from larimar_memory.stores.postgres.halfvec import HalfVector, loaded
from larimar_memory.stores.postgres.schema import digest

CHUNK = 4096

SPACE = "(SELECT id FROM namespaces WHERE digest = %s)"
"""The number of a namespace, by its name's digest."""

DOCUMENT = (
    "d.id, d.name, d.content_hash, d.characters, d.metadata, d.complete, d.written_at, d.episode, "
    "(SELECT count(*) FROM segments s WHERE s.document_id = d.id)"
)
SELECT_DOCUMENT = f"SELECT {DOCUMENT} FROM documents d WHERE d.namespace_id = {SPACE}"

# Looked up row by row: a join may read all fine keys of the namespace for a few segments'.
_FINE = "(SELECT f.key FROM fine_keys f WHERE f.namespace_id = s.namespace_id AND f.id = s.id)"
_LATENT = "(SELECT z.latent FROM latents z WHERE z.namespace_id = s.namespace_id AND z.id = s.id)"
_SEGMENT = (
    f's.id, d.name, s.position, s.start, s."end", s.text, s.raw, d.metadata, s.key, {_FINE}, {{}}'
)


def namespace_number(db: Connection, name: str) -> int | None:
    """A namespace's number, or None if nothing was written to it."""
    row = db.execute("SELECT id FROM namespaces WHERE digest = %s", (digest(name),)).fetchone()
    return None if row is None else int(row[0])


def document_in(db: Connection, name: str, document_id: str) -> Document | None:
    """The document of that id in a namespace, or None."""
    sql = f"{SELECT_DOCUMENT} AND d.digest = %s"
    row = db.execute(sql, (digest(name), digest(document_id))).fetchone()
    return None if row is None else document_from(row)


def documents_after(
    db: Connection, name: str, number: int, chosen: Condition
) -> tuple[list[Document], int | None]:
    """The next documents above a number, and the last one's number if more may follow."""
    condition, parameters = chosen
    rows = db.execute(
        f"{SELECT_DOCUMENT} AND d.id > %s AND {condition} ORDER BY d.id LIMIT {CHUNK}",
        (digest(name), number, *parameters),
    ).fetchall()
    return [*map(document_from, rows)], rows[-1][0] if len(rows) == CHUNK else None


def document_from(row: Sequence[Any]) -> Document:
    """A document from the columns of `SELECT_DOCUMENT`."""
    _, name, content_hash, characters, metadata, complete, written, episode, count = row
    known = json.loads(metadata)
    return Document(name, content_hash, characters, known, complete, written, count, episode)


def segments_of(
    db: Connection, name: str, rows: Sequence[int], form: KeyForm, latents: bool
) -> list[StoredSegment]:
    """The segments of those rows of a namespace, in that order."""
    found = _binary(
        db,
        f"SELECT {_columns(latents)} FROM segments s JOIN documents d ON d.id = s.document_id "
        f"WHERE s.id = ANY(%s::bigint[]) AND s.namespace_id = {SPACE}",
        ([*map(int, rows)], digest(name)),
    )
    held = {segment.row: segment for segment in _segments_from(found, form)}
    return [held[row] for row in rows if row in held]


def segments_in(
    db: Connection, name: str, spans: Sequence[Span], form: KeyForm, latents: bool
) -> list[list[StoredSegment]]:
    """The segments of each span of a namespace's documents, in order, all of one moment."""
    found = _binary(
        db,
        f"SELECT {_columns(latents)}, w.n FROM unnest(%s::bytea[], %s::bigint[], %s::bigint[]) "
        "WITH ORDINALITY AS w (digest, first, last, n) "
        f"JOIN documents d ON d.namespace_id = {SPACE} AND d.digest = w.digest "
        "JOIN segments s ON s.document_id = d.id AND s.position >= w.first "
        "AND s.position <= coalesce(w.last, 9223372036854775807) ORDER BY w.n, s.position",
        (
            [digest(span.document_id) for span in spans],
            [span.first for span in spans],
            [span.last for span in spans],
            digest(name),
        ),
    )
    held: list[list[StoredSegment]] = [[] for _ in spans]
    for row, segment in zip(found, _segments_from(found, form), strict=True):
        held[row[-1] - 1].append(segment)
    return held


def places_of(db: Connection, name: str, rows: Sequence[int]) -> list[Place]:
    """The places of the segments of those rows of a namespace."""
    found = db.execute(
        "SELECT s.id, d.name, s.position, coalesce(CASE WHEN jsonb_typeof(d.facts -> 'speaker') = "
        "'string' THEN d.facts ->> 'speaker' END, ''), d.episode "
        "FROM segments s JOIN documents d ON d.id = s.document_id "
        f"WHERE s.id = ANY(%s::bigint[]) AND s.namespace_id = {SPACE}",
        ([*map(int, rows)], digest(name)),
    ).fetchall()
    return [Place(*row) for row in found]


def keys_near(
    db: Connection, name: str, rows: Sequence[int], reach: int, form: KeyForm
) -> list[list[tuple[int, Key]]]:
    """For each row, the offsets and keys of the segments near it in its document, and its own."""
    found = _binary(
        db,
        "SELECT w.n, s.position - a.position, s.key "
        "FROM unnest(%s::bigint[]) WITH ORDINALITY AS w (row, n) "
        f"JOIN segments a ON a.id = w.row AND a.namespace_id = {SPACE} "
        "JOIN segments s ON s.document_id = a.document_id "
        "AND s.position >= a.position - %s AND s.position <= a.position + %s",
        ([*map(int, rows)], digest(name), reach, reach),
    )
    near: list[list[tuple[int, Key]]] = [[] for _ in rows]
    for (n, step, _), key in zip(found, keys_from([key for *_, key in found], form), strict=True):
        near[n - 1].append((step, key))
    return near


def keys_after(db: Connection, name: str, row: int, form: KeyForm) -> tuple[Rows, Keys]:
    """The next rows of a namespace above a row, ascending, with the keys that the store searches by."""
    found = _binary(
        db,
        f"SELECT s.id, s.key FROM segments s WHERE s.namespace_id = {SPACE} AND s.id > %s "
        f"ORDER BY s.id LIMIT {CHUNK}",
        (digest(name), row),
    )
    rows = np.array([number for number, _ in found], dtype=np.int64)
    return rows, keys_from([key for _, key in found], form)


def rows_lacking(db: Connection, name: str, after: int, count: int) -> list[int]:
    """The next rows above one, ascending, that have no fine key."""
    found = db.execute(
        f"SELECT s.id FROM segments s WHERE s.namespace_id = {SPACE} AND s.id > %s AND NOT EXISTS "
        "(SELECT FROM fine_keys f WHERE f.namespace_id = s.namespace_id AND f.id = s.id) "
        "ORDER BY s.id LIMIT %s",
        (digest(name), after, count),
    )
    return [row for (row,) in found]


def generation_of(db: Connection, name: str) -> int:
    """A number that changes when rows are deleted; -1 if nothing was written."""
    row = db.execute(
        "SELECT id, generation FROM namespaces WHERE digest = %s", (digest(name),)
    ).fetchone()
    # The namespace's number is part of it: a namespace deleted and made again counts from the start.
    return -1 if row is None else (row[0] << 32) + int(row[1])


def size_of(db: Connection, name: str) -> int:
    """How many segments a namespace holds."""
    row = db.execute("SELECT segments FROM namespaces WHERE digest = %s", (digest(name),)).fetchone()
    return 0 if row is None else int(row[0])


def namespaces_of(db: Connection, name: str | None) -> list[tuple[str, int, int]]:
    """Names, numbers and segments of all namespaces, sorted by name, or of the one of that name."""
    condition, parameters = ("TRUE", ()) if name is None else ("digest = %s", (digest(name),))
    sql = f"SELECT name, id, segments FROM namespaces WHERE {condition} ORDER BY name"
    return db.execute(sql, parameters).fetchall()


def counts(db: Connection, spaces: list[int]) -> tuple[int, int, int]:
    """Documents, characters and fine keys in those namespaces."""
    row = db.execute(
        "SELECT count(*), coalesce(sum(characters), 0), "
        "(SELECT count(*) FROM fine_keys WHERE namespace_id = ANY(%s::bigint[])) "
        "FROM documents WHERE namespace_id = ANY(%s::bigint[])",
        (spaces, spaces),
    ).fetchone()
    return (0, 0, 0) if row is None else (int(row[0]), int(row[1]), int(row[2]))


def identity(db: Connection) -> tuple[str, ...] | None:
    """Values that identify this memory, whatever address it is reached by."""
    return db.execute(
        "SELECT current_database(), pg_postmaster_start_time()::text, "
        "'larimar.meta'::regclass::oid::text"
    ).fetchone()


def bytes_on_disk(db: Connection) -> int:
    """Bytes of the memory's tables and indexes."""
    row = db.execute(
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class "
        "WHERE relnamespace = 'larimar'::regnamespace AND relkind = 'r'"
    ).fetchone()
    return 0 if row is None else int(row[0])


def keys_from(held: Sequence[HalfVector], form: KeyForm) -> Keys:
    """The keys that columns of keys hold, float32."""
    return form.of(loaded(held, form.dimension))


def _binary(db: Connection, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with db.cursor(binary=True) as cursor:
        return cursor.execute(sql, parameters).fetchall()


def _columns(latents: bool) -> str:
    return _SEGMENT.format(_LATENT if latents else "NULL")


def _segments_from(rows: Sequence[Sequence[Any]], form: KeyForm) -> list[StoredSegment]:
    keys = keys_from([row[8] for row in rows], form)
    own = iter(keys_from([r[9] for r in rows if r[9] is not None], KeyForm(form.dimension)))
    found = list[StoredSegment]()
    for row, key in zip(rows, keys, strict=True):
        number, document, position, start, end, text, raw, metadata, _, fine, latent, *_ = row
        found.append(
            StoredSegment(
                number,
                document,
                position,
                start,
                end,
                text if raw is None else bytes(raw).decode(),
                json.loads(metadata),
                key if not form.coarse else None if fine is None else next(own),
                None if latent is None else unpack(bytes(latent)),
                key if form.coarse else None,
            )
        )
    return found
