"""Open a memory, and keep one connection per thread, or one for all threads if it is in RAM."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from larimar_memory.errors import MemoryFileError
from larimar_memory.stores.sqlite import schema, text_index
from larimar_memory.stores.sqlite.connecting import connect
from larimar_memory.stores.sqlite.failures import called, closed, is_busy, not_changeable, translated
from larimar_memory.stores.sqlite.wal import check_log, logged_pages
from larimar_memory.system import forking
from larimar_memory.system.locked_files import Identity, identity, reading

_HEADER_BYTES = 100
_LOG_BYTES = 4 << 20
"""The size of the write-ahead log from which a commit folds it into the file."""


class Database:
    """The connections to one memory: one that writes, and one that reads per thread.

    In RAM, one connection does both, for one thread at a time: several connections to one database in
    RAM would lock each other's tables, or see each other's writes half done.

    Args:
        path: the memory file, made, with its folders, if it does not exist; None for one in RAM.
        read_only, busy_seconds, synchronous: of a file; see `ConnectionOptions`.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        read_only: bool = False,
        busy_seconds: float = 5.0,
        synchronous: str = "full",
    ) -> None:
        self.path, self.read_only = path, path is not None and read_only
        self._busy_seconds, self._synchronous = busy_seconds, synchronous
        self._write_lock = forking.Lock(_named(path), MemoryFileError)
        self._readers: dict[int, sqlite3.Connection] = {}
        self._writer: sqlite3.Connection | None = None
        self._closed = self._inherited = False
        self._idle = threading.Condition()
        self._inside = Counter[int]()
        self._version = schema.SCHEMA_VERSION
        with forking.inside(), translated(path):
            self._address = ":memory:"
            if path is not None:
                # Chosen once for all threads, so that each sees what another writes.
                self._address = address(path, read_only=self.read_only)
                check_inherited(path)
                check_length(path)
                check_log(path)
                if not read_only:
                    path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            try:
                schema.prepare(self._writer, path, read_only=self.read_only)
                self._version = schema.version_of(self._writer, path)
            except BaseException:
                self._writer.close()
                raise
            # From now on the file exists; if it disappears, no new one is made in its place.
            self._address = self._address.replace("?mode=rwc", "?mode=rw")
            forking.follow(self)

    @property
    def lost(self) -> bool:
        """Whether another thread was using it when this process was forked: it cannot be used here."""
        return self._inherited or self._write_lock.lost

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, seeing the last commit."""
        thread = threading.get_ident()
        with self._open(), translated(self.path):
            if self.path is None:
                with self._write_lock:
                    yield self._writing_connection()
                return
            if thread not in self._readers:
                self._readers[thread] = self._connect()
            yield self._readers[thread]

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """A context in which this thread reads one moment of the memory."""
        with self.reading() as db:
            if self.path is None or db.in_transaction:
                # No other thread can use the connection, or it is inside such a moment already.
                yield
                return
            db.execute("BEGIN")
            try:
                # A transaction sees the moment of its first statement.
                db.execute("SELECT count(*) FROM meta").fetchone()
                yield
            finally:
                db.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The writing connection inside a transaction, committed on success, else rolled back."""
        with self.maintaining() as db, schema.transaction(db):
            yield db

    @contextmanager
    def writing_at_once(self) -> Iterator[sqlite3.Connection | None]:
        """As `writing`; gives None if that would have to wait, or is not possible.

        What is committed reaches the disk with the next commit of `writing`; nothing waits for that.
        """
        with self._open(), ExitStack() as inside, translated(self.path):
            if self.read_only or not self._write_lock.acquire(wait=False):
                yield None
                return
            inside.callback(self._write_lock.release)
            db = self._writing_connection()
            for setting, now, before in (
                ("busy_timeout", 0, int(1000 * self._busy_seconds)),
                ("synchronous", "normal", self._synchronous),
            ):
                db.execute(f"PRAGMA {setting} = {now}")
                inside.callback(db.execute, f"PRAGMA {setting} = {before}")
            try:
                inside.enter_context(schema.transaction(db))
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                yield None
                return
            yield db

    @contextmanager
    def maintaining(self) -> Iterator[sqlite3.Connection]:
        """The writing connection outside a transaction, for VACUUM and checkpoints."""
        with self._open(), self._write_lock, translated(self.path):
            if self.read_only:
                raise not_changeable(self.path)
            yield self._writing_connection()

    def close(self) -> None:
        """Close every connection; the last one folds the write-ahead log into the file.

        Waits for what other threads are doing, as their connections cannot be taken from them.
        """
        with forking.inside(), self._idle:
            self._closed = True
            mine = {threading.get_ident()}
            self._idle.wait_for(lambda: not (+self._inside).keys() - mine)
            if not self._inherited:
                self._disconnect()

    def before_fork(self) -> None:
        """Close a file's connections; parent and child open them again when they need them.

        SQLite keeps track of locks by process: a child would take its parent's locks on the file for
        its own, and the two would undo each other's writes.
        """
        with self._idle:
            if self.path is not None and not +self._inside and not self._inherited:
                self._disconnect()

    def after_fork_in_child(self) -> None:
        """Leave alone the connections that could not be closed."""
        thread = threading.get_ident()
        self._idle, mine = threading.Condition(), self._inside[thread]
        self._inside = Counter({thread: mine})
        if self.path is not None and self._connections():
            self._inherited = True
            leave_open(self.path, self._connections())

    def _connections(self) -> list[sqlite3.Connection]:
        writing = [] if self._writer is None else [self._writer]
        return [*self._readers.values(), *writing]

    def _disconnect(self) -> None:
        for connection in self._connections():
            connection.close()
        self._readers.clear()
        self._writer = None

    def _writing_connection(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer = self._connect()
        return self._writer

    @contextmanager
    def _open(self) -> Iterator[None]:
        thread = threading.get_ident()
        with forking.inside():
            with self._idle:
                if self._closed:
                    raise closed(self.path)
                if self._inherited:
                    raise forking.lost(_named(self.path), MemoryFileError)
                self._inside[thread] += 1
            try:
                yield
            finally:
                with self._idle:
                    self._inside[thread] -= 1
                    self._idle.notify_all()

    def _connect(self) -> sqlite3.Connection:
        connection = connect(
            self.path,
            self._address,
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
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_BYTES // schema.PAGE_BYTES}")
        if self.path is None:
            # What VACUUM and sorting write for a while must not reach the disk either.
            connection.execute("PRAGMA temp_store = MEMORY")
        text_index.add_functions(connection)
        schema.show_as_newest(connection, self._version)
        if self._version < schema.STEMS_SINCE:
            # Found before the file's own indexes; they end with the connection.
            text_index.make_all(connection, "temp")
        return connection


_not_to_open: set[Identity | None] = set()


def leave_open(path: Path, connections: list[sqlite3.Connection]) -> None:
    """Never close these, nor open the file in this process: it was forked while they were in use."""
    for connection in connections:
        # Not even when the process ends: closing them is for the process that opened them.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
    _not_to_open.add(identity(path))


def check_inherited(path: Path) -> None:
    """Raise MemoryFileError if this process was forked while the file was in use."""
    if _not_to_open and identity(path) in _not_to_open - {None}:
        raise forking.lost(_named(path), MemoryFileError)


def _named(path: Path | None) -> str:
    return f"The memory {called(path)}"


def check_length(path: Path) -> None:
    """Raise MemoryFileError if the file was cut off or is not a memory.

    A file shorter than its header says was cut off; SQLite itself finds out only much later. It is
    whole if folding in the log was interrupted and the rest is still in the log.
    """
    with translated(path):
        if not path.is_file() or path.stat().st_size == 0:
            return
        with reading(path) as file:
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


def address(path: Path, *, read_only: bool) -> str:
    """The URI by which SQLite opens a memory file; a file that is only read must exist."""
    there = path.resolve().as_uri()
    if not read_only:
        return f"{there}?mode=rwc"
    if path.with_name(f"{path.name}-wal").exists():
        return f"{there}?mode=ro"
    if os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK):
        # Others may begin to write, and a connection that may only read would leave its lock files
        # behind.
        return f"{there}?mode=rw"
    # Without a log there is nothing to merge, and read-only media cannot hold its lock file.
    return f"{there}?mode=ro&immutable=1"
