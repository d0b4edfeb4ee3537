"""Texts in blocks: what is too large to be held is read in parts, and more than once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from larimar_memory.types import Metadata

BLOCK_CHARS = 100_000

Blocks: TypeAlias = Callable[[], Iterator[str]]
"""Gives the blocks of a text, in order, each time it is called."""


def blocks_of(text: str | Blocks) -> Iterator[str]:
    """The blocks of a text; a whole one is cut."""
    if not isinstance(text, str):
        return text()
    return (text[at : at + BLOCK_CHARS] for at in range(0, len(text), BLOCK_CHARS))


@dataclass(slots=True)
class Measure:
    """What is known of a text once it has been read to its end.

    Attributes:
        characters: its length.
        visible: whether a character of it can be seen.
    """

    characters: int = 0
    visible: bool = False
    _digest: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def take(self, blocks: Iterable[str]) -> Iterator[str]:
        """Pass blocks on, measuring them.

        Raises:
            UnicodeEncodeError: if one holds half of a surrogate pair.
        """
        for block in blocks:
            self._digest.update(block.encode("utf-8"))
            self.characters += len(block)
            self.visible = self.visible or bool(block and not block.isspace())
            yield block

    def digest(self, suffix: str = "") -> str:
        """A hash of the text and of what is said with it."""
        digest = self._digest.copy()
        digest.update(suffix.encode("utf-8"))
        return str(digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Text:
    """A text to be written under an id.

    Attributes:
        text: the text, or what gives its blocks; those are read twice unless `measure` is given.
        measure: of the text, where it has been read before.
    """

    id: str
    text: str | Blocks
    metadata: Metadata
    measure: Measure | None = None


def measured(blocks: Iterable[str]) -> Measure:
    """The measure of a text, read to its end."""
    measure = Measure()
    for _ in measure.take(blocks):
        pass
    return measure
