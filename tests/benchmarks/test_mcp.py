"""The benchmark of MCP: its bars, and that it asks all three ways."""

from __future__ import annotations

import pytest

from benchmarks import mcp
from benchmarks.session import Session
from larimar_memory.errors import LarimarError


def test_bars_come_from_medians_of_first_calls() -> None:
    again = {way: [1.0] for way in mcp.WAYS}
    first = {"library": [9.0, 1.0, 1.0], "stdio": [1.3, 0.1, 9.9], "http": [1.4, 9.9, 1.0]}
    figures, bars = mcp.report({"tokens": 1}, {"first": first, "again": again})
    assert [(bar["value"], bar["holds"]) for bar in bars] == [(1.3, True), (1.4, False)]
    assert figures["recall_p50_seconds"]["first"] == {"library": 1.0, "stdio": 1.3, "http": 1.4}
    assert figures["recall_p95_seconds"]["again"]["http"] == 1.0


def test_a_server_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(mcp, "SERVE", (*mcp.SERVE[:3], "serve", "--memory"))
    told = r"could not finish\. The server said: .*nothing to serve"
    with pytest.raises(LarimarError, match=told), mcp._http(tmp_path / "m.larimar"):
        pass


@pytest.mark.model
@pytest.mark.slow
def test_all_ways_are_asked() -> None:
    figures, bars = mcp.measure(Session(0, None, lambda _: None), mcp.Size(1_500, 3))
    assert set(figures["recall_p50_seconds"]["first"]) == set(mcp.WAYS)
    assert 0 < figures["up_seconds"] < 60
    assert len(bars) == 2
