"""Reading files on which this process holds locks, SQLite's among them.

POSIX drops all locks of a process on a file when the process closes any descriptor of that file
(fcntl(2)). Without the locks, another process takes itself for the last user of a memory, and deletes
the write-ahead log that this one writes to. So a file in use is read through descriptors that stay open
until it is no longer in use.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

from larimar_memory.system import forking

Identity: TypeAlias = tuple[int, int]
"""A file's identity: its device and its number there."""

changing = forking.Lock()
"""Held while the number of users of a file changes, and while a descriptor is closed."""

_users = Counter[Identity]()
_kept = dict[Identity, list[BinaryIO]]()


def identity(path: Path) -> Identity | None:
    """The identity of a file; None if there is none at the path."""
    try:
        return _named_by(path.stat())
    except OSError:
        return None


def use(file: Identity) -> None:
    """Note that locks on a file are held from now on; call it with `changing` held."""
    _users[file] += 1


def leave(file: Identity) -> None:
    """Note that one user's locks are no longer held; after the last user, descriptors are closed."""
    with changing:
        _users[file] -= 1
        if _users[file] <= 0:
            del _users[file]
            for descriptor in _kept.pop(file, []):
                descriptor.close()


@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """A file opened for reading, at its beginning; its locks stay.

    Raises:
        OSError: if it cannot be opened.
    """
    with changing:
        known = identity(path)
        held = _kept.get(known, []) if known is not None else []
        descriptor = held.pop() if held else path.open("rb")
    try:
        descriptor.seek(0)
        yield descriptor
    finally:
        with changing:
            # Another file may have taken its place since its name was looked up.
            known = _named_by(os.fstat(descriptor.fileno()))
            if _users[known]:
                _kept.setdefault(known, []).append(descriptor)
            else:
                descriptor.close()


def _named_by(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino
