"""How much of a question stands in a segment word for word."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

SHORTEST = 3
"""Runs of fewer words are in everyone's mouth and say nothing about which segment is meant."""

MOST = 256
"""Words of a question that are looked for, its first: about what an encoder reads of it."""


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
        # Of most texts nothing is left: they hold no three words of the question side by side.
        runs = [list(run) for shared, run in groupby(text, known.__contains__) if shared]
        said = "\n".join(f" {' '.join(run)} " for run in runs if len(run) >= SHORTEST)
        longest = _longest_run(asked, said) if said else 0
        shares.append(longest / len(asked) if longest >= SHORTEST else 0.0)
    return shares


def _longest_run(asked: Sequence[str], said: str) -> int:
    """The most words that stand side by side in both; in a text, there is a blank around each.

    A search in a string reads a long text, or one that says the same often, in no time.
    """
    longest = 0
    for start in range(len(asked)):
        while start + longest < len(asked):
            if f" {' '.join(asked[start : start + longest + 1])} " not in said:
                break
            longest += 1
    return longest
