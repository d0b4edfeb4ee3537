"""How much of a question stands in a text with what leads up to it, and with what follows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar
from larimar_memory.recall.coverage import FADING, REACH, TURN_FADING, Coverage, Stretch, coverage

IDFS = {"a": 2.0, "b": 1.0, "c": 1.0}
STEMS = st.frozensets(st.sampled_from("abcx"))
DOCUMENTS = st.lists(st.lists(STEMS, max_size=9), min_size=1, max_size=4)


def stretches_of(documents: list[list[frozenset[str]]]) -> list[Stretch]:
    return [
        Stretch(str(n), at, [str(n - 1), str(n - 2)][: min(n, 2)], stems)
        for n, document in enumerate(documents)
        for at, stems in enumerate(document)
    ]


@given(DOCUMENTS)
def test_it_is_the_best_by_what_each_stem_is_worth_where_it_stands(
    documents: list[list[frozenset[str]]],
) -> None:
    found = coverage(IDFS, stretches_of(documents))
    place = 0
    for n, document in enumerate(documents):
        for at in range(len(document)):
            led, followed = 0.0, 0.0
            for stem, idf in IDFS.items():
                back = [FADING ** (at - m) for m in range(at + 1) if stem in document[m]]
                back += [
                    TURN_FADING**turn
                    for turn in (1, 2)
                    if n >= turn and any(stem in held for held in documents[n - turn])
                ]
                on = [FADING ** (m - at) for m in range(at, len(document)) if stem in document[m]]
                led += idf / 4 * max([worth for worth in back if worth >= FADING**REACH], default=0)
                followed += idf / 4 * max([worth for worth in on if worth >= FADING**REACH], default=0)
            opening = sum(idf / 4 for stem, idf in IDFS.items() if stem in document[0])
            near = sum(0 < abs(m - at) <= REACH for m in range(len(document)))
            assert found[place] == pytest.approx((led, followed, opening, math.log1p(near)), abs=1e-5)
            place += 1


@given(DOCUMENTS)
def test_it_is_a_share_and_no_less_than_the_text_alone(documents: list[list[frozenset[str]]]) -> None:
    stretches = stretches_of(documents)
    alone = [sum(IDFS.get(stem, 0) for stem in one.stems) / 4 for one in stretches]
    for own, found in zip(alone, coverage(IDFS, stretches), strict=True):
        assert own - 1e-6 <= min(found.before, found.after)
        assert max(found[:3]) <= 1 + 1e-6


def test_of_a_question_that_says_nothing_nothing_is_covered() -> None:
    stretch = Stretch("0", 0, [], frozenset("a"))
    for idfs, stretches in (({}, [stretch]), ({"a": 0.0}, [stretch]), (IDFS, [])):
        assert coverage(idfs, stretches) == [Coverage()] * len(stretches)


def test_a_sentence_is_found_by_the_topic_that_the_one_before_names(encoder: SentenceEncoder) -> None:
    with Larimar.open(encoder=encoder) as memory:
        memory.write(
            [
                "The Perlan lighthouse stands on a rock. Its lamp was lit for the first time in 1871.",
                "The chapel is at the end of the road. Its lamp was lit for the first time in 1902.",
            ],
            ["lighthouse", "chapel"],
        )
        for name, year in (("Perlan lighthouse", "1871"), ("chapel", "1902")):
            question = f"When was the lamp of the {name} lit for the first time?"
            first = memory.read(question, explain=True)
            assert year in first.segments[0].text
            assert first.segments[0].why is not None
            before = {s.text: s.why.features["before"][0] for s in first.segments if s.why is not None}
            assert before[first.segments[0].text] == max(before.values())
