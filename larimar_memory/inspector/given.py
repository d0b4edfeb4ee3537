"""The arguments of each action of the page."""

from __future__ import annotations

from pydantic import Field

from larimar_memory.system.requests import Arguments
from larimar_memory.types import DEFAULT_NAMESPACE, Style

MOST = 200
"""Most documents or segments in one answer."""


class Nothing(Arguments):
    """No arguments."""


class In(Arguments):
    """A namespace."""

    namespace: str = DEFAULT_NAMESPACE


class Page(In):
    """A page of documents, or of episodes."""

    count: int = Field(50, ge=1, le=MOST)
    after: str | None = None
    episode: str | None = None
    matching: str = ""
    newest: bool = False


class Searched(In):
    """A text to search by."""

    text: str
    count: int = Field(50, ge=1, le=MOST)


class Named(In):
    """A document, as it is shown: a part of it around a place, or all of it."""

    id: str
    at: int = Field(0, ge=0)
    whole: bool = False


class Asked(In):
    """A question, and how it is read and answered."""

    question: str
    k: int = Field(5, ge=1, le=MOST)
    neighbours: int = Field(0, ge=0, le=20)
    threshold: float | None = None
    since: str | None = None
    until: str | None = None
    as_of: str | None = None
    answer: bool = True
    style: Style = "brief"
    max_tokens: int = Field(64, ge=1, le=1_000)


class Edited(In):
    """A document's new text, and the hash of its text when it was opened.

    The metadata is JSON as it was typed: a browser's numbers are less exact. None keeps the old one.
    """

    id: str
    text: str
    metadata: str | None = None
    was: str


class Forgotten(In):
    """A document that is to be forgotten."""

    id: str
