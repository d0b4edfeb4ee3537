"""Whether a memory file is sound: its rows, text indexes and vector indexes. Nothing is changed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from larimar_memory.errors import MemoryBusyError, MemoryFileError
from larimar_memory.stores.key_form import KeyForm
from larimar_memory.stores.packing import is_latent
from larimar_memory.stores.sqlite import text_index
from larimar_memory.stores.sqlite.connection import check_length
from larimar_memory.stores.sqlite.erasures import due
from larimar_memory.stores.sqlite.failures import FAILURES, UNEXPECTED
from larimar_memory.stores.sqlite.files import index_folder, listed, unlisted
from larimar_memory.stores.sqlite.parts import IndexFile, Part, checksum_of
from larimar_memory.stores.sqlite.queries import live_rows
from larimar_memory.stores.sqlite.salvage import NOT_READ, NOT_WRITTEN, Row, looking, rows
from larimar_memory.stores.sqlite.schema import STEMS_SINCE, WORDS_SINCE, about, has_table
from larimar_memory.stores.sqlite.wal import lost_commits
from larimar_memory.system.places import check_file

NOT_ERASED = "not erased"
"""The beginning of findings about forgotten text or keys that may be left. `purge` erases them, as does
opening the memory for writing and closing it."""

_ORPHANS = (
    "SELECT f.id, f.namespace_id FROM fine_keys f "
    "LEFT JOIN segments s ON s.id = f.id AND s.namespace_id = f.namespace_id WHERE s.id IS NULL"
)
_EXAMPLES = 5
_TOLD_EVERY = 2048

OnCheck = Callable[[str, int, int], None]
"""A function called with what is checked, how much of it is done, and how much there is."""


@dataclass(slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        part: "file", "log", "rows", "text index" or "vector index".
        what: its kind.
        count: how often it was found.
        examples: the first few.
        harmless: nothing is lost, and no answer is wrong: the next opening puts it right.
    """

    part: str
    what: str
    count: int = 0
    examples: list[str] = field(default_factory=list)
    harmless: bool = False

    @property
    def not_erased(self) -> bool:
        """Whether the finding is only that something forgotten may be left."""
        return self.what.startswith(NOT_ERASED)


@dataclass(slots=True)
class Report:
    """What a check found.

    Attributes:
        version: of the file's format; 0 if it is unknown.
        seconds: how long the check took.
    """

    path: str
    version: int = 0
    namespaces: int = 0
    documents: int = 0
    segments: int = 0
    latents: int = 0
    fine_keys: int = 0
    index_files: int = 0
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether everything is what was written, and nothing is left of what was forgotten."""
        return all(finding.harmless for finding in self.findings)

    @property
    def damaged(self) -> bool:
        """Whether something is lost or answers may be wrong, apart from what is not erased yet."""
        return any(not f.harmless and not f.not_erased for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-serialisable values."""
        return {"sound": self.sound, **asdict(self)}

    def add(self, part: str, what: str, example: str, *, harmless: bool = False) -> None:
        """Note one finding."""
        known = next((f for f in self.findings if (f.part, f.what) == (part, what)), None)
        if known is None:
            known = Finding(part, what, harmless=harmless)
            self.findings.append(known)
        known.count += 1
        if len(known.examples) < _EXAMPLES and example:
            known.examples.append(example)

    @contextmanager
    def noting(self, part: str, what: str) -> Iterator[None]:
        """A context that notes a finding if SQLite cannot read something."""
        try:
            yield
        except FAILURES as error:
            self.add(part, what, str(error))


