"""Copy a memory file while others use it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from larimar_memory.stores.sqlite.failures import translated
from larimar_memory.stores.sqlite.files import remove
from larimar_memory.stores.sqlite.salvage import looking
from larimar_memory.stores.sqlite.wal import check_log
from larimar_memory.validate import check_file, check_free

_PAGES = 2048

OnCopy = Callable[[int, int], None]
"""Called with how much was done, and how much there is."""


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
    new = out.with_name(f"{out.name}.{os.getpid()}.tmp")

    def tell(_: int, left: int, total: int) -> None:
        if on_progress is not None:
            on_progress(total - left, total)

    try:
        with translated(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            with looking(path) as source, closing(sqlite3.connect(new)) as copy:
                # The read holds the moment: writers go on in the log, the copy does not begin again.
                source.execute("SELECT count(*) FROM sqlite_master").fetchone()
                source.backup(copy, pages=_PAGES, progress=tell)
            with new.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(new, out)
    finally:
        with suppress(OSError):
            remove(new)
