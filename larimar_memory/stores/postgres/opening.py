"""Open the memory in a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from typing_extensions import Unpack

from larimar_memory.stores.options import StoreOptions
from larimar_memory.stores.postgres import schema
from larimar_memory.stores.postgres.connection import Database
from larimar_memory.stores.postgres.failures import NoMemoryError
from larimar_memory.stores.postgres.store import PostgresStore
from larimar_memory.validate import check_synchronous


def open_store(
    address: str, *, encoder: str, dimension: int, lazy: bool = False, **options: Unpack[StoreOptions]
) -> PostgresStore:
    """The store in a database; see `PostgresStore`."""
    check_synchronous(options.get("synchronous", "full"))
    return PostgresStore(address, encoder=encoder, dimension=dimension, lazy=lazy, **options)


def written_with(address: str) -> tuple[str, int]:
    """Fingerprint and dimension of the encoder that a memory was written with; "" and 0 if it has none.

    Raises:
        MemoryFileError: if there is no memory, or it cannot be read.
    """
    with closing(Database(address, read_only=True)) as database:
        known = database.read(schema.about)
    return known.encoder, known.dimension


@contextmanager
def open_as_written(
    address: str, *, read_only: bool = False, new: tuple[str, int] | None = None, lazy: bool = False
) -> Iterator[PostgresStore]:
    """The store in a database, whatever encoder it was written with; the encoder is not needed.

    Args:
        new: encoder and dimension of a new memory, if there is none yet.
        lazy: whether a new memory searches by coarse keys.

    Raises:
        MemoryFileError: if it cannot be opened.
    """
    encoder, dimension = new or ("", 0)
    try:
        known = written_with(address)
        encoder, dimension = known[0] or encoder, known[1] or dimension
    except NoMemoryError:
        if new is None:
            raise
    store = PostgresStore(address, encoder=encoder, dimension=dimension, lazy=lazy, read_only=read_only)
    with closing(store):
        yield store
