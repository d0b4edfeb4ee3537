"""Open a memory file, and copy it while others use it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from typing_extensions import Unpack

from larimar_memory.errors import InputError
from larimar_memory.stores.base import Store
from larimar_memory.stores.options import ConnectionOptions
from larimar_memory.stores.sqlite.connection import check_length
from larimar_memory.stores.sqlite.failures import translated
from larimar_memory.stores.sqlite.files import remove
from larimar_memory.stores.sqlite.salvage import looking
from larimar_memory.stores.sqlite.schema import about
from larimar_memory.stores.sqlite.store import SQLiteStore
from larimar_memory.stores.sqlite.wal import check_log
from larimar_memory.system.files import put_in_place
from larimar_memory.system.places import check_file, check_free, exists
from larimar_memory.validate import check_synchronous

_PAGES = 2048

OnCopy = Callable[[int, int], None]
"""A function called with how much is done, and how much there is."""


def open_store(
    path: Path | None,
    *,
    encoder: str,
    dimension: int,
    create: bool = True,
    lazy: bool = False,
    **options: Unpack[ConnectionOptions],
) -> Store:
    """The store in a file; without a path, a new store in RAM.

    Args:
        encoder: fingerprint of the encoder that makes the keys.
        dimension: numbers in a key.
        create: whether to start a new memory if there is none.
        lazy: whether a new memory searches by coarse keys.
        options: see `ConnectionOptions`.

    Raises:
        InputError: if an argument cannot be used.
        MemoryFileError: if the file cannot be opened.
        EncoderMismatchError: if it was written with another encoder.
    """
    check_synchronous(options.get("synchronous", "full"))
    read_only = options.get("read_only", False)
    check_file(path, must_exist=read_only or not create)
    not_writable = path is not None and exists(path) and not os.access(path, os.W_OK)
    options["read_only"] = read_only or not_writable
    return SQLiteStore(path, encoder=encoder, dimension=dimension, lazy=lazy, **options)


def written_with(path: Path | None) -> tuple[str, int]:
    """Fingerprint and dimension of the encoder that a file was written with; "" and 0 if it has none.

    Raises:
        InputError: if the path is None: a memory in RAM begins empty.
        MemoryFileError: if the file cannot be read.
    """
    if path is None:
        raise InputError(
            "A memory in RAM cannot be opened without an encoder.",
            "It is empty, and nothing could be written to it.",
            "Name the file of a memory, or leave encoder=None out.",
        )
    check_length(path)
    with looking(path) as db:
        known = about(db)
    return known.encoder or "", known.dimension or 0


@contextmanager
def open_as_written(
    path: Path, *, read_only: bool = False, new: tuple[str, int] | None = None, lazy: bool = False
) -> Iterator[SQLiteStore]:
    """The store in a file, whatever encoder it was written with; the encoder is not needed.

    Args:
        new: encoder and dimension of a new file, if there is none yet.
        lazy: whether a new file searches by coarse keys.

    Raises:
        MemoryFileError: if the file cannot be opened.
    """
    check_file(path, must_exist=new is None)
    encoder, dimension = new or ("", 0)
    if exists(path):
        known = written_with(path)
        encoder, dimension = known[0] or encoder, known[1] or dimension
    store = SQLiteStore(path, encoder=encoder, dimension=dimension, lazy=lazy, read_only=read_only)
    with closing(store):
        yield store


def backup(path: Path, out: Path, on_progress: OnCopy | None = None) -> None:
    """Copy a memory file as it is at one moment; others may read and write it meanwhile.

    The copy appears under its name once it is whole and on the disk. The vector index is not copied:
    it is made again from the rows.

    Args:
        on_progress: called with pages copied and pages of the file.

    Raises:
        InputError: if `out` exists.
        MemoryFileError: if the file cannot be read, is not a memory, or `out` cannot be written.
    """
    check_file(path, must_exist=True)
    check_free(out)
    check_log(path)

    def tell(_: int, left: int, total: int) -> None:
        if on_progress is not None:
            on_progress(total - left, total)

    with translated(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with put_in_place(out) as new:
            try:
                with looking(path) as source, closing(sqlite3.connect(new)) as copy:
                    # The read transaction keeps the moment: writers go on in the log, and the copy does
                    # not start over.
                    source.execute("SELECT count(*) FROM sqlite_master").fetchone()
                    source.backup(copy, pages=_PAGES, progress=tell)
            finally:
                with suppress(OSError):
                    remove(new, but_file=True)
