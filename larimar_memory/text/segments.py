"""Cut text into sentence-sized segments whose character spans rebuild the source exactly.

A segment is a sentence, because a sentence is found more easily on its own than inside a longer
passage. Short sentences are joined within their paragraph, long ones are split. Boundaries come from
`sentencex` (many languages, linear time).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from sentencex import get_sentence_boundaries

from larimar_memory.errors import InputError
from larimar_memory.text.blocks import blocks_of
from larimar_memory.types import Segment

MIN_CHARS = 40
MAX_CHARS = 280
WINDOW_CHARS = 100_000
"""Characters handed to the splitter at a time; keeps memory constant on texts of any length."""

_CUTS = ("\n", ".!?\u3002\uff01\uff1f\u2026", ";:,\uff1b\uff1a\uff0c\u3001", " \t\u00a0\u3000")
_SENTENCE_ENDS = _CUTS[1] + "\"'\u201d\u2019)\u300d"
_HEADING_CHARS = 60
_HEADING_LETTERS = 0.8
_ZERO_WIDTH_JOINER = "\u200d"


def segment(
    text: str | Iterable[str],
    *,
    language: str = "en",
    min_chars: int = MIN_CHARS,
    max_chars: int = MAX_CHARS,
) -> Iterator[Segment]:
    """Yield the segments of `text` in order.

    The spans are contiguous and cover the text: `"".join(s.text for s in segment(t)) == t`. If a text
    is given in blocks, the segments do not depend on where blocks end, and at most a block and two
    windows are held.

    Args:
        text: any text, of any length, whole or in blocks.
        language: ISO 639-1 code that guides abbreviations and punctuation.
        min_chars: a shorter sentence is joined with the next.
        max_chars: no segment is longer.

    Raises:
        InputError: if the lengths are not `0 < min_chars <= max_chars`.
    """
    if not 0 < min_chars <= max_chars:
        raise InputError(
            f"Segments cannot be cut with min_chars={min_chars} and max_chars={max_chars}.",
            "The lengths must satisfy 0 < min_chars <= max_chars.",
            f"Use the defaults, {MIN_CHARS} and {MAX_CHARS}, or lengths that satisfy this.",
        )
    blocks = blocks_of(text) if isinstance(text, str) else text
    pieces = _split_long(_sentences(blocks, language), max_chars)
    start = 0
    for index, piece in enumerate(_join_short(pieces, min_chars, max_chars)):
        yield Segment(index, start, start + len(piece), piece)
        start += len(piece)


def is_heading(text: str) -> bool:
    """Whether a segment looks like a heading: a line of words, maybe underlined, that ends no sentence.

    Questions about the text below a heading find the heading, so a reader wants that text as well. A
    heading stays a segment of its own: joined to the text below, it would pull that text's key away
    from what the text says.
    """
    first, *rest = text.strip().split("\n")
    words = first.lstrip("#=* \t0123456789.").rstrip("#=* \t")
    return (
        0 < len(words) <= _HEADING_CHARS
        and words[-1] not in _SENTENCE_ENDS
        and not words[0].islower()
        and sum(c.isalpha() or c.isspace() for c in words) >= _HEADING_LETTERS * len(words)
        and not any(c.isalnum() for line in rest for c in line)
        and _blank_line_follows(text)
    )


def _sentences(blocks: Iterable[str], language: str) -> Iterator[str]:
    """The sentences of a text, reading it window by window."""
    source, held, more = iter(blocks), "", True
    while True:
        while more and len(held) <= WINDOW_CHARS:
            block = next(source, None)
            held, more = (held, False) if block is None else (held + block, True)
        if not held:
            return
        window = held[:WINDOW_CHARS]
        ends = [int(b["end_index"]) for b in get_sentence_boundaries(language, window)]
        ends = [e for e in ends if 0 < e < len(window)]
        if len(window) == len(held) or not ends:
            ends.append(len(window))
        begin = 0
        for end in ends:
            if end > begin:
                yield held[begin:end]
                begin = end
        held = held[begin:]


def _split_long(sentences: Iterator[str], max_chars: int) -> Iterator[str]:
    """Sentences with the white space that follows them; sentences that are too long come in pieces."""
    pending = ""
    for sentence in sentences:
        if pending and sentence.strip():
            yield pending
            pending = ""
        pending += sentence
        start = 0
        while len(pending) - start > max_chars:
            cut = _cut(pending, start, start + max_chars)
            yield pending[start:cut]
            start = cut
        pending = pending[start:]
    if pending:
        yield pending


def _cut(text: str, start: int, limit: int) -> int:
    """The best place in `(start, limit]` to end a piece: line, sentence, clause, word, anywhere.

    The text goes on after `limit`.
    """
    earliest = start + (limit - start) // 3
    for marks in _CUTS:
        for at in range(limit, earliest, -1):
            if text[at - 1] in marks and text[at] not in marks:
                return at
    for at in range(limit, earliest, -1):
        if not _joins_previous(text, at):
            return at
    return limit


def _joins_previous(text: str, at: int) -> bool:
    """Whether the character at `at` belongs to the one before it (accents, emoji sequences, CRLF)."""
    char, previous = text[at], text[at - 1]
    return (
        unicodedata.combining(char) != 0
        or unicodedata.category(char) in ("Mn", "Me", "Sk")
        or _ZERO_WIDTH_JOINER in (char, previous)
        or (previous == "\r" and char == "\n")
    )


def _join_short(pieces: Iterator[str], min_chars: int, max_chars: int) -> Iterator[str]:
    pending, upcoming = next(pieces, None), next(pieces, None)
    while pending is not None and upcoming is not None:
        piece, upcoming = upcoming, next(pieces, None)
        open_ended = not _blank_line_follows(pending)
        # The end of the text ends a paragraph as well.
        ends_paragraph = upcoming is None or _blank_line_follows(piece)
        joined = (
            not piece.strip()
            or (open_ended and len(pending.strip()) < min_chars)
            or (open_ended and len(piece.strip()) < min_chars and ends_paragraph)
        )
        if joined and len(pending) + len(piece) <= max_chars:
            pending += piece
        else:
            yield pending
            pending = piece
    if pending is not None:
        yield pending


def _blank_line_follows(piece: str) -> bool:
    return piece[len(piece.rstrip()) :].count("\n") > 1
