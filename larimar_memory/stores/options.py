"""Options for opening a memory and for listing its documents, whatever the store."""

from __future__ import annotations

from typing import TypedDict

from larimar_memory.types import Where


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


class PageOptions(TypedDict, total=False):
    """Which documents of a namespace a page has.

    Attributes:
        after: the id of the document that they follow; from the first document, if there is no such id.
        episode: only documents of this episode.
        matching: only documents whose id contains this text; A to Z are the same as a to z.
        newest: in reverse order, newest first.
        where: only documents whose metadata pass the filter.
    """

    after: str | None
    episode: str | None
    matching: str
    newest: bool
    where: Where | None
