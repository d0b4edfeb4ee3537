"""Every error about a memory in a database, and the translation of psycopg's errors into them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from larimar_memory.errors import (
    ClosedError,
    InputError,
    LarimarError,
    MemoryBusyError,
    MemoryFileError,
)

_BUSY = (
    errors.LockNotAvailable,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.QueryCanceled,
)
_CONNECTING: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("password authentication failed", "no password supplied"),
        "The server refuses the user or the password.",
        "Check both in the address, or name the password in PGPASSWORD or ~/.pgpass.",
    ),
    (
        ("pg_hba.conf", "authentication failed"),
        "The server lets nobody in who comes so: {text}.",
        "Ask its administrator for an entry in pg_hba.conf.",
    ),
    (
        ('role "',),
        "The server knows no such user: {text}.",
        "Check the user in the address, or create it.",
    ),
    (
        ('database "',),
        "The server has no such database: {text}.",
        "Check the name in the address, or create it with `createdb`.",
    ),
    (
        ("too many connections", "too many clients", "remaining connection slots"),
        "The server has no connection left.",
        "Raise max_connections, or let fewer processes use the memory.",
    ),
)
"""Parts of the message of a refused connection, with the reason and the remedy to give; the first match
counts."""


class Lost(Exception):  # noqa: N818 - turned into a MemoryFileError, which names the memory
    """A connection that was lost during a write, whose outcome nobody can tell."""


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise psycopg's errors about a memory as ours.

    Args:
        name: its address, without a password.
    """
    try:
        yield
    except LarimarError:
        raise
    except Lost as error:
        raise MemoryFileError(
            f"A write to the memory {name} may or may not have been done.",
            "The connection was lost while it was committed, and the server cannot be asked.",
            "Look whether it is there, or write it again; equal texts change nothing.",
        ) from error
    except psycopg.Error as error:
        raise translate(error, name) from error
    except UnicodeEncodeError as error:
        raise not_kept(name, "half of a surrogate pair is no Unicode") from error


def translate(error: psycopg.Error, name: str) -> LarimarError:
    """Psycopg's error about a memory as one of ours."""
    text = _text(error)
    if isinstance(error, _BUSY):
        return MemoryBusyError(
            f"The memory {name} is busy.",
            "Another process has been writing to it for longer than the waiting time.",
            "Try again, or open it with a larger `busy_seconds`.",
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return MemoryFileError(
            f"The memory {name} cannot be used so.",
            f"The role is not allowed to: {text}.",
            "Ask the memory's owner to admit the role with `PostgresStore.admit`.",
        )
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return not_changeable(name)
    if isinstance(error, errors.DiskFull):
        return MemoryFileError(
            f"Nothing more can be written to the memory {name}.",
            "The server's disk is full.",
            "Free some space and write again; all that was committed before is intact.",
        )
    if isinstance(error, (errors.ProgramLimitExceeded, errors.DataError, psycopg.DataError)):
        return not_kept(name, f"PostgreSQL said: {text}")
    if isinstance(error, psycopg.OperationalError) and error.sqlstate in (None, "57P01", "57P02"):
        return MemoryFileError(
            f"The connection to the memory {name} was lost.",
            f"The server or the network said: {text}.",
            "Try again when the server runs; of what was not committed, nothing is written.",
        )
    return MemoryFileError(
        f"The memory {name} cannot be used.", f"PostgreSQL said: {text}.", "Check the server's log."
    )


def not_kept(name: str, why: str) -> MemoryFileError:
    """The error for a name or value that the database cannot hold."""
    return MemoryFileError(
        f"The memory {name} cannot keep or find this.",
        f"{why[0].upper()}{why[1:]}.",
        "Give names of Unicode without NUL, and values of usual size.",
    )


def not_connected(error: psycopg.Error, name: str) -> MemoryFileError:
    """The error for a server that refuses the connection, or is not there."""
    text = _text(error)
    for needles, why, remedy in _CONNECTING:
        if any(needle in text for needle in needles):
            return MemoryFileError(
                f"The memory {name} cannot be opened.", why.format(text=text), remedy
            )
    return MemoryFileError(
        f"The memory {name} cannot be opened.",
        f"No server answers there: {text}.",
        "Start it, or check host and port in the address.",
    )


def _text(error: psycopg.Error) -> str:
    said = error.diag.message_primary or str(error).strip() or type(error).__name__
    return said.splitlines()[-1].rpartition("FATAL:")[2].strip().rstrip(".")


class NoMemoryError(MemoryFileError):
    """There is a database, but no memory in it."""


def no_memory(name: str) -> NoMemoryError:
    """The error for a database without a memory."""
    return NoMemoryError(
        f"There is no memory at {name}.",
        "The database holds none, and none is to be made.",
        "Check the address, or write a memory there first.",
    )


def no_address(name: str, text: str) -> InputError:
    """The error for an address that libpq cannot read."""
    return InputError(
        f"The memory {name} cannot be opened.",
        f"Its address is none: {text.strip().rstrip('.')}.",
        "Write it as postgresql://user:password@host:port/database.",
    )


def unfit(name: str, why: str, remedy: str) -> MemoryFileError:
    """The error for a database that cannot hold a memory as it is."""
    return MemoryFileError(f"The memory {name} cannot be opened.", why, remedy)


def newer(name: str, version: int, known: int) -> MemoryFileError:
    """The error for a memory of a newer release."""
    return MemoryFileError(
        f"The memory {name} cannot be opened.",
        f"Its format is version {version}, and this release reads up to {known}.",
        "Upgrade larimar-memory.",
    )


def not_changeable(name: str) -> MemoryFileError:
    """The error for a change to a read-only memory."""
    return MemoryFileError(
        f"The memory {name} cannot be changed.",
        "It was opened read-only, or its server is a standby.",
        "Open it to write, at the primary server.",
    )


def no_connection_left(name: str, seconds: float) -> MemoryBusyError:
    """The error if no connection became free in time."""
    return MemoryBusyError(
        f"The memory {name} is busy.",
        f"For {seconds:g} seconds no connection to it was free.",
        "Try again, or let fewer threads use it at once.",
    )


def not_erased(name: str) -> MemoryBusyError:
    """The error for a purge that other readers or writers keep from finishing."""
    return MemoryBusyError(
        f"What was forgotten in the memory {name} is not found any more, but not yet erased.",
        "Another reader or writer has been using its tables for longer than the waiting time.",
        "Call `purge()` again when it is done.",
    )


def not_erasable(name: str) -> MemoryFileError:
    """The error for a purge by a role that may not vacuum."""
    return MemoryFileError(
        f"What was forgotten in the memory {name} is not found any more, but not yet erased.",
        "The role may not vacuum its tables.",
        "Have the memory's owner call `purge()`, or grant the role MAINTAIN.",
    )


def closed(name: str) -> ClosedError:
    """The error for the use of a closed memory."""
    return ClosedError(
        f"The memory {name} cannot be used.",
        "It has been closed.",
        "Open it again with `Larimar.open`.",
    )
