"""Items are found by what they mean: scores, what is indexed, filters, pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import PutOp, SearchItem
from langgraph.store.memory import InMemoryStore

from langchain_larimar import LarimarStore, graph_store_documents
from langchain_larimar.graph_store_items import indexed_text
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar

from .conftest import PLACES, place

NOTES = {
    ("users", "ana"): [
        ("pet", "Ana keeps two parrots on the balcony.", 1),
        ("food", "She is allergic to peanuts and shellfish.", 2),
        ("work", "Her office is on the third floor of the tower.", 3),
        ("plan", "In spring she wants to run a marathon.", 4),
    ],
    ("users", "bob"): [
        ("pet", "Bob has an old dog that sleeps all day.", 5),
        ("car", "The car is due for inspection in October.", 6),
        ("code", "The alarm code of the workshop is 4711.", 7),
    ],
    ("team",): [
        ("rule", "Reviews are answered within one working day.", 8),
        ("meal", "The team eats lentil soup on Fridays.", 9),
    ],
}
QUESTIONS = ["Which animals do people own?", "What may she not eat?", "When is the inspection?", "4711"]


@pytest.fixture(params=PLACES)
def items(request: pytest.FixtureRequest, encoder: SentenceEncoder) -> Iterator[Any]:
    with Larimar.open(place(request), encoder=encoder) as memory:
        yield LarimarStore(memory, fields=["text"])


def fill(store: Any) -> None:
    store.batch(
        PutOp(namespace, key, {"text": text, "n": n})
        for namespace, notes in NOTES.items()
        for key, text, n in notes
    )


def names(found: list[SearchItem]) -> list[str]:
    return [item.key for item in found]


def scores(found: list[SearchItem]) -> dict[Any, float]:
    assert all(item.score is not None for item in found)
    return {(item.namespace, item.key): item.score or 0.0 for item in found}


@pytest.mark.parametrize("prefix", [(), ("users",), ("users", "bob"), ("use",)])
@pytest.mark.parametrize("wanted", [None, {"n": {"$gt": 2, "$lte": 8}}])
def test_the_scores_are_those_of_the_reference(
    items: LarimarStore, encoder: SentenceEncoder, prefix: tuple[str, ...], wanted: Any
) -> None:
    def embed(texts: list[str]) -> list[list[float]]:
        return [[float(x) for x in key] for key in encoder.encode(texts)]

    index: Any = {"dims": encoder.dimension, "embed": embed, "fields": ["text"]}
    reference = InMemoryStore(index=index)
    fill(items)
    fill(reference)
    for question in QUESTIONS:
        ours = items.search(prefix, query=question, filter=wanted)
        theirs = scores(reference.search(prefix, query=question, filter=wanted))
        clipped = {place: max(score, 0.0) for place, score in theirs.items()}
        assert scores(ours) == pytest.approx(clipped, abs=0.01)
        assert [i.score for i in ours] == sorted((i.score for i in ours), reverse=True)
        pages = [
            items.search(prefix, query=question, filter=wanted, limit=2, offset=n) for n in (0, 2, 4, 9)
        ]
        assert pages == [ours[n : n + 2] for n in (0, 2, 4, 9)]


def test_the_right_item_comes_first(items: LarimarStore) -> None:
    fill(items)
    for question, key in zip(QUESTIONS[1:], ["food", "car", "code"], strict=True):
        best, second = items.search((), query=question, limit=2)
        assert best.key == key
        assert 0 <= (second.score or 0.0) < (best.score or 0.0) <= 1
    assert names(items.search(("users", "ana"), query="parrots", limit=1)) == ["pet"]
    before = items.search(("users", "bob"), query="parrots on the balcony")[0].score or 0.0
    items.put(("users", "bob"), "pet", {"text": "Bob has a parrot on the balcony too."})
    (after,) = items.search(("users", "bob"), query="parrots on the balcony", limit=1)
    assert after.key == "pet"
    assert (after.score or 0.0) > before + 0.2


def test_an_item_is_as_good_as_its_best_sentence_and_comes_once(
    items: LarimarStore, encoder: SentenceEncoder
) -> None:
    padding = "The weather of the coast was described at great length by everyone present. "
    long, question = padding * 20 + "The alarm code is 4711. " + padding * 20, "What is the alarm code?"
    items.put(("a",), "long", {"text": long})
    items.put(("a",), "short", {"text": "The weather was described by everyone."})
    found = items.search(("a",), query=question)
    assert names(found) == ["long", "short"]
    as_one = float(encoder.encode([long])[0] @ encoder.encode([question], kind="question")[0])
    assert (found[0].score or 0.0) > as_one + 0.3
    again = items.search(("a",), query="The weather of the coast")
    assert sorted(names(again)) == ["long", "short"]


def test_a_put_says_what_is_indexed(items: LarimarStore) -> None:
    vault = "The vault opens at noon."
    question = "When does the vault open?"
    items.put(("a",), "default", {"text": vault, "other": "Parrots."})
    items.put(("a",), "elsewhere", {"text": "Parrots.", "notes": [{"t": "Soup."}, {"t": vault}]})
    items.put(
        ("a",), "path", {"text": "Parrots.", "notes": [{"t": "Soup."}, {"t": vault}]}, ["notes[*].t"]
    )
    items.put(("a",), "whole", {"other": vault}, ["$"])
    items.put(("a",), "nothing", {"text": vault}, False)
    items.put(("a",), "no paths", {"text": vault}, [])
    items.put(("a",), "missing", {"other": vault})
    items.put(("a",), "blank", {"text": " \n"})
    found = items.search(("a",), query=question)
    good = {i.key for i in found if (i.score or 0.0) > 0.5}
    assert good == {"default", "path", "whole"}
    assert names(found)[-4:] == ["nothing", "no paths", "missing", "blank"]
    assert [i.score for i in found[-4:]] == [None] * 4
    assert found[3].key == "elsewhere"
    assert len(items.search(("a",))) == 8
    pages = [items.search(("a",), query=question, limit=3, offset=n) for n in (0, 3, 6, 9)]
    assert [item for page in pages for item in page] == found


def test_what_is_put_without_an_index_is_found_by_meaning_no_more(items: LarimarStore) -> None:
    question = "When does the vault open?"
    value = {"text": "The vault opens at noon."}
    for index, scored in ((None, True), (False, False), (["text"], True), ([], False)):
        items.put(("a",), "k", value, index)  # type: ignore[arg-type]
        (found,) = items.search(("a",), query=question)
        assert (found.score is not None) == scored
        assert items.memory.read(question, namespace="store:a").in_scope == scored


def test_equal_texts_in_one_batch(items: LarimarStore) -> None:
    items.batch([PutOp(("a",), f"k{n}", {"text": "The vault opens at noon."}) for n in range(3)])
    found = items.search(("a",), query="When does the vault open?")
    assert names(found) == ["k0", "k1", "k2"]
    assert len({i.score for i in found}) == 1


def test_an_empty_query_ranks_nothing(items: LarimarStore) -> None:
    fill(items)
    assert items.search((), query="") == items.search(())
    assert {i.score for i in items.search(())} == {None}


@pytest.mark.parametrize("first_depth", [1, 3, 1024])
def test_a_filter_leaves_nothing_out(
    items: LarimarStore, monkeypatch: pytest.MonkeyPatch, first_depth: int
) -> None:
    monkeypatch.setattr(graph_store_documents, "_FIRST_DEPTH", first_depth)
    items.batch(
        PutOp(("a",), f"k{n:02d}", {"text": f"Parrot number {n} sings.\n\nIt eats seeds.", "n": n})
        for n in range(30)
    )
    items.put(("a",), "last", {"text": "Minutes of a meeting about tax.", "n": 99})
    question = "Which parrot sings?"
    (last,) = items.search(("a",), query=question, filter={"n": {"$gt": 30}})
    assert last.key == "last"
    assert last.score is not None
    every = items.search(("a",), query=question, limit=100)
    assert len(every) == 31
    # Of two segments each, so many are all ranked: the filter cannot change their order.
    some = items.search(("a",), query=question, limit=5, offset=2, filter={"n": {"$lt": 15}})
    assert some == [i for i in every if i.value["n"] < 15][2:7]


def test_reopened_items_are_found(tmp_path: Path, encoder: SentenceEncoder) -> None:
    with Larimar.open(tmp_path / "m.larimar", encoder=encoder) as memory:
        fill(LarimarStore(memory))
        expected = LarimarStore(memory).search((), query=QUESTIONS[0])
    with Larimar.open(tmp_path / "m.larimar", encoder=encoder, read_only=True) as memory:
        found = LarimarStore(memory).search((), query=QUESTIONS[0])
        assert found == expected
        assert [i.score for i in found] == pytest.approx([i.score for i in expected], abs=1e-3)


def test_the_whole_value_as_text() -> None:
    value = {
        "name": "Ana",
        "age": 41,
        "pets": ["parrot", None, "dog"],
        "address": {"city": "Lisbon", "flat": None},
        "trips": [{"to": "Jena", "paid": True}, {"to": "Oslo"}],
        "empty": [],
        "note": "Two\nlines.",
    }
    assert indexed_text(value, ["$"]).split("\n") == [
        "name: Ana",
        "age: 41",
        "pets: parrot, dog",
        "address city: Lisbon",
        "trips to: Jena",
        "trips paid: True",
        "trips to: Oslo",
        "note: Two",
        "lines.",
    ]
    assert indexed_text(value, ["trips[-1].to", "absent", "pets[*]"]) == "Oslo\n\nparrot\n\ndog"
    assert indexed_text({}, ["$"]) == indexed_text(value, []) == ""
