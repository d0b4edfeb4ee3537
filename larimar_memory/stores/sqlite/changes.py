"""The changes of the SQLite store in SQL, inside transactions, and how values become columns."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import numpy as np

from larimar_memory.stores.base import Document, Key, Keys, Rows, WriteBatch
from larimar_memory.stores.filters import Condition
from larimar_memory.stores.key_form import KeyForm
from larimar_memory.stores.packing import pack
from larimar_memory.stores.sqlite import checksums, text_index
from larimar_memory.stores.sqlite.queries import (
    SELECT_DOCUMENT,
    document_from,
    namespace_number,
    next_row,
)
from larimar_memory.types import Metadata


def namespace_for_writing(db: sqlite3.Connection, name: str) -> int:
    """A namespace's number; a new namespace is made, with its text index."""
    known = namespace_number(db, name)
    if known is not None:
        return known
    cursor = db.execute("INSERT INTO namespaces (name) VALUES (?)", (name,))
    number = int(cursor.lastrowid or 0)
    seal = checksums.of_values(number, name)
    db.execute("UPDATE namespaces SET checksum = ? WHERE id = ?", (seal, number))
    text_index.create(db, number)
    return number


def put_document(db: sqlite3.Connection, space: int, document: Document) -> int:
    """Write a document's row, replacing that of the same name; returns its number."""
    columns = (
        document.id,
        document.content_hash,
        document.characters,
        json.dumps(document.metadata, ensure_ascii=False, allow_nan=False, sort_keys=True),
        int(document.complete),
        # The form of SQLite's CURRENT_TIMESTAMP.
        document.written_at or datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S"),
    )
    (number,) = db.execute(
        "INSERT INTO documents (namespace_id, name, content_hash, characters, metadata, complete, "
        "written_at, episode) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (namespace_id, name) "
        "DO UPDATE SET content_hash = excluded.content_hash, characters = excluded.characters, "
        "metadata = excluded.metadata, complete = excluded.complete, "
        "written_at = excluded.written_at, episode = excluded.episode RETURNING id",
        (space, *columns, document.episode),
    ).fetchone()
    seal = checksums.of_document((number, space, *columns, None, document.episode))
    db.execute("UPDATE documents SET checksum = ? WHERE id = ?", (seal, number))
    return int(number)


def put_metadata(db: sqlite3.Connection, namespace: str, name: str, metadata: Metadata) -> None:
    """Replace the metadata of the document of that name, if there is one."""
    space = namespace_number(db, namespace)
    row = db.execute(f"{SELECT_DOCUMENT} AND d.name = ?", (space, name)).fetchone()
    if row is not None and space is not None:
        put_document(db, space, replace(document_from(row), metadata=metadata))


def put_segments(
    db: sqlite3.Connection, space: int, held: Mapping[int, Sequence[WriteBatch]], form: KeyForm
) -> tuple[Rows, Keys]:
    """Write batches' segments, their words and, in a lazy file, the fine keys that they have.

    Args:
        held: batches with segments, by the numbers of their documents.

    Returns:
        Their rows, and their keys as they are stored.
    """
    first = row = next_row(db)
    keys = form.packed(np.concatenate([np.asarray(batch.keys) for of in held.values() for batch in of]))
    rows, keyed = list[tuple[Any, ...]](), dict[int, Key]()
    for document, batches in held.items():
        for batch in batches:
            own = keys[row - first :][: len(batch.keys)]
            none = [None] * len(batch.segments)
            beside = (none if given is None else given for given in (batch.latents, batch.fine))
            for s, key, latent, fine in zip(batch.segments, own, *beside, strict=True):
                place = (row, space, document, s.index, s.start, s.end, s.text)
                blob, packed = key.tobytes(), None if latent is None else pack(latent)
                seals = checksums.of_key(row, blob), checksums.of_blob(row, packed)
                rows.append((*place, blob, packed, checksums.of_segment(*place), *seals))
                if fine is not None:
                    keyed[row] = fine
                row += 1
    db.executemany(f"INSERT INTO segments VALUES ({', '.join('?' * 12)})", rows)
    # At once: a later batch may replace this one, and then takes its words out of the index.
    text_index.add(db, space, ((row[0], row[6]) for row in rows))
    if form.coarse and keyed:
        put_fine_keys(db, space, list(keyed), np.array(list(keyed.values())))
    return np.arange(first, first + len(rows)), form.of(keys)


def put_fine_keys(db: sqlite3.Connection, space: int | None, rows: Sequence[int], keys: Keys) -> None:
    """Give the segments of those rows their fine keys; rows that are gone are ignored."""
    blobs = [key.tobytes() for key in KeyForm(keys.shape[1]).packed(keys)]
    db.executemany(
        "INSERT OR REPLACE INTO fine_keys SELECT id, namespace_id, ?, ? FROM segments "
        "WHERE id = ? AND namespace_id = ?",
        [(key, checksums.of_key(row, key), row, space) for row, key in zip(rows, blobs, strict=True)],
    )


def drop_segments(db: sqlite3.Connection, space: int, document: int) -> list[int]:
    """Delete a document's segments with their words and fine keys; returns their rows."""
    there = "SELECT EXISTS (SELECT 1 FROM segments WHERE document_id = ?)"
    if not db.execute(there, (document,)).fetchone()[0]:
        return []
    text_index.take_out(db, space, document)
    of_document = "SELECT id FROM segments WHERE document_id = ?"
    db.execute(f"DELETE FROM fine_keys WHERE id IN ({of_document})", (document,))
    rows = db.execute("DELETE FROM segments WHERE document_id = ? RETURNING id", (document,))
    return [row for (row,) in rows.fetchall()]


def put_latents(
    db: sqlite3.Connection, space: int | None, rows: Sequence[int], latents: Sequence[bytes]
) -> None:
    """Give the segments of those rows their latents; rows that are gone are ignored."""
    db.executemany(
        "UPDATE segments SET latent = ?, latent_checksum = ? WHERE id = ? AND namespace_id = ?",
        [(z, checksums.of_blob(row, z), row, space) for row, z in zip(rows, latents, strict=True)],
    )


def drop_documents(
    db: sqlite3.Connection, space: int, chosen: Condition, names: set[str] | None
) -> tuple[int, list[int]]:
    """Delete documents that satisfy a condition and have one of the names; returns number and rows."""
    condition, parameters = chosen
    found = db.execute(
        f"SELECT d.id, d.name FROM documents d WHERE d.namespace_id = ? AND {condition}",
        [space, *parameters],
    ).fetchall()
    doomed = [number for number, name in found if names is None or name in names]
    removed = [row for document in doomed for row in drop_segments(db, space, document)]
    db.executemany("DELETE FROM documents WHERE id = ?", [(number,) for number in doomed])
    return len(doomed), removed


def drop_if_empty(db: sqlite3.Connection, space: int) -> bool:
    """Delete a namespace without documents, and its text index; returns whether it was deleted."""
    left = "SELECT EXISTS (SELECT 1 FROM documents WHERE namespace_id = ?)"
    if db.execute(left, (space,)).fetchone()[0]:
        return False
    db.execute(f"DROP TABLE fts_{space}")
    db.execute("DELETE FROM namespaces WHERE id = ?", (space,))
    return True
