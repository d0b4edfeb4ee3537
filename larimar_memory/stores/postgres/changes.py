"""The changes of the PostgreSQL store, inside transactions that have the namespace to themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import numpy as np

from larimar_memory.stores.base import Document, Key, Keys, WriteBatch
from larimar_memory.stores.filters import Condition
from larimar_memory.stores.key_form import KeyForm
from larimar_memory.stores.packing import pack
from larimar_memory.stores.postgres import words
from larimar_memory.stores.postgres.connection import Connection, together
from larimar_memory.stores.postgres.erasures import note
from larimar_memory.stores.postgres.filters import facts
from larimar_memory.stores.postgres.halfvec import dumped
from larimar_memory.stores.postgres.queries import document_in, namespace_number
from larimar_memory.stores.postgres.schema import digest, storable
from larimar_memory.types import Metadata, Segment

_DROPPED = 1_000
"""How many documents one statement drops."""

_COLUMNS = "digest, name, content_hash, characters, metadata, facts, complete, written_at, episode"
_TYPES = ("bytea", "text", "text", "bigint", "text", "text", "boolean", "text", "text")


def put_batches(
    db: Connection, name: str, batches: Sequence[WriteBatch], form: KeyForm, lazy: bool
) -> None:
    """Write batches to a namespace; a new namespace is made."""
    latents = [_packed(batch) for batch in batches]
    space = _namespace_for_writing(db, name)
    kept, replaced, documents = _last_said(batches, latents)
    numbers, known = _put_documents(db, space, [*documents.values()])
    _drop_segments(db, space, [numbers[id] for id in replaced if id in known])
    rows = [(numbers[batch.document.id], segment) for batch, _ in kept for segment in batch.segments]
    if not rows:
        return
    keys = np.concatenate([form.packed(np.asarray(b.keys)) for b, _ in kept if len(b.segments)])
    drawn = db.execute("SELECT nextval('segments_row') FROM generate_series(1, %s)", (len(rows),))
    ids = [row for (row,) in drawn]
    texts = [segment.text for _, segment in rows]
    entries, total = words.entries_of(ids, texts)
    with together(db):
        _put_segments(db, space, ids, rows, keys)
        words.put(db, space, entries)
        _count(db, space, len(rows), total)
        put_latents(db, space, *_there(ids, [latent for _, of in kept for latent in of]))
        if lazy:
            fine = [key for batch, _ in kept for key in _fine(batch)]
            there, made = _there(ids, fine)
            if there:
                put_fine_keys(db, space, there, np.array(made))


def _put_segments(
    db: Connection,
    space: int,
    ids: Sequence[int],
    rows: Sequence[tuple[int, Segment]],
    keys: np.ndarray,
) -> None:
    """Write segments, each with its document's number, and their keys."""
    texts = [segment.text for _, segment in rows]
    db.execute(
        "INSERT INTO segments SELECT i, %s, d, n, a, e, t, r, k FROM unnest(%b::bigint[], "
        "%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::text[], %s::bytea[], "
        "%b::halfvec[]) AS s (i, d, n, a, e, t, r, k)",
        (
            space,
            ids,
            [document for document, _ in rows],
            *([getattr(s, name) for _, s in rows] for name in ("index", "start", "end")),
            [text if storable(text) else text.replace("\0", "\ufffd") for text in texts],
            [None if storable(text) else text.encode() for text in texts],
            dumped(keys),
        ),
    )


def _last_said(
    batches: Sequence[WriteBatch], latents: Sequence[list[bytes | None]]
) -> tuple[list[tuple[WriteBatch, list[bytes | None]]], list[str], dict[str, Document]]:
    """The batches that no later one replaces, the ids of replaced documents, and all documents."""
    kept = list[tuple[WriteBatch, list[bytes | None]]]()
    replaced, documents = dict[str, None](), dict[str, Document]()
    for batch, of in zip(batches, latents, strict=True):
        id = batch.document.id
        if batch.replace:
            kept = [(other, its) for other, its in kept if other.document.id != id]
            replaced[id] = None
        kept.append((batch, of))
        documents[id] = batch.document
    return kept, [*replaced], documents


def _packed(batch: WriteBatch) -> list[bytes | None]:
    latents = [None] * len(batch.segments) if batch.latents is None else batch.latents
    return [None if latent is None else pack(latent) for latent in latents]


def _fine(batch: WriteBatch) -> Sequence[Key | None]:
    return [None] * len(batch.segments) if batch.fine is None else batch.fine


def _there(rows: Sequence[int], given: Sequence[Any]) -> tuple[list[int], list[Any]]:
    """The rows for which something is given, and what is given for them."""
    pairs = [(row, value) for row, value in zip(rows, given, strict=True) if value is not None]
    return [row for row, _ in pairs], [value for _, value in pairs]


def put_metadata(db: Connection, name: str, document_id: str, metadata: Metadata) -> None:
    """Replace the metadata of the document of that id, if there is one."""
    space, known = namespace_number(db, name), document_in(db, name, document_id)
    if space is not None and known is not None:
        _put_documents(db, space, [replace(known, metadata=metadata)])


def put_latents(db: Connection, space: int, rows: Sequence[int], latents: Sequence[bytes]) -> None:
    """Give the segments of those rows their latents; rows that are gone are ignored."""
    _put_beside(db, "latents (id, namespace_id, latent)", space, rows, latents, "bytea")


