"""The laws of a store hold for PostgreSQL, eager and lazy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from larimar_memory.stores import Store
from larimar_memory.stores.postgres import parts
from larimar_memory.stores.postgres.store import PostgresStore
from larimar_memory.testing.stores import StoreLaws
from larimar_memory.testing.writes import DIMENSION


def open_database(address: str, **options: object) -> PostgresStore:
    """The store in a database."""
    return PostgresStore(address, encoder="test-encoder", dimension=DIMENSION, **options)  # type: ignore[arg-type]


class TestInADatabase(StoreLaws):
    lazy = False

    @pytest.fixture
    def store(self, address: str) -> Iterator[Store]:
        self.address = address
        self.opened = open_database(address, lazy=self.lazy)
        yield self.opened
        self.opened.close()

    def reopen(self, store: Store) -> Store:
        store.close()
        self.opened = open_database(self.address)
        return self.opened


class TestLazyInADatabase(TestInADatabase):
    lazy = True


class TestLazyInADatabaseWithIndexes(TestLazyInADatabase):
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parts, "EXACT_LIMIT", 3)
