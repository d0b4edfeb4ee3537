"""A read of a lazy memory: the encoder's keys made then, and kept; ranks that are explained."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from larimar_memory.recall import fine_keys
from larimar_memory.text.blocks import Text

pytestmark = pytest.mark.model

NOTES = [
    "The vault code is 71432.",
    "The heron nests in reeds and eats fish.",
    "Our office in Lyon opened in 1998.",
    "To reset the router, hold the button for ten seconds.",
    "The ferry to Corfu leaves at noon.",
]
TURNS = [
    ("Anna", "I adopted a dog in March."),
    ("Bob", "I adopted a cat in May."),
    ("user", "My flight leaves on Friday."),
    ("assistant", "A flight often leaves late on Fridays."),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.larimar"


@pytest.fixture
def memory(path: Path) -> Iterator[Larimar]:
    with Larimar.open(path) as opened:
        opened.write(NOTES, [str(n) for n in range(len(NOTES))])
        yield opened


def test_keys_are_made_by_a_read_and_kept(memory: Larimar) -> None:
    assert memory.stats().keyed == 0
    first = memory.read("What does the heron eat?", explain=True)
    assert memory.stats().keyed == len(NOTES)
    assert (
        memory.read("What does the heron eat?", explain=True).to_dict()["segments"]
        == (first.to_dict()["segments"])
    )


def test_a_read_waits_for_no_writer(memory: Larimar, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    busy = memory.read("What does the heron eat?")
    assert memory.stats().keyed == 0
    other.execute("ROLLBACK")
    other.close()
    assert memory.read("What does the heron eat?").segments == busy.segments
    assert memory.stats().keyed == len(NOTES)


def test_a_file_that_is_only_read_answers_alike(memory: Larimar, path: Path) -> None:
    with Larimar.open(path, read_only=True) as opened:
        read = opened.read("What is the vault code?")
        assert opened.stats().keyed == 0
    assert memory.read("What is the vault code?").segments == read.segments


def test_few_keys_wait_in_ram(memory: Larimar, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fine_keys, "MOST_WAITING", 2)
    with Larimar.open(path, read_only=True) as opened:
        assert opened.read("What is the vault code?").segments
        assert len(opened._recall.fine_keys._waiting) == 2


def test_parts_of_a_rank_sum_to_it(memory: Larimar) -> None:
    readout = memory.read("What is the vault code?", explain=True)
    ranks = []
    for segment in readout.segments:
        assert segment.why is not None
        ranks.append(segment.why.rank_score)
        assert segment.why.by_key is not None or segment.why.by_words is not None
    assert ranks == sorted(ranks, reverse=True)
    found = memory.search("What is the vault code?", 5)
    np.testing.assert_allclose(ranks, [one.rank_score for one in found], rtol=1e-4)
    assert readout.signs["cosine"] == pytest.approx(max(s.score for s in readout.segments), abs=1e-4)
    assert all(segment.why is None for segment in memory.read("What is the vault code?").segments)


def test_reasons_are_told_apart(memory: Larimar) -> None:
    assert memory.read("x", namespace="none").reason == "nothing stored"
    assert memory.read("What is the boiling point of tungsten?").reason == "nothing near"
    assert memory.read("What is the vault code?", threshold=1.0).reason == "below the threshold"
    assert memory.read("What is the vault code?").reason is None


def test_all_parts_of_a_question_are_read(memory: Larimar) -> None:
    asked = "What is the vault code, and when did the Lyon office open, and when does the ferry leave?"
    found = {segment.document_id for segment in memory.read(asked, 4, threshold=0).segments}
    assert {"0", "2", "4"} <= found


def test_who_spoke_decides() -> None:
    with Larimar.open() as memory:
        memory.write_each(
            Text(str(n), text, {"speaker": who}, episode="e") for n, (who, text) in enumerate(TURNS)
        )
        asked = {"Which pet did Bob adopt?": "1", "Which pet did Anna adopt?": "0"}
        asked["When does my flight leave?"] = "2"
        for question, turn in asked.items():
            assert memory.read(question, 1, threshold=0).segments[0].document_id == turn


def test_without_words_the_cosine_decides(memory: Larimar) -> None:
    found = memory.search("What is the vault code?", hybrid=False)
    assert [one.rank_score for one in found] == [one.cosine for one in found]


@pytest.mark.parametrize("threshold", [1.1, -0.1, float("nan"), "high"])
def test_a_threshold_is_a_probability(memory: Larimar, threshold: Any) -> None:
    message = (
        rf"threshold={threshold!r}. threshold is the probability .* from 0 to 1\. Use such a number"
    )
    with pytest.raises(InputError, match=message):
        memory.read("What is the vault code?", threshold=threshold)
    with pytest.raises(InputError, match="from 0 to 1"):
        Larimar.open(threshold=threshold)
