"""Erase what was forgotten from the tables' files, and note what is still to be erased.

A deleted row stays in its table's file, and after a vacuum its bytes stay in free space: only a table
that is written again is without them. If a process is interrupted, the next one that opens the memory
for writing does what is due.
"""

from __future__ import annotations

import logging
import time

from larimar_memory.errors import MemoryBusyError, MemoryFileError
from larimar_memory.stores.postgres.connection import Connection, Database, try_lock, unlock
from larimar_memory.stores.postgres.failures import not_erasable, not_erased
from larimar_memory.stores.postgres.schema import CONTENT, UPKEEP_LOCK

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.05


def note(db: Connection, *, due: bool = False) -> None:
    """Note, inside the transaction that deletes, that there is something to erase.

    Args:
        due: a purge follows; another process does it if this one is interrupted.
    """
    # The row lock keeps an existing note until this transaction ends.
    noted = "SELECT 1 FROM erasures WHERE due = %s LIMIT 1 FOR KEY SHARE"
    if due or db.execute(noted, (due,)).fetchone() is None:
        db.execute("INSERT INTO erasures (due) VALUES (%s)", (due,))


def erase(database: Database) -> None:
    """Erase every trace of what is deleted from the tables' files.

    Raises:
        MemoryBusyError: if another reader or writer keeps it from finishing; the note stays.
        MemoryFileError: if the role may not vacuum.
    """
    try:
        with database.alone() as db:
            if db.execute("SELECT 1 FROM erasures LIMIT 1").fetchone() is None:
                return
            if not _may_vacuum(db):
                raise not_erasable(database.name)
            deadline = time.monotonic() + database.busy_seconds
            # Polled: a process that waits inside a statement would keep the one that erases waiting.
            while not try_lock(db, UPKEEP_LOCK):
                if time.monotonic() > deadline:
                    raise not_erased(database.name)
                time.sleep(_LOOK_SECONDS)
            try:
                _erase(database, db, deadline)
            finally:
                unlock(db, UPKEEP_LOCK)
    except MemoryBusyError as error:
        raise not_erased(database.name) from error


def _erase(database: Database, db: Connection, deadline: float) -> None:
    with db.transaction():
        db.execute("DELETE FROM erasures")
        number, began = db.execute(
            "INSERT INTO erasures (due) VALUES (TRUE) RETURNING id, pg_current_xact_id()::text"
        ).fetchone() or (0, "")
    _wait_for_older(database, db, began, deadline)
    for table in CONTENT:
        db.execute(f"VACUUM (FULL) {table}")
    db.execute("DELETE FROM erasures WHERE id = %s", (number,))


def _wait_for_older(database: Database, db: Connection, began: str, deadline: float) -> None:
    """Wait for transactions that still see what was deleted: a vacuum would keep it for them."""
    while db.execute(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND age(backend_xmin) >= age(%s::xid8::xid) LIMIT 1",
        (began,),
    ).fetchone():
        if time.monotonic() > deadline:
            raise not_erased(database.name)
        time.sleep(_LOOK_SECONDS)


def erase_if_due(database: Database) -> None:
    """Finish an erasure that another process did not finish, if that is possible now."""
    with database.alone() as db:
        if db.execute("SELECT 1 FROM erasures WHERE due LIMIT 1").fetchone() is None:
            return
        # The process that holds the lock does it.
        if not try_lock(db, UPKEEP_LOCK):
            return
        unlock(db, UPKEEP_LOCK)
    try:
        erase(database)
    except MemoryFileError as error:
        # The note stays, and the memory can be opened all the same.
        log.warning("%s", error)


def _may_vacuum(db: Connection) -> bool:
    maintain = "OR has_table_privilege(oid, 'MAINTAIN')" if db.info.server_version >= 170000 else ""
    row = db.execute(
        f"SELECT bool_and(pg_has_role(relowner, 'USAGE') {maintain}) FROM pg_class "
        "WHERE relnamespace = 'larimar'::regnamespace AND relname = ANY(%s::text[])",
        ([*CONTENT],),
    ).fetchone()
    return bool(row and row[0])
