"""Erase what was forgotten from a memory file, and note in the file what is still to be erased.

A process that is killed between forgetting and erasing leaves the note, and the next that opens the
memory for writing does what is due.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable

from larimar_memory.errors import MemoryBusyError, MemoryFileError
from larimar_memory.stores.sqlite.connection import Database
from larimar_memory.stores.sqlite.failures import called, not_erased

log = logging.getLogger(__name__)

# No number is used twice, so a purge removes no note that was made after it began.
_TABLE = "CREATE TABLE IF NOT EXISTS erasures (id INTEGER PRIMARY KEY AUTOINCREMENT)"


def note(db: sqlite3.Connection) -> int:
    """Note, inside the transaction that forgets, that a purge is due; returns the note's number."""
    db.execute(_TABLE)
    return int(db.execute("INSERT INTO erasures DEFAULT VALUES").lastrowid or 0)


def due(db: sqlite3.Connection) -> bool:
    """Whether a purge was noted that has not finished."""
    # The table exists only once something was erased.
    (there,) = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'erasures'").fetchone()
    return bool(there and db.execute("SELECT EXISTS (SELECT 1 FROM erasures)").fetchone()[0])


def erase(database: Database, clear: Callable[[], None]) -> None:
    """Erase every trace of what is deleted.

    Args:
        clear: erases what is beside the file.

    Raises:
        MemoryBusyError: if another reader or writer keeps it from finishing; the note stays.
        MemoryFileError: if it is not possible for another reason.
    """
    try:
        with database.writing() as db:
            number = note(db)
        clear()
        with database.maintaining() as db:
            for (space,) in db.execute("SELECT id FROM namespaces").fetchall():
                db.execute(f"INSERT INTO fts_{space} (fts_{space}) VALUES ('optimize')")
            db.execute("VACUUM")
            (busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except MemoryBusyError as error:
        raise not_erased(database.path) from error
    if busy:
        raise not_erased(database.path)
    try:
        with database.writing() as db:
            db.execute("DELETE FROM erasures WHERE id <= ?", (number,))
    except MemoryBusyError as error:
        log.info("all is erased from %s, and will be once more: %s", called(database.path), error)


def erase_if_due(database: Database, clear: Callable[[], None]) -> None:
    """Finish an erasure that another process did not finish, if that is possible now."""
    with database.reading() as db:
        is_due = due(db)
    if is_due:
        try:
            erase(database, clear)
        except MemoryFileError as error:
            # The note stays, and the memory can be opened all the same.
            log.warning("%s", error)
