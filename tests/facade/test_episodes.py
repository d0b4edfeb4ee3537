"""Episodes: what belongs together says so, and nothing is encoded again for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from larimar_memory.text.blocks import Text
from larimar_memory.types import OnProgress
from tests.quick import QuickCoarse, QuickEncoder
from tests.stores.dict_store import DictStore

TEXTS = ["We met in Riga.", "It rained all day.", "Then Ana came."]
IDS = ["1", "2", "3"]


@pytest.fixture(params=["eager", "lazy", "contract"])
def memory(request: pytest.FixtureRequest) -> Iterator[Larimar]:
    store = DictStore() if request.param == "contract" else None
    encoder = QuickCoarse() if request.param == "lazy" else QuickEncoder()
    with Larimar.open(store=store, encoder=encoder) as opened:
        assert opened.store.lazy == (request.param == "lazy")
        yield opened


def episodes(memory: Larimar) -> dict[str, str | None]:
    return {document.id: document.episode for document in memory.documents()}


def test_all_texts_of_a_call_belong_to_it(memory: Larimar) -> None:
    memory.write(TEXTS[:2], IDS[:2], episode="trip")
    memory.write(TEXTS[2:], IDS[2:])
    assert episodes(memory) == {"1": "trip", "2": "trip", "3": None}


def test_write_each_takes_that_of_each_text(memory: Larimar) -> None:
    given = zip(IDS, TEXTS, ("a", None, "\u00e9 b/:%"), strict=True)
    memory.write_each(Text(id, text, {}, episode=episode) for id, text, episode in given)
    assert episodes(memory) == {"1": "a", "2": None, "3": "\u00e9 b/:%"}


@pytest.mark.parametrize(
    ("before", "after"), [(None, "trip"), ("trip", "Trip"), ("trip", None), ("trip", "trip")]
)
@pytest.mark.parametrize("metadata", [{}, {"of": "ana"}])
def test_another_episode_changes_the_document_alone(
    memory: Larimar, before: Any, after: Any, metadata: dict[str, Any]
) -> None:
    memory.write(TEXTS, IDS, episode=before)
    held = memory.store.segments("default", "2")
    (was,) = memory.store.documents("default", ids=["2"])
    memory.write([TEXTS[1]], ["2"], [metadata], episode=after)
    (now,) = memory.store.documents("default", ids=["2"])
    assert (now.episode, now.metadata) == (after, metadata)
    assert (now.content_hash, now.segments, now.complete) == (was.content_hash, 1, True)
    kept = memory.store.segments("default", "2")
    assert [(s.row, s.text) for s in kept] == [(s.row, s.text) for s in held]
    assert [s.metadata for s in kept] == [metadata]
    assert list(episodes(memory)) == IDS
    assert memory.text("2") == TEXTS[1]
    assert "2" in {s.document_id for s in memory.read(TEXTS[1], 3, threshold=0).segments}


def test_it_stays_when_text_or_metadata_change(memory: Larimar) -> None:
    memory.write(TEXTS, IDS, episode="trip")
    memory.update("1", "We met in Vilnius.")
    memory.update("2", TEXTS[1], {"of": "ana"})
    memory.store.set_metadata("default", "3", {"of": "bob"})
    assert episodes(memory) == dict.fromkeys(IDS, "trip")
    assert memory.text("1") == "We met in Vilnius."


def test_other_text_under_another_episode(memory: Larimar) -> None:
    memory.write(TEXTS, IDS, episode="trip")
    memory.write(["We met in Vilnius."], ["1"], episode="other")
    memory.write(["It was dry."], ["2"])
    assert episodes(memory) == {"1": "other", "2": None, "3": "trip"}


def test_a_text_twice_in_a_call_ends_in_the_last_ones(memory: Larimar) -> None:
    memory.write_each([Text("1", TEXTS[0], {}, episode="a"), Text("1", TEXTS[0], {}, episode="b")])
    assert episodes(memory) == {"1": "b"}
    assert [s.text for s in memory.store.segments("default", "1")] == TEXTS[:1]


def test_a_long_text_that_was_interrupted_goes_on(memory: Larimar) -> None:
    long = " ".join(f"On day {n} of the trip we met person {n} in town {n}." for n in range(3000))

    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    on_progress: OnProgress = stop
    with pytest.raises(KeyboardInterrupt):
        memory.write([long], ["1"], episode="trip", on_progress=on_progress)
    memory.write([long], ["1"], episode="trip")
    (document,) = memory.documents()
    assert (document.episode, document.complete) == ("trip", True)
    assert memory.text("1") == long


def test_what_is_forgotten_meanwhile_is_written_anew(
    memory: Larimar, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.write(TEXTS, IDS, episode="trip")
    look_up = memory.store.document

    def forgotten_then(namespace: str, id: str) -> Any:
        monkeypatch.setattr(memory.store, "document", look_up)
        found = look_up(namespace, id)
        memory.forget(ids=[id], purge=False)
        return found

    monkeypatch.setattr(memory.store, "document", forgotten_then)
    memory.write([TEXTS[0]], ["1"], episode="other")
    assert episodes(memory)["1"] == "other"
    assert memory.text("1") == TEXTS[0]
    assert [s.text for s in memory.store.segments("default", "1")] == TEXTS[:1]


@pytest.mark.parametrize("episode", ["", "a\0b", "\ud800", "x" * 1001, 7, b"trip", ["trip"]])
def test_what_is_no_name_is_refused(memory: Larimar, episode: Any) -> None:
    with pytest.raises(InputError, match="cannot be a name of an episode"):
        memory.write(TEXTS, IDS, episode=episode)
    with pytest.raises(InputError, match="cannot be a name of an episode"):
        memory.write_each([Text("1", TEXTS[0], {}, episode=episode)])
    assert episodes(memory) == {}


def test_names_are_taken_as_they_are(memory: Larimar) -> None:
    names = ["a", "A", "a ", " ", "x" * 1000, "\u0430", "None"]
    for name in names:
        memory.write([f"Text of {name!r}."], [name], episode=name)
    assert episodes(memory) == {name: name for name in names}
    assert np.isfinite(memory.read("Text", threshold=0).best_score)
