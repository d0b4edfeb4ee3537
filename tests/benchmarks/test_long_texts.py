"""The benchmarks over long texts: RULER, scale, and passages among prose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import passages, plots, ruler, scale
from benchmarks.session import Session
from benchmarks.tables import TABLES
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar

pytestmark = pytest.mark.model


def test_ruler_is_measured_task_by_task(session: Session, tmp_path: Path) -> None:
    figures, bars = ruler.measure(session, ruler.Size((600,), 1, 1))
    found = figures["lengths"]["600"]
    assert len(found["tasks"]) == 8
    assert ruler.averages(found["tasks"]) == (found["read"], found["answered"])
    several = 100 * found["tasks"]["RULER multiquery"]["said"]
    assert [bar["value"] for bar in bars] == [found["read"], found["answered"], several]
    assert found["read"] >= 75
    assert len(TABLES["ruler"](figures)) == 10
    assert plots.draw({"name": "ruler", "figures": figures}, tmp_path / "r.svg").stat().st_size > 5_000
    rate = {"count": 1, "of": 4}
    assert ruler.averages({"a": {"read": rate, "said": 0.5}, "b": {"read": rate, "said": 1.0}}) == (
        *(25.0, 75.0),
    )


def test_scale_is_measured_at_each_length(
    session: Session, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ram = {"models_mb": 500.0, "with_memory_mb": 510.0, "peak_mb": 540.0}
    monkeypatch.setattr(scale.process, "resident", lambda *_: ram)
    monkeypatch.setattr(session, "questions", questions)
    figures, bars = scale.measure(session, scale.Size((600, 1_500), 2, 3, 2, 1, 2))
    for row in figures["rows"]:
        assert [(row[what]["count"], row[what]["of"]) for what in ("passages", "passages in five")] == [
            *((2, 2), (2, 2))
        ]
    assert [row["ram_beyond_models_mb"] for row in figures["rows"]] == [40.0, 40.0]
    assert [bar["value"] for bar in bars[:2]] == [100.0, 100.0]
    assert len(TABLES["scale"](figures)) == 4
    assert plots.draw({"name": "scale", "figures": figures}, tmp_path / "s.svg").stat().st_size > 5_000
    first, last = figures["rows"]
    first["read_p95_seconds"], last["read_p95_seconds"], last["write_peak_mb"] = 0.01, 0.04, 2_000.0
    last["tokens"], last["write_tokens_per_second"] = 12_000, 50.0
    assert [(b["value"], b["holds"]) for b in scale.report([first, last])[1][2:]] == [
        *((4.0, False), (4.0, False), (2_000.0, False))
    ]


def test_questions_on_passages_are_asked_beside_prose(
    session: Session, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "questions", None)
    with pytest.raises(InputError, match=r"cannot be run\. It needs questions .* with --questions"):
        passages.measure(session, passages.QUICK)
    monkeypatch.setattr(session, "questions", questions)
    opened, opens = [], session.open

    def noted(path: Path | None, **how: Any) -> Larimar:
        opened.append(opens(path, **how))
        return opened[-1]

    monkeypatch.setattr(session, "open", noted)
    figures, bars = passages.measure(session, passages.Size(9, 8, 600, 1))
    assert [memory.store.lazy for memory in opened] == [True, True, False]
    among = figures["prose"]
    assert figures["passages"]["passages"] == 8
    assert 600 < among["tokens"] < 700
    assert among["lazy"]["segments"] == among["eager"]["segments"]
    for found, asked in ((figures["passages"], 2), (among["lazy"], 1), (among["eager"], 1)):
        rates = [found[name] for name in ("first", "in five", "passage first")]
        assert [(rate["count"], rate["of"]) for rate in rates] == [(asked, asked)] * 3
    assert [(bar["value"], bar["holds"]) for bar in bars] == [
        *((1.0, True), (1.0, True), (1.0, True), (0.0, True))
    ]
    assert len(TABLES["passages"](figures)) == 2 + 3
    json.dumps(figures, allow_nan=False)


def test_lazy_keys_may_lose_half_a_point() -> None:
    def rates(first: int) -> dict[str, Any]:
        rate = {"count": first, "of": 1_000}
        return {"first": rate, "in five": {"count": 964, "of": 1_000}, "passage first": rate}

    few = {"passages": 1_000, **rates(800)}
    for lazy, holds in ((736, True), (730, False)):
        prose = {"tokens": 1_200, "lazy": rates(lazy), "eager": rates(740)}
        _, bars = passages.report(few, prose)
        assert [bar["holds"] for bar in bars] == [True, False, False, holds]
    assert bars[-1]["value"] == pytest.approx(1.0)
