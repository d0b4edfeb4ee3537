"""Words of a text for lexical search; one function makes them for stored texts and for questions.

Case, accents and vowel points are ignored. Scripts without spaces between words give each letter and
each pair of neighbouring letters, as Lucene's CJKAnalyzer does, so that a word is found inside a
sentence without a dictionary. Korean attaches particles to its words, so its longer words give the
pairs only. Emoji, flags and the like are words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import regex

from larimar_memory.text.normal import is_plain, normalised, spelt_out

MAX_TERMS = 64

_PLAIN_WORD = re.compile(r"[^\W_]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F]")
_HYPHEN_AT_END = re.compile(r"-[ \t]*\r?\n")
_ACCENTS = re.compile("[\u0300-\u036f]+")
_BETWEEN = "\u2018\u2019\u201c\u201d\u201e\u2013\u2014\u2026\u00ab\u00bb"
_PUNCTUATION = str.maketrans(_BETWEEN, " " * len(_BETWEEN), "\u2120\u2122")

_UNSPACED = (
    "Thai",
    "Lao",
    "Khmer",
    "Myanmar",
    "Javanese",
    "Balinese",
    "Tai_Le",
    "New_Tai_Lue",
    "Tai_Tham",
)
_RUNS = (
    r"\p{Han}+",
    r"[\p{Hiragana}\u30FC]+",
    r"[\p{Katakana}\u30FC]+",
    r"(?P<hangul>\p{Hangul}+)",
    *(rf"\p{{{script}}}[\p{{{script}}}\p{{M}}]*" for script in _UNSPACED),
)
_IN_RUNS = "".join(
    rf"\p{{{script}}}" for script in ("Han", "Hiragana", "Katakana", "Hangul", *_UNSPACED)
)
_SYMBOL = r"\p{Regional_Indicator}{2}|[\p{Extended_Pictographic}\u2600-\u26FF]"
_WORD = regex.compile(
    rf"(?P<run>{'|'.join(_RUNS)})|(?:(?![{_IN_RUNS}])[\p{{L}}\p{{N}}\p{{Co}}\p{{Braille}}]\p{{M}}*)+|{_SYMBOL}"
)
_LETTER = regex.compile(r"\X")
_POINTS = regex.compile(
    r"[\p{Latin}\p{Greek}]\K\p{Mn}+|\u0435\K\u0308|"
    r"(?![\u0433\u043A]\u0301)\p{Cyrillic}[\u0306\u0308]?\K[\u0300-\u0305]+|"
    r"[^\p{Cyrillic}\p{M}]\K[\u0300-\u036F]+|"
    r"[\u0591-\u05BD\u05BF\u05C1\u05C2\u05C7\u0610-\u061A\u0640\u064B-\u065F\u0670\u06D6-\u06ED"
    r"\u200C\u200D\u20DD-\u20E4\uFE00-\uFE0F\U0001F3FB-\U0001F3FF\U000E0100-\U000E01EF]"
)
_ALIKE = str.maketrans("\u0131\u0649\u06cc\u06a9\u0629", "i\u064a\u064a\u0643\u0647")
"""Letters that are written for one another: Turkish dotless i; Arabic and Persian yeh, kaf and teh
marbuta."""

_SYLLABLE = regex.compile(
    r"([\u0E4D\u0ECD])([\u0E48-\u0E4B\u0EC8-\u0ECB])|(\u0E40\u0E40)|(\u0EC0\u0EC0)"
)
"""Spellings that look alike in Thai and Lao: am and its tone mark in either order, ae as two e."""

_DIGIT = regex.compile(r"(?![0-9])\p{Nd}")


def words(text: str) -> list[str]:
    """The words of a text, in order."""
    if _is_plain(text):
        return _PLAIN_WORD.findall(text.lower())
    if _CONTROL.search(text) is None and _HYPHEN_AT_END.search(text) is None:
        # Most texts in Latin letters end here, in a fifth of the time that the rest takes.
        split = unicodedata.normalize("NFKD", text.translate(_PUNCTUATION).casefold())
        if (letters := _ACCENTS.sub("", split)).isascii():
            return _PLAIN_WORD.findall(letters.lower())
    return [word for found in _WORD.finditer(_folded(text)) for word in _of_run(found)]


def indexed(text: str) -> str:
    """The form of a text for a text index, which cuts at every ASCII character but letters and digits.

    For most ASCII texts it is the text itself.
    """
    return text if _is_plain(text) else " ".join(words(text))


def query_terms(question: str) -> list[str]:
    """Distinct words of a question, in order, at most `MAX_TERMS`."""
    return list(dict.fromkeys(words(question)))[:MAX_TERMS]


def _is_plain(text: str) -> bool:
    return is_plain(text) and ("-" not in text or _HYPHEN_AT_END.search(text) is None)


def _folded(text: str) -> str:
    """A text with its words as they are compared; a broken word becomes all its possible readings."""
    text = spelt_out(normalised(text), " ".join)
    split = unicodedata.normalize("NFD", text.casefold())
    letters = _SYLLABLE.sub(_one_order, _POINTS.sub("", split).translate(_ALIKE))
    digits = _DIGIT.sub(lambda found: str(unicodedata.decimal(found[0], found[0])), letters)
    return unicodedata.normalize("NFC", digits)


def _one_order(found: regex.Match[str]) -> str:
    return f"{found[2]}{found[1]}" if found[1] else "\u0e41" if found[3] else "\u0ec1"


def _of_run(found: regex.Match[str]) -> Iterator[str]:
    """A word; or the letters of a run, each followed by the pair that it begins."""
    if found["run"] is None:
        yield found[0]
        return
    letters = _LETTER.findall(found[0])
    # In longer words, single Hangul syllables would outweigh the words that differ.
    every = found["hangul"] is None or len(letters) < 3
    for n, letter in enumerate(letters):
        if every and (n == 0 or found["hangul"] is None):
            yield letter
        if n + 1 < len(letters):
            yield letter + letters[n + 1]
