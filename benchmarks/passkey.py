"""Pass keys hidden in long text: protocol and wording of Mohtashami and Jaggi (arXiv 2305.16300)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from benchmarks.haystack import Haystack, repeated, token_counter
from benchmarks.result import Bar, Figures, bar
from benchmarks.session import Session
from benchmarks.trials import BEAMS, Field, Trial, field, summary
from larimar_memory.types import Grounding

PACKAGES = ()

TASK = (
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. "
    "I will quiz you about the important information there."
)
FILLER = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
NEEDLE = "The pass key is {key}. Remember it. {key} is the pass key."
QUESTION = "What is the pass key?"
LARGEST_KEY = 50_000

_INTEGER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: tokens of each haystack of prose, of that of filler, trials in each."""

    lengths: tuple[int, ...]
    filler: int
    trials: int


FULL = Size((10_000, 128_000, 1_000_000), 128_000, 50)
QUICK = Size((2_000, 10_000), 2_000, 3)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Hide keys at random depths of each haystack and ask for them."""
    count = token_counter(session.encoder)
    figures: Figures = {"trials": size.trials, "prose": {}, "filler": {}}
    bars = list[Bar]()
    runs = [("prose", length) for length in size.lengths] + [("filler", size.filler)]
    for kind, length in runs:
        bare = session.prose(length) if kind == "prose" else repeated(FILLER, length, count)
        found = _trials(session, headed(bare, count([TASK])[0]), kind, length, size.trials)
        figures[kind][str(length)] = found
        where = f"of {size.trials} pass keys in {length:,} tokens of {kind}"
        for name, words in (("read", "found"), ("answered", "answered")):
            bars.append(bar(f"{words}, {where}", found[name]["count"], f">= {size.trials}"))
    return figures, bars


def first_integer(text: str) -> int | None:
    """The first integer in an answer, which is what the protocol scores."""
    found = _INTEGER.search(text)
    return int(found[0]) if found else None


def headed(haystack: Haystack, tokens: int) -> Haystack:
    """The haystack under the protocol's first lines, which are so many tokens."""
    return replace(
        haystack,
        paragraphs=(TASK, *haystack.paragraphs),
        tokens=(tokens, *haystack.tokens),
        distinct_tokens=haystack.distinct_tokens + tokens,
    )


def _trials(session: Session, haystack: Haystack, kind: str, length: int, number: int) -> Figures:
    draw = session.draw("passkey", kind, length)
    done = list[Trial]()
    with field(session, haystack) as hay:
        for _ in range(number):
            done.append(ask(hay, draw.randint(1, LARGEST_KEY), draw.random()))
            if len(done) % 5 == 0 or len(done) == number:
                right = sum(t.right for t in done)
                session.note(f"{kind}, {length:,} tokens: {right} of {len(done)} keys answered")
        return {**hay.figures, **summary(done)}


def ask(hay: Field, key: int, depth: float, grounding: Grounding = "text", beams: int = BEAMS) -> Trial:
    """Hide a key, ask for it, take it out."""
    number = re.compile(rf"\b{key}\b")
    return hay.ask(
        NEEDLE.format(key=key),
        depth,
        QUESTION,
        holds=lambda text: "pass key" in text and number.search(text) is not None,
        right=lambda text: first_integer(text) == key,
        grounding=grounding,
        beams=beams,
    )
