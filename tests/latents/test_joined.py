"""Adapters of a codec and of answers act together, and leave no trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.decoders.prompt import INSTRUCTIONS
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar
from larimar_memory.latents.adapters import Adapters, Joined
from larimar_memory.latents.answering import new_adapters, save_adapter
from larimar_memory.latents.codec import LatentCodec
from larimar_memory.latents.config import LatentConfig
from larimar_memory.latents.description import describe
from larimar_memory.types import AnswerOptions
from tests.tiny import logits, tiny_decoder

TOKENS = [[0, 40, 41, 42]]
FACTS = ["The keeper of Orkney is called Magnus.", "The ferry leaves at seven."]


def adapters(modules: list[torch.nn.Linear], rank: int, seed: int) -> Adapters:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Adapters(modules, rank)
        for up in made.up:
            torch.nn.init.normal_(up, std=0.1)
    return made


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3))
def test_the_updates_add_up(one: int, two: int, first: int, last: int) -> None:
    """Of projections that both have, one has, or none has; while they are trained, and later."""
    modules = [torch.nn.Linear(6, 5) for _ in range(3)]
    parts = adapters(modules[:last], one, 1), adapters(modules[first:], two, 2)
    joined, x = Joined(*parts), torch.randn(4, 6)
    found = list[tuple[torch.nn.Linear, torch.Tensor]]()
    for trained in (True, False):
        if not trained:
            for part in parts:
                part.merge()
        with torch.inference_mode(), joined.attached():
            found += [(module, module(x)) for module in modules]
    with joined.attached():
        found += [(module, module(x)) for module in modules]
    for module, y in found:
        weight = module.weight + sum(
            (up @ down for part in parts for m, (down, up) in part.pairs().items() if m is module),
            torch.zeros(5, 6),
        )
        torch.testing.assert_close(y, torch.nn.functional.linear(x, weight, module.bias))
        assert "forward" not in vars(module)


def test_gradients_reach_the_part_that_is_trained() -> None:
    module = torch.nn.Linear(6, 5).requires_grad_(False)
    fixed, trained = adapters([module], 2, 1).requires_grad_(False), adapters([module], 3, 2)
    with Joined(fixed, trained).attached():
        module(torch.randn(4, 6)).square().sum().backward()
    assert all(p.grad is None for p in fixed.parameters())
    assert all(p.grad is not None and bool(p.grad.abs().sum()) for p in trained.parameters())


def test_updates_are_told_once_nothing_is_trained() -> None:
    module = torch.nn.Linear(6, 5)
    one, two = adapters([module], 2, 1), adapters([module], 3, 2)
    joined = Joined(one, two)
    one.merge()
    assert joined.updates() is None
    two.merge()
    updates = joined.updates()
    assert updates is not None
    assert joined.updates() is updates
    down, up = updates[module]
    assert (down.shape, up.shape) == ((5, 6), (5, 5))


@pytest.fixture
def codec() -> LatentCodec:
    decoder = tiny_decoder(max_position_embeddings=512)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = LatentCodec(decoder, LatentConfig(depth=0.5, limit=16, width=16, dz=8))
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    made.adapters.merge()
    return made.eval().requires_grad_(False)


def test_answers_from_latents_are_those_of_both_adapters(
    codec: LatentCodec, encoder: SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder, given = codec.decoder, list[tuple[list[int], Any]]()
    answering = new_adapters(decoder, 2)
    for up in answering.up:
        torch.nn.init.normal_(up, std=0.3)
    save_adapter(answering, decoder, tmp_path, {})
    describe(tmp_path, judging={"weights": {"near": 1.0}})
    before, generate = logits(decoder, TOKENS), TransformersDecoder.generate

    def spy(self: TransformersDecoder, tokens: list[int], **options: Any) -> Any:
        given.append((list(tokens), options["conditioning"]))
        return generate(self, tokens, **options)

    monkeypatch.setattr(TransformersDecoder, "generate", spy)
    options = {"encoder": encoder, "decoder": decoder, "latents": codec, "threshold": 0.0}
    for adapter in (False, tmp_path):
        with Larimar.open(None, adapter=adapter, **options) as memory:
            memory.write(FACTS)
            memory.answer(FACTS[0], k=1, grounding="latent", max_tokens=4)
            memory.answer(FACTS[0], k=1, grounding="latent", max_tokens=4, beams=1)
    (plain, alone), _, (told, both), (again, one_by_one) = given
    assert again == told
    assert plain == decoder.around_recalled(FACTS[0])[1]
    assert told == decoder.around_recalled(FACTS[0], instruction=INSTRUCTIONS["brief"])[1]
    assert alone.adapters is codec.adapters
    assert both.positions == alone.positions
    # One of several answers is chosen by the text, which no prompt has; of one, latents alone decide.
    assert both.weighing.beams == AnswerOptions().beams
    assert list(both.weighing.judge.passages) == [FACTS[0]]
    assert one_by_one.weighing is None
    assert isinstance(both.adapters, Joined)
    assert both.adapters is codec.joined(_answering(memory).adapters)
    assert torch.equal(logits(decoder, TOKENS), before)


def _answering(memory: Larimar) -> Any:
    found = memory._adapter()
    assert found is not None
    return found
