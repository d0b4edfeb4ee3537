"""Texts in blocks: a text too large to hold whole is read in parts, and more than once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from larimar_memory.errors import InputError
from larimar_memory.types import Metadata
from larimar_memory.validate import NO_UNICODE, check_episode, check_metadata, check_name, is_many

BLOCK_CHARS = 100_000

Blocks: TypeAlias = Callable[[], Iterator[str]]
"""A function that gives the blocks of a text, in order, each time it is called."""


@dataclass(slots=True)
class Measure:
    """The facts about a text that are known once it has been read to its end.

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
            UnicodeEncodeError: if a block holds half of a surrogate pair.
        """
        for block in blocks:
            self._digest.update(block.encode("utf-8"))
            self.characters += len(block)
            self.visible = self.visible or bool(block and not block.isspace())
            yield block

    def digest(self, suffix: str = "") -> str:
        """A hash of the text and the suffix."""
        digest = self._digest.copy()
        digest.update(suffix.encode("utf-8"))
        return str(digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Text:
    """A text to be written under an id.

    Attributes:
        text: the text, or a function that gives its blocks; blocks are read twice unless `measure` is
            given.
        measure: the measure of the text, if it has been read before.
        episode: name of the episode that it belongs to, if any.
    """

    id: str
    text: str | Blocks
    metadata: Metadata
    measure: Measure | None = None
    episode: str | None = None


def blocks_of(text: str | Blocks) -> Iterator[str]:
    """The blocks of a text; a str is cut into blocks."""
    if not isinstance(text, str):
        return text()
    return (text[at : at + BLOCK_CHARS] for at in range(0, len(text), BLOCK_CHARS))


def measured(blocks: Iterable[str]) -> Measure:
    """The measure of a text, read to its end."""
    measure = Measure()
    for _ in measure.take(blocks):
        pass
    return measure


def checked_measure(blocks: Iterable[str], name: str) -> Measure:
    """The measure of a text that can be written.

    Raises:
        InputError: if it has no visible character, or is not Unicode; the message calls it `name`.
    """
    measure = Measure()
    try:
        for _ in measure.take(blocks):
            pass
    except UnicodeEncodeError as error:
        why = f"At character {measure.characters + error.start} it holds {NO_UNICODE}."
        raise unwritable(name, why, 'Decode the source with errors="replace".') from error
    if not measure.visible:
        remedy = "Pass text with at least one visible character, or leave it out."
        raise unwritable(name, "It is empty.", remedy)
    return measure


def note_id(text: str) -> str:
    """The id of a note that a model keeps: the same for the same text, and short enough to repeat."""
    return f"note-{hashlib.blake2b(text.encode('utf-8', 'replace'), digest_size=8).hexdigest()}"


def check_texts(
    texts: str | Iterable[str],
    ids: Sequence[str] | None,
    metadatas: Sequence[Metadata] | None,
    episode: str | None = None,
) -> list[Text]:
    """The texts of a write, checked, with their ids and metadata, all in one episode.

    If no ids are given, a text's id is a hash of the text.

    Raises:
        InputError: if a text, an id or metadata cannot be used, or their numbers differ.
    """
    if not isinstance(texts, str) and not is_many(texts):
        why = f"The texts are a {type(texts).__name__}, and not a list of str."
        raise InputError("Nothing was written.", why, "Give a list of texts, or a single one.")
    listed = [texts] if isinstance(texts, str) else list(texts)
    ids, metadatas = (
        one_per_text(name, given, len(listed))
        for name, given in (("ids", ids), ("metadatas", metadatas))
    )
    whose = [
        f"text {n}" if ids is None else f"document {ids[n - 1]!r}" for n in range(1, len(listed) + 1)
    ]
    measures = [_check_text(text, f"Text {n}") for n, text in enumerate(listed, start=1)]
    ids = [measure.digest() for measure in measures] if ids is None else ids
    metadatas = [{}] * len(listed) if metadatas is None else metadatas
    check_episode(episode)
    return [
        Text(check_name(name, "document id"), text, check_metadata(metadata, of), measure, episode)
        for name, text, metadata, of, measure in zip(
            ids, listed, metadatas, whose, measures, strict=True
        )
    ]


def one_per_text(name: str, given: Any, texts: int) -> list[Any] | None:
    """The values given beside texts, as a list with one for each text; None if none are given.

    Raises:
        InputError: if they are not a list, or not one for each text.
    """
    if given is None:
        return None
    alone = not is_many(given)
    listed = [] if alone else list(given)
    if alone or len(listed) != texts:
        raise InputError(
            "Nothing was written.",
            f"There are {texts} texts and "
            f"{f'a single {type(given).__name__}' if alone else len(listed)} for {name}.",
            f"Give one of {name} per text, or none.",
        )
    return listed


def unwritable(name: str, why: str, remedy: str) -> InputError:
    """The error for a text that cannot be written."""
    return InputError(f"{name} cannot be written.", why, remedy)


def _check_text(text: Any, name: str) -> Measure:
    if not isinstance(text, str):
        remedy = "Decode bytes first, and pass one str per document."
        raise unwritable(name, f"It is a {type(text).__name__}, not a str.", remedy)
    return checked_measure(blocks_of(text), name)
