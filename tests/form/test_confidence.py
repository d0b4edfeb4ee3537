"""Confidence: a probability, more of it for likelier tokens, and the fit that makes its weights."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import fit_confidence
from larimar_memory.decoders.prompt import NOT_IN_MEMORY
from larimar_memory.form.confidence import SIGNS, WEIGHTS, confidence, signs

LOGS = st.lists(st.floats(-1e6, 0) | st.just(-math.inf), min_size=1, max_size=9)


@given(LOGS, st.text(), st.floats(0, 1))
def test_it_is_a_probability(logs: list[float], text: str, probability: float) -> None:
    found = signs(logs, text, probability)
    assert found is not None
    assert np.isfinite(found).all()
    assert 0 <= confidence(found) <= 1


def test_what_speaks_for_an_answer() -> None:
    found = signs([-0.5, -1.5, -1.0], "Odile", 0.5)
    assert found is not None
    said = dict(zip(SIGNS, found.tolist(), strict=True))
    assert said == {
        "mean": -1.0,
        "least": -1.5,
        "first": -0.5,
        "length": pytest.approx(math.log(3)),
        "scope": 0.0,
        "refused": 0.0,
        "agreed": pytest.approx(math.exp(-1)),
    }
    some = signs([-0.5], "Odile", 0.5, 0.75)
    assert some is not None
    assert some[SIGNS.index("agreed")] == 0.75
    # Where the decoder says that it is not there, a read that found it speaks against the answer.
    there, refused = signs([-1.0], "Odile", 0.9), signs([-1.0], f"{NOT_IN_MEMORY}\n", 0.9)
    assert there is not None
    assert refused is not None
    assert refused[SIGNS.index("scope")] == -there[SIGNS.index("scope")] < 0
    assert refused[SIGNS.index("refused")] == 1
    assert signs((), "Odile", 0.5) is None


def test_likelier_tokens_of_what_was_there_are_trusted_more() -> None:
    sure, unsure = signs([-0.01] * 3, "x", 0.95), signs([-2.5] * 3, "x", 0.55)
    assert sure is not None
    assert unsure is not None
    assert confidence(sure) > confidence(unsure) + 0.1


def test_the_weights_that_ship_say_how_they_were_made() -> None:
    held = json.loads(WEIGHTS.read_text())
    assert set(held["weights"]) == set(SIGNS)
    assert held["held_out"]["calibration_error"] < 0.12
    assert held["held_out"]["area_under_roc"] > 0.6


def test_a_fit_finds_the_probabilities() -> None:
    draw = np.random.default_rng(0)
    table = np.column_stack([draw.normal(size=(4_000, 2)), np.zeros(4_000)])
    true = 1 / (1 + np.exp(-(1.5 * table[:, 0] - 1.0)))
    right = draw.random(len(table)) < true
    weights, bias = fit_confidence.fit(table, right)
    assert weights[2] == 0
    assert abs(weights[1]) < 0.1
    likely = 1 / (1 + np.exp(-(table @ weights + bias)))
    assert np.abs(likely - true).mean() < 0.03
    assert fit_confidence.calibration_error(likely, right) < 0.05
    assert fit_confidence.calibration_error(np.ones(10), np.zeros(10, bool)) == 1
    assert fit_confidence.area(np.array([0.1, 0.9]), np.array([False, True])) == 1
    assert fit_confidence.area(np.array([0.1, 0.9]), np.array([True, True])) == 0.5
