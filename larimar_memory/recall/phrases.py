"""How much of a question a segment holds word for word."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

SHORTEST = 3
"""Shorter runs of words are common, and say nothing about which segment is meant."""

MOST = 256
"""How many words of a question are looked for, its first: about as many as an encoder reads."""


def shared_phrases(asked: Sequence[str], texts: Sequence[Sequence[str]]) -> list[float]:
    """For every text, its longest run of words shared with the question, as a share of the question.

    Bags of words cannot tell "the dog bit the man" from "the man bit the dog"; runs can.

    Args:
        asked: the question's words.
        texts: the words of each.

    Returns:
        Shares in [0, 1]; 0 for runs shorter than `SHORTEST`.
    """
    asked = asked[:MOST]
    known = set(asked)
    shares = list[float]()
    for text in texts:
        # Most texts have no three words of the question side by side, so nothing of them is left.
        runs = [list(run) for shared, run in groupby(text, known.__contains__) if shared]
        said = "\n".join(f" {' '.join(run)} " for run in runs if len(run) >= SHORTEST)
        longest = _longest_run(asked, said) if said else 0
        shares.append(longest / len(asked) if longest >= SHORTEST else 0.0)
    return shares


def _longest_run(asked: Sequence[str], said: str) -> int:
    """The most words that are side by side in both; in the text, every word has a blank around it.

    A search in a string is quick even for a text that is long, or repeats itself.
    """
    longest = 0
    for start in range(len(asked)):
        while start + longest < len(asked):
            if f" {' '.join(asked[start : start + longest + 1])} " not in said:
                break
            longest += 1
    return longest
