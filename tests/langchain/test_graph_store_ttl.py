"""Items that expire, by a clock that the tests set."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import GetOp, PutOp, SearchOp

from langchain_larimar import LarimarStore
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar

from .conftest import PLACES, place


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 23, 59, 30, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.now

    def wait(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=PLACES)
def opened(request: pytest.FixtureRequest, encoder: SentenceEncoder) -> Iterator[Larimar]:
    with Larimar.open(place(request), encoder=encoder) as memory:
        yield memory


def keys(items: LarimarStore, **options: Any) -> list[str]:
    return sorted(i.key for i in items.search((), refresh_ttl=False, **options))


def test_an_item_expires_after_its_minutes(opened: Larimar, clock: Clock) -> None:
    items = LarimarStore(opened, clock=clock)
    items.put(("a",), "short", {"text": "The vault opens at noon."}, ttl=1)
    items.put(("a",), "half", {"n": 1}, index=False, ttl=0.5)
    items.put(("b",), "long", {"text": "Parrots sing."}, ttl=60)
    items.put(("c",), "kept", {"n": 3})
    clock.wait(0.49)
    assert keys(items) == ["half", "kept", "long", "short"]
    clock.wait(0.01)
    assert keys(items) == ["kept", "long", "short"]
    clock.wait(0.5)
    assert keys(items) == ["kept", "long"]
    assert keys(items, query="When does the vault open?") == ["kept", "long"]
    assert keys(items, filter={"n": 1}) == []
    assert items.get(("a",), "short") is None
    assert items.list_namespaces() == [("b",), ("c",)]
    clock.wait(10_000)
    assert keys(items) == ["kept"]


@pytest.mark.parametrize("how", ["get", "search", "query"])
async def test_reading_begins_the_time_anew(opened: Larimar, clock: Clock, how: str) -> None:
    items = LarimarStore(opened, clock=clock)
    items.put(("a",), "k", {"text": "The vault opens at noon."}, ttl=10)
    written = items.get(("a",), "k", refresh_ttl=False)

    async def read(refresh: bool | None) -> bool:
        if how == "get":
            return await items.aget(("a",), "k", refresh_ttl=refresh) is not None
        query = "When does the vault open?" if how == "query" else None
        return await items.asearch(("a",), query=query, refresh_ttl=refresh) != []

    for _ in range(3):
        clock.wait(9)
        assert await read(None)
    assert items.get(("a",), "k", refresh_ttl=False) == written
    clock.wait(9)
    assert await read(False)
    clock.wait(1)
    assert not await read(True)


def test_only_what_is_returned_is_refreshed(opened: Larimar, clock: Clock) -> None:
    items = LarimarStore(opened, clock=clock)
    for key in ("k1", "k2", "k3"):
        items.put(("a",), key, {"key": key}, ttl=10)
    clock.wait(9)
    assert [i.key for i in items.search(("a",), limit=1, offset=1)] == ["k2"]
    clock.wait(1)
    assert keys(items) == ["k2"]


def test_a_put_sets_the_time_to_live_anew(opened: Larimar, clock: Clock) -> None:
    items = LarimarStore(opened, clock=clock, ttl={"default_ttl": 10})
    items.put(("a",), "default", {"n": 1})
    items.put(("a",), "own", {"n": 1}, ttl=20)
    items.put(("a",), "none", {"n": 1}, ttl=None)
    clock.wait(9)
    items.put(("a",), "default", {"n": 2})
    items.put(("a",), "own", {"n": 2}, ttl=None)
    clock.wait(9)
    assert keys(items) == ["default", "none", "own"]
    clock.wait(1)
    assert keys(items) == ["none", "own"]


def test_an_expired_item_that_is_put_again_is_a_new_one(opened: Larimar, clock: Clock) -> None:
    items = LarimarStore(opened, clock=clock)
    items.put(("a",), "k", {"n": 1}, ttl=1)
    clock.wait(0.5)
    items.put(("a",), "k", {"n": 2}, ttl=1)
    item = items.get(("a",), "k")
    assert item is not None
    assert item.updated_at - item.created_at == timedelta(seconds=30)
    clock.wait(1)
    items.put(("a",), "k", {"n": 3})
    item = items.get(("a",), "k")
    assert item is not None
    assert item.created_at == item.updated_at == clock.now


def test_settings_for_reads(opened: Larimar, clock: Clock) -> None:
    settled = LarimarStore(opened, clock=clock, ttl={"refresh_on_read": False})
    settled.put(("a",), "k", {"n": 1}, ttl=10)
    clock.wait(9)
    assert settled.get(("a",), "k") is not None
    clock.wait(1)
    assert settled.get(("a",), "k") is None
    lenient = LarimarStore(opened, clock=clock, ttl={"omit_expired": False})
    assert keys(lenient) == ["k"]
    assert lenient.list_namespaces() == [("a",)]
    assert lenient.get(("a",), "k") is not None
    assert settled.get(("a",), "k") is not None


def test_a_batch_may_both_read_and_replace(opened: Larimar, clock: Clock) -> None:
    items = LarimarStore(opened, clock=clock)
    items.put(("a",), "k", {"n": 1}, ttl=1)
    got, _, found = items.batch([GetOp(("a",), "k"), PutOp(("a",), "k", {"n": 2}), SearchOp(("a",))])
    assert got.value == found[0].value == {"n": 1}  # type: ignore[union-attr, index]
    clock.wait(100)
    item = items.get(("a",), "k")
    assert item is not None
    assert item.value == {"n": 2}


async def test_a_sweep_deletes_what_expired_from_the_files(
    tmp_path: Path, encoder: SentenceEncoder, clock: Clock
) -> None:
    def traces() -> int:
        return sum(p.read_bytes().count(b"Zanzibar") for p in tmp_path.rglob("*") if p.is_file())

    with Larimar.open(tmp_path / "m.larimar", encoder=encoder) as memory:
        items = LarimarStore(memory, clock=clock)
        items.put(("a",), "k", {"text": "The code is Zanzibar."}, ttl=1)
        items.put(("b",), "k", {"text": "Zanzibar again."}, index=False, ttl=1)
        items.put(("a",), "later", {"n": 1}, ttl=5)
        items.put(("c",), "kept", {"n": 1})
        assert await items.asweep_ttl() == 0
        clock.wait(1)
        assert traces() > 0
        assert items.sweep_ttl() == 2
        assert traces() == 0
        assert memory.stats().documents == 2
        clock.wait(4)
        assert await items.asweep_ttl() == 1
        assert items.sweep_ttl() == 0
        assert keys(items) == ["kept"]


def test_batches_sweep_when_the_interval_has_passed(opened: Larimar, clock: Clock) -> None:
    items = LarimarStore(opened, clock=clock, ttl={"sweep_interval_minutes": 60})
    items.put(("a",), "k", {"n": 1}, ttl=1)
    clock.wait(59)
    assert items.get(("a",), "k") is None
    assert opened.stats().documents == 1
    clock.wait(1)
    assert items.get(("a",), "k") is None
    assert opened.stats().documents == 0
    items.put(("a",), "k", {"n": 1}, ttl=1)
    clock.wait(59)
    items.put(("a",), "other", {"n": 1})
    assert opened.stats().documents == 2


def test_times_survive_in_the_file(tmp_path: Path, encoder: SentenceEncoder, clock: Clock) -> None:
    with Larimar.open(tmp_path / "m.larimar", encoder=encoder) as memory:
        items = LarimarStore(memory, clock=clock)
        items.put(("a",), "k", {"n": 1}, ttl=10)
        before = items.get(("a",), "k")
    clock.wait(9)
    with Larimar.open(tmp_path / "m.larimar", encoder=encoder) as memory:
        assert LarimarStore(memory, clock=clock).get(("a",), "k") == before
    clock.wait(9)
    with Larimar.open(tmp_path / "m.larimar", encoder=encoder) as memory:
        assert LarimarStore(memory, clock=clock).get(("a",), "k") == before
        clock.wait(10)
        assert LarimarStore(memory, clock=clock).get(("a",), "k") is None


def test_a_refresh_does_not_undo_a_put(
    opened: Larimar, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = LarimarStore(opened, clock=clock)
    items.put(("a",), "k", {"n": 1}, ttl=10)
    shown = LarimarStore._shown

    def put_meanwhile(self: LarimarStore, *given: Any) -> bool:
        monkeypatch.setattr(LarimarStore, "_shown", shown)
        LarimarStore(opened, clock=clock).put(("a",), "k", {"n": 2}, ttl=10)
        return shown(self, *given)

    monkeypatch.setattr(LarimarStore, "_shown", put_meanwhile)
    assert items.get(("a",), "k").value == {"n": 1}  # type: ignore[union-attr]
    assert items.get(("a",), "k").value == {"n": 2}  # type: ignore[union-attr]
