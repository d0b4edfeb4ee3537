"""Receipts of what was erased, in a memory file, and the search of its files for what was not."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from glob import escape
from pathlib import Path

from larimar_memory.stores.base import KeptReceipts, SearchedFile
from larimar_memory.stores.sqlite import checksums
from larimar_memory.stores.sqlite.failures import Damaged
from larimar_memory.stores.sqlite.schema import RECEIPTS, columns, has_table
from larimar_memory.system.pieces import Pieces, chunks_of

_BESIDE = ("-wal", "-journal", "-vectors", ".repairing*", ".before-repair-*", ".set-aside-*", ".*.tmp")
"""Endings of the names of what SQLite and the package write beside a memory file and what holds texts
or keys. The file that ends in -shm holds numbers of pages."""

_TEMPORARY = "etilqs_*"
"""SQLite's names for the temporary files of VACUUM and sorting; on POSIX, these have no name."""

_TEMPORARY_FOLDERS = ("/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108 - looked at, not written to


def kept(db: sqlite3.Connection) -> KeptReceipts:
    """All lines, and how many were ever added."""
    if not has_table(db, "receipts"):
        return KeptReceipts([], 0)
    rows = db.execute(f"SELECT {columns('receipts')} FROM receipts ORDER BY id").fetchall()
    added = db.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'receipts'").fetchone()[0]
    return KeptReceipts([_line(row) for row in rows], added or 0)


def add(db: sqlite3.Connection, make: Callable[[str | None], Sequence[str]]) -> None:
    """Add the lines that follow the last one, inside a transaction."""
    db.execute(RECEIPTS)
    sql = f"SELECT {columns('receipts')} FROM receipts ORDER BY id DESC LIMIT 1"
    last = db.execute(sql).fetchone()
    for line in make(None if last is None else _line(last)):
        number = int(db.execute("INSERT INTO receipts (body) VALUES (?)", (line,)).lastrowid or 0)
        seal = checksums.of_values(number, line)
        db.execute("UPDATE receipts SET checksum = ? WHERE id = ?", (seal, number))


def search(db: sqlite3.Connection, path: Path, pieces: Pieces) -> list[SearchedFile]:
    """Look for pieces in a memory file, in what lies beside it, and in SQLite's temporary files."""
    own = pieces.found_in([_own(db)])
    searched, files = list[SearchedFile](), dict[Path, Path]()
    for file in _files(path):
        # Each file once, by the first of its names.
        files.setdefault(file.resolve(), file)
    for file in files.values():
        try:
            size, found = file.stat().st_size, frozenset(pieces.found_in(chunks_of(file)) - own)
        except FileNotFoundError:
            # A temporary file, or one of an index that another process has replaced.
            continue
        except OSError:
            if not file.exists():
                continue
            size, found = 0, None
        beside = file.is_relative_to(path.parent)
        name = file.relative_to(path.parent) if beside else file
        searched.append(SearchedFile(name.as_posix(), size, found))
    return searched


def _files(path: Path) -> Iterator[Path]:
    # If the path is a link, SQLite's log is beside the file that it leads to.
    for file in dict.fromkeys((path, path.resolve())):
        yield file
        beside = [other for ending in _BESIDE for other in file.parent.glob(escape(file.name) + ending)]
        inside = [other for folder in beside if folder.is_dir() for other in folder.rglob("*")]
        yield from sorted(other for other in (*beside, *inside) if other.is_file())
    told = [os.environ[name] for name in ("SQLITE_TMPDIR", "TMPDIR") if os.environ.get(name)]
    places = {Path(place) for place in (*told, tempfile.gettempdir(), *_TEMPORARY_FOLDERS)}
    yield from sorted(file for place in places for file in place.glob(_TEMPORARY))


def _own(db: sqlite3.Connection) -> bytes:
    """What the file says of itself, and not in any text."""
    said = [sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
    said += [f"{key} {value}" for key, value in db.execute("SELECT key, value FROM meta")]
    if has_table(db, "index_files"):
        said += [name for (name,) in db.execute("SELECT name FROM index_files")]
    return "\0".join(said).encode("utf-8", "surrogatepass")


def _line(row: tuple[int, str, int]) -> str:
    if checksums.wrong_in("receipts", row):
        raise Damaged(f"entry {row[0]} of the receipts")
    return row[1]
