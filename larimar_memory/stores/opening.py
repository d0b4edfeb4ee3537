"""Which store a place calls for: a file, RAM, or a PostgreSQL database."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias, cast

from typing_extensions import Unpack

from larimar_memory.errors import InputError
from larimar_memory.stores.base import Store
from larimar_memory.stores.options import StoreOptions
from larimar_memory.stores.postgres.address import is_address, not_installed, shown
from larimar_memory.stores.sqlite import opening as of_files
from larimar_memory.system.places import check_file

if TYPE_CHECKING:
    from larimar_memory.stores.postgres.store import PostgresStore
    from larimar_memory.stores.sqlite.store import SQLiteStore

Place: TypeAlias = Path | str | None
"""A file, the address of a database, or None for RAM."""

_OTHER_DRIVER = re.compile(r"postgres(?:ql)?\+\w+://")


def place_of(given: str | os.PathLike[str] | None) -> Place:
    """The place that a caller names.

    Raises:
        InputError: if it is an address in another library's form.
    """
    if given is None or is_address(given):
        return given
    if isinstance(given, str) and _OTHER_DRIVER.match(given):
        raise InputError(
            f"The memory {shown(given)} cannot be opened.",
            "Its address names a driver, as SQLAlchemy has it.",
            "Write it as postgresql://user:password@host:port/database.",
        )
    return Path(given).expanduser()


def called(given: str | os.PathLike[str]) -> str:
    """The name of a place in messages, without a password."""
    return shown(given) if is_address(given) else os.fspath(given)


def file_of(given: str | os.PathLike[str], what: str) -> Path:
    """The file that a caller names.

    Args:
        what: the first sentence of the error, which says what was not done.

    Raises:
        InputError: if it is a database.
    """
    if is_address(given):
        raise InputError(
            what,
            f"{shown(given)} is a database, which its server keeps whole and copies itself.",
            "Use pg_amcheck and pg_dump; docs/scaling.md says how.",
        )
    return Path(given)


def check_place(place: Place, *, must_exist: bool) -> None:
    """Raise MemoryFileError if a memory file must exist and does not; databases are not looked at."""
    if not isinstance(place, str):
        check_file(place, must_exist=must_exist)


def open_store(
    place: Place, *, encoder: str, dimension: int, lazy: bool = False, **options: Unpack[StoreOptions]
) -> Store:
    """The store at a place; for None, a new store in RAM.

    Args:
        encoder: fingerprint of the encoder that makes the keys.
        dimension: numbers in a key.
        lazy: whether a new store searches by coarse keys.
        options: see `StoreOptions`.

    Raises:
        InputError: if an argument cannot be used.
        MemoryFileError: if the memory cannot be opened.
        EncoderMismatchError: if it was written with another encoder.
    """
    keys = {"encoder": encoder, "dimension": dimension, "lazy": lazy}
    if isinstance(place, str):
        return cast(Store, _databases(place).open_store(place, **keys, **options))
    return of_files.open_store(place, **keys, **options)  # type: ignore[arg-type]


def written_with(place: Place) -> tuple[str, int]:
    """Fingerprint and dimension of the encoder that a memory was written with; "" and 0 if it has none.

    Raises:
        InputError: if the place is None: a memory in RAM begins empty.
        MemoryFileError: if it cannot be read.
    """
    if isinstance(place, str):
        return cast("tuple[str, int]", _databases(place).written_with(place))
    return of_files.written_with(place)


@contextmanager
def open_as_written(
    given: str | os.PathLike[str],
    *,
    read_only: bool = False,
    new: tuple[str, int] | None = None,
    lazy: bool = False,
) -> Iterator[SQLiteStore | PostgresStore]:
    """The store at a place, whatever encoder it was written with; the encoder is not needed.

    Args:
        given: the place, as a caller names it.
        new: encoder and dimension of a new memory, if there is none yet.
        lazy: whether a new memory searches by coarse keys.

    Raises:
        MemoryFileError: if it cannot be opened.
    """
    place = place_of(given)
    module = _databases(place) if isinstance(place, str) else of_files
    with module.open_as_written(place, read_only=read_only, new=new, lazy=lazy) as store:
        yield store


def _databases(address: str) -> ModuleType:
    try:
        from larimar_memory.stores.postgres import opening
    except ImportError as error:
        raise not_installed(shown(address)) from error
    return opening
