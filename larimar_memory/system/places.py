"""Checks of the places where a file is, or is to be."""

from __future__ import annotations

import os
from pathlib import Path

from larimar_memory.errors import InputError, MemoryFileError

exists = os.path.exists
"""Whether there is a file or folder; pathlib's own raises if a name is too long or holds a NUL."""


def check_path(path: Path | None) -> None:
    """Raise MemoryFileError for a path that no system accepts."""
    if path is not None and "\0" in str(path):
        raise MemoryFileError(
            f"There can be no file {str(path)!r}.", "Its name holds a NUL.", "Check the path."
        )


def check_file(file: Path | None, *, must_exist: bool) -> None:
    """Raise MemoryFileError if a memory file should exist and does not, or never could."""
    check_path(file)
    if file is not None and must_exist and not exists(file):
        raise MemoryFileError(
            f"There is no memory at {file}.",
            "The file does not exist.",
            "Check the path, or write a memory there first.",
        )


def check_free(out: Path) -> None:
    """Raise InputError if there is something already.

    Callers must name a free path, so that no copy is ever overwritten.
    """
    check_path(out)
    if exists(out):
        raise InputError(
            f"Nothing was written to {out}.",
            "There is something of that name already.",
            "Name a path where nothing is.",
        )
