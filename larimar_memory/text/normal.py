"""The normal form of a text, from which keys and words are made; the stored text stays as written.

Ligatures, fullwidth letters, superscripts and mathematical letters become plain ones (Unicode's NFKC).
Characters that say nothing are removed: soft hyphens, direction marks, trademark signs, zero-width
spaces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from itertools import chain, islice, product, zip_longest

import regex

_LIGATURES = ("ff", "fi", "fl", "ffi", "ffl")
_TEX = {
    **dict(zip("\x0b\x0c\x0e\x0f", ("ff", "fi", "ffi", "ffl"), strict=True)),
    **dict(zip("\x1b\x1c\x1d\x1e\x1f", _LIGATURES, strict=True)),
}
"""Ligatures by their codes in TeX's fonts: PDFs that do not say what their letters mean give these."""

_LOST = "[\\x00-\\x08\\x0B\\x0C\\x0E-\\x1F\\x7F\ufffd\ue000-\uf8ff]"
_NOT_PLAIN = re.compile(r"[^\t\n\r -~]")
_UNSEEN = regex.compile(r"\u00AD[ \t]*\r?\n[ \t]*|(?![\u200C\u200D])\p{Cf}|[\u2120\u2122]")
_LOST_LETTER = regex.compile(_LOST)
_BROKEN_WORD = regex.compile(rf"(?:\p{{L}}+{_LOST}|{_LOST}\p{{L}})(?:\p{{L}}|{_LOST})*")
_HYPHENATED = regex.compile(r"(\p{Ll}+)[-\u2010][ \t]*\r?\n[ \t]*(\p{Ll}+)")
_MOST_READINGS = 25


def normalised(text: str) -> str:
    """The normal form of a text, from which keys and words are made."""
    return text if is_plain(text) else unicodedata.normalize("NFKC", _UNSEEN.sub("", text))


def is_plain(text: str) -> bool:
    """Whether a text is ASCII without controls, and so in its normal form."""
    # Decides most texts in a third of the time that the pattern takes.
    printable = text.isascii() and text.replace("\n", " ").isprintable()
    return printable or _NOT_PLAIN.search(text) is None


def spelt_out(text: str, say: Callable[[list[str]], str]) -> str:
    """A normalised text in which `say` has replaced each word that a line end or a font broke.

    A hyphen at the end of a line may belong to the word. PDFs give NULs and other control characters in
    place of ligatures, but other texts use them between words.

    Args:
        say: given all possible readings of a broken word, returns the text that replaces it.
    """
    if "\n" in text and ("-" in text or "\u2010" in text):
        text = _HYPHENATED.sub(lambda found: say([f"{found[1]}-{found[2]}", found[1] + found[2]]), text)
    if is_plain(text) or _LOST_LETTER.search(text) is None:
        return text
    return str(_BROKEN_WORD.sub(lambda found: say(_readings(found[0])), text))


def _readings(word: str) -> list[str]:
    parts = _LOST_LETTER.split(word)
    found = _LOST_LETTER.findall(word)
    each = ([_TEX[lost]] if lost in _TEX else _LIGATURES for lost in found)
    ways = islice(product(*each), _MOST_READINGS)
    joined = ["".join(chain(*zip_longest(parts, way, fillvalue=""))) for way in ways]
    return [*joined, " ".join(parts)]
