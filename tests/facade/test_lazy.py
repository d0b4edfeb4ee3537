"""Lazy keys: what is written is durable and whole without the encoder, whose keys are made later."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np
import pytest

from larimar_memory import exchange, index, write
from larimar_memory.errors import EncoderMismatchError, InputError, MemoryBusyError
from larimar_memory.larimar import Larimar
from larimar_memory.stores import SQLiteStore
from tests.quick import QuickCoarse, QuickEncoder, QuickTokens, contents

SENTENCES = [
    f"Number {n} of the sentences says where the lamp of house {n * n} is kept." for n in range(40)
]
TEXTS = [" ".join(SENTENCES[n : n + 4]) for n in range(0, 40, 4)]
IDS = [f"d{n}" for n in range(len(TEXTS))]


@pytest.fixture
def coarse() -> QuickCoarse:
    return QuickCoarse()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "BATCH_SEGMENTS", 3)
    monkeypatch.setattr(index, "BATCH_SEGMENTS", 7)


def test_writing_runs_no_encoder_and_is_durable(tmp_path: Path, coarse: QuickCoarse) -> None:
    file = tmp_path / "m.larimar"
    with Larimar.open(file, encoder=coarse) as memory:
        memory.write(TEXTS, IDS)
        assert coarse.forwards == 0
        # Another connection sees all of it before the memory is closed.
        other = SQLiteStore(file, encoder=coarse.fingerprint, dimension=16, read_only=True)
        try:
            assert [d.complete for d in other.documents("default")] == [True] * len(TEXTS)
        finally:
            other.close()
    with Larimar.open(file, encoder=None, create=False) as memory:
        assert [memory.text(id) for id in IDS] == TEXTS
        stats = memory.stats()
        assert (stats.keys, stats.segments, stats.keyed) == ("lazy", 40, 0)
        for id in IDS:
            for segment in memory.store.segments("default", id):
                assert segment.key is None
                ids = coarse.tokenize([segment.text]).ids
                assert segment.coarse is not None
                assert float(segment.coarse @ coarse.coarse.keys(ids)[0]) > 0.999


@pytest.mark.parametrize("later", [False, True])
def test_lazy_and_then_index_is_eager(tmp_path: Path, coarse: QuickCoarse, later: bool) -> None:
    with Larimar.open(tmp_path / "eager", encoder=coarse, keys="eager") as eager:
        eager.write(TEXTS, IDS)
        assert (eager.stats().keys, eager.stats().keyed) == ("eager", 40)
        assert eager.index() == 0
        with Larimar.open(tmp_path / "lazy", encoder=coarse) as lazy:
            lazy.write(TEXTS[:5], IDS[:5])
            if later:
                assert lazy.index() == 20
            lazy.write(TEXTS[5:], IDS[5:])
            assert lazy.index() == (20 if later else 40)
            assert lazy.index() == 0
            assert lazy.stats().keyed == 40
            assert contents(lazy) == contents(eager)


def test_eager_keys_in_a_lazy_file(tmp_path: Path, coarse: QuickCoarse) -> None:
    with Larimar.open(tmp_path / "m", encoder=coarse) as memory:
        memory.write(TEXTS[:2], IDS[:2])
    with Larimar.open(tmp_path / "m", encoder=coarse, keys="eager") as memory:
        memory.write(TEXTS[2:4], IDS[2:4])
        assert coarse.forwards == 8
        stats = memory.stats()
        assert (stats.keys, stats.segments, stats.keyed) == ("lazy", 16, 8)
        assert memory.index() == 8
        with Larimar.open(encoder=coarse, keys="eager") as eager:
            eager.write(TEXTS[:4], IDS[:4])
            assert contents(memory) == contents(eager)


def test_an_interrupted_index_goes_on(coarse: QuickCoarse) -> None:
    told = list[tuple[int, int]]()

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if len(told) == 2:
            raise KeyboardInterrupt

    with Larimar.open(encoder=coarse) as memory:
        memory.write(TEXTS, IDS)
        with pytest.raises(KeyboardInterrupt):
            memory.index(on_progress=stop)
        assert told == [(7, 40), (14, 40)]
        assert memory.stats().keyed == 14
        assert memory.index(on_progress=stop) == 26
        assert told[-1] == (40, 40)
        assert coarse.forwards == 40


def test_an_index_of_one_namespace(coarse: QuickCoarse) -> None:
    with Larimar.open(encoder=coarse) as memory:
        memory.write(TEXTS[:1], namespace="one")
        memory.write(TEXTS[1:3], namespace="two")
        assert memory.index("one") == 4
        assert (memory.stats("one").keyed, memory.stats("two").keyed, memory.stats().keyed) == (4, 0, 4)
        assert memory.index() == 8
        assert memory.index("none") == 0
        with pytest.raises(InputError, match="namespace"):
            memory.index("")


def test_what_goes_while_keys_are_made_is_passed_over(coarse: QuickCoarse) -> None:
    with Larimar.open(encoder=coarse) as memory:
        memory.write(TEXTS, IDS)
        memory.index(on_progress=lambda done, total: memory.forget(ids=IDS[3:5]) and None)
        assert (memory.stats().segments, memory.stats().keyed) == (32, 32)
        memory.update("d0", "Another sentence that says nothing of any lamp at all.")
        assert (memory.stats().segments, memory.stats().keyed) == (29, 28)
        assert memory.index() == 1


def test_a_watch_makes_what_is_written_and_stops(coarse: QuickCoarse) -> None:
    stop, begun = threading.Event(), threading.Event()
    with Larimar.open(encoder=coarse) as memory:
        looks = 0

        def make() -> int:
            nonlocal looks
            looks += 1
            begun.set()
            if looks == 2:
                raise MemoryBusyError("It is busy.", "Another writes.", "Wait.")
            made = memory.index()
            if memory.stats().keyed == 40:
                stop.set()
            return made

        made = list[int]()
        watching = threading.Thread(target=lambda: made.append(index.watch(make, stop, 0.0)))
        watching.start()
        begun.wait()
        memory.write(TEXTS, IDS)
        watching.join(60)
        assert not watching.is_alive()
        assert made == [40]


def test_a_whole_text_and_an_unread_one(coarse: QuickCoarse, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenize = QuickTokens.tokenize

    def half(self: QuickCoarse, texts: list[str]) -> object:
        batch = tokenize(self, texts)
        return type(batch)(batch.ids, 0, {n for n, text in enumerate(texts) if "7" in text})

    monkeypatch.setattr(QuickCoarse, "tokenize", half)
    with Larimar.open(encoder=coarse) as memory:
        memory.write(["Text 7 is unread.", "Text 8. It is read. " * 40], ["a", "b"], whole=True)
        (unread,), (read,) = (memory.store.segments("default", id) for id in "ab")
        assert unread.coarse is not None
        assert not unread.coarse.any()
        np.testing.assert_allclose(np.linalg.norm(read.coarse), 1.0, atol=1e-5)
    # As an import makes them.
    made = exchange.coarse_keys(coarse)(["Text 7 is unread.", "Text 8. It is read."])  # type: ignore[misc]
    assert [bool(key.any()) for key in made] == [False, True]


def test_an_encoder_without_a_table_is_eager_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for encoder in (QuickEncoder(), QuickTokens()):
        with caplog.at_level(logging.INFO, "larimar_memory"), Larimar.open(encoder=encoder) as memory:
            memory.write(TEXTS, IDS)
            assert (memory.stats().keys, memory.stats().keyed) == ("eager", 40)
        said = [r.message for r in caplog.records if "table" in r.message]
        assert said == ["encoder quick has no table of coarse keys: its own are made while writing"]
        caplog.clear()
    missing = "Encoder quick has no table of coarse keys, which a lazy memory is searched by. Make one"
    with pytest.raises(InputError, match=missing):
        Larimar.open(tmp_path / "m", encoder=QuickTokens(), keys="lazy")
    assert not (tmp_path / "m").exists()


def test_a_file_stays_what_it_is(tmp_path: Path, coarse: QuickCoarse) -> None:
    with Larimar.open(tmp_path / "eager", encoder=coarse, keys="eager") as memory:
        memory.write(TEXTS, IDS)
    with Larimar.open(tmp_path / "eager", encoder=coarse) as memory:
        memory.write(["One more."])
        assert (memory.stats().keys, memory.stats().keyed) == ("eager", 41)
    with pytest.raises(InputError, match=r"It was begun with eager keys\. Leave keys out"):
        Larimar.open(tmp_path / "eager", encoder=coarse, keys="lazy")
    with pytest.raises(InputError, match=r"Its keys are 'slow'\. Give \"lazy\", \"eager\""):
        Larimar.open(tmp_path / "new", encoder=coarse, keys="slow")  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()
    with pytest.raises(EncoderMismatchError):
        Larimar.open(tmp_path / "eager", encoder=QuickTokens())


def test_a_lazy_file_is_not_written_without_its_table(tmp_path: Path, coarse: QuickCoarse) -> None:
    with Larimar.open(tmp_path / "m", encoder=coarse) as memory:
        memory.write(TEXTS, IDS)
    coarse.coarse = None
    with Larimar.open(tmp_path / "m", encoder=coarse) as memory:
        with pytest.raises(InputError, match="encoder quick-coarse has no table of them"):
            memory.write(["One more."])
        assert memory.index() == 40
        assert memory.stats().documents == 10
    with Larimar.open(tmp_path / "m", encoder=None) as memory:
        assert memory.index() == 0


def test_keys_are_not_made_without_the_encoder(tmp_path: Path, coarse: QuickCoarse) -> None:
    with Larimar.open(tmp_path / "m", encoder=coarse) as memory:
        memory.write(TEXTS, IDS)
    with (
        Larimar.open(tmp_path / "m", encoder=None) as memory,
        pytest.raises(InputError, match="It was opened without an encoder"),
    ):
        memory.index()


@pytest.mark.parametrize("when_full", ["blend", "evict"])
def test_slots_are_eager(tmp_path: Path, coarse: QuickCoarse, when_full: str) -> None:
    with Larimar.open(tmp_path / "m", encoder=coarse, slots=8, when_full=when_full) as memory:  # type: ignore[arg-type]
        memory.write(TEXTS, IDS)
        assert memory.stats().keys == "eager"
    with pytest.raises(InputError, match="It has slots, which are made of eager keys"):
        Larimar.open(tmp_path / "n", encoder=coarse, slots=8, keys="lazy")
    with Larimar.open(tmp_path / "lazy", encoder=coarse) as memory:
        memory.write(TEXTS, IDS)
    with pytest.raises(InputError, match="slots are made of the encoder's"):
        Larimar.open(tmp_path / "lazy", encoder=coarse, slots=8)


def test_a_write_that_was_cut_off_goes_on(coarse: QuickCoarse) -> None:
    class StopError(Exception):
        pass

    def stop(progress: object) -> None:
        raise StopError

    text = " ".join(SENTENCES)
    with Larimar.open(encoder=coarse) as memory:
        with pytest.raises(StopError):
            memory.write([text], ["d"], on_progress=stop)
        held = memory.stats().segments
        assert 0 < held < 40
        rows = [segment.row for segment in memory.store.segments("default", "d")]
        memory.write([text], ["d"])
        assert [s.row for s in memory.store.segments("default", "d")][:held] == rows
        assert memory.text("d") == text
        assert coarse.forwards == 0


def test_health_goes_by_the_keys_there_are(coarse: QuickCoarse) -> None:
    with Larimar.open(encoder=coarse) as memory:
        assert memory.health().advice == "Nothing is written yet."
        memory.write(TEXTS, IDS)
        before = memory.health()
        assert (before.mode, before.items) == ("grow", 40)
        memory.index()
        assert memory.health() == before
