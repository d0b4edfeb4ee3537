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
from larimar_memory.validate import check_file, check_free, check_synchronous, exists

_PAGES = 2048

OnCopy = Callable[[int, int], None]
"""Called with how much was done, and how much there is."""


def open_store(
    path: Path | None,
    *,
    encoder: str,
    dimension: int,
    create: bool = True,
    lazy: bool = False,
    **options: Unpack[ConnectionOptions],
) -> Store:
    """The store in a file, or a new one in RAM where there is no path.

    Args:
        encoder: fingerprint of what makes the keys.
        dimension: numbers of a key.
        create: whether to start a new memory where there is none.
        lazy: whether a new one searches by coarse keys.
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
    """Fingerprint and dimension of the encoder that a memory file was written with; "" and 0 for none.

    Raises:
        InputError: if there is no file: a memory in RAM begins empty.
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
    """The store in a file, whatever encoder it was written with, which need not be there.

    Args:
        new: encoder and dimension of the file where there is none yet.
        lazy: whether such a one searches by coarse keys.

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

    The copy appears under its name when it is whole and on the disk. The vector index is not copied:
    it is made again from the rows.

    Args:
        on_progress: called with pages copied and pages of the file.

    Raises:
        InputError: if there is something at `out`.
        MemoryFileError: if the file cannot be read, is no memory, or `out` cannot be written.
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
                    # The read holds the moment: writers go on in the log, and it does not begin again.
                    source.execute("SELECT count(*) FROM sqlite_master").fetchone()
                    source.backup(copy, pages=_PAGES, progress=tell)
            finally:
                with suppress(OSError):
                    remove(new, but_file=True)