def check(path: Path, on_progress: OnCheck | None = None) -> Report:
    """Check all of a memory file and say what is wrong with it; nothing is changed.

    Args:
        on_progress: see `OnCheck`.

    Raises:
        MemoryFileError: if there is no such file, or it is not a memory, or is of a newer release.
        MemoryBusyError: if another process keeps it from being read.
    """
    check_file(path, must_exist=True)
    report, started = Report(str(path)), time.perf_counter()
    try:
        check_length(path)
    except MemoryFileError as error:
        if "cut off" not in str(error):
            raise
        report.add("file", "cut off", error.why)
    if lost := lost_commits(path):
        report.add("log", "commits that cannot be read", f"{lost} of them", harmless=lost == 1)
    try:
        with looking(path) as db:
            (report.version,) = db.execute("PRAGMA user_version").fetchone()
            _check_structure(db, report)
            for space in sorted(_check_rows(db, report, on_progress or (lambda *_: None))):
                _check_words(db, space, report)
            # Index files of older versions are no longer used.
            if report.version >= STEMS_SINCE:
                _check_indexes(db, index_folder(path), report)
    except MemoryBusyError:
        raise
    except MemoryFileError as error:
        # A file without any other finding is perhaps not a memory at all.
        told = isinstance(error.__cause__, (*FAILURES, *UNEXPECTED))
        told = told and "cannot be opened" not in error.what
        if not (told or report.findings):
            raise
        report.add("file", "cannot be read", error.why)
    report.seconds = time.perf_counter() - started
    return report


def _check_structure(db: sqlite3.Connection, report: Report) -> None:
    for pragma, what in (
        ("integrity_check(100)", "pages that do not fit together"),
        ("foreign_key_check", "rows that belong to nothing"),
    ):
        with report.noting("file", what):
            for found in db.execute(f"PRAGMA {pragma}"):
                if found != ("ok",):
                    report.add("file", what, " ".join(map(str, found)))
    with report.noting("file", "notes of erasures that cannot be read"):
        # A purge that was not finished has left its note.
        if due(db):
            report.add("file", f"{NOT_ERASED}: what was forgotten", "")


def _check_rows(db: sqlite3.Connection, report: Report, tell: OnCheck) -> set[int]:
    """Check all rows; returns the namespaces."""
    form, total, what = KeyForm(0), 0, "what is said of the encoder"
    with report.noting("rows", what):
        known = about(db)
        form = KeyForm(known.dimension, known.lazy)
        if not known.whole:
            report.add("rows", what, known.encoder or "")
    with suppress(*FAILURES):
        (total,) = db.execute("SELECT count(*) FROM segments").fetchone()
    spaces, owner, whole = set[int](), dict[int, int](), set[int]()
    for row in rows(db, "namespaces"):
        report.namespaces += 1
        spaces.add(row.number)
        _note(report, row, "namespaces", f"namespace {row['name']!r}", form)
    for row in rows(db, "documents"):
        report.documents += row.values is not None
        owner[row.number] = row["namespace_id"]
        if row["complete"]:
            whole.add(row.number)
        _note(report, row, "documents", f"document {row['name']!r}", form)
    seen, held = 0, dict[int, tuple[int, int]]()
    for seen, row in enumerate(rows(db, "segments"), start=1):
        if seen % _TOLD_EVERY == 0:
            tell("segments", seen, max(seen, total))
        space, document, position = (row[of] for of in ("namespace_id", "document_id", "position"))
        named = f"segment {position} of document {document} (row {row.number})"
        _note(report, row, "segments", named, form)
        if row.values is None:
            continue
        report.segments += 1
        if "row" not in row.wrong and type(position) is int:
            if owner.get(document) != space or space not in spaces:
                report.add("rows", "segments without their document", named)
            else:
                count, last = held.get(document, (0, -1))
                held[document] = count + 1, max(last, position)
        if "latent" not in row.wrong and row["latent"] is not None:
            report.latents += 1
            if not is_latent(row["latent"]):
                report.add("rows", "latents of no known form", named)
    for row in rows(db, "fine_keys"):
        report.fine_keys += row.values is not None
        _note(report, row, "fine keys", f"the key of segment {row.number}", form)
    with report.noting("rows", "receipts that cannot be read"):
        if has_table(db, "receipts"):
            for row in rows(db, "receipts"):
                _note(report, row, "receipts", f"entry {row.number} of the receipts", form)
    with report.noting("rows", "fine keys that cannot be read"):
        for number, space in db.execute(_ORPHANS):
            what = f"{NOT_ERASED}: fine keys of segments that are no more"
            report.add("rows", what, f"segment {number} of namespace {space}")
    for document, (count, last) in held.items():
        if count <= last and document in whole:
            report.add("rows", "documents that lack segments", f"document {document}")
    tell("segments", max(seen, total), max(seen, total))
    return spaces


