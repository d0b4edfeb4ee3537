"""Stems of English words as SQLite's text index makes them, so that all stores match words alike."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable

import Stemmer

_SHORTEST, _LONGEST = 3, 64
"""Lengths in bytes of the shortest and the longest word that is stemmed."""

_MEASURED = re.compile("(?:[aeiou]|[^aeiou]y).*?[^aeiouy]|[aeiou]y")
_of_thread = threading.local()


def stems(words: Iterable[str]) -> list[str]:
    """The stems of words, in order, by Porter's algorithm (1980) and its author's two later rules.

    Args:
        words: as `text.words.words` makes them.
    """
    listed = list(words)
    # A stemmer is not thread-safe.
    stemmer = getattr(_of_thread, "stemmer", None)
    if stemmer is None:
        stemmer = _of_thread.stemmer = Stemmer.Stemmer("porter")
    made = stemmer.stemWords(listed)
    for n, (word, stem) in enumerate(zip(listed, made, strict=True)):
        if len(word) < _SHORTEST or len(word) > _LONGEST or not word.isascii():
            made[n] = word
        elif stem.endswith("bli") and _MEASURED.search(stem[:-3]):
            made[n] = stemmer.stemWord(f"{stem[:-1]}e")
        elif stem.endswith("logi") and _MEASURED.search(stem[:-4]):
            made[n] = stem[:-1]
    return list(made)
