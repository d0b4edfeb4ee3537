"""Addresses of databases: how to recognise them, and how to show them without their password."""

from __future__ import annotations

import re
from typing import Any, TypeGuard

from larimar_memory.errors import InputError

_SCHEMES = ("postgresql://", "postgres://")
_PASSWORD = re.compile(r"(?<=://)([^/?#@]*?):[^/?#]*@|(?<=[?&])password=[^&]*&?")


def is_address(place: Any) -> TypeGuard[str]:
    """Whether a place is the address of a PostgreSQL database, and not a file."""
    return isinstance(place, str) and place.startswith(_SCHEMES)


def shown(address: str) -> str:
    """The address without its password."""
    return _PASSWORD.sub(lambda found: "" if found[1] is None else f"{found[1]}@", address).rstrip("?&")


def not_installed(name: str) -> InputError:
    """The error if the extra is not installed."""
    return InputError(
        f"The memory {name} cannot be opened.",
        "It is in PostgreSQL, and psycopg is not installed.",
        'Install it with `pip install "larimar-memory[postgres]"`.',
    )
