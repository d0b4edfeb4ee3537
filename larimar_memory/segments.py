"""Cut text into sentence-sized segments whose character spans rebuild the source exactly.

A segment is a sentence, because a sentence on its own is found better than the same sentence
inside a longer passage. Short sentences are joined within their paragraph, long ones are split.
Boundaries come from `sentencex` (many languages, linear time).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from sentencex import get_sentence_boundaries

from larimar_memory.errors import InputError
from larimar_memory.types import Segment

MIN_CHARS = 40
MAX_CHARS = 280
WINDOW_CHARS = 100_000
"""Text handed to the splitter at a time: keeps memory flat on texts of any length."""

_CUTS = ("\n", ".!?\u3002\uff01\uff1f\u2026", ";:,\uff1b\uff1a\uff0c\u3001", " \t\u00a0\u3000")
_SENTENCE_ENDS = _CUTS[1] + "\"'\u201d\u2019)\u300d"
_HEADING_CHARS = 60
_HEADING_LETTERS = 0.8
_ZERO_WIDTH_JOINER = "\u200d"


def segment(
    text: str,
    *,
    language: str = "en",
    min_chars: int = MIN_CHARS,
    max_chars: int = MAX_CHARS,
) -> Iterator[Segment]:
    """Yield the segments of `text` in order.

    The spans are contiguous and cover the text: `"".join(s.text for s in segment(t)) == t`.

    Args:
        text: any text, of any length.
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
    sentences = _with_blanks(text, _sentences(text, language))
    pieces = _split_long(text, sentences, max_chars)
    for index, (start, end) in enumerate(_join_short(text, pieces, min_chars, max_chars)):
        yield Segment(index, start, end, text[start:end])


def is_heading(text: str) -> bool:
    """Whether a segment is one line of words that ends no sentence, maybe underlined, as titles are.

    A title is found by questions about what follows it, so a reader wants that as well. It stays a
    segment of its own: joined, it would draw the key of what follows away from what that says.
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


def _sentences(text: str, language: str) -> Iterator[tuple[int, int]]:
    """Sentence spans, contiguous, reading the text window by window."""
    start = 0
    while start < len(text):
        window = text[start : start + WINDOW_CHARS]
        ends = [int(b["end_index"]) for b in get_sentence_boundaries(language, window)]
        ends = [e for e in ends if 0 < e < len(window)]
        if start + len(window) == len(text) or not ends:
            ends.append(len(window))
        begin = 0
        for end in ends:
            if end > begin:
                yield start + begin, start + end
                begin = end
        start += begin


def _with_blanks(text: str, spans: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Give the white space between sentences to the one before it."""
    pending: tuple[int, int] | None = None
    for start, end in spans:
        if pending is not None and _visible(text, start, end) == 0:
            pending = pending[0], end
            continue
        if pending is not None:
            yield pending
        pending = start, end
    if pending is not None:
        yield pending


def _split_long(
    text: str, spans: Iterator[tuple[int, int]], max_chars: int
) -> Iterator[tuple[int, int]]:
    for start, end in spans:
        while end - start > max_chars:
            cut = _cut(text, start, start + max_chars)
            yield start, cut
            start = cut
        yield start, end


def _cut(text: str, start: int, limit: int) -> int:
    """The best place in `(start, limit]` to end a piece: line, sentence, clause, word, anywhere."""
    earliest = start + (limit - start) // 3
    for marks in _CUTS:
        for at in range(limit, earliest, -1):
            if text[at - 1] in marks and not (at < len(text) and text[at] in marks):
                return at
    for at in range(limit, earliest, -1):
        if not _joins_previous(text, at):
            return at
    return limit


def _joins_previous(text: str, at: int) -> bool:
    """Whether the character at `at` belongs to the one before it (accents, emoji sequences, CRLF)."""
    if at >= len(text):
        return False
    char, previous = text[at], text[at - 1]
    return (
        unicodedata.combining(char) != 0
        or unicodedata.category(char) in ("Mn", "Me", "Sk")
        or _ZERO_WIDTH_JOINER in (char, previous)
        or (previous == "\r" and char == "\n")
    )


def _join_short(
    text: str, spans: Iterator[tuple[int, int]], min_chars: int, max_chars: int
) -> Iterator[tuple[int, int]]:
    pending: tuple[int, int] | None = None
    for start, end in spans:
        if pending is None:
            pending = start, end
            continue
        open_ended = not _ends_paragraph(text, *pending)
        joined = (
            _visible(text, start, end) == 0
            or (open_ended and _visible(text, *pending) < min_chars)
            or (
                open_ended
                and _visible(text, start, end) < min_chars
                and _ends_paragraph(text, start, end)
            )
        )
        if joined and end - pending[0] <= max_chars:
            pending = pending[0], end
        else:
            yield pending
            pending = start, end
    if pending is not None:
        yield pending


def _ends_paragraph(text: str, start: int, end: int) -> bool:
    """Whether a blank line, or the end of the text, follows a piece's last visible character."""
    return end == len(text) or _blank_line_follows(text[start:end])


def _blank_line_follows(piece: str) -> bool:
    return piece[len(piece.rstrip()) :].count("\n") > 1


def _visible(text: str, start: int, end: int) -> int:
    return len(text[start:end].strip())
