"""An answer that is chosen among several, as the decoder writes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from larimar_memory.decoders.prompt import instruction, messages, passages
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.decoders.weighing import Weighing
from larimar_memory.latents.adapting import adapter_for
from larimar_memory.latents.answering import AnsweringAdapter, new_adapters, shared
from tests.tiny import tiny_decoder

READ = [0, 40, 41, 42, 43, 44]


def adapter_of(decoder: TransformersDecoder, **how: Any) -> AnsweringAdapter:
    """An adapter that changes the decoder by chance."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        adapters = new_adapters(decoder, 4)
        for up in adapters.up:
            torch.nn.init.normal_(up, std=0.2)
    adapters.merge()
    return AnsweringAdapter(adapters.eval().requires_grad_(False), copies=False, **how)


@pytest.fixture(scope="module")
def tiny() -> TransformersDecoder:
    return tiny_decoder()


@pytest.fixture(scope="module")
def odd() -> TransformersDecoder:
    """Its weights cannot be packed: the model itself reads every token."""
    made = tiny_decoder(intermediate_size=40)
    assert not made.packing.fits(made.model)
    return made


@pytest.fixture(params=["tiny", "odd"])
def made(request: pytest.FixtureRequest) -> TransformersDecoder:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def said(decoder: TransformersDecoder, adapter: AnsweringAdapter, **how: Any) -> tuple[str, Any]:
    generation = decoder.generate(READ, **{"max_tokens": 8, **how}, conditioning=adapter)
    return "".join(generation), generation


def test_one_beam_writes_what_is_written_token_by_token(decoder: TransformersDecoder) -> None:
    folder = adapter_for(decoder.name)
    assert folder is not None
    shipped = shared(folder, decoder)
    texts = passages(["The vault's code is 71432.", "The baker sells rye bread on Mondays."], ["", ""])
    for question in ("What is the vault's code?", "What does the baker sell on Mondays?"):
        chat = messages(question, texts, instruction=instruction("brief", True))
        tokens = decoder.chat_tokens(chat)
        plain = decoder.generate(tokens, conditioning=shipped)
        one = decoder.generate(tokens, conditioning=replace(shipped, weighing=Weighing(1)))
        assert "".join(one) == "".join(plain) != ""
        assert one.log_probabilities == pytest.approx(plain.log_probabilities, abs=0.1)
        assert (plain.agreement, one.agreement) == (None, 1.0)


def test_an_answer_is_chosen_among_several(made: TransformersDecoder) -> None:
    adapter = adapter_of(made).among(4)
    text, generation = said(made, adapter)
    assert said(made, adapter)[0] == text
    assert 0 < generation.agreement <= 1
    assert generation.usage.completion_tokens == len(generation.log_probabilities) <= 8
    assert all(log <= 0 for log in generation.log_probabilities)


def test_among_one_is_token_by_token(tiny: TransformersDecoder) -> None:
    assert adapter_of(tiny).among(4).among(1).weighing is None


def test_a_stop_text_ends_it(made: TransformersDecoder) -> None:
    adapter = adapter_of(made).among(4)
    text, _ = said(made, adapter)
    stop = text[2]
    cut, generation = said(made, adapter, stop=(stop,))
    assert stop not in cut
    assert generation.usage.completion_tokens <= 8


def test_samples_and_penalties_are_not_weighed(tiny: TransformersDecoder) -> None:
    adapter = adapter_of(tiny).among(4)
    assert said(tiny, adapter, temperature=0.7, seed=3)[1].agreement is None
    before = tiny.model.generation_config.repetition_penalty
    tiny.model.generation_config.repetition_penalty = 1.3
    try:
        assert said(tiny, adapter)[1].agreement is None
    finally:
        tiny.model.generation_config.repetition_penalty = before


def test_a_reader_that_leaves_ends_the_search(made: TransformersDecoder) -> None:
    generation = made.generate(READ, max_tokens=64, conditioning=adapter_of(made).among(4))
    pieces = iter(generation)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert said(made, adapter_of(made))[0]
