"""How much of a question a text says together with what leads up to it, and with what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

REACH = 6
"""Segments on either side that count: about a paragraph, or a turn of a conversation."""

FADING, TURN_FADING = 0.8, 0.6
"""What a word is worth that stands a segment further off, and a turn further off.

A text names its topic before it says something about it: of 804 questions on passages, four ways held
out, the right segment came first for .802 with these two, .781 with one that looks both ways, and .767
with neither.
"""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A text among others that are known.

    Attributes:
        document_id, at: its document, and where it stands there.
        turns_before: the documents before that one in its episode, nearest first.
        stems: of its words.
    """

    document_id: str
    at: int
    turns_before: Sequence[str]
    stems: AbstractSet[str]


def before_and_after(
    idfs: Mapping[str, float], stretches: Sequence[Stretch]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Of each text, how much of the question stands in it or before, and in it or after, in [0, 1].

    Args:
        idfs: the question's stems, with how much each says.
        stretches: all texts that are known; what stands in others does not count.
    """
    whole = sum(idfs.values())
    if whole <= 0 or not stretches:
        nothing = np.zeros(len(stretches), dtype=np.float32)
        return nothing, nothing
    # The last row, of a text that says nothing, is that of texts that are not known.
    held = np.array([[stem in s.stems for stem in idfs] for s in stretches] + [[False] * len(idfs)])
    row_of = {(s.document_id, s.at): n for n, s in enumerate(stretches)}
    before, after = np.zeros((2, len(stretches), len(idfs)), dtype=np.float32)
    for step in range(REACH + 1):
        for covered, way in ((before, -1), (after, 1)):
            rows = [row_of.get((s.document_id, s.at + way * step), -1) for s in stretches]
            np.maximum(covered, held[rows] * np.float32(FADING**step), out=covered)
    turn_of = {name: n for n, name in enumerate(dict.fromkeys(s.document_id for s in stretches))}
    turns = np.zeros((len(turn_of) + 1, len(idfs)), dtype=bool)
    np.logical_or.at(turns, [turn_of[s.document_id] for s in stretches], held[:-1])
    for back in range(max(len(s.turns_before) for s in stretches)):
        near = [s.turns_before[back] if back < len(s.turns_before) else "" for s in stretches]
        rows = [turn_of.get(name, -1) for name in near]
        np.maximum(before, turns[rows] * np.float32(TURN_FADING ** (back + 1)), out=before)
    says = np.array(list(idfs.values()), dtype=np.float32) / np.float32(whole)
    # Not `before @ says`: see `encoders.keys.cosines`.
    return np.einsum("ns,s->n", before, says), np.einsum("ns,s->n", after, says)
