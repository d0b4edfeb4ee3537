"""The benchmark of what the memory does not hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import plots, scope, squad
from benchmarks.session import Session
from larimar_memory.errors import InputError

from .conftest import DOCUMENTS, FERRY

pytestmark = pytest.mark.model


def test_equal_errors() -> None:
    assert scope.equal_error([0.5, 0.6, 0.7, 0.8], [0.1, 0.2, 0.3, 0.4]) == (0.0, 0.5)
    level, threshold = scope.equal_error([0.3, 0.6, 0.7, 0.8], [0.1, 0.2, 0.4, 0.65])
    assert (level, threshold) == (0.25, 0.6)
    figures, bars = scope.report([0.3, 0.6, 0.7, 0.8], [0.1, 0.2, 0.4, 0.65])
    assert figures["refused_though_held"]["count"] == 1
    assert figures["answered_though_not_held"]["count"] == 1
    assert figures["refused_curve"][0] == 0.0
    assert figures["answered_curve"][-1] == 0.0
    assert figures["default_threshold"] == 0.5
    assert [(bar["bar"], bar["holds"]) for bar in bars] == [("<= 4", False), ("<= 0.1", True)]
    _, bars = scope.report([0.65, 0.7, 0.8], [0.1, 0.2, 0.3])
    assert [(bar["value"], bar["holds"]) for bar in bars] == [
        *((0.0, True), (pytest.approx(0.15), False))
    ]


def test_the_scope_is_asked_about_both_halves(
    session: Session, questions: Path, tmp_path: Path
) -> None:
    session.questions = questions
    figures, _ = scope.measure(session, scope.FULL)
    session.questions = None
    assert (figures["in_scope"], figures["out_of_scope"]) == (2, 2)
    assert figures["equal_error_rate"] == 0.0
    assert plots.draw({"name": "scope", "figures": figures}, tmp_path / "s.svg").stat().st_size > 5_000
    assert [len(article) for article in squad.articles(questions)] == [1, 1]


def test_the_scope_is_the_probability_of_an_answer(
    session: Session, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "questions", questions)
    monkeypatch.setattr(scope, "report", lambda *found: found)
    inside, outside = scope.measure(session, scope.FULL)
    with session.open(None) as memory:
        memory.write([DOCUMENTS["ferry"]])
        of_ferry = memory.read(FERRY).probability
        of_bell = memory.read("When does the bell of the school ring?").probability
    assert inside[0] == pytest.approx(of_ferry)
    assert outside[0] == pytest.approx(of_bell)
    assert min(inside) > 0.5 > max(outside)


def test_the_scope_needs_questions_on_two_articles(session: Session, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be run\. It needs questions .* with --questions"):
        scope.measure(session, scope.QUICK)
    path = tmp_path / "one.json"
    qa = {"question": "Who?", "answers": [{"text": "Ada"}]}
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": "Ada came.", "qas": [qa]}]}]}))
    session.questions = path
    with pytest.raises(InputError, match=r"fewer than two articles\. Give a file with more"):
        scope.measure(session, scope.QUICK)
    session.questions = None
