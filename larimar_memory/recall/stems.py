"""Stems of words, and how much of a question they cover."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from functools import cache

import Stemmer

from larimar_memory.recall.candidates import Pool
from larimar_memory.recall.question import Asked


def stem(word: str) -> str:
    """A word's stem (Porter 1980), as SQLite's text index makes it."""
    return str(_stemmer().stemWord(word))


def stems_of(said: Sequence[str]) -> list[str]:
    """The stems of words, in order."""
    return list(_stemmer().stemWords(list(said)))


def stem_idfs(asked: Asked, pool: Pool) -> dict[str, float]:
    """The stems of a question's terms, with the idf of each."""
    return {stem(term): pool.idf(term) for term in asked.terms}


def share(idfs: Mapping[str, float], held: Container[str]) -> float:
    """The share of some words' idf that the held ones have."""
    whole = sum(idfs.values())
    return sum(idf for word, idf in idfs.items() if word in held) / whole if whole > 0 else 0.0


@cache
def _stemmer() -> Stemmer.Stemmer:
    return Stemmer.Stemmer("porter")
