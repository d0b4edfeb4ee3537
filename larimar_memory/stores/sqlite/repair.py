"""Make a damaged memory file sound again, and say exactly what that cost."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from larimar_memory.errors import MemoryBusyError, MemoryFileError
from larimar_memory.stores.packing import is_latent
from larimar_memory.stores.sqlite import checksums, schema
from larimar_memory.stores.sqlite.decoding import fault
from larimar_memory.stores.sqlite.disk import remove, repairing
from larimar_memory.stores.sqlite.failures import FAILURES, understood
from larimar_memory.stores.sqlite.integrity import OnCheck, Report, check
from larimar_memory.stores.sqlite.listed import index_folder
from larimar_memory.stores.sqlite.meta import about, rows_about
from larimar_memory.stores.sqlite.salvage import COLUMNS, Row, looking, readable_text, rows
from larimar_memory.stores.sqlite.store import SQLiteStore

_NOT_READ = "cannot be read"
_TWICE = "there is another of its name or place"
UNREADABLE = "damaged"
"""The content hash of a document that lost segments: it is no text's, so any can be written again."""


@dataclass(slots=True)
class Repaired:
    """What a repair did.

    Attributes:
        before: what was found; where it is sound, nothing was done.
        backup: the file as it was, unless none was asked for.
        set_aside: a file of JSON lines with what could not be kept, a row each.
        lost: how many rows of each kind are not in the memory any more.
        incomplete: ids of documents, by namespace, that lack segments; writing them again heals them.
        after: what a check finds now.
    """

    before: Report
    backup: str | None = None
    set_aside: str | None = None
    lost: dict[str, int] = field(default_factory=dict)
    incomplete: dict[str, list[str]] = field(default_factory=dict)
    after: Report | None = None

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-serialisable values."""
        return {
            "changed": self.after is not None,
            "backup": self.backup,
            "set_aside": self.set_aside,
            "lost": self.lost,
            "incomplete": self.incomplete,
            "before": self.before.to_dict(),
            "after": None if self.after is None else self.after.to_dict(),
        }


def repair(path: Path, *, backup: bool = True, on_progress: OnCheck | None = None) -> Repaired:
    """Keep every row that is what was written, index it anew, and set the rest aside.

    A sound file is not touched. What is set aside, and the backup, hold text: delete them when they
    are of no more use.

    Args:
        backup: first copy the file and its log to `FILE.before-repair-TIME`, unless all there is to do
            is to erase what was forgotten.
        on_progress: see `OnCheck`.

    Raises:
        MemoryFileError: if nothing of it can be read, or there is no room.
        MemoryBusyError: if another process has it open.
    """
    done = Repaired(check(path, on_progress))
    if done.before.sound:
        return done
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
    log, new = path.with_name(path.name + "-wal"), repairing(path)
    rewritten = any(
        f.part != "vector index" and not f.harmless and not f.not_erased for f in done.before.findings
    )
    with understood(path), ExitStack() as leaving:
        with closing(_alone(path)) as old:
            # Not before: it may be that of another repair.
            leaving.callback(remove, new)
            if backup and done.before.damaged:
                done.backup = str(path.with_name(f"{path.name}.before-repair-{stamp}"))
                shutil.copy2(path, done.backup)
                if log.exists():
                    shutil.copy2(log, f"{done.backup}-wal")
            if rewritten:
                aside = path.with_name(f"{path.name}.set-aside-{stamp}.jsonl")
                _rewrite(old, path, new, aside, done)
            in_place = not rewritten or _put_in_place(new, old)
        if not in_place:
            # Before the new file is there: a log is taken for that of the file beside it.
            remove(path, but_file=True)
            os.replace(new, path)
        leaving.close()
        shutil.rmtree(index_folder(path), ignore_errors=True)
        _index(path)
    done.after = check(path, on_progress)
    return done


def _put_in_place(new: Path, old: sqlite3.Connection) -> bool:
    """Give the old file the contents of the new one, under the lock that is held, all at once.

    Whoever waits for that lock then finds the new contents, as it would not in a file put in its place.
    Returns False where the old file is too damaged to be written to; then nobody else can write either.
    """
    with closing(sqlite3.connect(new)) as made:
        try:
            made.backup(old)
        except FAILURES:
            return False
    return True


def _alone(path: Path) -> sqlite3.Connection:
    """A connection that keeps every other process out of the file, as far as the file lets it."""
    db = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0
    )
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN IMMEDIATE")
        db.execute("COMMIT")
    except FAILURES as error:
        # Where the file is so damaged that it cannot be locked, what can be read is saved all the same.
        if "locked" in str(error) or "busy" in str(error):
            db.close()
            raise MemoryBusyError(
                f"The memory {path} cannot be repaired.",
                "Another process has it open.",
                "Close it there, and try again.",
            ) from error
    return db


def _rewrite(old: sqlite3.Connection, path: Path, new: Path, aside: Path, done: Repaired) -> None:
    """Copy all that is what was written into a new file, with text indexes made of it."""
    known = _ready(old, path)
    remove(new)
    with closing(sqlite3.connect(new, isolation_level=None)) as made, _Aside(aside, done) as put_aside:
        # What takes the place of a file's contents, under its lock, must have its pages' size.
        (page_bytes,) = old.execute("PRAGMA page_size").fetchone()
        schema.format_new(made, page_bytes)
        made.execute("BEGIN IMMEDIATE")
        schema.create_tables(made)
        made.executemany("INSERT INTO meta VALUES (?, ?)", known.items())
        spaces = _copy_namespaces(old, made, put_aside)
        documents = _copy_documents(old, made, spaces, put_aside)
        dimension = int(known["dimension"])
        hurt = _copy_segments(old, made, documents, dimension, put_aside)
        _mark_incomplete(made, spaces, hurt, done)
        for space in spaces:
            schema.create_text_index(made, space)
            made.execute(
                f"INSERT INTO fts_{space} (rowid, text) "
                "SELECT id, text FROM segments WHERE namespace_id = ? ORDER BY id",
                (space,),
            )
        with suppress(*FAILURES):
            # No number is ever given twice, not even that of what was lost.
            made.executemany(
                "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?",
                old.execute("SELECT seq, name FROM sqlite_sequence").fetchall(),
            )
        made.execute("COMMIT")
        made.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    with new.open("rb+") as file:
        os.fsync(file.fileno())


def _ready(old: sqlite3.Connection, path: Path) -> dict[str, str]:
    old.text_factory = readable_text
    schema.show_as_newest(old, schema.version_of(old, path))
    known = about(old)
    if known.encoder is None:
        raise MemoryFileError(
            f"The memory {path} cannot be repaired.",
            "It does not say any more which encoder its keys are of.",
            "Restore a backup.",
        )
    return rows_about(known.encoder, known.dimension)


def _copy_namespaces(
    old: sqlite3.Connection, made: sqlite3.Connection, put_aside: _Aside
) -> dict[int, str]:
    spaces = dict[int, str]()
    for row in rows(old, "namespaces"):
        if row.values is None:
            put_aside(row, "namespaces", _NOT_READ)
            continue
        generation = row["generation"] if type(row["generation"]) is int else 0
        # It says only which index files are of now, and those are made anew.
        row = replace(row, values={**row.values, "generation": generation})
        why = _why_not(row, "namespaces")
        if why is None and not _insert(made, "namespaces", row):
            why = _TWICE
        if why is None:
            spaces[row.number] = row["name"]
        elif row.number not in spaces:
            put_aside(row, "names of namespaces", why)
            spaces[row.number] = _recovered(made, row.number, generation)
    return spaces


def _why_not(row: Row, table: str, dimension: int = 0) -> str | None:
    """Why a row cannot be kept; None if it can, but perhaps for its latent."""
    if row.values is None:
        return _NOT_READ
    if "row" in row.wrong or "key" in row.wrong:
        return "not what was written"
    return fault(table, row.values, dimension)


def _recovered(made: sqlite3.Connection, space: int, generation: int) -> str:
    """Make a namespace whose name is lost, for what is in it is not."""
    name = f"recovered namespace {space}"
    while made.execute("SELECT 1 FROM namespaces WHERE name = ?", (name,)).fetchone():
        name += " again"
    seal = checksums.of_values(space, name)
    made.execute("INSERT INTO namespaces VALUES (?, ?, ?, ?)", (space, name, generation, seal))
    return name


def _copy_documents(
    old: sqlite3.Connection, made: sqlite3.Connection, spaces: dict[int, str], put_aside: _Aside
) -> dict[int, int]:
    documents = dict[int, int]()
    for row in rows(old, "documents"):
        if (why := _why_not(row, "documents")) is not None:
            put_aside(row, "documents", why)
            continue
        space = row["namespace_id"]
        if space not in spaces:
            spaces[space] = _recovered(made, space, 0)
        if _insert(made, "documents", row):
            documents[row.number] = space
        elif row.number not in documents:
            put_aside(row, "documents", _TWICE)
    return documents


def _copy_segments(
    old: sqlite3.Connection,
    made: sqlite3.Connection,
    documents: dict[int, int],
    dimension: int,
    put_aside: _Aside,
) -> set[int]:
    """Copy the segments; returns the documents that are known to have lost some."""
    hurt, last = set[int](), 0
    for row in rows(old, "segments"):
        if (why := _why_not(row, "segments", dimension)) is not None:
            put_aside(row, "segments", why)
            hurt.add(row["document_id"])
        elif documents.get(row["document_id"]) != row["namespace_id"]:
            put_aside(row, "segments", "without its document")
        else:
            latent = row["latent"]
            if "latent" in row.wrong or not (latent is None or is_latent(latent)):
                put_aside(row, "latents", "not what was written")
                row = row.without_latent()
            if not _insert(made, "segments", row) and row.number != last:
                put_aside(row, "segments", _TWICE)
            last = row.number
    return hurt


def _insert(made: sqlite3.Connection, table: str, row: Row) -> bool:
    """Whether there was none of its number, or of its name, yet."""
    columns = ", ".join(f'"{name}"' for name in COLUMNS[table])
    marks = ", ".join("?" * len(COLUMNS[table]))
    # A page that is in the file twice holds its rows twice.
    cursor = made.execute(
        f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})",
        [row[name] for name in COLUMNS[table]],
    )
    return cursor.rowcount > 0


def _mark_incomplete(
    made: sqlite3.Connection, spaces: dict[int, str], hurt: set[int], done: Repaired
) -> None:
    """A document that lacks segments is as one whose writing was interrupted, but begins anew."""
    found = made.execute(
        "SELECT d.id, d.namespace_id, d.name, d.characters, d.metadata, d.written_at, "
        'count(s.id), max(s.position) + 1, max(s."end") FROM documents d '
        "LEFT JOIN segments s ON s.document_id = d.id WHERE d.complete GROUP BY d.id"
    ).fetchall()
    torn = any(finding.part == "file" for finding in done.before.findings)
    for number, space, name, characters, metadata, written, count, wanted, end in found:
        short = (done.lost.get("segments") or torn) and characters > (end or 0)
        if number not in hurt and count == (wanted or 0) and not short:
            continue
        columns = (name, UNREADABLE, characters, metadata, 0, written)
        made.execute(
            "UPDATE documents SET content_hash = ?, complete = 0, checksum = ? WHERE id = ?",
            (UNREADABLE, checksums.of_values(number, space, *columns), number),
        )
        done.incomplete.setdefault(spaces[space], []).append(name)


class _Aside:
    """Counts what could not be kept, and writes it to a file, made when there is something."""

    def __init__(self, path: Path, done: Repaired) -> None:
        self._path, self._done = path, done
        self._file: TextIO | None = None

    def __enter__(self) -> _Aside:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def __call__(self, row: Row, kind: str, why: str) -> None:
        if self._file is None:
            self._file = self._path.open("w", encoding="utf-8", errors="backslashreplace")
            self._done.set_aside = str(self._path)
        self._done.lost[kind] = self._done.lost.get(kind, 0) + 1
        values = {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in (row.values or {}).items()
        }
        line = {"kind": kind, "why": why, "row": row.number, "values": values}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _index(path: Path) -> None:
    """Make the vector indexes from the rows, where there are enough of them for one."""
    with looking(path) as db:
        known = about(db)
    store = SQLiteStore(path, encoder=known.encoder or "", dimension=known.dimension)
    try:
        nothing = np.zeros(known.dimension, dtype=np.float32)
        for name in store.namespaces():
            store.nearest(name, nothing, 1)
    finally:
        store.close()
