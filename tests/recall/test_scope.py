"""The probability that the answer is there, what it follows from, and why nothing is read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar
from larimar_memory.recall import ranking, scope
from larimar_memory.recall.candidates import Pool
from larimar_memory.recall.features import FEATURES
from larimar_memory.recall.question import Asked

NOTES = [
    "The lighthouse at Cape Ren was built by Odile Marchetti in 1887.",
    "The ferry to Ren leaves at nine every morning.",
    "The library of the village lends out four books at a time.",
    "Bread is baked in the old mill on Fridays.",
    "The harbour master's dog is called Pixel.",
]
ASKED = [
    "Who built the lighthouse at Cape Ren?",
    "When does the ferry to Ren leave?",
    "How many books does the library lend out?",
    "Where is bread baked?",
    "What is the harbour master's dog called?",
]
OTHER = ["Who won the football world cup in 1998?", "What is the boiling point of helium?"]


@pytest.fixture
def notes(encoder: SentenceEncoder) -> Iterator[Larimar]:
    with Larimar.open(encoder=encoder) as memory:
        memory.write(NOTES, [str(n) for n in range(len(NOTES))])
        yield memory


@pytest.mark.parametrize("n", range(len(ASKED)))
def test_an_answer_that_is_taken_out_is_less_likely(notes: Larimar, n: int) -> None:
    before = notes.read(ASKED[n])
    assert before.in_scope
    assert before.reason is None
    assert before.segments[0].text == NOTES[n]
    notes.forget(ids=[str(n)])
    after = notes.read(ASKED[n])
    assert after.probability < before.probability - 0.2


@pytest.mark.parametrize("question", OTHER)
def test_what_has_nothing_to_do_with_it_is_refused(notes: Larimar, question: str) -> None:
    readout = notes.read(question)
    assert (readout.in_scope, readout.segments) == (False, ())
    assert readout.probability < 0.1


def test_the_three_reasons(notes: Larimar) -> None:
    assert notes.read(OTHER[0], namespace="empty").reason == "nothing stored"
    assert notes.read(ASKED[0], where={"of": "nobody"}).reason == "nothing stored"
    assert notes.read("qzxv wvut").reason == "nothing near"
    far = notes.read("What colour is the door of the lighthouse keeper's cousin?")
    assert far.reason == "below the threshold"
    assert far.best_score >= 0.2
    near = notes.read(ASKED[0], threshold=1.0)
    assert (near.reason, near.segments) == ("below the threshold", ())
    assert near.margin == near.probability - 1


def test_nothing_stored_is_no_answer_at_any_threshold(notes: Larimar) -> None:
    readout = notes.read(ASKED[0], namespace="empty", threshold=0)
    assert (readout.in_scope, readout.reason, readout.best_score) == (False, "nothing stored", 0.0)


@pytest.mark.parametrize("question", [*ASKED, *OTHER])
def test_the_threshold_is_on_the_probability(notes: Larimar, question: str) -> None:
    probability = notes.read(question).probability
    assert notes.read(question, threshold=probability).in_scope
    above = float(np.nextafter(probability, 2))
    assert not notes.read(question, threshold=above).in_scope
    every = notes.read(question, threshold=0)
    assert (len(every.segments), every.probability, every.reason) == (5, probability, None)
    assert every.margin == probability


def test_the_memorys_own_threshold_holds_unless_a_read_has_one(encoder: SentenceEncoder) -> None:
    with Larimar.open(encoder=encoder, threshold=1.0) as memory:
        memory.write(NOTES)
        assert memory.read(ASKED[0]).threshold == 1.0
        assert not memory.read(ASKED[0]).in_scope
        assert memory.read(ASKED[0], threshold=0.5).in_scope


@pytest.mark.parametrize("question", [*ASKED, *OTHER])
def test_the_probability_follows_from_its_signs(notes: Larimar, question: str) -> None:
    readout = notes.read(question, explain=True)
    assert tuple(readout.signs) == scope.SIGNS
    weights = ranking.weights("prose")
    signs = np.array([*readout.signs.values()], dtype=np.float32)
    assert scope.probability(signs, weights.scope, weights.scope_bias) == readout.probability
    assert notes.read(question).probability == readout.probability


def test_k_does_not_change_the_probability(notes: Larimar) -> None:
    for question in (*ASKED, *OTHER):
        assert len({notes.read(question, k).probability for k in (1, 2, 5, 50)}) == 1


def test_of_no_candidates_there_are_no_signs() -> None:
    nothing = np.empty((0, len(FEATURES)), dtype=np.float32)
    signs = scope.signs(Asked("what?"), Pool({}, {}), [], nothing, np.empty(0, dtype=np.float32))
    assert signs.tolist() == [0.0] * len(scope.SIGNS)


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3),
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3),
    st.floats(-1e6, 1e6),
)
def test_a_probability_is_one(signs: list[float], weights: list[float], bias: float) -> None:
    found, worth = np.array(signs, np.float32), np.array(weights, np.float32)
    assert 0 <= scope.probability(found, worth, bias) <= 1
    assert scope.probability(found, worth, bias) <= scope.probability(found, worth, bias + 1)


def test_even_odds_are_a_half() -> None:
    assert scope.probability(np.zeros(2, np.float32), np.ones(2, np.float32), 0.0) == 0.5


@pytest.mark.parametrize("kind", ["prose", "conversation"])
def test_the_weights_that_ship_are_whole(kind: ranking.Kind) -> None:
    weights = ranking.weights(kind)
    assert weights.rank.shape == (len(FEATURES),)
    assert weights.scope.shape == (len(scope.SIGNS),)
    assert np.isfinite(weights.rank).all()
    assert np.isfinite(weights.scope).all()
    assert weights.rank[FEATURES.index("cosine")] > 0
