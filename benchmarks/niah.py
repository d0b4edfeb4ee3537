"""The needle tasks of RULER (Hsieh et al. 2024, arXiv 2404.06654), made anew from their definition.

Keys, values, the needle's sentence, the question, the words that the answer begins with and the eight
kinds are those of the paper and its repository (NVIDIA/RULER). The essays are replaced by prose of the
haystack, and the list of words by words of that prose.
"""

from __future__ import annotations

import random
import re
import uuid
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from benchmarks.haystack import Haystack, Part, hide_all, repeated, token_counter
from benchmarks.passkey import FILLER
from benchmarks.probes import Corpus, Probe
from benchmarks.session import Session

ANSWER_TOKENS = 128
_DEPTHS = 40
_WORD_TOKENS = 20_000
_WORD = re.compile(r"\b[a-z]{4,10}\b")
_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the eight.

    Attributes:
        text: what needles are hidden in: "noise", "prose", or other "needles".
        keys, values: "words", "numbers" or "uuids".
        hidden: keys hidden.
        each: values of each key.
        asked: keys asked for at once.
    """

    text: str
    keys: str
    values: str
    hidden: int = 1
    each: int = 1
    asked: int = 1

    @property
    def haystack(self) -> str:
        """Names the haystack that this kind shares with others."""
        return f"needles, {self.keys}" if self.text == "needles" else self.text


KINDS = {
    "single 1": Kind("noise", "words", "numbers"),
    "single 2": Kind("prose", "words", "numbers"),
    "single 3": Kind("prose", "words", "uuids"),
    "multikey 1": Kind("prose", "words", "numbers", hidden=4),
    "multikey 2": Kind("needles", "words", "numbers"),
    "multikey 3": Kind("needles", "uuids", "uuids"),
    "multivalue": Kind("prose", "words", "numbers", each=4),
    "multiquery": Kind("prose", "words", "numbers", hidden=4, asked=4),
}


def corpora(session: Session, tokens: int, trials: int) -> list[Corpus]:
    """The eight tasks over their four haystacks of so many tokens."""
    pool = sorted(set(_WORD.findall(" ".join(session.prose(_WORD_TOKENS).paragraphs))))
    found = list[Corpus]()
    for name in dict.fromkeys(kind.haystack for kind in KINDS.values()):
        of_it = {task: kind for task, kind in KINDS.items() if kind.haystack == name}
        hay = _haystack(session, next(iter(of_it.values())), tokens, pool)
        parts = hay.parts()
        documents = {part.id: part.text for part in parts}
        tasks = {
            f"RULER {task}": [
                _probe(kind, hay, parts, pool, session.draw("niah", task, tokens, n))
                for n in range(trials)
            ]
            for task, kind in of_it.items()
        }
        found.append(Corpus(f"RULER {name}", hay.total, documents, tasks))
    return found


def needle(kind: Kind, key: str, value: str) -> str:
    """The sentence that hides a value."""
    return f"One of the special magic {kind.values} for {key} is: {value}."


def question(kind: Kind, keys: Sequence[str]) -> str:
    """What is asked: of one value in the singular."""
    ask = "What is the" if _one(kind) else "What are all the"
    return f"{ask} {_asked_for(kind, keys)}?"


def begin(kind: Kind, keys: Sequence[str]) -> str:
    """What the answer begins with."""
    return f"The {_asked_for(kind, keys)} {'is' if _one(kind) else 'are'}"


def _asked_for(kind: Kind, keys: Sequence[str]) -> str:
    thing = kind.values[:-1] if _one(kind) else kind.values
    several = f"{', '.join(keys[:-1])}, and {keys[-1]}" if len(keys) > 1 else keys[0]
    return f"special magic {thing} for {several} mentioned in the provided text"


def _one(kind: Kind) -> bool:
    return kind.asked * kind.each == 1


def intro(kind: Kind) -> str:
    """What stands above the text."""
    thing = kind.values[:-1] if _one(kind) else kind.values
    some, are = ("A", "is") if _one(kind) else ("Some", "are")
    return (
        f"{some} special magic {thing} {are} hidden within the following text. "
        f"Make sure to memorize it. I will quiz you about the {thing} afterwards."
    )


def share(reply: str, values: Sequence[str]) -> float:
    """The share of the values that a reply says, which is RULER's score."""
    return sum(value.lower() in reply.lower() for value in values) / len(values)


def _haystack(session: Session, kind: Kind, tokens: int, pool: Sequence[str]) -> Haystack:
    count = token_counter(session.encoder)
    if kind.text == "prose":
        return session.prose(tokens)
    if kind.text == "noise":
        return repeated(FILLER, tokens, count)
    draw = session.draw("niah", kind.haystack)
    sentences, lengths = list[str](), list[int]()
    while sum(lengths) < tokens:
        some = [
            needle(kind, _thing(kind.keys, draw, pool), _thing(kind.values, draw, pool))
            for _ in range(_AT_ONCE)
        ]
        sentences += some
        lengths += count(some)
    kept = bisect_left(list(accumulate(lengths)), tokens) + 1
    sentences, lengths = sentences[:kept], lengths[:kept]
    return Haystack(tuple(sentences), tuple(lengths), sum(lengths), separator="\n")


def _probe(
    kind: Kind, hay: Haystack, parts: Sequence[Part], pool: Sequence[str], draw: random.Random
) -> Probe:
    keys = [_thing(kind.keys, draw, pool) for _ in range(kind.hidden)]
    values = {key: [_thing(kind.values, draw, pool) for _ in range(kind.each)] for key in keys}
    needles = [needle(kind, key, value) for key in keys for value in values[key]]
    depths = draw.sample([n / (_DEPTHS - 1) for n in range(_DEPTHS)], len(needles))
    asked = keys[: kind.asked]
    above = (intro(kind), 0.0)
    hidden = hide_all(hay, parts, [above, *zip(needles, depths, strict=True)])
    wanted = [value for key in asked for value in values[key]]
    return Probe(
        question(kind, asked),
        tuple(needle(kind, key, value) for key in asked for value in values[key]),
        lambda reply: share(reply, wanted),
        hidden,
        max_tokens=ANSWER_TOKENS,
        begin=begin(kind, asked),
    )


def _thing(what: str, draw: random.Random, pool: Sequence[str]) -> str:
    if what == "numbers":
        return str(draw.randint(1_000_000, 9_999_999))
    if what == "uuids":
        return str(uuid.UUID(int=draw.getrandbits(128), version=4))
    return f"{draw.choice(pool)}-{draw.choice(pool)}"
