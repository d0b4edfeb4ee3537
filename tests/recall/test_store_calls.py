"""A read makes a fixed number of calls of the store, however many segments it finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import wraps
from typing import Any

import numpy as np
import pytest

from larimar_memory.larimar import Larimar
from larimar_memory.stores import SQLiteStore
from tests.quick import QuickEncoder

SEARCH = ("nearest", "size", "frequencies", "lexical")
NEAR = ("places", "beside", "keys_near")
CALLS = (*SEARCH, *NEAR, "fetch", "spans")
TEXTS = [" ".join(f"Keeper {n} of lamp {m} sat down." for m in range(6)) for n in range(20)]


@pytest.fixture
def memory() -> Iterator[Larimar]:
    with Larimar.open(encoder=QuickEncoder()) as opened:
        opened.write(TEXTS)
        rows = [int(row) for of, _ in opened.store.keys("default") for row in of]
        latents = [np.full(4, row % 100, dtype=np.int8) for row in rows]
        opened.store.attach("default", rows, latents)
        yield opened


@pytest.fixture
def calls(memory: Larimar, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each public method of the store's class is called."""
    counted = Counter[str]()

    def counting(name: str, method: Any) -> Any:
        @wraps(method)
        def count(*given: Any, **options: Any) -> Any:
            counted[name] += 1
            return method(*given, **options)

        return count

    for name in dir(SQLiteStore):
        method = getattr(SQLiteStore, name)
        if not name.startswith("_") and callable(method):
            monkeypatch.setattr(SQLiteStore, name, counting(name, method))
    return counted


def test_calls_are_the_same_however_many_are_read(memory: Larimar, calls: Counter[str]) -> None:
    for k in (1, 5, 10):
        calls.clear()
        readout = memory.read("Which keeper sat at lamp 3?", k, neighbours=2, threshold=0)
        assert len(readout.segments) == k
        assert calls == dict.fromkeys(CALLS, 1)
        for s in readout.segments:
            near = memory.store.segments("default", s.document_id, s.index - 2, s.index + 2)
            assert s.context == "".join(other.text for other in near) != s.text
            assert [z[0] for z in s.latents if z is not None] == [n.row % 100 for n in near]


def test_what_is_read_alone_takes_the_same_calls(memory: Larimar, calls: Counter[str]) -> None:
    for k in (1, 10):
        calls.clear()
        readout = memory.read("Which keeper sat at lamp 3?", k, threshold=0)
        assert [len(segment.latents) for segment in readout.segments] == [1] * k
        assert all(z is not None for segment in readout.segments for z in segment.latents)
        assert calls == dict.fromkeys(CALLS, 1)


def test_a_heading_brings_what_follows_it_and_its_latent(memory: Larimar, calls: Counter[str]) -> None:
    memory.write(["The lighthouse\n\nIt stands on the cliff of Ren."], ["headed"])
    rows = [s.row for s in memory.store.segments("default", "headed")]
    memory.store.attach("default", rows, [np.full(4, n, dtype=np.int8) for n in (7, 8)])
    calls.clear()
    best = memory.read("The lighthouse", 3, threshold=0).segments[0]
    assert (best.document_id, best.index) == ("headed", 0)
    assert best.after == "It stands on the cliff of Ren."
    assert [z.tolist() for z in best.latents if z is not None] == [[7] * 4, [8] * 4]
    assert calls == dict.fromkeys(CALLS, 1)


def test_what_is_replaced_while_it_is_read_stands_alone(
    memory: Larimar, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = memory.store.spans

    def replaced_first(*given: Any, **options: Any) -> Any:
        for document in list(memory.documents()):
            memory.write(["Something else is said now. " * 9], [document.id])
        return spans(*given, **options)

    monkeypatch.setattr(memory.store, "spans", replaced_first)
    for segment in memory.read("Which keeper sat at lamp 3?", 3, neighbours=1, threshold=0).segments:
        assert segment.context == segment.text
        assert "Keeper" in segment.text
        assert segment.latents == (None,)
