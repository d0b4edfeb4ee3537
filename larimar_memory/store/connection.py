"""Open a memory file, keep one connection per thread, and turn SQLite's errors into ours."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from larimar_memory.errors import ClosedError, LarimarError, MemoryBusyError, MemoryFileError

APPLICATION_ID = 0x4C41524D
SCHEMA_VERSION = 1
_HEADER_BYTES = 100

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE namespaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace_id INTEGER NOT NULL REFERENCES namespaces(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    characters INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    complete INTEGER NOT NULL,
    written_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (namespace_id, name)
);
CREATE TABLE segments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace_id INTEGER NOT NULL,
    document_id INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    text TEXT NOT NULL,
    key BLOB NOT NULL,
    latent BLOB,
    UNIQUE (document_id, position)
);
CREATE INDEX segments_by_namespace ON segments (namespace_id, id);
"""


class Database:
    """The connections to one memory file: one that writes, one that reads per thread.

    Args:
        path: the memory file; made, with its folders, if it does not exist.
        read_only: never write, so that a file on read-only media can be read.
        busy_seconds: how long to wait for another process's write lock.
        synchronous: "full" (a commit survives a power cut) or "normal" (it survives a crash of the
            process, and may be lost in a power cut).
    """

    def __init__(self, path: Path, *, read_only: bool, busy_seconds: float, synchronous: str) -> None:
        self.path = path
        self.read_only = read_only
        self._busy_seconds = busy_seconds
        self._synchronous = synchronous
        self._write_lock = threading.RLock()
        self._readers: dict[int, sqlite3.Connection] = {}
        self._closed = False
        with self.translated():
            _check_length(path)
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            self._initialise()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, seeing the last commit."""
        self._check_open()
        with self.translated():
            thread = threading.get_ident()
            if thread not in self._readers:
                self._readers[thread] = self._connect()
            yield self._readers[thread]

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The writing connection inside a transaction, committed on success, else rolled back."""
        self._check_open()
        if self.read_only:
            raise MemoryFileError(
                f"The memory {self.path} cannot be changed.",
                "It was opened read-only or its file cannot be written.",
                "Open a copy, or make the file writable.",
            )
        with self._write_lock, self.translated():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def maintaining(self) -> Iterator[sqlite3.Connection]:
        """The writing connection outside a transaction, for VACUUM and checkpoints."""
        self._check_open()
        with self._write_lock, self.translated():
            yield self._writer

    def close(self) -> None:
        """Close every connection; the last one folds the write-ahead log into the file."""
        self._closed = True
        for connection in [*self._readers.values(), self._writer]:
            connection.close()
        self._readers.clear()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise SQLite's and the system's errors about this file as MemoryFileError."""
        try:
            yield
        except LarimarError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise _translate(error, self.path) from error

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(
                f"The memory {self.path} cannot be used.",
                "It has been closed.",
                "Open it again with `Larimar.open`.",
            )

    def _connect(self) -> sqlite3.Connection:
        mode = "ro" if self.read_only else "rwc"
        # Without a log there is nothing to merge, and read-only media cannot hold its lock file.
        immutable = self.read_only and not _sidecar(self.path, "-wal").exists()
        uri = f"{self.path.resolve().as_uri()}?mode={mode}{'&immutable=1' if immutable else ''}"
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=self._busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        if not self.read_only:
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        return connection

    def _initialise(self) -> None:
        writer = self._writer
        (version,) = writer.execute("PRAGMA user_version").fetchone()
        (application,) = writer.execute("PRAGMA application_id").fetchone()
        (tables,) = writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables and not self.read_only:
            writer.execute("PRAGMA journal_mode = WAL")
            writer.execute("BEGIN IMMEDIATE")
            (tables,) = writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if not tables:
                for statement in _SCHEMA.split(";"):
                    writer.execute(statement)
                writer.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            writer.execute("COMMIT")
            return
        if application != APPLICATION_ID:
            raise MemoryFileError(
                f"The file {self.path} cannot be opened.",
                "It is a SQLite database, but not a Larimar memory.",
                "Name another file.",
            )
        if version > SCHEMA_VERSION:
            raise MemoryFileError(
                f"The memory {self.path} cannot be opened.",
                f"Its format is version {version}, and this release reads up to {SCHEMA_VERSION}.",
                "Upgrade larimar-memory.",
            )


def _check_length(path: Path) -> None:
    """A file shorter than its header says was cut off; SQLite itself finds out only much later."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header.startswith(b"SQLite format 3\0"):
        raise MemoryFileError(
            f"The file {path} cannot be opened.",
            "It is not a Larimar memory.",
            "Name a memory file, or a path where none exists to start a new one.",
        )
    page = int.from_bytes(header[16:18], "big") or 0
    expected = (65536 if page == 1 else page) * int.from_bytes(header[28:32], "big")
    if path.stat().st_size < expected:
        raise MemoryFileError(
            f"The memory {path} cannot be opened.",
            f"The file was cut off: it holds {path.stat().st_size} of {expected} bytes.",
            "Restore it from a backup.",
        )


def _sidecar(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _translate(error: sqlite3.Error | OSError, path: Path) -> LarimarError:
    text = str(error)
    if isinstance(error, OSError):
        return MemoryFileError(
            f"The memory {path} cannot be used.",
            f"The system said: {error.strerror or text}.",
            "Check the path, its permissions and the free space.",
        )
    if "locked" in text or "busy" in text:
        return MemoryBusyError(
            f"The memory {path} is busy.",
            "Another process has been writing to it for longer than the waiting time.",
            "Try again, or open it with a larger `busy_seconds`.",
        )
    if "full" in text:
        return MemoryFileError(
            f"Nothing more can be written to the memory {path}.",
            "The disk is full.",
            "Free some space and write again; all that was committed before is intact.",
        )
    if "readonly" in text or "read-only" in text:
        return MemoryFileError(
            f"The memory {path} cannot be changed.",
            "Its file or folder is read-only.",
            "Make it writable, or open it with `read_only=True` to read.",
        )
    if "not a database" in text or "malformed" in text or "corrupt" in text:
        return MemoryFileError(
            f"The memory {path} is damaged.",
            f"SQLite said: {text}.",
            "Restore it from a backup.",
        )
    if "unable to open" in text:
        return MemoryFileError(
            f"The memory {path} cannot be opened.",
            "The file does not exist, or there is no permission to open it."
            if not os.path.isdir(path)
            else "It is a folder.",
            "Check the path and its permissions.",
        )
    return MemoryFileError(
        f"The memory {path} cannot be used.",
        f"SQLite said: {text}.",
        "Check the file and the disk.",
    )
