"""The keyword arguments of the facade's calls, as type checkers know them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TypeAlias, TypedDict

from larimar_memory.types import AnswerOptions, Grounds, Message, ReadOptions, Style, Where

Time: TypeAlias = str | date
"""A date or a datetime, or either as ISO 8601 text; see `larimar_memory.system.moments`."""


class Times(TypedDict, total=False):
    """Times that limit what a read takes by when it was said; see `ReadOptions`."""

    since: Time | None
    until: Time | None
    as_of: Time | None


class _ReadFields(Times, total=False):
    namespace: str
    where: Where | None
    neighbours: int
    hybrid: bool
    threshold: float | None
    explain: bool


class ReadKeywords(_ReadFields, total=False):
    """The keyword arguments of a read: options, and fields that override theirs."""

    options: ReadOptions


class AnswerKeywords(_ReadFields, total=False):
    """The keyword arguments of an answer: options of both kinds, and fields that override theirs."""

    reading: ReadOptions
    options: AnswerOptions
    grounding: Grounds
    context_tokens: int
    max_tokens: int
    stop: Sequence[str]
    temperature: float
    seed: int | None
    fallback: bool
    history: Sequence[Message]
    history_tokens: int
    begin: str
    style: Style
    cite: bool
    beams: int
    around: bool
