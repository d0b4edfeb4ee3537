"""A memory read through K slots, at the facade, with the real encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from larimar_memory.stores import Document, WriteBatch

FACTS = [
    "The lighthouse at Cape Ren was built by Odile Marchetti.",
    "The ferry to Ren leaves at nine every morning.",
    "Tomas keeps eleven grey geese behind the mill.",
    "The library of Ostrava lends out violins on Tuesdays.",
    "Captain Ilse Brandt sold her boat in the spring.",
    "The recipe asks for two spoons of quince jam.",
]
QUESTIONS = [
    "Who built the lighthouse at Cape Ren?",
    "When does the ferry leave?",
    "How many geese does Tomas keep?",
    "Where can violins be borrowed?",
    "What did Captain Brandt sell?",
    "How much quince jam is needed?",
]


def open_ram(encoder: SentenceEncoder, **options: object) -> Larimar:
    return Larimar.open(encoder=encoder, **options)  # type: ignore[arg-type]


def test_questions_are_read_through_the_slots(encoder: SentenceEncoder) -> None:
    memory = open_ram(encoder, slots=64)
    memory.write(FACTS, ids=[str(n) for n in range(6)])
    for n, question in enumerate(QUESTIONS):
        readout = memory.read(question, k=3, hybrid=False)
        assert readout.segments[0].document_id == str(n)
        assert readout.segments[0].weight == max(s.weight for s in readout.segments)
        assert sum(s.weight for s in readout.segments) == pytest.approx(1.0)
        assert readout.slot_weights is not None
        assert readout.slot_weights.shape == (64,)
        assert readout.slot_weights.sum() == 1.0
    assert memory.stats().slots == 64
    assert not memory.read("Who won the world cup in 1998?").in_scope


def test_it_is_the_slots_that_are_read(encoder: SentenceEncoder) -> None:
    memory = open_ram(encoder, slots=64)
    memory.write(FACTS, ids=[str(n) for n in range(6)])
    assert memory.slots is not None
    slots = memory.slots.memory("default")
    assert len(slots) == 6
    # The readouts of two facts are exchanged inside the slots; the store is left as it is.
    rows = {n: memory.store.segments("default", str(n), 0, 0)[0] for n in (0, 2)}
    slots.update(str(rows[0].row), rows[0].key, rows[2].key)
    slots.update(str(rows[2].row), rows[2].key, rows[0].key)
    assert memory.read(QUESTIONS[0], hybrid=False).segments[0].document_id == "2"
    assert memory.read(QUESTIONS[2], hybrid=False).segments[0].document_id == "0"


def test_the_slots_follow_the_store(encoder: SentenceEncoder, tmp_path: Path) -> None:
    path = tmp_path / "m.larimar"
    with (
        Larimar.open(path, encoder=encoder, slots=64) as memory,
        Larimar.open(path, encoder=encoder) as other,
    ):
        memory.write(FACTS[:3], ids=["0", "1", "2"])
        assert memory.read(QUESTIONS[0]).segments[0].document_id == "0"
        other.write(FACTS[3:], ids=["3", "4", "5"])
        assert memory.read(QUESTIONS[4], hybrid=False).segments[0].document_id == "4"
        other.update("1", "The ferry to Ren leaves at noon.")
        assert memory.read(QUESTIONS[1]).segments[0].text == "The ferry to Ren leaves at noon."
        other.forget(ids=["0"])
        assert all(s.document_id != "0" for s in memory.read(QUESTIONS[0], threshold=0).segments)
        assert len(memory.slots.memory("default")) == 5  # type: ignore[union-attr]
        other.forget(namespace="default")
        assert memory.read(QUESTIONS[0], threshold=0).segments == ()
        other.write([FACTS[4]], ids=["4"])
        assert memory.read(QUESTIONS[4]).segments[0].document_id == "4"
        assert len(memory.slots.memory("default")) == 1  # type: ignore[union-attr]
        before = memory.read(QUESTIONS[4], k=1)
    with Larimar.open(path, encoder=encoder, slots=64) as again:
        after = again.read(QUESTIONS[4], k=1)
    assert after.segments == before.segments
    np.testing.assert_array_equal(before.slot_weights, after.slot_weights)


def test_namespaces_have_slots_of_their_own(encoder: SentenceEncoder) -> None:
    memory = open_ram(encoder, slots=64)
    memory.write([FACTS[0]], ids=["a"], namespace="one")
    memory.write([FACTS[2]], ids=["b"], namespace="two")
    assert memory.health("one").items == memory.health("two").items == 1
    found = memory.read(QUESTIONS[0], namespace="two", threshold=0).segments
    assert [s.document_id for s in found] == ["b"]


def test_evict_keeps_the_newest_and_blend_keeps_all(encoder: SentenceEncoder) -> None:
    names = [str(n) for n in range(6)]
    bounded = open_ram(encoder, slots=4, when_full="evict")
    blended = open_ram(encoder, slots=4)
    for n in range(6):
        bounded.write([FACTS[n]], [names[n]])
        blended.write([FACTS[n]], [names[n]])
    assert [d.id for d in bounded.documents()] == names[2:]
    assert [d.id for d in blended.documents()] == names
    assert not bounded.read(QUESTIONS[0]).in_scope
    assert bounded.read(QUESTIONS[5]).segments[0].document_id == "5"
    assert bounded.health().load == 1.0
    assert blended.health().load == 1.5
    assert "1.5 times as many items as slots" in blended.health().advice
    long = " ".join(f"{fact} And then some." for fact in FACTS)
    bounded.write([long], ["long"])
    assert [d.id for d in bounded.documents()] == ["long"]
    assert bounded.text("long") == long


def test_documents_without_text_take_no_slot(encoder: SentenceEncoder) -> None:
    bounded = open_ram(encoder, slots=2, when_full="evict")

    def write_bare(name: str) -> None:
        none = np.zeros((0, encoder.dimension), dtype=np.float32)
        bounded.store.write("default", [WriteBatch(Document(name, "", 0), [], none, replace=True)])

    write_bare("first")
    for n in range(3):
        bounded.write([FACTS[n]], [str(n)])
    assert [d.id for d in bounded.documents()] == ["first", "1", "2"]
    long = " ".join(f"{fact} And then some." for fact in FACTS)
    write_bare("last")
    bounded.write([long], ["2"])
    assert [d.id for d in bounded.documents()] == ["first", "2", "last"]
    assert bounded.text("2") == long
    assert bounded.text("last") == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slots": 0}, "There cannot be 0 slots"),
        ({"slots": "many"}, "There cannot be 'many' slots"),
        ({"slots": 4, "when_full": "explode"}, "A full memory cannot 'explode'"),
    ],
)
def test_what_cannot_be_is_refused(
    encoder: SentenceEncoder, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        open_ram(encoder, **options)


def test_filters_and_words_work_with_slots(encoder: SentenceEncoder) -> None:
    memory = open_ram(encoder, slots=32)
    memory.write(FACTS, metadatas=[{"n": n} for n in range(6)])
    found = memory.read(QUESTIONS[0], where={"n": {"$gte": 3}}, threshold=0).segments
    assert {s.metadata["n"] for s in found} == {3, 4, 5}
    memory.write(["The code of the shed is QX-4471."], ids=["code"])
    assert memory.read("QX-4471?").segments[0].document_id == "code"
