"""What the SQLite store says in SQL, and how values become columns and come back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from larimar_memory.errors import EncoderMismatchError
from larimar_memory.store.base import Document, Hit, StoredSegment, Where, WriteBatch
from larimar_memory.store.filters import to_sql
from larimar_memory.store.packing import pack, unpack
from larimar_memory.types import Metadata

_KEY = np.dtype("<f2")
CHUNK = 4096
_VARIABLES = 500
SELECT_SEGMENT = (
    'SELECT s.id, d.name, s.position, s.start, s."end", s.text, d.metadata, s.key '
    "FROM segments s JOIN documents d ON d.id = s.document_id WHERE s.namespace_id = ?"
)


def namespace_number(db: sqlite3.Connection, name: str) -> int | None:
    """A namespace's number, or None if nothing was written to it."""
    row = db.execute("SELECT id FROM namespaces WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def namespace_for_writing(db: sqlite3.Connection, name: str) -> int:
    """A namespace's number, made with its text index if it is new."""
    known = namespace_number(db, name)
    if known is not None:
        return known
    cursor = db.execute("INSERT INTO namespaces (name) VALUES (?)", (name,))
    number = int(cursor.lastrowid or 0)
    # One text index per namespace: neither words nor their frequencies are shared.
    db.execute(
        f"CREATE VIRTUAL TABLE fts_{number} USING fts5(text, content='segments', "
        "content_rowid='id', tokenize='unicode61 remove_diacritics 2')"
    )
    return number


def generation_of(db: sqlite3.Connection, space: int) -> int:
    """How many deletions a namespace has seen."""
    row = db.execute("SELECT generation FROM namespaces WHERE id = ?", (space,)).fetchone()
    return int(row[0]) if row else 0


def bump_generation(db: sqlite3.Connection, space: int) -> None:
    """Note a deletion, so that an older index file is known to be stale."""
    db.execute("UPDATE namespaces SET generation = generation + 1 WHERE id = ?", (space,))


def next_row(db: sqlite3.Connection) -> int:
    """The number of the next segment: inside a transaction, nobody else takes it."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'segments'").fetchone()
    return int(row[0]) + 1 if row else 1


def drop_segments(db: sqlite3.Connection, space: int, document: int) -> list[int]:
    """Delete a document's segments and their words; returns their rows."""
    db.execute(
        f"INSERT INTO fts_{space} (fts_{space}, rowid, text) "
        "SELECT 'delete', id, text FROM segments WHERE document_id = ?",
        (document,),
    )
    rows = db.execute("DELETE FROM segments WHERE document_id = ? RETURNING id", (document,))
    return [row for (row,) in rows.fetchall()]


def keys_after(db: sqlite3.Connection, space: int | None, row: int) -> sqlite3.Cursor:
    """Rows and stored keys of a namespace above a row, ascending."""
    return db.execute(
        "SELECT id, key FROM segments WHERE namespace_id = ? AND id > ? ORDER BY id", (space, row)
    )


def existing_rows(db: sqlite3.Connection, rows: list[int]) -> set[int]:
    """Which of the rows are still there."""
    existing = set[int]()
    for chunk in chunks(rows):
        marks = ",".join("?" * len(chunk))
        found = db.execute(f"SELECT id FROM segments WHERE id IN ({marks})", chunk)
        existing.update(row for (row,) in found)
    return existing


def nearest_where(
    db: sqlite3.Connection, space: int, key: Float[np.ndarray, " d"], k: int, where: Where
) -> list[Hit]:
    """Exact scan of the segments whose document satisfies the filter, a chunk at a time."""
    condition, parameters = to_sql(where, "d.metadata")
    cursor = db.execute(
        "SELECT s.id, s.key FROM documents d JOIN segments s ON s.document_id = d.id "
        f"WHERE d.namespace_id = ? AND {condition}",
        [space, *parameters],
    )
    best = list[Hit]()
    while chunk := cursor.fetchmany(CHUNK):
        rows, keys = matrix_of(chunk)
        best += [Hit(int(r), float(s)) for r, s in zip(rows, keys @ key, strict=True)]
        best = sorted(best, key=lambda hit: (-hit.score, hit.row))[:k]
    return best


def matrix_of(pairs: list[tuple[int, bytes]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and keys of (row, blob) pairs, the keys as float32."""
    rows = np.array([row for row, _ in pairs], dtype=np.int64)
    keys = np.frombuffer(b"".join(key for _, key in pairs), dtype=_KEY)
    return rows, keys.reshape(len(pairs), -1).astype(np.float32)


def key_blobs(keys: Float[np.ndarray, "n d"]) -> Iterator[bytes]:
    """Keys as they are stored: float16, little-endian."""
    return (row.tobytes() for row in np.asarray(keys).astype(_KEY))


def latent_blobs(batch: WriteBatch) -> Iterator[bytes | None]:
    """Latents as they are stored, one per segment of the batch."""
    if batch.latents is None:
        return (None for _ in batch.segments)
    return (pack(latent) for latent in batch.latents)


def latents_of(db: sqlite3.Connection, space: int | None, rows: Sequence[int]) -> dict[int, np.ndarray]:
    """The latents of those rows that have one."""
    found = dict[int, np.ndarray]()
    for chunk in chunks(list(rows)):
        marks = ",".join("?" * len(chunk))
        sql = f"SELECT id, latent FROM segments WHERE namespace_id = ? AND id IN ({marks})"
        for row, blob in db.execute(sql, [space, *chunk]):
            if blob is not None:
                found[row] = unpack(blob)
    return found


def mismatch(path: Path, known: dict[str, str], mine: dict[str, str]) -> EncoderMismatchError:
    """The error for a file that was written with another encoder."""
    return EncoderMismatchError(
        f"The memory {path} cannot be opened with this sentence encoder.",
        f"It was written with encoder {known.get('encoder', 'unknown')[:12]} "
        f"({known.get('dimension', '?')} numbers a key), and this one is {mine['encoder'][:12]} "
        f"({mine['dimension']}); their keys cannot be compared.",
        "Open it with the encoder it was written with, or write the texts to a new memory.",
    )


def chunks(rows: list[int]) -> Iterator[list[int]]:
    """Lists short enough for one statement's parameters."""
    return (rows[i : i + _VARIABLES] for i in range(0, len(rows), _VARIABLES))


def quoted_term(term: str) -> str:
    """A word as an FTS5 string, in which nothing is an operator."""
    return '"' + term.replace('"', '""') + '"'


def to_json(metadata: Metadata) -> str:
    """Metadata as it is stored."""
    return json.dumps(metadata, ensure_ascii=False, allow_nan=False, sort_keys=True)


def document_from(row: tuple[Any, ...]) -> Document:
    """A document from its columns."""
    name, content_hash, characters, metadata, complete = row
    return Document(name, content_hash, characters, json.loads(metadata), bool(complete))


def segment_from(row: tuple[Any, ...]) -> StoredSegment:
    """A segment from the columns of `SELECT_SEGMENT`."""
    number, name, position, start, end, text, metadata, key = row
    vector = np.frombuffer(key, dtype=_KEY).astype(np.float32)
    return StoredSegment(number, name, position, start, end, text, json.loads(metadata), vector)
