"""Every error about a memory, and the translation of errors of SQLite and the system into them."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from larimar_memory.errors import ClosedError, LarimarError, MemoryBusyError, MemoryFileError

FAILURES = (sqlite3.Error, UnicodeError)
"""Errors from reading a damaged file: even SQLite's message about it may no longer be text."""

UNEXPECTED = (ValueError, TypeError, RecursionError, OverflowError, struct.error)
"""Further errors from contents that no release wrote."""

NO_FIT = "its checksum does not fit"

_DAMAGED = (
    "The memory {name} is damaged.",
    "SQLite said: {text}.",
    "Run `larimar repair {name}`, which saves what can be read, or restore a backup.",
)
_READ_ONLY = (
    "The memory {name} cannot be changed.",
    "Its file or folder is read-only.",
    "Make it writable, or open it with `read_only=True` to read.",
)
_BUSY = (
    "The memory {name} is busy.",
    "Another process has been writing to it for longer than the waiting time.",
    "Try again, or open it with a larger `busy_seconds`.",
)
_SAID: tuple[tuple[str, tuple[str, str, str]], ...] = (
    ("locked", _BUSY),
    ("busy", _BUSY),
    (
        "full",
        (
            "Nothing more can be written to the memory {name}.",
            "The disk is full.",
            "Free some space and write again; all that was committed before is intact.",
        ),
    ),
    ("readonly", _READ_ONLY),
    ("read-only", _READ_ONLY),
    ("not a database", _DAMAGED),
    ("malformed", _DAMAGED),
    ("corrupt", _DAMAGED),
    ("decode", _DAMAGED),
    (
        "unable to open",
        (
            "The memory {name} cannot be opened.",
            "The file does not exist, or there is no permission to open it.",
            "Check the path and its permissions.",
        ),
    ),
    ("", ("The memory {name} cannot be used.", "SQLite said: {text}.", "Check the file and the disk.")),
)
"""Parts of SQLite's message, with the reason and the remedy to give; the first match counts."""


class Damaged(Exception):  # noqa: N818 - turned into a MemoryFileError, which names the file
    """A row that is not what was written.

    Args:
        what: the row, in words that a reader of the error knows.
        why: how the damage is known.
    """

    def __init__(self, what: str, why: str = NO_FIT) -> None:
        self.why = why
        super().__init__(what)


def called(path: Path | None) -> str:
    """What an error calls a memory: its path, or "in RAM"."""
    return "in RAM" if path is None else str(path)


@contextmanager
def translated(path: Path | None) -> Iterator[None]:
    """Raise SQLite's and the system's errors about a memory as MemoryFileError."""
    try:
        yield
    except LarimarError:
        raise
    except Damaged as error:
        raise damaged(path, str(error), error.why) from error
    except (*FAILURES, OSError) as error:
        raise translate(error, path) from error


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """As `translated`, for contents that may be no memory's, and may raise any error."""
    try:
        with translated(path):
            yield
    except LarimarError:
        raise
    except UNEXPECTED as error:
        raise MemoryFileError(
            f"The memory {path} is damaged.",
            f"What it holds cannot be understood ({error}).",
            "Restore a backup.",
        ) from error


def is_busy(error: sqlite3.Error) -> bool:
    """Whether SQLite says that another process is in its way."""
    return "locked" in str(error) or "busy" in str(error)


def translate(error: Exception, path: Path | None) -> MemoryFileError:
    """SQLite's or the system's error about a memory as one of ours."""
    name, text = called(path), str(error)
    if isinstance(error, OSError):
        return MemoryFileError(
            f"The memory {name} cannot be used.",
            f"The system said: {error.strerror or text}.",
            "Check the path, its permissions and the free space.",
        )
    what, why, remedy = next(said for needle, said in _SAID if needle in text)
    if "unable to open" in text and path is not None and path.is_dir():
        why = "It is a folder."
    kind = MemoryBusyError if what == _BUSY[0] else MemoryFileError
    return kind(*(part.format(name=name, text=text) for part in (what, why, remedy)))


def damaged(path: Path | None, what: str, why: str = NO_FIT) -> MemoryFileError:
    """The error for a row that is not what was written."""
    return MemoryFileError(
        f"The memory {called(path)} is damaged.",
        f"What is stored for {what} is not what was written: {why}.",
        "Write it again."
        if path is None
        else f"Run `larimar repair {path}`, which sets it aside, or restore a backup.",
    )


def not_erased(path: Path | None) -> MemoryBusyError:
    """The error for a purge that other readers or writers keep from finishing."""
    return MemoryBusyError(
        f"What was forgotten in the memory {called(path)} is not found any more, but not yet erased.",
        "Another reader or writer has been using its files for longer than the waiting time.",
        "Call `purge()` again when it is done.",
    )


def not_changeable(path: Path | None) -> MemoryFileError:
    """The error for a change to a read-only memory."""
    return MemoryFileError(
        f"The memory {called(path)} cannot be changed.",
        "It was opened read-only or its file cannot be written.",
        "Open a copy, or make the file writable.",
    )


def closed(path: Path | None) -> ClosedError:
    """The error for the use of a closed memory."""
    return ClosedError(
        f"The memory {called(path)} cannot be used.",
        "It has been closed.",
        "Open it again with `Larimar.open`." if path else "Open a new one with `Larimar.open`.",
    )
