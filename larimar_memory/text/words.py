"""Words of a text for lexical search: the same for stored text and for questions."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
MAX_TERMS = 64


def words(text: str) -> list[str]:
    """Lower-cased words without accents, in order, as SQLite's `unicode61` tokenizer cuts them."""
    decomposed = unicodedata.normalize("NFKD", text.lower())
    return _WORD.findall("".join(c for c in decomposed if not unicodedata.combining(c)))


def query_terms(question: str) -> list[str]:
    """Distinct words of a question, in order, at most `MAX_TERMS`."""
    return list(dict.fromkeys(words(question)))[:MAX_TERMS]
