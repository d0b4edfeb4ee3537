"""How right a possible answer looks: what its signs are, and that they decide."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.decoders.judging import SIGNS, Judge
from larimar_memory.decoders.weighing import chosen

MILL = (
    "The mill at Orrin was built in 1871 by Ada Quint. It grinds rye and oats.",
    "Its wheel, of oak, came from a yard in Leith. The yard was sold in 1902.",
)
WORDS = st.lists(
    st.sampled_from(["mill", "Orrin", "built", "1871", "Ada", "Quint", "oak", "the", "é", "風", "?"]),
    max_size=4,
).map(" ".join)
LOGS = st.lists(st.floats(-9, 0), min_size=1, max_size=4)
ANSWERS = st.lists(st.tuples(WORDS, LOGS, st.floats(0, 1)), min_size=1, max_size=5)
WEIGHTS = st.fixed_dictionaries({}, optional={name: st.floats(-3, 3) for name in SIGNS})


def signs_of(text: str, question: str = "When was the mill built?", **how: Any) -> dict[str, float]:
    """The signs of one answer."""
    (found,) = Judge(question, how.pop("passages", MILL), {}, **how).signs(
        [text], [[-1.0, -2.0]], [0.5]
    )
    return found


@given(WORDS, WORDS, ANSWERS)
def test_signs_are_named_and_bounded(question: str, passage: str, answers: Any) -> None:
    for found in Judge(question, [passage, *MILL], {}).signs(*zip(*answers, strict=True)):
        assert tuple(found) == SIGNS
        assert all(map(math.isfinite, found.values()))
        for name in ("asked", "written", "covered", "near", "digits", "capital"):
            assert 0 <= found[name] <= 1 + 1e-9
        # What stands beside an answer stands in its sentence; what is not written has no sentence.
        assert found["near"] <= found["covered"] + 1e-9
        assert found["written"] or found["covered"] == 0


@given(WORDS, WEIGHTS, ANSWERS)
def test_an_answer_looks_the_same_in_any_order(
    question: str, weights: dict[str, float], answers: Any
) -> None:
    looks = Judge(question, MILL, weights)(*zip(*answers, strict=True))
    other = Judge(question, MILL[::-1], weights)(*zip(*answers[::-1], strict=True))
    assert looks == pytest.approx(other[::-1])


@given(WEIGHTS, ANSWERS)
def test_a_look_is_the_weighted_sum_of_the_signs(weights: dict[str, float], answers: Any) -> None:
    judge = Judge("Who built the mill?", MILL, weights)
    given_ = [*zip(*answers, strict=True)]
    whole = [
        sum(weight * found[name] for name, weight in weights.items()) for found in judge.signs(*given_)
    ]
    assert judge(*given_) == pytest.approx(whole)


def test_without_weights_the_likeliest_answer_is_given() -> None:
    judge = Judge("When was it built?", MILL, {})
    assert chosen(["oak", "1871", "rye"], [[-3.0], [-1.0], [-2.0]], judge)[0] == 1


def test_the_judge_decides_and_agreement_is_told_all_the_same() -> None:
    texts, logs = ["in Leith", "Leith", "1871"], [[-1.0], [-1.1], [-2.0]]
    by_agreement, agreement = chosen(texts, logs)
    assert texts[by_agreement] == "in Leith"
    judge = Judge("When was the mill built?", MILL, {"digits_for_time": 1.0})
    judged, other = chosen(texts, logs, judge)
    assert texts[judged] == "1871"
    assert 0 < other < agreement


def test_an_answer_alone_is_not_judged() -> None:
    def judge(*_: Any) -> list[float]:
        raise AssertionError

    assert chosen(["oak"], [[-1.0]], judge) == (0, 1.0)  # type: ignore[arg-type]


def test_where_an_answer_stands() -> None:
    right, wrong = signs_of("1871"), signs_of("1902")
    assert right["written"] == wrong["written"] == 1
    assert right["covered"] == pytest.approx(1)
    assert right["near"] == pytest.approx(1)
    assert wrong["covered"] == wrong["near"] == 0
    # By words, not by letters, whatever their case and accents.
    assert signs_of("ADA QUÍNT")["written"] == 1
    assert signs_of("oa")["written"] == signs_of("Quint Ada")["written"] == signs_of("")["written"] == 0
    assert signs_of("1871", passages=[])["covered"] == 0


def test_what_is_near_is_within_six_words() -> None:
    text = ["The mill stands, if anybody ever asked me about such things, by the old bridge."]
    far = signs_of("bridge", "Where is the mill?", passages=text)
    assert (far["covered"], far["near"]) == (pytest.approx(1), 0)


def test_words_of_the_question_say_nothing_new() -> None:
    assert signs_of("the mill")["asked"] == 1
    assert signs_of("mills of 1871")["asked"] == 0.5
    assert signs_of("Ada Quint")["asked"] == signs_of("the")["asked"] == 0


def test_what_kind_of_answer_is_asked_for() -> None:
    when, who, what = (
        signs_of("1871", question)
        for question in ("When was it built?", "Who built it?", "What is it?")
    )
    assert [when[f"digits{of}"] for of in ("", "_for_time", "_for_name")] == [1, 1, 0]
    assert [who[f"digits{of}"] for of in ("", "_for_time", "_for_name")] == [1, 0, 1]
    assert [what[f"digits{of}"] for of in ("", "_for_time", "_for_name")] == [1, 0, 0]
    assert (signs_of("Ada")["capital"], signs_of("oak")["capital"]) == (1, 0)


def test_what_the_decoder_said_of_its_tokens() -> None:
    found = signs_of("oak")
    said = [found[name] for name in ("total", "mean", "least", "last", "agreed")]
    assert said == [-3.0, -1.5, -2.0, -2.0, 0.5]
    assert found["length"] == pytest.approx(math.log(2))


def test_stop_words_are_those_of_the_language() -> None:
    german = {"question": "Wann wurde die Mühle gebaut?", "passages": ["Die Mühle von 1871."]}
    assert signs_of("die 1871", **german)["asked"] == 0.5
    assert signs_of("die 1871", language="de", **german)["asked"] == 0
