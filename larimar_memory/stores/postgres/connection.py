"""Connections to a memory's database, and recovery from a lost connection."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.types import TypeInfo
from psycopg_pool import ConnectionPool, PoolTimeout

from larimar_memory.stores.postgres import halfvec, schema
from larimar_memory.stores.postgres.address import shown
from larimar_memory.stores.postgres.failures import (
    Lost,
    closed,
    no_address,
    no_connection_left,
    not_changeable,
    not_connected,
    translated,
)
from larimar_memory.system import forking

log = logging.getLogger(__name__)

Connection: TypeAlias = psycopg.Connection[Any]
_T = TypeVar("_T")

MOST_CONNECTIONS = 16
"""Connections of one process; if all are in use, threads wait."""

_CONNECT_SECONDS = 10
_IDLE_SECONDS = 300.0


class Database:
    """A process's connections to one memory; thread-safe, and safe to fork while no thread uses them.

    Args:
        address: `postgresql://...`, by libpq's rules.
        options: as of a file; `busy_seconds` is 30 by default, and holds for every wait for a lock.

    Attributes:
        name: the address without its password.
        restricted: whether the role sees one namespace at a time.
    """

    def __init__(
        self,
        address: str,
        *,
        create: bool = True,
        read_only: bool = False,
        busy_seconds: float = 30.0,
        synchronous: str = "full",
    ) -> None:
        self.name, self.read_only, self.busy_seconds = shown(address), read_only, busy_seconds
        self._synchronous = synchronous
        self._closed = False
        self._left: list[Any] = []
        self._held = threading.local()
        self._lock = forking.Lock()
        self._pool: ConnectionPool[Connection] | None = None
        with translated(self.name):
            self._kwargs = self._parsed(address)
            with self._connected() as db:
                self._search = schema.prepare(db, self.name, create=create, read_only=read_only)
                self.restricted = bool(
                    _one(db, "SELECT row_security_active('larimar.segments'::regclass)")
                )
        forking.follow(self)

    # --- what is done with them ---

    def read(self, work: Callable[[Connection], _T], namespace: str | None = None) -> _T:
        """Do work that changes nothing; do it once more if the connection is lost.

        Args:
            namespace: the one that a restricted role sees.
        """
        held: Connection | None = getattr(self._held, "db", None)
        with translated(self.name):
            if held is not None:
                self._show(held, namespace)
                return work(held)
            try:
                return self._read(work, namespace)
            except psycopg.OperationalError as error:
                if not self._lost(error):
                    raise
                log.info("reading %s once more: %s", self.name, error)
                return self._read(work, namespace)

    def write(
        self, namespace: str, work: Callable[[Connection], _T], *, wait: bool = True
    ) -> _T | None:
        """Do work in a transaction, one at a time in a namespace; committed on success, else undone.

        If the connection is lost and the server did not commit, the work is done once more.

        Args:
            wait: False gives None if another writer is active there, and does not wait for the disk.
        """
        if self.read_only:
            raise not_changeable(self.name)
        with translated(self.name):
            try:
                return self._write(namespace, work, wait)
            except _Undone as error:
                log.info("writing to %s once more: %s", self.name, error)
            try:
                return self._write(namespace, work, wait)
            except _Undone as error:
                raise error.cause from error

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """A connection on which each statement commits, for VACUUM and for indexes."""
        if self.read_only:
            raise not_changeable(self.name)
        with translated(self.name), self._connection() as db:
            yield db

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """A context in which this thread reads one moment of the database."""
        if getattr(self._held, "db", None) is not None:
            yield
            return
        with translated(self.name), self._connection() as db, db.transaction():
            db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            db.execute("SELECT FROM meta")
            self._held.db = db
            try:
                yield
            finally:
                self._held.db = None

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def before_fork(self) -> None:
        """Do nothing: a child leaves its parent's connections alone."""

    def after_fork_in_child(self) -> None:
        """Leave the parent's connections alone, and never close them."""
        self._left.append(self._pool)
        self._pool, self._held = None, threading.local()

    # --- inside ---

    def _read(self, work: Callable[[Connection], _T], namespace: str | None) -> _T:
        with self._connection() as db:
            if not self.restricted:
                return work(db)
            with db.transaction():
                self._show(db, namespace)
                return work(db)

    def _write(self, namespace: str, work: Callable[[Connection], _T], wait: bool) -> _T | None:
        number, result = None, None
        with self._connection() as db:
            try:
                with db.transaction():
                    self._show(db, namespace)
                    lock = int.from_bytes(schema.digest(namespace)[:8], "big", signed=True)
                    if wait:
                        db.execute("SELECT pg_advisory_xact_lock(%s)", (lock,))
                    elif not _one(db, "SELECT pg_try_advisory_xact_lock(%s)", (lock,)):
                        return None
                    else:
                        db.execute("SET LOCAL synchronous_commit = off")
                    result = work(db)
                    number = _one(db, "SELECT pg_current_xact_id_if_assigned()::text")
            except psycopg.OperationalError as error:
                if not self._lost(error):
                    raise
                if number is not None and self._committed(number, error):
                    return result
                raise _Undone(error) from error
        return result

    def _committed(self, number: str, error: psycopg.Error) -> bool:
        """Whether a transaction whose connection was lost had been committed."""
        deadline = time.monotonic() + self.busy_seconds
        try:
            while time.monotonic() < deadline:
                with self._connection() as db:
                    status = _one(db, "SELECT pg_xact_status(%s::xid8)", (number,))
                if status != "in progress":
                    return bool(status == "committed")
                time.sleep(0.01)
        except psycopg.Error:
            pass
        raise Lost from error

    def _lost(self, error: psycopg.OperationalError) -> bool:
        """Whether an error ended its connection; if so, other dead connections leave the pool, too."""
        if isinstance(error, (errors.QueryCanceled, errors.LockNotAvailable)):
            return False
        if error.sqlstate is not None and not isinstance(
            error, (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow)
        ):
            return False
        if (pool := self._pool) is not None:
            pool.check()
        return True

    def _show(self, db: Connection, namespace: str | None) -> None:
        if self.restricted and namespace is not None:
            db.execute("SELECT set_config('larimar.namespace', %s, true)", (namespace,))

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        pool = self._opened()
        try:
            db = pool.getconn()
        except PoolTimeout as error:
            # Connecting raises the reason, unless all connections are merely in use.
            with self._connected():
                raise no_connection_left(self.name, self.busy_seconds) from error
        try:
            yield db
        finally:
            pool.putconn(db)

    def _opened(self) -> ConnectionPool[Connection]:
        with self._lock:
            if self._closed:
                raise closed(self.name)
            if self._pool is None:
                self._pool = ConnectionPool(
                    kwargs=self._kwargs,
                    min_size=0,
                    max_size=MOST_CONNECTIONS,
                    max_idle=_IDLE_SECONDS,
                    timeout=self.busy_seconds,
                    reconnect_timeout=self.busy_seconds,
                    num_workers=1,
                    configure=self._configure,
                    open=True,
                )
            return self._pool

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection outside the pool."""
        try:
            db = psycopg.connect(**self._kwargs)
        except psycopg.OperationalError as error:
            raise not_connected(error, self.name) from error
        with db:
            yield db

    def _configure(self, db: Connection) -> None:
        settings = {
            "search_path": f"larimar, {self._search}",
            "lock_timeout": f"{int(1000 * self.busy_seconds)}ms",
            "default_transaction_read_only": "on" if self.read_only else "off",
        }
        # Every query has an index, and no plan may follow from what the tables held an hour ago.
        settings |= {"enable_seqscan": "off", "jit": "off"}
        # An index search goes on if more rows are asked for.
        settings |= {"hnsw.ef_search": "400", "hnsw.iterative_scan": "relaxed_order"}
        if self._synchronous == "normal":
            settings["synchronous_commit"] = "off"
        for setting, value in settings.items():
            db.execute("SELECT set_config(%s, %s, false)", (setting, value))
        info = TypeInfo.fetch(db, "halfvec")
        if info is not None:
            halfvec.register(db, info)

    def _parsed(self, address: str) -> dict[str, Any]:
        try:
            given: dict[str, Any] = dict(conninfo_to_dict(address))
        except psycopg.ProgrammingError as error:
            raise no_address(self.name, str(error)) from error
        given.setdefault("connect_timeout", _CONNECT_SECONDS)
        given.setdefault("application_name", "larimar")
        return {**given, "autocommit": True, "client_encoding": "utf8"}


class _Undone(Exception):  # noqa: N818 - never leaves this module
    """A write whose connection was lost, and which the server did not commit."""

    def __init__(self, cause: psycopg.OperationalError) -> None:
        self.cause = cause
        super().__init__(str(cause))


def together(db: Connection) -> AbstractContextManager[object]:
    """A context that sends statements together, and waits once, at its end, for all their results."""
    return db.pipeline() if psycopg.Pipeline.is_supported() else nullcontext()


def _one(db: Connection, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
    """The only value of the only row of a query."""
    row = db.execute(sql, parameters).fetchone()
    return None if row is None else row[0]


def try_lock(db: Connection, number: int) -> bool:
    """Take the lock of this number for the connection, if it is free; returns whether it was."""
    return bool(_one(db, "SELECT pg_try_advisory_lock(%s)", (number,)))


def unlock(db: Connection, number: int) -> None:
    """Release the lock; if the connection is lost, the server has done so."""
    if not db.closed:
        db.execute("SELECT pg_advisory_unlock(%s)", (number,))
