"""How much of a question stands in a segment word for word."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from larimar_memory.text.words import words

SHORTEST = 3
"""Runs of fewer words are in everyone's mouth and say nothing about which segment is meant."""


def shared_phrases(question: str, texts: Sequence[str]) -> list[float]:
    """For every text, its longest run of words shared with the question, as a share of the question.

    Bags of words cannot tell "the dog bit the man" from "the man bit the dog"; runs can.

    Returns:
        Shares in [0, 1]; 0 for runs shorter than `SHORTEST`.
    """
    asked = words(question)
    matcher = SequenceMatcher(a=[], b=asked, autojunk=False)
    shares = list[float]()
    known = set(asked)
    for text in texts:
        said, run = words(text), 0
        # Most share no three words with the question, let alone a run of them.
        if sum(word in known for word in said) >= SHORTEST:
            matcher.set_seq1(said)
            run = matcher.find_longest_match().size
        shares.append(run / len(asked) if run >= SHORTEST else 0.0)
    return shares
