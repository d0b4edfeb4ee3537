"""Passages that a memory might recall for a question: parts of its text, and of other texts."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from larimar_memory.system.moments import shown_day
from larimar_memory.text.segments import segment

_SAID = re.compile(r"([^\W\d_][\w .'-]{0,39}): (\S.*)")
_DATED = re.compile(r"\[(\d{4}-\d\d-\d\d)\]\n")
_LETTERS = re.compile(r"[^\W_]+")
_MOST_OTHERS = 6


@dataclass(frozen=True, slots=True)
class Units:
    """A text in the pieces that a memory stores: sentences, or turns of a conversation.

    Attributes:
        texts: the pieces; in prose, they are segments, which add up to the text.
        by: who said each piece, as a prompt shows it; "" in prose.
    """

    texts: tuple[str, ...]
    by: tuple[str, ...]

    @property
    def talked(self) -> bool:
        """Whether it is a conversation."""
        return any(self.by)

    def holding(self, answer: str) -> list[int]:
        """Numbers of the pieces that hold an answer's words."""
        wanted = plain(answer)
        return [n for n, text in enumerate(self.texts) if wanted and wanted in plain(text)]


@dataclass(frozen=True, slots=True)
class Shown:
    """Passages as `decoders.prompt.passages` takes them, best first."""

    texts: tuple[str, ...]
    by: tuple[str, ...]

    def holds(self, answer: str) -> bool:
        """Whether an answer's words stand in one of the passages."""
        wanted = plain(answer)
        return bool(wanted) and any(wanted in plain(text) for text in self.texts)


def plain(text: str) -> str:
    """The words of a text in lower case, with one blank before and after each word."""
    return f" {' '.join(_LETTERS.findall(text.lower()))} "


def units_of(context: str) -> Units:
    """A text in pieces: turns of a conversation if most lines say who speaks, otherwise sentences."""
    dated = _DATED.match(context)
    lines = context[dated.end() if dated else 0 :].strip().split("\n")
    said = [m for line in lines if (m := _SAID.fullmatch(line.strip()))]
    if len(lines) > 2 and len(said) >= 0.9 * len(lines):
        day = f" ({shown_day(dated[1])})" if dated else ""
        return Units(tuple(m[2] for m in said), tuple(f"{m[1]}{day}" for m in said))
    texts = tuple(s.text for s in segment(context))
    return Units(texts, ("",) * len(texts))


def whole(units: Units, rng: random.Random) -> Shown:
    """A whole text: prose as one passage or cut in two, a conversation turn by turn."""
    if units.talked:
        order = list(range(len(units.texts)))
        if rng.random() < 0.5:
            rng.shuffle(order)
        return Shown(tuple(units.texts[n] for n in order), tuple(units.by[n] for n in order))
    cut = rng.randrange(1, len(units.texts)) if len(units.texts) > 3 and rng.random() < 0.3 else 0
    texts = ["".join(units.texts[:cut]), "".join(units.texts[cut:])]
    rng.shuffle(texts)
    kept = tuple(text for text in texts if text.strip())
    return Shown(kept, ("",) * len(kept))


def recalled(
    units: Units, best: int | None, others: Sequence[Units], question: str, rng: random.Random
) -> Shown:
    """Some pieces of a text, with `best` first more often than not, and some of other texts.

    The pieces beside an answer, or without one, are mostly worded like the question: being about the
    same subject must not pass for an answer.

    Args:
        best: number of the piece that answers, or None if none does.
        others: further texts that pieces may be from.
    """
    reach = rng.choice((0, 0, 1)) if not units.talked else 0
    count = min(rng.randint(0 if best is not None else 1, _MOST_OTHERS), rng.randint(1, _MOST_OTHERS))
    own = [n for n in range(len(units.texts)) if n != best]
    near = [n for n in own if best is not None and abs(n - best) <= 2]
    alike = likest(question, [units.texts[n] for n in own])
    picked = list[tuple[Units, int]]()
    for turn in range(count):
        kind = rng.random()
        if kind < 0.55 and alike:
            picked.append((units, own[alike[min(turn, len(alike) - 1)]]))
        elif kind < 0.75 and own:
            picked.append((units, rng.choice(near or own)))
        elif others:
            other = rng.choice(others)
            picked.append((other, likest(question, other.texts)[0]))
        elif own:
            picked.append((units, rng.choice(own)))
    if best is not None:
        at = 0 if rng.random() < 0.6 else rng.randint(0, len(picked))
        picked.insert(at, (units, best))
    picked = list(dict.fromkeys(picked))
    return Shown(
        tuple("".join(of.texts[max(0, n - reach) : n + reach + 1]) for of, n in picked),
        tuple(of.by[n] for of, n in picked),
    )


def likest(question: str, texts: Sequence[str]) -> list[int]:
    """Numbers of texts, sorted by how many of the question's words they hold; rare words count more."""
    held = [_stems(text) for text in texts]
    weights = {
        stem: math.log((1 + len(held)) / (0.5 + sum(stem in stems for stems in held)))
        for stem in _stems(question)
    }
    scores = [sum(weights[stem] for stem in sorted(weights.keys() & stems)) for stems in held]
    return sorted(range(len(texts)), key=lambda n: (-scores[n], n))


def _stems(text: str) -> frozenset[str]:
    """The first letters of a text's words, which inflected forms share; short words are left out."""
    return frozenset(word[:5].lower() for word in _LETTERS.findall(text) if len(word) > 3)
