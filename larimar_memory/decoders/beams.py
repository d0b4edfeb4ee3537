"""Beam search: the likeliest answers, a token of all of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

GoOn: TypeAlias = Callable[[list[int], list[int]], "Float[Tensor, 'n v'] | None"]
"""Reads the next token of every row. It takes tokens, and for each the number of the row, among those
before, that it follows; it gives the logits of the tokens after them, or None to end the search."""

Copied: TypeAlias = Callable[[Sequence[int], "Float[Tensor, ' v']"], "Float[Tensor, ' v']"]
"""Gives logits in which another token may be raised to the top, from the answer so far and its own."""

MARGIN = 2.5
"""An answer this much less likely than the likeliest, in natural log-probability, is dropped. With 4 in
place of 2.5, three in ten more are judged, and those given are no better (held-out questions)."""


@dataclass(frozen=True, slots=True)
class Possible:
    """A possible answer.

    Attributes:
        tokens: ids, with the end token if it ended.
        logs: natural log-probability of each.
        score: their sum.
    """

    tokens: tuple[int, ...] = ()
    logs: tuple[float, ...] = ()
    score: float = 0.0

    def followed(self, token: int, log: float) -> Possible:
        """This answer with one token more."""
        return Possible((*self.tokens, token), (*self.logs, log), self.score + log)


def search(
    logits: Float[Tensor, " v"],
    go_on: GoOn,
    *,
    ended: Callable[[Sequence[int]], bool],
    beams: int,
    most: int,
    first: Callable[[int], bool] = lambda _: True,
    copied: Copied | None = None,
) -> list[Possible]:
    """Up to `beams` answers, likeliest first; at least one.

    Args:
        logits: of the first token.
        ended: whether an answer ends with its last token.
        most: most tokens of an answer, the end token included.
        first: whether an answer may begin with a token.
        copied: raises a token that continues a word of the prompt; it trades places with the likeliest.
    """
    live, whole, rows = [Possible()], list[Possible](), logits[None]
    while True:
        logs = rows.float().log_softmax(-1)
        if copied is not None:
            for one, row in zip(live, logs, strict=True):
                _trade(copied(one.tokens, row), row)
        total = logs + logs.new_tensor([one.score for one in live])[:, None]
        _, chosen = total.flatten().topk(min(2 * beams + 1, total.numel()))
        following, rank = list[tuple[Possible, int]](), 0
        for at in chosen.tolist():
            row, token = divmod(at, logs.shape[1])
            if not live[row].tokens and not first(token):
                continue
            one = live[row].followed(token, float(logs[row, token]))
            rank += 1
            if not ended(one.tokens):
                following.append((one, row))
            elif rank <= beams:
                # An end less likely than the tokens of all beams is none: one beam goes on, as it must.
                whole.append(one)
        whole = sorted(whole, key=lambda one: -one.score)[:beams]
        least = max(one.score for one in [*whole[:1], *(one for one, _ in following[:1])]) - MARGIN
        if len(whole) == beams:
            least = max(least, whole[-1].score)
        following = [(one, row) for one, row in following[:beams] if one.score > least]
        live = [one for one, _ in following]
        if live and len(live[0].tokens) < most:
            found = go_on([one.tokens[-1] for one in live], [row for _, row in following])
            if found is not None:
                rows = found
                continue
        # Those that are cut off count as they are.
        return sorted([*whole, *live], key=lambda one: -one.score)[:beams]


def _trade(raised: Float[Tensor, " v"], logs: Float[Tensor, " v"]) -> None:
    """Let the token that was raised to the top trade places with the likeliest."""
    if raised is not logs:
        both = [int(raised.argmax()), int(logs.argmax())]
        logs[both] = logs[both[::-1]]
