"""How many segments a read can name, and how long a question may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from larimar_memory.types import ReadOptions
from tests.growth import growth
from tests.quick import QuickEncoder

COUNT = 50
TEXTS = [f"Keeper {n} sat down by the lamp." for n in range(COUNT)]
MANY = (COUNT, COUNT + 1, 1_000, 1_001, 5_000, 10**9, 2**63, 10**30, np.int64(5_000), np.uint8(200))


@pytest.fixture(params=["ram", "file"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Larimar]:
    path = None if request.param == "ram" else tmp_path / "m.larimar"
    with Larimar.open(path, encoder=QuickEncoder(), threshold=0.0) as opened:
        opened.write(TEXTS, [str(n) for n in range(COUNT)], [{"n": n} for n in range(COUNT)])
        yield opened


@pytest.mark.parametrize("k", MANY)
@pytest.mark.parametrize("hybrid", [False, True])
def test_more_than_there_is_reads_all(memory: Larimar, k: Any, hybrid: bool) -> None:
    assert len(memory.read(TEXTS[7], k, hybrid=hybrid).segments) == COUNT
    assert len(memory.read(TEXTS[7], options=ReadOptions(k, hybrid=hybrid)).segments) == COUNT
    assert memory.read(TEXTS[7], k, hybrid=hybrid).segments[0].document_id == "7"
    assert len(memory.search(TEXTS[7], k, hybrid=hybrid)) == COUNT
    assert len(memory.search(np.ones(16, dtype=np.float32), k)) == COUNT
    few = memory.read(TEXTS[7], k, where={"n": {"$lt": 9}}, hybrid=hybrid)
    assert {segment.document_id for segment in few.segments} == {str(n) for n in range(9)}
    assert memory.read(TEXTS[7], k, namespace="empty", hybrid=hybrid).segments == ()


@pytest.mark.usefixtures("small_parts")
def test_an_index_gives_all_it_has(tmp_path: Path) -> None:
    with Larimar.open(tmp_path / "m.larimar", encoder=QuickEncoder(), threshold=0.0) as memory:
        texts = [f"Note {n} of many lies here." for n in range(1_500)]
        memory.write(texts, [str(n) for n in range(1_500)])
        memory.forget(ids=[str(n) for n in range(0, 1_500, 7)], purge=False)
        there = memory.stats().segments
        for k in (there, 2_000, 10**9):
            found = [c.segment.document_id for c in memory.search(texts[8], k, hybrid=False)]
            assert len(found) == len(set(found)) == there
            assert found[0] == "8"
        filtered = memory.search(texts[8], 10**9, hybrid=False, where={})
        assert [c.segment.document_id for c in filtered] == found


def test_slots_are_read_whole() -> None:
    with Larimar.open(None, encoder=QuickEncoder(), threshold=0.0, slots=256) as memory:
        memory.write(TEXTS)
        assert len(memory.read(TEXTS[0], 10**9).segments) == COUNT


@pytest.mark.parametrize(
    "k", [0, -1, -(10**30), True, False, 2.0, "3", np.float64(3), np.bool_(True), [1]]
)
def test_what_is_no_number_of_segments(memory: Larimar, k: Any) -> None:
    for use in (memory.read, memory.search, memory.answer):
        with pytest.raises(InputError, match="Memory cannot be read with k=") as refused:
            use("Who sat down?", k)
        assert f"k={k!r}. k is the number of segments to read, a whole" in str(refused.value)


def long_questions() -> dict[str, str]:
    rng = np.random.default_rng(0)
    drawn = " ".join(f"word{n}" for n in rng.integers(3_000, size=14_000))
    return {
        "one letter": "x" * 100_000,
        "one accented letter": "\u00e9" * 100_000,
        "one word": "the " * 25_000,
        "few words": "and so on by the lamp " * 4_500,
        "many words": drawn[:100_000],
        "words that differ": " ".join(f"w{n}" for n in range(17_000))[:100_000],
        "no spaces": "".join(map(chr, rng.integers(0x4E00, 0x9FFF, size=100_000))),
        "no words": "?! " * 33_333,
        "blanks": " " * 99_990 + "lamp",
        "surrogates": "\ud800" * 100_000,
    }


@pytest.mark.parametrize("name", long_questions())
def test_the_time_of_a_question_grows_with_its_length_alone(memory: Larimar, name: str) -> None:
    question = long_questions()[name]
    memory.write(["and so on by the lamp of the keeper " * 30] * 5, [f"long {n}" for n in range(5)])
    assert len(memory.read(question, 3).segments) == 3
    assert growth(lambda n: memory.read(question[-n:], 3), 25_000, 100_000) < 10
    assert growth(lambda n: memory.search(question[-n:], 3), 25_000, 100_000) < 10
    with pytest.raises(InputError, match=r"characters, and 20,000 is the most\. Write the long text"):
        memory.answer(question, 3)


def test_a_long_question_of_a_real_encoder(encoder: SentenceEncoder) -> None:
    with Larimar.open(None, encoder=encoder) as memory:
        memory.write(["The pass key of the vault is 71432.", *TEXTS])
        question = "What is the pass key of the vault? " + "It rained. " * 9_000
        assert memory.read(question, 1, threshold=0).segments[0].text.startswith("The pass key")
        assert growth(lambda n: memory.read(question[:n], 5), 25_000, 100_000) < 10
