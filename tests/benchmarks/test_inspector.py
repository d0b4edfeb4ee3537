"""The benchmark of the inspector: its bars, and that it loads the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import inspector
from benchmarks.session import Session
from larimar_memory.errors import InputError, LarimarError
from larimar_memory.larimar import Larimar


def test_bars_are_for_nearly_the_slowest() -> None:
    slow = [0.1] * 18 + [1.5, 2.0]
    figures, bars = inspector.report(inspector.Size(9, 20), [0.1] * 19 + [2.0], slow)
    assert [(bar["value"], bar["holds"]) for bar in bars] == [(0.1, True), (1.5, False)]
    assert figures["documents_seen_seconds"] == {"p50": 0.1, "p95": 1.5}


def test_what_it_writes_is_a_memory(tmp_path: Path) -> None:
    inspector.written(tmp_path / "m.larimar", 2_500)
    with Larimar.open(tmp_path / "m.larimar", encoder=None) as memory:
        assert memory.stats().documents == memory.stats().segments == 2_500
        assert len(memory.page(99, episode="talk 3")) == 50


def test_a_page_that_is_not_served_is_told(tmp_path: Path) -> None:
    told = r"could not finish\. The command said: .*There is no memory"
    with pytest.raises(LarimarError, match=told), inspector._shown(tmp_path / "m.larimar"):
        pass


@pytest.mark.slow
def test_the_page_is_loaded() -> None:
    try:
        figures, bars = inspector.measure(Session(0, None, lambda _: None), inspector.Size(200, 2))
    except InputError as error:
        pytest.skip(str(error))
    assert 0 < figures["first_paint_seconds"]["p50"] <= figures["documents_seen_seconds"]["p95"]
    assert len(bars) == 2
