"""Beam search and the choice among what it finds: laws on small models of language."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from larimar_memory.decoders.beams import MARGIN, Possible, search
from larimar_memory.decoders.weighing import Weighing, chosen, weighed

END, SIZE = 0, 4
"""The end token, and how many tokens there are."""

LOGITS = st.lists(st.integers(-15, 15).map(lambda n: n / 10), min_size=SIZE, max_size=SIZE, unique=True)
TABLES = st.lists(LOGITS, min_size=SIZE, max_size=SIZE)
"""Logits after each token: a model that remembers one token."""

TEXTS = st.lists(st.tuples(st.text("ab ", max_size=6), st.floats(-8, 0)), min_size=1, max_size=6)


class Chain:
    """A model that remembers its last token, and notes what its rows have read."""

    def __init__(self, table: list[list[float]]) -> None:
        self.table, self.rows = torch.tensor(table, dtype=torch.float64), [list[int]()]

    def __call__(self, tokens: list[int], parents: list[int]) -> Tensor:
        self.rows = [[*self.rows[row], token] for token, row in zip(tokens, parents, strict=True)]
        return self.table[tokens]


def ended(tokens: Sequence[int]) -> bool:
    return tokens[-1] == END


def found(table: list[list[float]], beams: int, most: int = 4, **how: object) -> list[Possible]:
    chain = Chain(table)
    return search(chain.table[1], chain, ended=ended, beams=beams, most=most, **how)  # type: ignore[arg-type]


def every(table: list[list[float]], most: int) -> list[Possible]:
    """All answers, the likeliest first."""
    logs, live, whole = torch.tensor(table, dtype=torch.float64).log_softmax(-1), [Possible()], []
    for length in range(most):
        longer = [
            one.followed(token, float(logs[one.tokens[-1] if length else 1, token]))
            for one, token in itertools.product(live, range(SIZE))
        ]
        whole += [one for one in longer if one.tokens[-1] == END]
        live = [one for one in longer if one.tokens[-1] != END]
    return sorted([*whole, *live], key=lambda one: -one.score)


@given(TABLES)
def test_enough_beams_find_the_likeliest_answers(table: list[list[float]]) -> None:
    beams = SIZE**3
    exact, got = every(table, 3), found(table, beams, 3)
    likely = [one for one in exact if one.score > exact[0].score - MARGIN + 0.1][:beams]
    assert [one.score for one in got[: len(likely)]] == pytest.approx([one.score for one in likely])
    assert {one.tokens for one in got} <= {one.tokens for one in exact}


@given(TABLES)
def test_one_beam_takes_the_likeliest_token_after_each(table: list[list[float]]) -> None:
    (one,) = found(table, 1)
    logs, last, expected = torch.tensor(table, dtype=torch.float64), 1, list[int]()
    while len(expected) < 4 and last != END:
        last = int(logs[last].argmax())
        expected.append(last)
    assert list(one.tokens) == expected


@given(TABLES, st.integers(1, 5))
def test_an_answer_scores_the_sum_of_its_tokens(table: list[list[float]], beams: int) -> None:
    logs = torch.tensor(table, dtype=torch.float64).log_softmax(-1)
    some = found(table, beams)
    assert 1 <= len(some) <= beams
    assert len({one.tokens for one in some}) == len(some)
    assert [one.score for one in some] == sorted((one.score for one in some), reverse=True)
    for one in some:
        pairs = zip([1, *one.tokens], one.tokens, strict=False)
        assert list(one.logs) == pytest.approx([float(logs[before, token]) for before, token in pairs])
        assert one.score == pytest.approx(sum(one.logs))
        assert END not in one.tokens[:-1]


@given(TABLES, st.integers(1, 5), st.integers(0, SIZE - 1))
def test_no_answer_begins_with_what_may_not_be_first(
    table: list[list[float]], beams: int, token: int
) -> None:
    some = found(table, beams, first=lambda one: one != token)
    assert token not in {one.tokens[0] for one in some}


def test_a_row_follows_the_one_it_came_from() -> None:
    chain = Chain([[0.0] * SIZE, [0.0, 0.3, 0.2, 0.1], [0.0, 0.1, 0.4, 0.2], [0.0, 0.3, 0.1, 0.2]])
    some = search(chain.table[1], chain, ended=lambda _: False, beams=3, most=4)
    assert {one.tokens[:-1] for one in some} <= {tuple(row) for row in chain.rows}


def test_a_search_that_is_ended_gives_what_it_has() -> None:
    (first, *_) = search(torch.tensor([0.0, 1.0, 2.0]), lambda *_: None, ended=ended, beams=2, most=9)
    assert first.tokens == (2,)


def test_a_token_that_is_raised_trades_places_with_the_likeliest() -> None:
    def copied(written: Sequence[int], logs: Tensor) -> Tensor:
        if len(written) != 1:
            return logs
        raised = logs.clone()
        raised[3] = raised.max() + 1e-6
        return raised

    table = [[0.0] * SIZE, [0.0, 0.0, 9.0, 0.0], [9.0, 0.0, 0.0, 5.0], [9.0, 0.0, 0.0, 0.0]]
    one = found(table, 1, copied=copied)[0]
    assert one.tokens == (2, 3, 0)
    plain = found(table, 1)[0]
    assert plain.tokens == (2, 0)
    assert one.logs[1] == plain.logs[1]


@given(TEXTS)
def test_the_choice_does_not_depend_on_the_order(some: list[tuple[str, float]]) -> None:
    texts, scores = zip(*some, strict=True)
    best, agreement = chosen(texts, [[score] for score in scores])
    _, same = chosen(texts[::-1], [[score] for score in scores[::-1]])
    assert 0 <= agreement <= 1
    assert agreement == pytest.approx(same)
    if len({one.split() == texts[best].split() for one in texts}) == 1:
        assert agreement == pytest.approx(1)


@given(st.text(max_size=8), st.integers(1, 4))
def test_answers_that_are_alike_agree_wholly(text: str, count: int) -> None:
    best, agreement = chosen([text] * count, [[-float(n)] for n in range(count)])
    assert (best, agreement) == (0, pytest.approx(1))


@settings(max_examples=50)
@given(st.floats(0.1, 6))
def test_an_answer_far_likelier_than_all_others_is_taken(ahead: float) -> None:
    best, agreement = chosen(["left", "right"], [[-ahead], [0.0]])
    assert best == 1
    assert agreement == pytest.approx(1 / (1 + math.exp(-ahead / 2)))


def test_what_others_share_beats_what_is_a_little_likelier() -> None:
    texts = ["in Paris", "the Denver Broncos", "Denver Broncos", "Broncos"]
    assert texts[chosen(texts, [[-1.0], [-1.2], [-1.3], [-1.6]])[0]] == "Denver Broncos"


@given(TABLES, st.integers(1, 4), st.integers(1, SIZE - 1), st.floats(-3, 3))
def test_a_refusal_is_given_if_it_is_likelier_than_all_others(
    table: list[list[float]], beams: int, refusal: int, lean: float
) -> None:
    chain = Chain(table)
    logits = chain.table[1].clone()
    logits[refusal] += lean
    chosen, agreement = weighed(
        Weighing(beams, refusal),
        logits,
        chain,
        ends=[END],
        stop=(),
        most=4,
        decode=lambda tokens: " ".join(map(str, tokens)),
        copied=lambda _, row: row,
    )
    refuses = float(logits.softmax(0)[refusal]) > 0.5
    assert (chosen.tokens[0] == refusal) is refuses
    assert agreement == pytest.approx(1) or not refuses


def test_an_answer_ends_where_a_stop_text_is_complete() -> None:
    chain = Chain([[0.0] * SIZE, [0.0, 0.0, 9.0, 0.0], [0.0, 0.0, 0.0, 9.0], [0.0, 0.0, 9.0, 0.0]])
    chosen, _ = weighed(
        Weighing(2),
        chain.table[1],
        chain,
        ends=[END],
        stop=("", "3 2"),
        most=9,
        decode=lambda tokens: " ".join(map(str, tokens)),
        copied=lambda _, row: row,
    )
    assert chosen.tokens == (2, 3, 2)