def put_fine_keys(db: Connection, space: int, rows: Sequence[int], keys: Keys) -> None:
    """Give the segments of those rows their fine keys; rows that are gone are ignored."""
    _put_beside(db, "fine_keys (id, namespace_id, key)", space, rows, dumped(keys), "halfvec")


def _put_beside(
    db: Connection, table: str, space: int, rows: Sequence[int], values: Sequence[Any], kind: str
) -> None:
    # If a row is given twice, its last value counts.
    given = dict(zip(rows, values, strict=True))
    if not given:
        return
    column = table.rpartition(" ")[2].rstrip(")")
    db.execute(
        f"INSERT INTO {table} SELECT s.id, s.namespace_id, g.value "
        f"FROM unnest(%b::bigint[], %b::{kind}[]) AS g (row, value) "
        "JOIN segments s ON s.id = g.row AND s.namespace_id = %s "
        f"ON CONFLICT (namespace_id, id) DO UPDATE SET {column} = excluded.{column}",
        ([*map(int, given)], [*given.values()], space),
    )


def drop_documents(db: Connection, name: str, chosen: Condition, to_purge: bool) -> int:
    """Delete documents that satisfy a condition, and the namespace if it is empty; returns how many.

    Args:
        to_purge: note that a purge is due.
    """
    space = namespace_number(db, name)
    if space is None:
        return 0
    condition, parameters = chosen
    found = db.execute(
        f"SELECT d.id FROM documents d WHERE d.namespace_id = %s AND {condition} ORDER BY d.id",
        (space, *parameters),
    ).fetchall()
    doomed = [number for (number,) in found]
    for at in range(0, len(doomed), _DROPPED):
        part = doomed[at : at + _DROPPED]
        _drop_segments(db, space, part)
        db.execute("DELETE FROM documents WHERE id = ANY(%s::bigint[])", (part,))
    if doomed:
        note(db, due=to_purge)
    db.execute(
        "DELETE FROM namespaces n WHERE id = %s "
        "AND NOT EXISTS (SELECT FROM documents d WHERE d.namespace_id = n.id)",
        (space,),
    )
    return len(doomed)


def _namespace_for_writing(db: Connection, name: str) -> int:
    known = namespace_number(db, name)
    if known is not None:
        return known
    row = db.execute(
        "INSERT INTO namespaces (digest, name) VALUES (%s, %s) RETURNING id", (digest(name), name)
    ).fetchone()
    return int(row[0]) if row else 0


def _put_documents(
    db: Connection, space: int, documents: Sequence[Document]
) -> tuple[dict[str, int], set[str]]:
    """Write documents' rows, replacing those of the same names.

    Returns:
        their numbers by name, and the names of those that were there.
    """
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    rows = [
        (
            digest(d.id),
            d.id,
            d.content_hash,
            d.characters,
            json.dumps(d.metadata, ensure_ascii=False, allow_nan=False, sort_keys=True),
            facts(d.metadata),
            d.complete,
            d.written_at or now,
            d.episode,
        )
        for d in documents
    ]
    arrays = ", ".join(f"%s::{kind}[]" for kind in _TYPES)
    changed = ", ".join(f"{c} = excluded.{c}" for c in _COLUMNS.split(", ")[2:])
    found = db.execute(
        f"INSERT INTO documents (namespace_id, {_COLUMNS}) "
        f"SELECT %s, {_COLUMNS.replace('facts', 'facts::jsonb')} "
        f"FROM unnest({arrays}) WITH ORDINALITY AS g ({_COLUMNS}, n) ORDER BY n "
        f"ON CONFLICT (namespace_id, digest) DO UPDATE SET {changed} "
        "RETURNING name, id, xmax::text <> '0'",
        (space, *([row[n] for row in rows] for n in range(len(_TYPES)))),
    ).fetchall()
    known = {name for name, _, was_there in found if was_there}
    if known:
        # What an update leaves behind is erased like what a deletion leaves.
        note(db)
    return {name: number for name, number, _ in found}, known


def _drop_segments(db: Connection, space: int, documents: Sequence[int]) -> None:
    """Delete documents' segments with all that belongs to them."""
    if not documents:
        return
    gone = db.execute(
        "WITH gone AS (DELETE FROM segments WHERE document_id = ANY(%s::bigint[]) "
        "RETURNING id, text, raw), "
        "f AS (DELETE FROM fine_keys WHERE namespace_id = %s AND id IN (SELECT id FROM gone)), "
        "z AS (DELETE FROM latents WHERE namespace_id = %s AND id IN (SELECT id FROM gone)) "
        "SELECT id, text, raw FROM gone ORDER BY id",
        ([*documents], space, space),
    ).fetchall()
    if not gone:
        return
    rows = [row for row, _, _ in gone]
    entries, total = words.entries_of(rows, [_said(text, raw) for _, text, raw in gone])
    words.take_out(db, space, entries)
    note(db)
    _count(db, space, -len(rows), -total, removal=True)


def _said(text: str, raw: bytes | None) -> str:
    return text if raw is None else bytes(raw).decode()


def _count(db: Connection, space: int, segments: int, total: int, *, removal: bool = False) -> None:
    db.execute(
        "UPDATE namespaces SET segments = segments + %s, words = words + %s, "
        "generation = generation + %s WHERE id = %s",
        (segments, total, int(removal), space),
    )