def _note(report: Report, row: Row, table: str, named: str, form: KeyForm) -> None:
    why = row.why_not(table.replace(" ", "_"), form)
    if why == NOT_READ:
        report.add("rows", f"{table} that cannot be read", f"row {row.number}")
        return
    for wrong in row.wrong:
        what = table if wrong == "row" or table == "fine keys" else f"{wrong}s"
        report.add("rows", f"{what} that are {NOT_WRITTEN}", named)
    if why is not None and why != NOT_WRITTEN:
        report.add("rows", why, named)


def _check_words(db: sqlite3.Connection, space: int, report: Report) -> None:
    """Index the namespace's texts again, outside the file, and compare the two indexes."""
    again = sqlite3.connect("", isolation_level=None)
    with closing(again), report.noting("text index", "cannot be read"):
        again.execute("BEGIN")
        how, given = text_index.OPTIONS, text_index.WORDS
        for version, before in text_index.OPTIONS_BEFORE.items():
            if report.version <= version:
                how = before
                break
        if report.version < WORDS_SINCE:
            given = "text"
        again.execute(f"CREATE VIRTUAL TABLE again USING fts5(text, {how})")
        sql = f"SELECT id, {given} FROM segments WHERE namespace_id = ? ORDER BY id"
        again.executemany("INSERT INTO again (rowid, text) VALUES (?, ?)", db.execute(sql, (space,)))
        again.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab('main', 'again', 'instance')")
        held = f"fts5vocab('main', 'fts_{space}', 'instance')"
        db.execute(f"CREATE VIRTUAL TABLE temp.words_{space} USING {held}")
        wanted = again.execute("SELECT term, doc, offset FROM words")
        for pair in zip_longest(wanted, db.execute(f"SELECT term, doc, offset FROM words_{space}")):
            if pair[0] != pair[1]:
                first = min(p for p in pair if p is not None)
                report.add("text index", "words that are not those of the rows", f"{first[0]!r}")
                break


def _check_indexes(db: sqlite3.Connection, folder: Path, report: Report) -> None:
    for left in unlisted(db, folder):
        report.index_files += left.suffix != ".tmp"
        what = "unfinished files" if left.suffix == ".tmp" else "files of another state"
        report.add("vector index", f"{NOT_ERASED}: {what}", left.name)
    for file in listed(db, folder):
        # The index is a cache: a backup is without it, and another process may replace it meanwhile.
        with suppress(FileNotFoundError):
            _check_index(db, file, report)
            report.index_files += 1


def _check_index(db: sqlite3.Connection, file: IndexFile, report: Report) -> None:
    if checksum_of(file.path) != file.checksum:
        report.add("vector index", "files that are not what was written", file.path.name)
        return
    if not (dimension := about(db).dimension):
        return
    try:
        held = Part.held(file, dimension).rows
    except ValueError as error:
        # If the file is gone, `stat` raises an error that the caller ignores.
        file.path.stat()
        report.add("vector index", "files that cannot be read", f"{file.path.name}: {error}")
        return
    there = live_rows(db, file.space, file.after, file.covers)
    for row in np.setdiff1d(there, held):
        report.add("vector index", "segments that are not in it", f"row {row}")
    for row in np.setdiff1d(held, there):
        report.add("vector index", f"{NOT_ERASED}: rows that are no more", f"row {row}")
