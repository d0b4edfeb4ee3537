"""Of several possible answers, the one that the others agree with most.

The likeliest answer is often an odd one: its words may be cut short, or be an answer of their own kind.
Minimum Bayes risk takes the answer whose expected agreement with the right one is highest, if each of
the possible ones is right as often as the model says (Kumar and Byrne 2004; Eikema and Aziz, arXiv
2005.10283). Agreement is token F1, by which short answers are judged (SQuAD, arXiv 1606.05250). Where
there is a `Judge`, agreement is one of the signs that it goes by.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from larimar_memory.decoders.beams import Copied, GoOn, Possible, search
from larimar_memory.decoders.judging import Judge

_WORD = re.compile(r"\w+")

_FLATNESS = 2.0
"""Temperature of the shares: a few beams hold but a part of all answers, and a small model is too sure.
Any from 1 to 3 was about as good on held-out questions."""


@dataclass(frozen=True, slots=True)
class Weighing:
    """How an answer is chosen among several.

    Attributes:
        beams: how many answers are kept at each token.
        refusal: id of the token that a refusal begins with, which is not weighed: the decoder refuses
            if that token is likelier than all others together, and no answer begins with it.
        judge: tells how right an answer looks; without one, the others' agreement decides.
    """

    beams: int
    refusal: int = -1
    judge: Judge | None = None


def weighed(
    weighing: Weighing,
    logits: Float[Tensor, " v"],
    go_on: GoOn,
    *,
    ends: Collection[int],
    stop: Sequence[str],
    most: int,
    decode: Callable[[Sequence[int]], str],
    copied: Copied,
) -> tuple[Possible, float]:
    """The answer to give, and how far the possible ones agree with it.

    Args:
        logits, go_on, most, copied: as `search` takes them.
        ends: ids of tokens that end an answer.
        stop: texts that end it.
        decode: gives the text of tokens.
    """
    refusal = weighing.refusal
    refuses = refusal >= 0 and float(logits.float().softmax(0)[refusal]) > 0.5

    def ended(tokens: Sequence[int]) -> bool:
        return tokens[-1] in ends or any(text and text in decode(tokens) for text in stop)

    possible = search(
        logits,
        go_on,
        ended=ended,
        beams=1 if refuses else weighing.beams,
        most=most,
        first=lambda token: (token == refusal) is refuses,
        copied=copied,
    )
    texts = [decode(one.tokens).strip() for one in possible]
    best, agreement = chosen(texts, [one.logs for one in possible], weighing.judge)
    return possible[best], agreement


def chosen(
    texts: Sequence[str], logs: Sequence[Sequence[float]], judge: Judge | None = None
) -> tuple[int, float]:
    """The number of the text to give, and how far the others agree with it, in [0, 1].

    Each counts as much as it is likely, or as it looks right to the judge.

    Args:
        texts: at least one.
        logs: natural log-probabilities of the tokens of each.
        judge: without one, the text that all agree with most is given.
    """
    scores = [sum(log) for log in logs]
    words = [Counter(_WORD.findall(text.casefold())) for text in texts]
    alike = [[_f1(mine, other) for other in words] for mine in words]
    agreement = looks = _agreement(alike, [score / _FLATNESS for score in scores])
    if judge is not None and len(texts) > 1:
        looks = judge(texts, logs, agreement)
        agreement = _agreement(alike, looks)
    best = max(range(len(texts)), key=lambda n: (looks[n], scores[n]))
    return best, agreement[best]


def _agreement(alike: Sequence[Sequence[float]], looks: Sequence[float]) -> list[float]:
    """How far all texts agree with each, in [0, 1].

    Args:
        alike: token F1 of each with every one.
        looks: natural logarithms of how much each counts, but for a constant.
    """
    most = max(looks)
    shares = [math.exp(look - most) for look in looks]
    expected = [sum(share * f1 for share, f1 in zip(shares, own, strict=True)) for own in alike]
    return [min(1.0, one / sum(shares)) for one in expected]


def _f1(one: Counter[str], other: Counter[str]) -> float:
    if one == other:
        return 1.0
    shared = (one & other).total()
    return 2 * shared / (one.total() + other.total())
