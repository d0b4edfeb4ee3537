"""The queries of the SQLite store, and how columns become values."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import numpy as np

from larimar_memory.encoders.keys import cosines
from larimar_memory.errors import MemoryFileError
from larimar_memory.stores.base import Document, Hit, Key, Keys, Rows, Span, StoredSegment, Where
from larimar_memory.stores.filters import Condition, to_sql
from larimar_memory.stores.key_form import KeyForm
from larimar_memory.stores.packing import unpack
from larimar_memory.stores.pages import LAST
from larimar_memory.stores.sqlite import checksums
from larimar_memory.stores.sqlite.decoding import metadata_from, wrong_type
from larimar_memory.stores.sqlite.failures import Damaged
from larimar_memory.stores.sqlite.schema import TABLES, columns
from larimar_memory.types import Metadata
from larimar_memory.validate import check_ids

CHUNK = 4096

_OTHER_SIZE = "it is of another size"
LISTED = "(SELECT value FROM json_each(?))"
"""The values of a list that is one parameter: SQLite limits the number of parameters."""

_COUNT = "(SELECT count(*) FROM segments s WHERE s.document_id = d.id)"
SELECT_DOCUMENT = (
    f"SELECT {columns('documents', 'd.')}, {_COUNT} FROM documents d WHERE d.namespace_id = ? "
)
_SEGMENT = (
    f"{columns('documents', 'd.')}, s.id, d.namespace_id, d.id, s.position, s.start, "
    's."end", s.text, s.key, {latent}, s.checksum, s.key_checksum, {seal}, f.key, f.checksum'
)
"""A document's columns and a segment's; the segment's checksum tells whether it is of that document."""

_WITH_FINE = "LEFT JOIN fine_keys f ON f.id = s.id "
_DOCUMENT, _LATENT, _WIDTH = 10, 18, 22
"""How many columns a document has, where a segment's latent is, and how many both have."""


def namespace_number(db: sqlite3.Connection, name: str) -> int | None:
    """A namespace's number, or None if nothing was written to it."""
    row = db.execute("SELECT id, checksum FROM namespaces WHERE name = ?", (name,)).fetchone()
    if row is None:
        return None
    if checksums.of_values(row[0], name) != row[1]:
        raise Damaged(f"namespace {name!r}")
    return int(row[0])


def namespaces_of(db: sqlite3.Connection, name: str | None) -> list[tuple[str, int]]:
    """Names and numbers of all namespaces, sorted by name, or of the one of that name."""
    sql = f"SELECT {columns('namespaces')} FROM namespaces WHERE ? IS NULL OR name = ? ORDER BY name"
    found = db.execute(sql, (name, name)).fetchall()
    for row in found:
        if (why := _wrong_type("namespaces", row)) is not None:
            raise Damaged(f"namespace {row[1]!r}", why)
    return [(named, number) for number, named, *_ in found]


def counts(db: sqlite3.Connection, spaces: list[int]) -> tuple[int, int, int, int]:
    """Documents, segments, characters and fine keys in those namespaces."""
    documents, segments, characters, keyed = db.execute(
        f"SELECT count(*), (SELECT count(*) FROM segments WHERE namespace_id IN {LISTED}), "
        "coalesce(sum(characters), 0), "
        f"(SELECT count(*) FROM fine_keys WHERE namespace_id IN {LISTED}) "
        f"FROM documents WHERE namespace_id IN {LISTED}",
        [json.dumps(spaces)] * 3,
    ).fetchone()
    return documents, segments, characters, keyed


def rows_lacking(db: sqlite3.Connection, space: int | None, after: int, count: int) -> list[int]:
    """The next rows above one, ascending, that have no fine key."""
    found = db.execute(
        "SELECT s.id FROM segments s WHERE s.namespace_id = ? AND s.id > ? "
        "AND NOT EXISTS (SELECT 1 FROM fine_keys f WHERE f.id = s.id) ORDER BY s.id LIMIT ?",
        (space, after, count),
    )
    return [row for (row,) in found]


