"""Make a damaged memory file sound again, and say exactly what that cost."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from larimar_memory.errors import MemoryBusyError, MemoryFileError
from larimar_memory.stores.base import MakeKeys
from larimar_memory.stores.key_form import KeyForm
from larimar_memory.stores.packing import is_latent
from larimar_memory.stores.sqlite import checksums, schema, text_index
from larimar_memory.stores.sqlite.connecting import connect
from larimar_memory.stores.sqlite.failures import FAILURES, is_busy, understood
from larimar_memory.stores.sqlite.files import index_folder, remove, repairing
from larimar_memory.stores.sqlite.integrity import OnCheck, Report, check
from larimar_memory.stores.sqlite.salvage import (
    NOT_READ,
    NOT_WRITTEN,
    OTHER_SIZE,
    Row,
    looking,
    readable_text,
    rows,
)
from larimar_memory.stores.sqlite.store import SQLiteStore
from larimar_memory.system.locked_files import reading

_TWICE = "there is another of its name or place"
UNREADABLE = "damaged"
"""The content hash of a document that lost segments: no text has it, so any text can be written
again."""


@dataclass(slots=True)
class Repaired:
    """What a repair did.

    Attributes:
        before: what a check found; if the file was sound, nothing was done.
        backup: the file as it was, unless none was asked for.
        set_aside: a file of JSON lines with the rows that could not be kept, one a line.
        lost: how many rows of each kind are no longer in the memory.
        keys_made: how many damaged keys were made again from their text.
        incomplete: ids of documents, by namespace, that lack segments; writing them again heals them.
        after: what a check finds now.
    """

    before: Report
    backup: str | None = None
    set_aside: str | None = None
    lost: dict[str, int] = field(default_factory=dict)
    keys_made: int = 0
    incomplete: dict[str, list[str]] = field(default_factory=dict)
    after: Report | None = None

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-serialisable values."""
        before, after = self.before.to_dict(), self.after and self.after.to_dict()
        return {"changed": self.after is not None, **asdict(self), "before": before, "after": after}


