"""A PostgreSQL server of the tests' own, and databases on it that begin empty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from benchmarks.database import running


class Server:
    """A running server, on a socket in a folder of its own."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def address(self, database: str = "postgres", user: str = "postgres", password: str = "") -> str:
        """What opens a database as a user."""
        who = f"{user}:{quote(password)}" if password else user
        return f"postgresql://{who}@/{database}?host={quote(str(self.data))}"

    def run(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """The rows of the last of some statements, each of which commits."""
        with psycopg.connect(self.address(database), autocommit=True) as db:
            for statement in statements:
                cursor = db.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def has(self, role: str) -> bool:
        """Whether there is a role of that name."""
        return bool(self.run(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"))

    def empty(self, database: str) -> str:
        """The address of a database that holds no memory; made if it is not there."""
        if not self.run(f"SELECT 1 FROM pg_database WHERE datname = '{database}'"):
            self.run(f"CREATE DATABASE {database}")
        self.run("DROP SCHEMA IF EXISTS larimar CASCADE", database=database)
        return self.address(database)


@contextmanager
def served() -> Iterator[Server]:
    """A server that is gone at the end."""
    with running() as data:
        server = Server(data)
        # What a power cut would cost is not tried here.
        server.run(
            "ALTER SYSTEM SET fsync = off",
            "ALTER SYSTEM SET client_min_messages = 'warning'",
            "SELECT pg_reload_conf()",
        )
        yield server
