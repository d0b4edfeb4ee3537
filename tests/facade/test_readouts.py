"""A readout is answered from as it is."""

from __future__ import annotations

from typing import Any

import pytest

from larimar_memory import read
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar
from larimar_memory.types import ReadOptions
from tests.tiny import tiny_decoder

TEXTS = ["The ferry to Ren leaves at nine.", "Clara moved to Oslo."]
ASKED = "When does the ferry to Ren leave?"


@pytest.fixture
def memory(encoder: SentenceEncoder) -> Any:
    decoder = tiny_decoder(max_position_embeddings=2_000)
    with Larimar.open(encoder=encoder, decoder=decoder, adapter=False) as opened:
        opened.write(TEXTS, namespace="trip")
        yield opened


def test_it_is_not_read_again(memory: Larimar, monkeypatch: pytest.MonkeyPatch) -> None:
    own = memory.answer(ASKED, namespace="trip")
    readout = memory.read(ASKED, namespace="trip")
    monkeypatch.setattr(read, "read", None)
    again = memory.answer(readout)
    assert (again.text, again.sources, again.probability) == (own.text, own.sources, own.probability)


def test_parts_of_its_question_are_read_in_its_namespace_as_it_was(memory: Larimar) -> None:
    asked = "When does the ferry to Ren leave, and where did Clara move to?"
    stream = memory.stream(memory.read(asked, namespace="trip"), reading=ReadOptions())
    assert {source.text for source in stream.sources} == {*TEXTS}
    assert stream.result().text == memory.answer(asked, namespace="trip").text


def test_without_knowing_how_it_was_read_parts_are_answered_from_it(memory: Larimar) -> None:
    asked = "When does the ferry to Ren leave, and where did Clara move to?"
    readout = memory.read(asked, 1, namespace="trip", threshold=0.0)
    stream = memory.stream(readout)
    assert [source.id for source in stream.sources] == [readout.segments[0].id]
    lines = [part[:4] for part in stream.result().text.split("Where did Clara move to?")]
    assert (len(lines), lines[0]) == (2, "When")


def test_what_the_decoder_is_asked_is_told(memory: Larimar) -> None:
    history = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello!"}]
    ((*_, last),) = memory.stream(ASKED, namespace="trip", history=history).prompts
    assert last["role"] == "user"
    assert TEXTS[0] in last["content"]
    assert ASKED in last["content"]
    assert memory.stream("Who is the president of Peru?", namespace="trip").prompts == []
    assert memory.stream(ASKED, namespace="nowhere", fallback=True).prompts == [
        [{"role": "user", "content": ASKED}]
    ]
