"""What is handed to the facade and does not fit: refused at once, by name, in three sentences."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from larimar_memory import AnswerOptions, EncoderMismatchError, InputError, Larimar, ReadOptions
from larimar_memory.errors import LatentsUnavailableError
from larimar_memory.stores import SQLiteStore
from tests.quick import QuickEncoder, QuickTokens
from tests.tiny import tiny_decoder


@pytest.fixture
def memory():
    with Larimar.open(encoder=QuickEncoder(), decoder=tiny_decoder()) as opened:
        opened.write(["red", "green"], metadatas=[{"n": [1]}, {}])
        yield opened


@pytest.mark.parametrize("wrong", [AnswerOptions(), None, {"k": 2}, 3])
def test_options_of_another_kind(memory: Larimar, wrong: Any) -> None:
    with pytest.raises(InputError, match=r"A ReadOptions is wanted, and a \w+ was given"):
        memory.read("red", options=wrong)
    with pytest.raises(InputError, match=r"A ReadOptions is wanted"):
        memory.answer("red", reading=wrong)


def test_options_and_what_a_call_says_in_their_place(memory: Larimar) -> None:
    with pytest.raises(InputError, match="AnswerOptions is wanted, and a ReadOptions was"):
        memory.answer("red", options=ReadOptions())  # type: ignore[typeddict-item]
    options = ReadOptions(k=1, threshold=0.0)
    assert len(memory.read("red", options=options).segments) == 1
    assert len(memory.read("red", 2, options=options).segments) == 2
    assert memory.read("red", options=options, threshold=1.0).segments == ()
    answer = memory.answer("red", reading=options, options=AnswerOptions(max_tokens=1))
    assert answer.usage.completion_tokens == 1


@pytest.mark.parametrize("name", ["neighbours", "threshold", "nieghbours"])
def test_a_search_takes_nothing_that_it_would_not_use(memory: Larimar, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        memory.search("red", **{name: 1})


def test_no_neighbours_are_none(memory: Larimar) -> None:
    found, none = (memory.read("red", threshold=0.0, neighbours=n) for n in (0, None))  # type: ignore[arg-type]
    assert found == replace(none, seconds=found.seconds)
    assert memory.answer("red", threshold=0.0, neighbours=None, max_tokens=1).sources  # type: ignore[arg-type]


def test_a_store_and_what_is_for_files() -> None:
    store = SQLiteStore(None, encoder="quick", dimension=16)
    for options in ({"read_only": True}, {"synchronous": "normal"}, {"crate": True}):
        with pytest.raises(InputError, match=f"{next(iter(options))} is for a file, and a store was"):
            Larimar.open(store=store, encoder=QuickEncoder(), **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Both a store and a path were given"):
        Larimar.open("x.larimar", store=store, encoder=QuickEncoder())
    with pytest.raises(InputError, match="Its store is a str, not a Store"):
        Larimar.open(store="x.larimar", encoder=QuickEncoder())  # type: ignore[arg-type]


def test_a_store_refuses_another_encoder() -> None:
    with pytest.raises(EncoderMismatchError, match="Encoder other made its keys, and this"):
        Larimar.open(store=SQLiteStore(None, encoder="other", dimension=16), encoder=QuickEncoder())


class Wrong(QuickEncoder):
    def __init__(self, keys: Any) -> None:
        self.keys = keys

    def encode(self, texts: Any, kind: str = "segment") -> Any:
        return self.keys


@pytest.mark.parametrize(
    "keys",
    [None, [[1.0] * 16], np.zeros((1, 3), np.float32), np.full((1, 16), np.nan, np.float32)],
    ids=["none", "list", "short", "nan"],
)
def test_an_encoder_whose_keys_are_none(keys: Any) -> None:
    with (
        Larimar.open(encoder=Wrong(keys)) as memory,
        pytest.raises(
            InputError, match=r"The encoder cannot be used. Its keys are .*\(1, 16\) are wanted"
        ),
    ):
        memory.write(["red"])


def test_a_tokenizing_encoder_whose_keys_are_none() -> None:
    class Half(QuickTokens):
        def encode_tokens(self, batch: Any) -> Any:
            return super().encode_tokens(batch)[:, :8]

    with (
        Larimar.open(encoder=Half()) as memory,
        pytest.raises(InputError, match=r"Its keys are of shape \(2, 8\), where finite numbers of"),
    ):
        memory.write(["red", "green"])


def test_an_encoder_of_the_old_contract() -> None:
    class Old:
        fingerprint, dimension = "old", 16

        def encode(self, texts: Any) -> Any:
            return np.zeros((len(texts), 16))

    with pytest.raises(InputError, match="The `encode` of this Old takes no `kind`"):
        Larimar.open(encoder=Old())  # type: ignore[arg-type]


def test_a_class_is_no_decoder() -> None:
    with pytest.raises(InputError, match="Its decoder is the class TransformersDecoder, not an object"):
        Larimar.open(encoder=QuickEncoder(), decoder=type(tiny_decoder()))  # type: ignore[arg-type]


def test_a_stream_that_is_read_again_has_nothing_left(memory: Larimar) -> None:
    stream = memory.stream("red", threshold=0.0, max_tokens=6)
    whole = "".join(stream)
    assert stream.result().text == whole.strip()
    assert "".join(stream) == ""
    assert stream.result().text == whole.strip()
    left = memory.stream("red", threshold=0.0, max_tokens=6)
    started = iter(left)
    next(started)
    started.close()
    assert list(left) == []


def test_plain_values_are_copies_and_a_pickled_readout_says_what_it_lacks(memory: Larimar) -> None:
    readout = memory.read("red", threshold=0.0)
    readout.to_dict()["segments"][0]["metadata"]["n"].append(2)
    assert readout.segments[0].metadata == {"n": [1]}
    back = pickle.loads(pickle.dumps(readout))
    assert back == readout
    with pytest.raises(LatentsUnavailableError, match=r"Use `memory.latents.condition\(readout\)`"):
        back.past_key_values()
