"""Intervals, percentiles and bars, and the figures that bars are held against."""

from __future__ import annotations

import pytest

from benchmarks import decoding, ingest, latency, result
from larimar_memory.errors import InputError
from larimar_memory.types import Answer, Timings, Usage

pytestmark = pytest.mark.model


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(50, 50, 0.9286, 1.0), (0, 10, 0.0, 0.2775), (8, 10, 0.4902, 0.9433), (0, 0, 0.0, 1.0)],
)
def test_wilson_intervals(successes, trials, low, high):
    assert result.wilson(successes, trials) == pytest.approx((low, high), abs=1e-4)


def test_percentile_is_one_of_the_values():
    values = [float(n) for n in range(20, 0, -1)]
    assert result.percentile(values, 50) == 10.0
    assert result.percentile(values, 95) == 19.0
    assert result.percentile([4.0], 95) == 4.0


@pytest.mark.parametrize(
    ("value", "comparison", "holds"),
    [
        (4.0, ">= 4", True),
        (3.99, ">= 4", False),
        (1.2, "<= 1.2", True),
        (1.21, "<= 1.2", False),
        (0.05, "> 0.05", False),
        (0.051, "> 0.05", True),
        (float("nan"), ">= 4", False),
        (float("nan"), "<= 4", False),
    ],
)
def test_bars(value, comparison, holds):
    assert result.bar("what", value, comparison)["holds"] is holds


def test_a_bar_that_is_no_comparison_is_refused():
    with pytest.raises(InputError):
        result.bar("what", 1.0, "about 4")


def test_ingest_bars_come_from_medians():
    ours, eager, theirs = [8000.0, 90.0, 9000.0], [300.0, 200.0, 500.0], [200.0, 100.0, 300.0]
    figures, bars = ingest.report({}, ours, eager, theirs, [5e11], [8e11, 1e12])
    assert figures["ratio"] == 40.0
    assert figures["eager_ratio"] == 1.5
    assert figures["encoder_share"] == 0.5
    assert [b["holds"] for b in bars] == [True]


def test_latency_bars_come_from_medians():
    def answers(*seconds):
        return [Answer("q", "a", "text", (), Usage(10, 5), Timings(0.1, s / 2, s)) for s in seconds]

    ram = {"models_mb": 900.0, "with_memory_mb": 1000.0, "peak_mb": 1401.0}
    anew = {"first": [0.2, 0.9, 0.7], "first_token": [1.0, 1.0, 1.4], "later": [0.11, 0.13, 0.0]}
    figures, bars = latency.report(
        {"ram": ram, "start_seconds": [9.0, 4.0, 4.5], "asked_anew": anew},
        [[0.01] * 20, [0.02] * 19 + [0.5]],
        [answers(1.0, 1.0, 9.0), answers(1.1, 1.1, 0.1)],
    )
    assert figures["answer_ratio"] == 1.1
    assert figures["first_token_seconds"] == [0.5, 0.55]
    assert figures["read_p95_seconds"] == [0.01, 0.02]
    assert [(b["value"], b["holds"]) for b in bars] == [
        *((1.1, True), (501.0, False), (4.5, True)),
        *((pytest.approx(0.5), True), (pytest.approx(0.11), False)),
    ]


def test_decoding_bars_come_from_medians():
    figures, bars = decoding.report(
        {"start_seconds": [9.0, 3.0, 3.4], "start_to_answer_each": [9.5, 3.5, 4.0]},
        [(0.3, 80.0), (0.9, 90.0), (0.2, 70.0)],
        [(0.6, 100.0), (0.5, 10.0), (0.7, 110.0)],
    )
    assert figures["first_token_seconds"] == [0.3, 0.6]
    assert figures["tokens_per_second"] == [80.0, 100.0]
    assert [(b["value"], b["holds"]) for b in bars] == [(0.5, True), (0.8, True), (3.4, True)]
