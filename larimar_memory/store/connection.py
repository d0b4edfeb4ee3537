"""Open a memory file, keep one connection per thread, and turn SQLite's errors into ours."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from larimar_memory.errors import ClosedError, LarimarError, MemoryBusyError, MemoryFileError
from larimar_memory.store import schema
from larimar_memory.store.checksums import Damaged, damaged
from larimar_memory.store.wal import check_log, logged_pages

_HEADER_BYTES = 100

FAILURES = (sqlite3.DatabaseError, UnicodeError)
"""What reading a damaged file ends in: SQLite's word on it may itself be no longer text."""


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
        self._version = schema.SCHEMA_VERSION
        with self.translated():
            check_length(path)
            check_log(path)
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            try:
                schema.prepare(self._writer, path, read_only=read_only)
                self._version = schema.version_of(self._writer, path)
            except BaseException:
                self._writer.close()
                raise

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
        except Damaged as error:
            raise damaged(self.path, str(error)) from error
        except (*FAILURES, OSError) as error:
            raise translate(error, self.path) from error

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
        schema.show_as_newest(connection, self._version)
        return connection


def check_length(path: Path) -> None:
    """Raise MemoryFileError where it was cut off or is no memory.

    A file shorter than its header says was cut off; SQLite itself finds out only much later. But where
    folding in the log was interrupted, the rest is still in the log.
    """
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
    page = int.from_bytes(header[16:18], "big")
    page, pages = 65536 if page == 1 else page, int.from_bytes(header[28:32], "big")
    expected = page * pages
    if path.stat().st_size < expected and logged_pages(path) < pages:
        raise MemoryFileError(
            f"The memory {path} cannot be opened.",
            f"The file was cut off: it holds {path.stat().st_size} of {expected} bytes.",
            "Restore it from a backup.",
        )


def _sidecar(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def translate(error: Exception, path: Path) -> LarimarError:
    """SQLite's or the system's error about a memory file as one of ours."""
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
    if "not a database" in text or "malformed" in text or "corrupt" in text or "decode" in text:
        return MemoryFileError(
            f"The memory {path} is damaged.",
            f"SQLite said: {text}.",
            f"Run `larimar repair {path}`, which saves what can be read, or restore a backup.",
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