def repair(
    path: Path, *, backup: bool = True, keys: MakeKeys | None = None, on_progress: OnCheck | None = None
) -> Repaired:
    """Keep every undamaged row, index the rows again, and set the damaged ones aside.

    A sound file is not touched. The rows set aside and the backup hold text: delete these files when
    you no longer need them.

    Args:
        backup: first copy the file and its log to `FILE.before-repair-TIME`, unless all there is to do
            is to erase forgotten content.
        keys: makes the keys that the file searches by, from texts; with it, segments with no other
            damage than to their key are kept.
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
    found = [f for f in done.before.findings if not f.harmless and not f.not_erased]
    with understood(path), ExitStack() as leaving:
        with closing(_alone(path)) as old:
            # Not before: until then, it may be that of another repair.
            leaving.callback(remove, new)
            if backup and done.before.damaged:
                done.backup = str(path.with_name(f"{path.name}.before-repair-{stamp}"))
                with reading(path) as source, open(done.backup, "wb") as copy:
                    shutil.copyfileobj(source, copy)
                shutil.copystat(path, done.backup)
                if log.exists():
                    shutil.copy2(log, f"{done.backup}-wal")
            in_place = True
            if any(finding.part != "vector index" for finding in found):
                aside = path.with_name(f"{path.name}.set-aside-{stamp}.jsonl")
                _rewrite(old, path, new, aside, done, keys)
                in_place = _put_in_place(new, old)
        if not in_place:
            # Before the new file is there: SQLite takes a log for that of the file beside it.
            remove(path, but_file=True)
            os.replace(new, path)
        leaving.close()
        shutil.rmtree(index_folder(path), ignore_errors=True)
        _index(path)
    done.after = check(path, on_progress)
    return done


def _put_in_place(new: Path, old: sqlite3.Connection) -> bool:
    """Replace the old file's contents with the new one's, under the lock that is held, all at once.

    A process that waits for that lock then finds the new contents; it would not if the file were
    replaced. Returns False if the old file is too damaged to be written to; then no other process can
    write either.
    """
    with closing(sqlite3.connect(new)) as made, suppress(*FAILURES):
        made.backup(old)
        return True
    return False


def _alone(path: Path) -> sqlite3.Connection:
    """A connection that keeps every other process out of the file, as far as its state allows."""
    there = f"{path.resolve().as_uri()}?mode=rw"
    db = connect(path, there, uri=True, isolation_level=None, timeout=0)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN IMMEDIATE")
        db.execute("COMMIT")
    except FAILURES as error:
        # If the file is too damaged to be locked, what can be read is saved all the same.
        if isinstance(error, sqlite3.Error) and is_busy(error):
            db.close()
            raise MemoryBusyError(
                f"The memory {path} cannot be repaired.",
                "Another process has it open.",
                "Close it there, and try again.",
            ) from error
    return db


def _rewrite(
    old: sqlite3.Connection, path: Path, new: Path, aside: Path, done: Repaired, keys: MakeKeys | None
) -> None:
    """Copy every undamaged row into a new file, and make its text indexes from them."""
    old.text_factory = readable_text
    schema.show_as_newest(old, schema.version_of(old, path))
    known = schema.about(old)
    if known.encoder is None:
        raise MemoryFileError(
            f"The memory {path} cannot be repaired.",
            "It does not say any more which encoder its keys are of.",
            "Restore a backup.",
        )
    remove(new)
    with closing(sqlite3.connect(new, isolation_level=None)) as made:
        # Contents that replace those of a file, under its lock, must have the same page size.
        (page_bytes,) = old.execute("PRAGMA page_size").fetchone()
        schema.format_new(made, page_bytes)
        made.execute("BEGIN IMMEDIATE")
        schema.create_tables(made)
        said = schema.rows_about(known.encoder, known.dimension, known.lazy)
        made.executemany("INSERT INTO meta VALUES (?, ?)", said.items())
        with aside.open("w", encoding="utf-8", errors="backslashreplace") as file:
            _Copying(old, made, KeyForm(known.dimension, known.lazy), file, done, keys).copy()
        if done.lost:
            done.set_aside = str(aside)
        text_index.add_functions(made)
        text_index.make_all(made)
        with suppress(*FAILURES):
            # No number is used twice, not even that of a lost row.
            made.executemany(
                "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?",
                old.execute("SELECT seq, name FROM sqlite_sequence").fetchall(),
            )
        made.execute("COMMIT")
        made.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    if not done.lost:
        aside.unlink()
    with new.open("rb+") as file:
        os.fsync(file.fileno())


@dataclass(slots=True)
class _Copying:
    """Copies rows from a file to a new one, and writes those that cannot be kept to a third."""

    old: sqlite3.Connection
    made: sqlite3.Connection
    form: KeyForm
    aside: TextIO
    done: Repaired
    keys: MakeKeys | None = None
    spaces: dict[int, str] = field(default_factory=dict)
    documents: dict[int, int] = field(default_factory=dict)

    def copy(self) -> None:
        """Copy all rows."""
        self._copy_namespaces()
        self._copy_documents()
        self._mark_incomplete(self._copy_segments())
        if self.form.coarse:
            self._copy_fine_keys()
        if schema.has_table(self.old, "receipts"):
            self._copy_receipts()

    def _copy_namespaces(self) -> None:
        for row in rows(self.old, "namespaces"):
            if row.values is None:
                self._put_aside(row, "namespaces", NOT_READ)
                continue
            # It says only which index files are of now, and those are made anew.
            row = row.but(generation=row["generation"] if type(row["generation"]) is int else 0)
            why = row.why_not("namespaces", self.form)
            if why is None and not self._insert("namespaces", row):
                why = _TWICE
            if why is None:
                self.spaces[row.number] = row["name"]
            elif row.number not in self.spaces:
                self._put_aside(row, "names of namespaces", why)
                self._recover(row.number, row["generation"])

    def _recover(self, space: int, generation: int) -> None:
        """Make a namespace in place of one whose name is lost, since its content is not."""
        name = f"recovered namespace {space}"
        while self.made.execute("SELECT 1 FROM namespaces WHERE name = ?", (name,)).fetchone():
            name += " again"
        values = (space, name, generation, checksums.of_values(space, name))
        self.made.execute("INSERT INTO namespaces VALUES (?, ?, ?, ?)", values)
        self.spaces[space] = name

    def _copy_documents(self) -> None:
        for row in rows(self.old, "documents"):
            if (why := row.why_not("documents", self.form)) is not None:
                self._put_aside(row, "documents", why)
                continue
            if row["namespace_id"] not in self.spaces:
                self._recover(row["namespace_id"], 0)
            if self._insert("documents", row):
                self.documents[row.number] = row["namespace_id"]
            elif row.number not in self.documents:
                self._put_aside(row, "documents", _TWICE)

    def _copy_segments(self) -> set[int]:
        """Copy the segments; returns the documents that are known to have lost some."""
        hurt, last = set[int](), 0
        for row in rows(self.old, "segments"):
            row = self._keyed(row)
            if (why := row.why_not("segments", self.form)) is not None:
                self._put_aside(row, "segments", why)
                hurt.add(row["document_id"])
            elif self.documents.get(row["document_id"]) != row["namespace_id"]:
                self._put_aside(row, "segments", "without its document")
            else:
                latent = row["latent"]
                if "latent" in row.wrong or not (latent is None or is_latent(latent)):
                    # A latent can be made again.
                    self._put_aside(row, "latents", NOT_WRITTEN)
                    row = row.but(latent=None, latent_checksum=None)
                if not self._insert("segments", row) and row.number != last:
                    self._put_aside(row, "segments", _TWICE)
                last = row.number
        return hurt

    def _keyed(self, row: Row) -> Row:
        """The segment with its key made again, if only its key is damaged and `keys` is given."""
        wrong = "key" in row.wrong or row.why_not("segments", self.form) == OTHER_SIZE
        if self.keys is None or not wrong or "row" in row.wrong:
            return row
        (key,) = self.form.packed(self.keys([row["text"]]))
        made = row.but(key=key.tobytes(), key_checksum=checksums.of_key(row.number, key.tobytes()))
        made = replace(made, wrong=tuple(what for what in row.wrong if what != "key"))
        self.done.keys_made += made.why_not("segments", self.form) is None
        return made

    def _copy_fine_keys(self) -> None:
        there = "SELECT 1 FROM segments WHERE id = ? AND namespace_id = ?"
        for row in rows(self.old, "fine_keys"):
            why = row.why_not("fine_keys", self.form)
            if (
                why is None
                and not self.made.execute(there, (row.number, row["namespace_id"])).fetchone()
            ):
                why = "without its segment"
            if why is None:
                self._insert("fine_keys", row)
            else:
                # A fine key can be made again.
                self._put_aside(row, "fine keys", why)

    def _copy_receipts(self) -> None:
        """Copy the receipts; if one cannot be kept, their chain shows that for good."""
        self.made.execute(schema.RECEIPTS)
        # So there is a number to begin with even if all are lost.
        self.made.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('receipts', 0)")
        for row in rows(self.old, "receipts"):
            if (why := row.why_not("receipts", self.form)) is not None:
                self._put_aside(row, "receipts", why)
            else:
                self._insert("receipts", row)

    def _insert(self, table: str, row: Row) -> bool:
        """Insert a row, unless there is one of its number or name; returns whether it was inserted."""
        values = tuple((row.values or {}).values())
        # A page that is in the file twice gives its rows twice.
        sql = f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(values))})"
        return self.made.execute(sql, values).rowcount > 0

    def _put_aside(self, row: Row, kind: str, why: str) -> None:
        self.done.lost[kind] = self.done.lost.get(kind, 0) + 1
        line = {"kind": kind, "why": why, "row": row.number, "values": row.values or {}}
        self.aside.write(json.dumps(line, ensure_ascii=False, default=bytes.hex) + "\n")

    def _mark_incomplete(self, hurt: set[int]) -> None:
        """Mark documents that lack segments as interrupted ones, which are written again in full."""
        found = self.made.execute(
            "SELECT d.id, d.namespace_id, d.name, d.characters, d.metadata, d.written_at, d.episode, "
            'count(s.id), max(s.position) + 1, max(s."end") FROM documents d '
            "LEFT JOIN segments s ON s.document_id = d.id WHERE d.complete GROUP BY d.id"
        ).fetchall()
        torn = any(finding.part == "file" for finding in self.done.before.findings)
        for number, space, name, characters, metadata, written, episode, count, wanted, end in found:
            short = (self.done.lost.get("segments") or torn) and characters > (end or 0)
            if number not in hurt and count == (wanted or 0) and not short:
                continue
            row = (number, space, name, UNREADABLE, characters, metadata, 0, written)
            self.made.execute(
                "UPDATE documents SET content_hash = ?, complete = 0, checksum = ? WHERE id = ?",
                (UNREADABLE, checksums.of_document((*row, None, episode)), number),
            )
            self.done.incomplete.setdefault(self.spaces[space], []).append(name)


def _index(path: Path) -> None:
    """Make the vector indexes from the rows, if there are enough rows for one."""
    with looking(path) as db:
        known = schema.about(db)
    with closing(SQLiteStore(path, encoder=known.encoder or "", dimension=known.dimension)) as store:
        nothing = np.zeros(known.dimension, dtype=np.float32)
        for name in store.namespaces():
            store.nearest(name, nothing, 1)
