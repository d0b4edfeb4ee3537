"""The files beside a memory file, and the list, inside it, of the index files that fit its rows.

A file is listed in a transaction that finds its rows as the file holds them, and taken off the list in
the one that deletes a row of it. So the list always fits the rows beside it, also after a crash and in
a restored backup. A file that it does not name is of another state and is never read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from larimar_memory.stores.sqlite.parts import IndexFile, index_file

ENDINGS = ("keys", "usearch", "tmp")
"""Endings of the names of index files, of those of versions before 4, and of unfinished ones."""

_TABLE = "CREATE TABLE IF NOT EXISTS index_files (name TEXT PRIMARY KEY) WITHOUT ROWID"


def index_folder(path: Path) -> Path:
    """The folder of a memory file's index files."""
    return path.with_name(f"{path.name}-vectors")


def listed(db: sqlite3.Connection, folder: Path | None, space: int | None = None) -> list[IndexFile]:
    """The listed files of one namespace, or of all, in the order of rows; none without a folder."""
    if folder is None:
        return []
    (there,) = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'index_files'").fetchone()
    # As bytes: a damaged name must not keep the memory from answering; the index is made again.
    names = db.execute("SELECT CAST(name AS BLOB) FROM index_files") if there else ()
    files = [index_file(folder / raw.decode("ascii", "replace")) for (raw,) in names if raw]
    known = [file for file in files if file is not None and space in (None, file.space)]
    return sorted(known, key=lambda file: (file.space, file.after, file.covers))


def enlist(db: sqlite3.Connection, file: IndexFile) -> list[Path]:
    """List a file, inside a transaction; returns the files it replaces, which shared rows with it."""
    db.execute(_TABLE)
    replaced = [
        other
        for other in listed(db, file.path.parent, file.space)
        if other.after < file.covers and file.after < other.covers and other != file
    ]
    _strike(db, replaced)
    db.execute("INSERT OR IGNORE INTO index_files VALUES (?)", (file.path.name,))
    return [other.path for other in replaced]


def delist(db: sqlite3.Connection, folder: Path | None, space: int, removed: list[int]) -> list[Path]:
    """Take files that may hold removed rows off the list, inside the transaction that removes them."""
    if not removed:
        return []
    rows = np.sort(np.array(removed, dtype=np.int64))
    held = [
        file
        for file in listed(db, folder, space)
        if np.searchsorted(rows, file.after, "right") < np.searchsorted(rows, file.covers, "right")
    ]
    _strike(db, held)
    return [file.path for file in held]


def unlisted(db: sqlite3.Connection, folder: Path) -> list[Path]:
    """The files in the folder of index files that are not listed, unfinished ones included."""
    names = {file.path.name for file in listed(db, folder)}
    found = [path for ending in ENDINGS for path in folder.glob(f"*.{ending}")]
    return sorted(path for path in found if path.name not in names)


def unlink(paths: Iterable[Path]) -> None:
    """Delete files; a process that has one mapped goes on reading it."""
    for path in paths:
        path.unlink(missing_ok=True)


def _strike(db: sqlite3.Connection, files: list[IndexFile]) -> None:
    # In a loop: if no file was ever listed, there is no table.
    for file in files:
        db.execute("DELETE FROM index_files WHERE name = ?", (file.path.name,))


def bytes_on_disk(path: Path | None) -> int:
    """Bytes of a memory file, its log and its indexes; files deleted meanwhile do not count."""
    if path is None:
        return 0
    files, size = [path], 0
    for folder, pattern in ((path.parent, f"{path.name}-*"), (index_folder(path), "*")):
        with suppress(FileNotFoundError):
            files += [file for file in folder.glob(pattern) if file.is_file()]
    for file in files:
        with suppress(FileNotFoundError):
            size += file.stat().st_size
    return size


def repairing(path: Path) -> Path:
    """The file that a repair of a memory file writes first, beside it."""
    return path.with_name(f"{path.name}.repairing")


def remove(path: Path, *, but_file: bool = False) -> None:
    """Delete a database and its log, as far as they exist; or the log alone."""
    for suffix in ("-wal", "-shm") if but_file else ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
