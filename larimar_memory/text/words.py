"""Words of a text for lexical search: the same for stored text and for questions."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
MAX_TERMS = 64


def words(text: str) -> list[str]:
    """Lower-cased words without accents, in order, as SQLite's `unicode61` tokenizer cuts them."""
    lowered = text.lower()
    if not lowered.isascii():
        decomposed = unicodedata.normalize("NFKD", lowered)
        lowered = "".join(c for c in decomposed if not unicodedata.combining(c))
    return _WORD.findall(lowered)


def query_terms(question: str) -> list[str]:
    """Distinct words of a question, in order, at most `MAX_TERMS`."""
    return list(dict.fromkeys(words(question)))[:MAX_TERMS]
