"""The word index: BM25 as SQLite's FTS5 has it, over the same words and stems.

For each stem of a namespace, `terms` counts the segments that hold it, and `postings` names them: one
row for each write, with the segments in which that write put the stem. A write of thousands of segments
makes one row per stem, and a question's words are scored from a few rows.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from larimar_memory.stores.base import Hit
from larimar_memory.stores.filters import Condition
from larimar_memory.stores.postgres.connection import Connection
from larimar_memory.stores.postgres.schema import digest
from larimar_memory.text.stems import stems
from larimar_memory.text.words import words

ENTRY = np.dtype([("row", "<i8"), ("count", "<i4"), ("length", "<i4")])
"""An entry of a posting: a segment, how often it holds the stem, and how many words it has."""

_K1, _B, _LEAST_IDF = 1.2, 0.75, 1e-6
"""The constants of FTS5; the last is the IDF of a word that most segments hold."""

_LONGEST = 200
"""The most characters of a stem for which an index entry has room in any script; a hash stands for
longer ones."""

Entries = dict[str, list[tuple[int, int, int]]]


def entries_of(rows: Sequence[int], texts: Sequence[str]) -> tuple[Entries, int]:
    """The index entries of segments, by stem, and how many words the segments have."""
    found, total = defaultdict[str, list[tuple[int, int, int]]](list), 0
    every = [words(text) for text in texts]
    different = list({word for said in every for word in said})
    key_of = dict(zip(different, _keys_of(different), strict=True)).__getitem__
    for row, said in zip(rows, every, strict=True):
        total += len(said)
        for stem, count in Counter(map(key_of, said)).items():
            found[stem].append((row, count, len(said)))
    return found, total


def put(db: Connection, space: int, entries: Entries) -> None:
    """Index segments whose rows are higher than all in the namespace."""
    if not entries:
        return
    # Sorted, so that two writers never wait for each other.
    stems = sorted(entries)
    blobs = [np.array(entries[stem], dtype=ENTRY).tobytes() for stem in stems]
    db.execute(
        "INSERT INTO postings SELECT %s, * FROM unnest(%b::text[], %b::bigint[], %b::bytea[])",
        (space, stems, [entries[stem][0][0] for stem in stems], blobs),
    )
    db.execute(
        "INSERT INTO terms AS t SELECT %s, * FROM unnest(%s::text[], %s::bigint[]) "
        "ON CONFLICT (namespace_id, stem) DO UPDATE SET segments = t.segments + excluded.segments",
        (space, stems, [len(entries[stem]) for stem in stems]),
    )


def take_out(db: Connection, space: int, entries: Entries) -> None:
    """Take segments out of the index, given the entries that `entries_of` makes of them."""
    if not entries:
        return
    gone = {stem: np.array([row for row, _, _ in entries[stem]]) for stem in sorted(entries)}
    spans = [[*gone], [int(of.min()) for of in gone.values()], [int(of.max()) for of in gone.values()]]
    # A row of the table holds the segments from its first one to before the first of the next row.
    touched = db.execute(
        "SELECT p.stem, p.first, p.entries FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) "
        "AS t (stem, low, high) CROSS JOIN LATERAL (SELECT * FROM postings p "
        "WHERE p.namespace_id = %s AND p.stem = t.stem AND p.first <= t.high AND p.first >= coalesce("
        "(SELECT max(q.first) FROM postings q WHERE q.namespace_id = %s AND q.stem = t.stem "
        "AND q.first <= t.low), t.low)) p",
        (*spans, space, space),
    ).fetchall()
    changed, emptied = list[tuple[str, int, bytes]](), list[tuple[str, int]]()
    for stem, first, blob in touched:
        held = np.frombuffer(blob, dtype=ENTRY)
        left = held[~np.isin(held["row"], gone[stem])]
        if not len(left):
            emptied.append((stem, first))
        elif len(left) < len(held):
            changed.append((stem, first, left.tobytes()))
    db.execute(
        "DELETE FROM postings p USING unnest(%s::text[], %s::bigint[]) AS t (stem, first) "
        "WHERE p.namespace_id = %s AND p.stem = t.stem AND p.first = t.first",
        ([stem for stem, _ in emptied], [first for _, first in emptied], space),
    )
    db.execute(
        "UPDATE postings p SET entries = t.entries FROM unnest(%s::text[], %s::bigint[], %s::bytea[]) "
        "AS t (stem, first, entries) "
        "WHERE p.namespace_id = %s AND p.stem = t.stem AND p.first = t.first",
        (*([row[n] for row in changed] for n in range(3)), space),
    )
    db.execute(
        "UPDATE terms t SET segments = t.segments - g.segments "
        "FROM unnest(%s::text[], %s::bigint[]) AS g (stem, segments) "
        "WHERE t.namespace_id = %s AND t.stem = g.stem",
        ([*gone], [len(of) for of in gone.values()], space),
    )
    db.execute(
        "DELETE FROM terms WHERE namespace_id = %s AND stem = ANY(%s::text[]) AND segments <= 0",
        (space, [*gone]),
    )


def frequencies(db: Connection, name: str, terms: Sequence[str], most: int | None) -> list[int]:
    """How many segments of a namespace hold each of the terms; counting stops at `most`."""
    keys = _keys_of(terms)
    held = dict(
        db.execute(
            "SELECT t.stem, t.segments FROM namespaces n JOIN terms t ON t.namespace_id = n.id "
            "WHERE n.digest = %s AND t.stem = ANY(%s::text[])",
            (digest(name), [*set(keys)]),
        ).fetchall()
    )
    counts = [int(held.get(key, 0)) for key in keys]
    return counts if most is None else [min(count, most) for count in counts]


def ranked(
    db: Connection, name: str, terms: Sequence[str], k: int, where: Condition | None
) -> list[Hit]:
    """The best segments of a namespace by BM25 over terms, of documents that satisfy a condition."""
    keys = Counter(_keys_of(terms))
    found = db.execute(
        "SELECT n.segments, n.words, t.stem, t.segments, p.entries FROM namespaces n "
        "JOIN terms t ON t.namespace_id = n.id AND t.stem = ANY(%s::text[]) "
        "JOIN postings p ON p.namespace_id = n.id AND p.stem = t.stem WHERE n.digest = %s",
        ([*keys], digest(name)),
    ).fetchall()
    if not found:
        return []
    rows, scores = _scored(found, keys)
    if where is not None:
        kept = _satisfying(db, name, rows, where)
        rows, scores = rows[kept], scores[kept]
    best = np.lexsort((rows, -scores))[:k]
    return [Hit(int(rows[n]), float(scores[n])) for n in best]


def _scored(
    found: Sequence[tuple[int, int, str, int, bytes]], keys: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and BM25 scores of postings; a stem that two terms share counts for both."""
    size, length = found[0][0], found[0][1] / found[0][0]
    every, parts = list[np.ndarray](), list[np.ndarray]()
    for _, _, stem, holding, blob in found:
        held = np.frombuffer(blob, dtype=ENTRY)
        idf = max(math.log((size - holding + 0.5) / (holding + 0.5)), _LEAST_IDF)
        count = held["count"].astype(np.float64)
        shorter = _K1 * (1 - _B + _B * held["length"] / length)
        every.append(held["row"])
        parts.append(keys[stem] * idf * count * (_K1 + 1) / (count + shorter))
    rows, places = np.unique(np.concatenate(every), return_inverse=True)
    return rows, np.bincount(places, np.concatenate(parts))


def _satisfying(db: Connection, name: str, rows: np.ndarray, where: Condition) -> np.ndarray:
    """Which of the rows are of documents that satisfy a condition."""
    condition, parameters = where
    found = db.execute(
        "SELECT s.id FROM segments s JOIN documents d ON d.id = s.document_id "
        "JOIN namespaces n ON n.id = d.namespace_id "
        f"WHERE n.digest = %s AND s.namespace_id = n.id AND s.id = ANY(%s::bigint[]) AND {condition}",
        (digest(name), rows.tolist(), *parameters),
    ).fetchall()
    return np.isin(rows, np.array([row for (row,) in found], dtype=np.int64))


def _keys_of(said: Sequence[str]) -> list[str]:
    """The stems of words as the tables have them."""
    return [
        stem if len(stem) <= _LONGEST else hashlib.sha256(stem.encode()).hexdigest()
        for stem in stems(said)
    ]
