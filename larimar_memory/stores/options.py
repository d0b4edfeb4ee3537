"""How a memory is opened, whatever keeps it."""

from __future__ import annotations

from typing import TypedDict


class ConnectionOptions(TypedDict, total=False):
    """How a memory is used.

    Attributes:
        read_only: open a memory that must not, or cannot, be changed.
        busy_seconds: how long to wait while another process writes; 5 by default, and 30 in PostgreSQL.
        synchronous: with "full", the default, a write survives a power cut; with "normal", it survives
            only a crash of the process, and many small writes are faster.
    """

    read_only: bool
    busy_seconds: float
    synchronous: str


class StoreOptions(ConnectionOptions, total=False):
    """How a memory is opened.

    Attributes:
        create: whether to make a new memory if there is none; True by default.
    """

    create: bool
