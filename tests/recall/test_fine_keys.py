"""The encoder's keys of what is read: made once, kept when nobody writes, waited for never."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from larimar_memory.errors import MemoryFileError
from larimar_memory.larimar import Larimar
from larimar_memory.recall import fine_keys
from larimar_memory.stores import SQLiteStore
from larimar_memory.types import Readout
from tests.quick import QuickCoarse

TEXTS = [
    f"Number {n} of the sentences says where the lamp of house {n * n} is kept." for n in range(20)
]
QUESTION = "Where is the lamp of house 49 kept?"
LONGEST = 20.0
"""Seconds: a read that waited for the file would take `BUSY`, and these take hundredths."""
BUSY = 120.0


@pytest.fixture
def coarse() -> QuickCoarse:
    return QuickCoarse()


@pytest.fixture
def file(tmp_path: Path, coarse: QuickCoarse) -> Path:
    """A lazy memory of twenty sentences, none of which has the encoder's key."""
    with Larimar.open(tmp_path / "m", encoder=coarse) as memory:
        memory.write(TEXTS)
        assert (memory.stats().keys, memory.stats().keyed, coarse.forwards) == ("lazy", 0, 0)
    return tmp_path / "m"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another connection holds the write lock."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def keyed(file: Path, coarse: QuickCoarse) -> int:
    """How many segments have their key in the file, as another connection sees it."""
    store = SQLiteStore(file, encoder=coarse.fingerprint, dimension=16, read_only=True)
    with closing(store):
        return store.stats("default").keyed


def read(memory: Larimar) -> Any:
    """All that a read says but how long it took."""
    before = time.perf_counter()
    readout = memory.read(QUESTION, 4, threshold=0, explain=True)
    assert time.perf_counter() - before < LONGEST
    return said(readout)


def said(readout: Readout) -> dict[str, Any]:
    return {name: value for name, value in readout.to_dict().items() if name != "seconds"}


def test_a_read_makes_keys_once_and_keeps_them(file: Path, coarse: QuickCoarse) -> None:
    with Larimar.open(file, encoder=coarse) as memory:
        first = read(memory)
        made = coarse.forwards
        assert keyed(file, coarse) == made - 1 == 20
        assert read(memory) == first
        assert coarse.forwards == made
    with Larimar.open(file, encoder=coarse) as memory:
        assert read(memory) == first
        assert coarse.forwards == made + 1


def test_a_read_waits_for_no_writer(file: Path, coarse: QuickCoarse) -> None:
    with Larimar.open(file, encoder=coarse, busy_seconds=BUSY) as memory:
        with locked(file):
            first = read(memory)
            assert keyed(file, coarse) == 0
            made = coarse.forwards
            assert made == 21
            # What waits in RAM is used from there.
            assert read(memory) == first
            assert coarse.forwards == made
            assert keyed(file, coarse) == 0
        assert read(memory) == first
        assert coarse.forwards == made
        assert keyed(file, coarse) == 20


def test_a_read_waits_for_no_writer_of_its_own(file: Path, coarse: QuickCoarse) -> None:
    begun, over = threading.Event(), threading.Event()
    with Larimar.open(file, encoder=coarse, busy_seconds=BUSY) as memory:
        assert isinstance(memory.store, SQLiteStore)
        db = memory.store._db

        def hold() -> None:
            with db.writing():
                begun.set()
                over.wait(BUSY)

        writer = threading.Thread(target=hold)
        writer.start()
        begun.wait(BUSY)
        try:
            first = read(memory)
            assert keyed(file, coarse) == 0
        finally:
            over.set()
            writer.join()
        assert read(memory) == first
        assert keyed(file, coarse) == 20


def test_what_waits_is_kept_on_closing(file: Path, coarse: QuickCoarse) -> None:
    with Larimar.open(file, encoder=coarse) as memory:
        with locked(file):
            read(memory)
        assert keyed(file, coarse) == 0
    assert keyed(file, coarse) == 20


def test_closing_waits_for_no_writer(file: Path, coarse: QuickCoarse) -> None:
    with locked(file):
        memory = Larimar.open(file, encoder=coarse, busy_seconds=BUSY)
        read(memory)
        before = time.perf_counter()
        memory.close()
        assert time.perf_counter() - before < LONGEST


def test_a_read_only_file_stays_as_it_is(file: Path, coarse: QuickCoarse) -> None:
    before = file.read_bytes()
    with Larimar.open(file, encoder=coarse, read_only=True) as memory:
        first = read(memory)
        assert read(memory) == first
        assert coarse.forwards == 21
        assert memory.stats().keyed == 0
    assert file.read_bytes() == before
    with Larimar.open(file, encoder=coarse) as memory:
        assert read(memory) == first


def test_index_makes_what_waits_no_matter_where(file: Path, coarse: QuickCoarse) -> None:
    with Larimar.open(file, encoder=coarse) as memory:
        with locked(file):
            first = read(memory)
        memory.index()
        assert memory.stats().keyed == 20
        assert read(memory) == first


def test_keys_of_what_was_changed_meanwhile_are_not_kept(file: Path, coarse: QuickCoarse) -> None:
    with Larimar.open(file, encoder=coarse) as memory, Larimar.open(file, encoder=coarse) as other:
        with locked(file):
            read(memory)
        ids = [document.id for document in other.documents()]
        other.forget(ids=ids[:5])
        other.update(ids[5], "Another sentence, of no lamp.")
        read(memory)
        made = coarse.forwards
        memory.index()
        assert (memory.stats().segments, memory.stats().keyed) == (15, 15)
        assert coarse.forwards == made
        for segment in memory.store.segments("default", ids[5]):
            (expected,) = coarse.encode([segment.text])
            assert segment.key is not None
            assert float(segment.key @ expected) > 0.999


@pytest.mark.parametrize("most", [1, 5, 19])
def test_waiting_is_bounded(
    file: Path, coarse: QuickCoarse, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    with Larimar.open(file, encoder=coarse, read_only=True) as memory:
        first = read(memory)
    monkeypatch.setattr(fine_keys, "MOST_WAITING", most)
    with Larimar.open(file, encoder=coarse) as memory:
        waiting = memory._recall.fine_keys._waiting
        with locked(file):
            for _ in range(3):
                assert read(memory) == first
                assert len(waiting) == most
        assert read(memory) == first
        assert not waiting
        assert keyed(file, coarse) >= most
    assert keyed(file, coarse) <= 20


def test_a_store_that_fails_keeps_no_read_from_its_answer(
    file: Path, coarse: QuickCoarse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any, **__: Any) -> bool:
        raise MemoryFileError("The memory cannot be written.", "The disk is full.", "Make room.")

    with Larimar.open(file, encoder=coarse) as memory:
        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
            patch.setattr(SQLiteStore, "attach", full)
            first = read(memory)
        assert "The disk is full." in caplog.text
        assert keyed(file, coarse) == 0
        assert read(memory) == first
        assert keyed(file, coarse) == 20


def test_threads_read_the_same(file: Path, coarse: QuickCoarse) -> None:
    found, start = list[Any](), threading.Barrier(4, timeout=BUSY)
    with Larimar.open(file, encoder=coarse) as memory:

        def ask() -> None:
            start.wait()
            found.append(read(memory))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4
        assert all(one == found[0] for one in found)
        assert read(memory) == found[0]
        assert keyed(file, coarse) == 20