def generation_of(db: sqlite3.Connection, space: int) -> int:
    """How many deletions a namespace has seen."""
    row = db.execute("SELECT generation FROM namespaces WHERE id = ?", (space,)).fetchone()
    if row is not None and type(row[0]) is not int:
        raise Damaged(f"namespace {space}", "its generation is no number")
    return int(row[0]) if row else 0


def next_row(db: sqlite3.Connection) -> int:
    """The number of the next segment: inside a transaction, no other process takes it."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'segments'").fetchone()
    return int(row[0]) + 1 if row else 1


def live_rows(db: sqlite3.Connection, space: int, after: int, last: int) -> Rows:
    """Rows of a namespace that exist, greater than `after` and at most `last`."""
    found = db.execute(
        "SELECT id FROM segments WHERE namespace_id = ? AND id > ? AND id <= ?", (space, after, last)
    )
    return np.fromiter((row for (row,) in found), dtype=np.int64)


def any_row(db: sqlite3.Connection, space: int, after: int, last: int) -> bool:
    """Whether a namespace has a row that is greater than `after` and at most `last`."""
    sql = "SELECT EXISTS (SELECT 1 FROM segments WHERE namespace_id = ? AND id > ? AND id <= ?)"
    return bool(db.execute(sql, (space, after, last)).fetchone()[0])


def keys_after(db: sqlite3.Connection, space: int | None, row: int) -> list[tuple[int, bytes, int]]:
    """The next `CHUNK` rows above a row, ascending, with stored keys, for `matrix_of`.

    No more: a statement that is not read to its end keeps seeing the moment at which it began.
    """
    return db.execute(
        "SELECT id, key, key_checksum FROM segments WHERE namespace_id = ? AND id > ? "
        f"ORDER BY id LIMIT {CHUNK}",
        (space, row),
    ).fetchall()


def existing_rows(db: sqlite3.Connection, space: int, rows: list[int]) -> set[int]:
    """Which of the rows of a namespace are still there.

    Raises:
        Damaged: if the table has a row that the index of rows lacks.
    """
    # With the namespace, an index is read and no row of the table.
    sql = (
        "SELECT s.id FROM json_each(?) AS w CROSS JOIN segments s "
        "ON s.namespace_id = ? AND s.id = w.value"
    )
    there = {row for (row,) in db.execute(sql, (json.dumps(rows), space))}
    if gone := [row for row in rows if row not in there]:
        # A row that damage took out of the index would be forgotten without a word.
        table = f"SELECT id FROM segments NOT INDEXED WHERE id IN {LISTED} LIMIT 1"
        if (lost := db.execute(table, (json.dumps(gone),)).fetchone()) is not None:
            raise Damaged(f"row {lost[0]}", "an index lacks it")
    return there


def chosen(where: Where | None, ids: Sequence[str] | None) -> Condition:
    """The condition that a document `d` satisfies a filter, and has one of the ids.

    SQLite reads names in a list only up to a NUL, so the caller compares them once more.
    """
    condition, parameters = to_sql(where, "d.metadata")
    if ids is None:
        return condition, parameters
    names = check_ids(ids, "The documents cannot be chosen.")
    return f"{condition} AND d.name IN {LISTED}", [*parameters, json.dumps(names)]


def nearest_where(
    db: sqlite3.Connection, space: int, key: Key, k: int, where: Condition, form: KeyForm
) -> list[Hit]:
    """Exact scan of the segments whose document satisfies a condition, a chunk at a time."""
    condition, parameters = where
    cursor = db.execute(
        "SELECT s.id, s.key, s.key_checksum FROM documents d JOIN segments s ON s.document_id = d.id "
        f"WHERE d.namespace_id = ? AND {condition}",
        [space, *parameters],
    )
    best = list[Hit]()
    while chunk := cursor.fetchmany(CHUNK):
        rows, keys = matrix_of(chunk, form)
        best += [Hit(int(r), float(s)) for r, s in zip(rows, cosines(keys, key), strict=True)]
        # Not after every chunk: if k is large, sorting takes most of the time.
        if len(best) > 2 * (k + CHUNK):
            best = sorted(best, key=_rank)[:k]
    return sorted(best, key=_rank)[:k]


def _rank(hit: Hit) -> tuple[float, int]:
    return -hit.score, hit.row


def segment_count(db: sqlite3.Connection, space: int) -> int:
    """How many segments a namespace holds."""
    sql = "SELECT count(*) FROM segments WHERE namespace_id = ?"
    return int(db.execute(sql, (space,)).fetchone()[0])


def matrix_of(found: list[tuple[int, bytes, int]], form: KeyForm) -> tuple[Rows, Keys]:
    """Rows and keys of (row, blob, checksum) triples, the keys as float32.

    Raises:
        Damaged: if one of the keys is not what was written, or not of d numbers.
    """
    for row, key, seal in found:
        _check_key(row, key, seal, form)
    rows = np.array([row for row, _, _ in found], dtype=np.int64)
    return rows, form.unpacked([key for _, key, _ in found])


def segments_of(
    db: sqlite3.Connection, space: int | None, rows: Sequence[int], form: KeyForm, latents: bool
) -> list[StoredSegment]:
    """The segments of those rows of a namespace, in that order."""
    found = db.execute(
        f"SELECT {_columns(latents)} FROM segments s JOIN documents d ON d.id = s.document_id "
        f"{_WITH_FINE} WHERE s.namespace_id = ? AND s.id IN {LISTED}",
        (space, json.dumps([int(row) for row in rows])),
    )
    held = {segment.row: segment for segment in segments_from(found.fetchall(), form)}
    return [held[row] for row in rows if row in held]


def segments_in(
    db: sqlite3.Connection, space: int | None, spans: Sequence[Span], form: KeyForm, latents: bool
) -> list[list[StoredSegment]]:
    """The segments of each span of a namespace's documents, in order, all of one moment.

    Raises:
        Damaged: if one is not what was written, or one is missing inside a span.
    """
    # Joined in this order: a span names one document, whose segments are indexed by position.
    found = db.execute(
        f"SELECT {_columns(latents)}, w.key FROM json_each(?) AS w "
        "CROSS JOIN documents d ON d.namespace_id = ? AND d.name = json_extract(w.value, '$[0]') "
        "CROSS JOIN segments s ON s.document_id = d.id AND s.namespace_id = d.namespace_id "
        "AND s.position >= json_extract(w.value, '$[1]') "
        f"AND s.position <= coalesce(json_extract(w.value, '$[2]'), 9223372036854775807) {_WITH_FINE}",
        (json.dumps(spans), space),
    ).fetchall()
    held: list[list[StoredSegment]] = [[] for _ in spans]
    whole = set[str]()
    for row, segment in zip(found, segments_from(found, form), strict=True):
        # SQLite reads a name in a list only up to its first NUL.
        if segment.document_id == spans[row[-1]].document_id:
            held[row[-1]].append(segment)
        if row[6]:
            whole.add(segment.document_id)
    for segments in held:
        segments.sort(key=lambda segment: segment.index)
        places = [segment.index - segments[0].index for segment in segments]
        if places != list(range(len(places))) and segments[0].document_id in whole:
            raise Damaged(f"document {segments[0].document_id!r}")
    return held


def ranked(
    db: sqlite3.Connection, space: int, terms: Sequence[str], k: int, where: Condition | None
) -> list[Hit]:
    """The best segments of a namespace by BM25 over terms, of documents that satisfy a condition."""
    condition, parameters = where or ("1", [])
    joined = "JOIN segments s ON s.id = f.rowid JOIN documents d ON d.id = s.document_id "
    found = db.execute(
        f"SELECT f.rowid, -f.rank FROM fts_{space} f {joined if where else ''}"
        f"WHERE fts_{space} MATCH ? AND {condition} ORDER BY f.rank, f.rowid LIMIT ?",
        [" OR ".join(map(_quoted, terms)), *parameters, k],
    )
    return [Hit(int(row), float(score)) for row, score in found]


def frequencies(
    db: sqlite3.Connection, space: int, terms: Sequence[str], most: int | None
) -> list[int]:
    """How many segments of a namespace hold each of the terms; counting stops at `most`."""
    sql = f"SELECT count(*) FROM (SELECT 1 FROM fts_{space} WHERE fts_{space} MATCH ? LIMIT ?)"
    limit = LAST if most is None else most
    return [int(db.execute(sql, (_quoted(term), limit)).fetchone()[0]) for term in terms]


def _quoted(term: str) -> str:
    """A word as an FTS5 string, in which nothing is an operator."""
    return '"' + term.replace('"', '""') + '"'


def _columns(latents: bool) -> str:
    of = ("s.latent", "s.latent_checksum") if latents else ("NULL", "NULL")
    return _SEGMENT.format(latent=of[0], seal=of[1])


def document_from(row: tuple[Any, ...]) -> Document:
    """A document from the columns of `SELECT_DOCUMENT`.

    Raises:
        Damaged: if it is not what was written.
    """
    _check_document(row[:_DOCUMENT])
    _, _, name, content_hash, characters, _, complete, written, _, episode, count = row
    metadata = _metadata(row)
    return Document(name, content_hash, characters, metadata, bool(complete), written, count, episode)


def segments_from(rows: Sequence[tuple[Any, ...]], form: KeyForm) -> list[StoredSegment]:
    """Segments from rows that begin with the columns of a document and a segment.

    Raises:
        Damaged: if one, or its document, is not what was written.
    """
    checked = dict[int, tuple[Any, ...]]()
    for row in rows:
        document, segment = row[:_DOCUMENT], row[_DOCUMENT:_WIDTH]
        if checked.get(document[0]) != document:
            _check_document(document)
            checked[document[0]] = document
        what = f"segment {segment[3]} of document {document[2]!r}"
        wrong = checksums.wrong_in("segments", segment)
        if "row" in wrong:
            raise Damaged(what)
        if "key" in wrong:
            raise Damaged(f"the key of {what}")
        if not form.is_key(segment[7]):
            raise Damaged(f"the key of {what}", _OTHER_SIZE)
        if "latent" in wrong:
            raise Damaged(f"the latent of segment {segment[0]}")
        if form.coarse and row[_WIDTH] is not None:
            _check_key(segment[0], row[_WIDTH], row[_WIDTH + 1], KeyForm(form.dimension))
    keys = form.unpacked([row[_LATENT - 1] for row in rows])
    stored = [row[_WIDTH] for row in rows if form.coarse and row[_WIDTH] is not None]
    fine = iter(KeyForm(form.dimension).unpacked(stored))
    found = list[StoredSegment]()
    for row, key in zip(rows, keys, strict=True):
        number, _, _, position, start, end, text, _, latent = row[_DOCUMENT : _LATENT + 1]
        own = key if not form.coarse else None if row[_WIDTH] is None else next(fine)
        values = _metadata(row), own, _latent(number, latent), key if form.coarse else None
        found.append(StoredSegment(number, row[2], position, start, end, text, *values))
    return found


def _check_key(row: int, key: Any, seal: Any, form: KeyForm) -> None:
    what = f"the key of segment {row}"
    if not checksums.fits(checksums.of_key(row, key), seal):
        raise Damaged(what)
    if not form.is_key(key):
        raise Damaged(what, _OTHER_SIZE)


def _latent(row: int, blob: bytes | None) -> np.ndarray | None:
    try:
        return None if blob is None else unpack(blob)
    except MemoryFileError as error:
        raise Damaged(f"the latent of segment {row}", "it is no latent") from error


def _check_document(row: tuple[Any, ...]) -> None:
    what = f"document {row[2]!r}"
    if checksums.wrong_in("documents", row):
        raise Damaged(what)
    if (why := _wrong_type("documents", row)) is not None:
        raise Damaged(what, f"it has {why}")


def _wrong_type(table: str, row: tuple[Any, ...]) -> str | None:
    return wrong_type(table, dict(zip(TABLES[table], row, strict=True)))


def _metadata(row: tuple[Any, ...]) -> Metadata:
    try:
        return metadata_from(row[5])
    except ValueError as error:
        raise Damaged(f"document {row[2]!r}", f"its metadata is no JSON object ({error})") from error
