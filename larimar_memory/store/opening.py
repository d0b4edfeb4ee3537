"""Which store a path calls for."""

from __future__ import annotations

import os
from pathlib import Path

from larimar_memory.checks import check_file, check_synchronous
from larimar_memory.store.base import Store
from larimar_memory.store.ram import RamStore
from larimar_memory.store.sqlite import SQLiteStore


def open_store(
    path: Path | None,
    *,
    encoder: str,
    dimension: int,
    create: bool = True,
    read_only: bool = False,
    busy_seconds: float = 5.0,
    synchronous: str = "full",
) -> Store:
    """The store in a file, or a new one in RAM where there is no path; arguments as in `Larimar.open`.

    Args:
        encoder: fingerprint of what makes the keys.
        dimension: numbers of a key.

    Raises:
        InputError: if an argument cannot be used.
        MemoryFileError: if the file cannot be opened.
        EncoderMismatchError: if it was written with another encoder.
    """
    check_synchronous(synchronous)
    check_file(path, must_exist=read_only or not create)
    if path is None:
        return RamStore()
    return SQLiteStore(
        path,
        encoder=encoder,
        dimension=dimension,
        read_only=read_only or (path.exists() and not os.access(path, os.W_OK)),
        busy_seconds=busy_seconds,
        synchronous=synchronous,
    )
