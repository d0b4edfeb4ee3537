"""Connections to files, registered for all code that reads a file beside them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from larimar_memory.system import locked_files


class FileConnection(sqlite3.Connection):
    """A connection whose file counts as in use until it is closed."""

    file: locked_files.Identity | None = None

    def close(self) -> None:
        """Close it."""
        super().close()
        file, self.file = self.file, None
        if file is not None:
            locked_files.leave(file)


def connect(path: Path | None, address: str, **options: Any) -> sqlite3.Connection:
    """Open a database as `sqlite3.connect` does.

    Args:
        path: of its file; None if it has none.
        address: a URI, or a path.
    """
    if path is None:
        in_ram: sqlite3.Connection = sqlite3.connect(address, **options)
        return in_ram
    with locked_files.changing:
        connection = FileConnection(address, **options)
        # SQLite has opened the file, and made it if there was none.
        connection.file = locked_files.identity(path)
        if connection.file is not None:
            locked_files.use(connection.file)
    return connection
