"""The benchmark of PostgreSQL: its bars, its tables, and that its crowd would see what is lost."""

from __future__ import annotations

import pytest

from benchmarks import postgres_crowd, postgres_recall, postgres_speed, scaling_tables
from benchmarks.result import rate
from benchmarks.session import Session
from benchmarks.writer import SPACE, batch

SPEED = {
    "tokens": 1_000_000,
    "segments": 40_000,
    "write_seconds": {"file": 2.0, "postgres": 8.0, "PGVector": 200.0},
    "index_seconds": {"file": 0.0, "postgres": 12.0, "PGVector": 20.0},
    "bytes_per_token": {"file": 36.0, "postgres": 100.0, "PGVector": 9.0},
}
TIMES = {
    "file": [0.01, 0.02, 0.09],
    "postgres": [0.03, 0.01, 0.09],
    "PGVector": [0.06, 0.06, 0.01],
    postgres_speed.INDEXED: [0.01, 0.01, 0.01],
}


def test_points_between_the_places_are_held_to_half_a_one() -> None:
    passages = {
        "passages": 1000,
        "file": {"first": rate([True] * 199 + [False]), "in five": rate([True] * 200)},
        "postgres": {
            "first": rate([True] * 198 + [False] * 2),
            "in five": rate([True] * 198 + [False] * 2),
        },
    }
    talks = {"file": {"evidence": 0.7}, "postgres": {"evidence": 0.706}}
    _, bars = postgres_recall.report(passages, talks)
    assert [bar["value"] for bar in bars] == pytest.approx([0.5, 1.0, 0.6])
    assert [bar["holds"] for bar in bars][1:] == [False, False]


def test_speed_goes_by_medians() -> None:
    figures, bars = postgres_speed.report(SPEED, TIMES)
    assert [bar["value"] for bar in bars] == pytest.approx([1.5, 0.5, 25, 11])
    assert [bar["holds"] for bar in bars] == [True, True, True, False]
    assert figures["read_over_indexed"] == pytest.approx(3)
    assert figures["tokens_per_second"]["postgres"] == 125_000


def test_the_arithmetic_of_a_billion_and_a_hundred_billion_tokens() -> None:
    speed, _ = postgres_speed.report(SPEED, TIMES)
    crowd, _ = postgres_crowd.report(2.0, 0, [], {"write": [0.1, 0.3], "read": [0.01] * 4})
    lines = scaling_tables.postgres({"speed": speed, "crowd": crowd})
    assert "| postgres | 30.0 | 90.0 | 125,000 | 50,000 | 100.0 |" in lines
    assert "| PGVector with an index | 10.0 | 10.0 |  |  |  |" in lines
    assert "| 16 writers | 1 | 100 | 300 |" in lines
    assert "| 16 readers | 2 | 10 | 10 |" in lines
    assert "| hours of one process that writes | 5.6 | 555.6 |" in lines
    assert "| GB of tables and indexes | 100 | 10,000 |" in lines
    assert "| segments, millions | 40 | 4,000 |" in lines


def test_a_crowd_loses_nothing_and_what_is_lost_is_seen(address: str) -> None:
    session = Session(0, None, lambda _: None)
    figures, bars = postgres_crowd.measure(session, postgres_crowd.Size(0.5), address)
    assert figures["errors"] == []
    assert [bar["holds"] for bar in bars] == [True] * 4
    store = postgres_crowd._opened(address)
    known = {d.id: d.metadata["version"] for d in store.documents(SPACE)}
    one, other, *_ = known
    assert postgres_crowd._lost(store, known) == 0
    store.write(SPACE, [batch(one, known[one] + 1)])
    assert postgres_crowd._lost(store, known) == 1
    store.delete(SPACE, ids=[other])
    # It is neither as it was, nor there.
    assert postgres_crowd._lost(store, known) == 3
    store.close()
    _, bars = postgres_crowd.report(1.0, 2, ["one"], {"write": [], "read": []})
    assert [bar["holds"] for bar in bars] == [False] * 4
