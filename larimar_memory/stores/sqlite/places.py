"""The places of segments, who said them, and the keys near them, of many segments at once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from larimar_memory.stores.base import Key, Place, speaker_of
from larimar_memory.stores.key_form import KeyForm
from larimar_memory.stores.sqlite.queries import matrix_of


def indexed_count(db: sqlite3.Connection, space: int) -> int:
    """How many segments a namespace's text index holds; takes a tenth of the time of counting rows."""
    return int(db.execute(f"SELECT count(*) FROM fts_{space}_docsize").fetchone()[0])


def places_of(db: sqlite3.Connection, space: int | None, rows: Sequence[int]) -> list[Place]:
    """The places of the segments of those rows of a namespace."""
    found = db.execute(
        # By ascending row, which is how the table lies.
        "SELECT s.id, d.name, s.position, d.metadata, d.episode FROM json_each(?) AS w "
        "CROSS JOIN segments s ON s.id = w.value JOIN documents d ON d.id = s.document_id "
        "WHERE s.namespace_id = ?",
        (json.dumps(sorted({int(row) for row in rows})), space),
    ).fetchall()
    # Metadata are read only if they may say who spoke; those of ranked segments are checked later.
    spoke = {metadata: _speaker(metadata) for *_, metadata, _ in found}
    return [
        Place(row, name, at, spoke[metadata], episode) for row, name, at, metadata, episode in found
    ]


def _speaker(metadata: Any) -> str:
    if not isinstance(metadata, str) or '"speaker"' not in metadata:
        return ""
    try:
        return speaker_of(json.loads(metadata))
    except (ValueError, AttributeError, RecursionError):
        return ""


def keys_near(
    db: sqlite3.Connection, space: int | None, rows: Sequence[int], reach: int, form: KeyForm
) -> list[list[tuple[int, Key]]]:
    """For each row, the offsets and keys of the segments near it in its document, and its own."""
    found = db.execute(
        "SELECT w.key, s.position - a.position, s.id, s.key, s.key_checksum FROM json_each(?) AS w "
        "CROSS JOIN segments a ON a.id = w.value AND a.namespace_id = ? "
        "CROSS JOIN segments s ON s.document_id = a.document_id "
        "AND s.position >= a.position - ? AND s.position <= a.position + ?",
        (json.dumps([int(row) for row in rows]), space, reach, reach),
    ).fetchall()
    _, keys = matrix_of([(row, key, seal) for _, _, row, key, seal in found], form)
    near: list[list[tuple[int, Key]]] = [[] for _ in rows]
    for (n, step, *_), key in zip(found, keys, strict=True):
        near[n].append((step, key))
    return near
