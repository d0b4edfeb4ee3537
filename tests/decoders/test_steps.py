"""Tokens written in steps over packed weights are those the model would write, and always the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    DynamicCache,
    GenerationConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from larimar_memory.decoders.choosing import Choosing, heeded
from larimar_memory.decoders.packed import groups, pack
from larimar_memory.decoders.rows import ModelRows
from larimar_memory.decoders.steps import Rows, Steps
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.latents import LatentCodec, LatentConfig
from larimar_memory.latents.prefix import LatentReadout
from tests.tiny import SIZES, ByteTokenizer, logits, tiny_decoder

pytestmark = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="no fast kernels here"
)

READ, SAID = [0, 40, 41, 42, 43, 44], [70, 71, 72, 90, 91, 92, 93, 50]
ROPE = {"rope_theta": 10000.0, "factor": 2.0}
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}


def other(cls: Any, config: Any, **changes: Any) -> TransformersDecoder:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = cls(config(**{**SIZES, "pad_token_id": None, **changes}))
        for name, parameter in model.named_parameters():
            if name.endswith(("bias", "norm.weight")):
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return TransformersDecoder(model, ByteTokenizer(), name="other")


def stepped(
    decoder: TransformersDecoder, said: list[int], conditioning: Any = None, threads: int = 0
) -> Tensor:
    """Logits after each of the tokens said, by steps in so many threads; its own many by default."""
    model, ids = decoder.model, torch.tensor([READ])
    given = {"attention_mask": torch.ones_like(ids)}
    if conditioning is not None:
        given = conditioning.inputs(ids)
        del given["inputs"]
    mask, updates = given["attention_mask"], conditioning and conditioning.adapters.updates()
    cache = given.setdefault("past_key_values", DynamicCache())
    assert decoder.packing.fits(model)
    with torch.inference_mode():
        packed = decoder.packing.packed(model, conditioning and conditioning.adapters, updates)
        places = (mask.cumsum(1) - 1)[:, -len(READ) :]
        if conditioning is None:
            model(ids, position_ids=places, **given)
        else:
            with conditioning.attached():
                model(ids, position_ids=places, **given)
        steps = Steps(packed, model, cache, mask, len(said))
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(threads or before)
            return torch.stack([steps(token) for token in said])
        finally:
            torch.set_num_threads(before)


def test_the_head_reads_a_matrix() -> None:
    """For a token that is cut from a batch, torch would copy all weights in bf16."""
    decoder, read = tiny_decoder(), list[tuple[int, ...]]()
    decoder.model.lm_head.register_forward_hook(lambda _, given, __: read.append(given[0].shape))
    assert list(decoder.generate(READ, max_tokens=2))
    assert read == [(1, decoder.model.config.hidden_size)]


def near(found: Tensor, expected: Tensor, most: float = 0.1) -> None:
    """In one direction, but for what 8 bits cannot say; of other weights or places, nearer to 1."""
    found, expected = found - found.mean(-1, keepdim=True), expected - expected.mean(-1, keepdim=True)
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert error.mean() < most


@pytest.mark.parametrize(
    "made",
    [
        lambda: tiny_decoder(),
        lambda: tiny_decoder(torch.bfloat16),
        lambda: tiny_decoder(tie_word_embeddings=False),
        lambda: tiny_decoder(num_key_value_heads=4),
        lambda: tiny_decoder(num_key_value_heads=1, head_dim=16),
        lambda: tiny_decoder(attention_bias=True, mlp_bias=True),
        lambda: tiny_decoder(rope_parameters={"rope_type": "linear", **ROPE}),
        lambda: tiny_decoder(rope_parameters={"rope_type": "yarn", **ROPE}),
        lambda: tiny_decoder(rope_parameters={"rope_type": "llama3", **ROPE, **LLAMA3}),
        lambda: other(Qwen2ForCausalLM, Qwen2Config),
        lambda: other(MistralForCausalLM, MistralConfig, sliding_window=None),
    ],
)
def test_steps_give_the_models_logits(made: Any) -> None:
    decoder = made()
    expected = logits(decoder, [[*READ, *SAID]])[0, len(READ) :].float()
    near(stepped(decoder, SAID), expected)


FORKS = [([70, 71], [0, 0]), ([72, 90, 91], [1, 0, 1]), ([92, 93], [2, 0])]
"""Tokens of rows, and the row before that each follows; the rows come to 71 91 92 and 71 72 93."""


def forked(decoder: TransformersDecoder, made: Any) -> Tensor:
    """Logits of the rows of `FORKS` at their ends."""
    ids, cache = torch.tensor([READ]), DynamicCache()
    with torch.inference_mode():
        mask = torch.ones_like(ids)
        decoder.model(ids, attention_mask=mask, past_key_values=cache)
        rows = made(decoder, cache, mask)
        return [rows(*fork) for fork in FORKS][-1]  # type: ignore[no-any-return]


def packed_rows(decoder: TransformersDecoder, cache: Any, mask: Tensor) -> Rows:
    assert decoder.packing.fits(decoder.model)
    return Rows(decoder.packing.packed(decoder.model), decoder.model, cache, mask, 3, 3)


@pytest.mark.parametrize(
    "made",
    [
        lambda: tiny_decoder(),
        lambda: tiny_decoder(torch.bfloat16),
        lambda: tiny_decoder(num_key_value_heads=4),
        lambda: tiny_decoder(num_key_value_heads=1, head_dim=16),
        lambda: other(Qwen2ForCausalLM, Qwen2Config),
    ],
)
def test_rows_that_fork_give_the_models_logits(made: Any) -> None:
    decoder = made()
    ends = [[*READ, 71, 91, 92], [*READ, 71, 72, 93]]
    expected = torch.cat([logits(decoder, [ids])[:, -1] for ids in ends]).float()
    near(forked(decoder, packed_rows), expected)
    near(forked(decoder, lambda of, *read: ModelRows(of.model, *read)), expected, 0.02)


def test_a_row_alone_is_stepped_as_ever() -> None:
    decoder, ids = tiny_decoder(), torch.tensor([READ])
    cache, mask = DynamicCache(), torch.ones_like(ids)
    with torch.inference_mode():
        decoder.model(ids, attention_mask=mask, past_key_values=cache)
        assert decoder.packing.fits(decoder.model)
        packed = decoder.packing.packed(decoder.model)
        rows = Rows(packed, decoder.model, cache, mask, len(SAID), 1)
        found = torch.cat([rows([token], [0]) for token in SAID])
    torch.testing.assert_close(found, stepped(decoder, SAID), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "made",
    [
        lambda: tiny_decoder(rope_parameters={"rope_type": "dynamic", **ROPE}),
        lambda: tiny_decoder(intermediate_size=40),
        lambda: tiny_decoder(hidden_act="gelu"),
        lambda: tiny_decoder(torch.float64),
        lambda: other(MistralForCausalLM, MistralConfig, sliding_window=4),
        lambda: other(Qwen3ForCausalLM, Qwen3Config, head_dim=8),
    ],
)
def test_other_models_write_by_themselves(made: Any) -> None:
    decoder = made()
    assert not decoder.packing.fits(decoder.model)
    generation = decoder.generate(READ, max_tokens=4)
    ids = torch.tensor([READ])
    expected = decoder.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4)
    assert "".join(generation) == decoder.tokenizer.decode(expected[0, len(READ) :].tolist())
    assert generation.usage.completion_tokens == len(generation.log_probabilities) > 0


def test_the_bundled_decoder_is_hardly_changed(decoder: TransformersDecoder) -> None:
    """Its weights were of 4 bits and are so again; what differs is rounding."""
    text = decoder.plain_tokens("The harbour master of Stromness rings a bell at noon, cast in 1870.")
    expected = logits(decoder, [[*READ, *text]])[0, len(READ) :].float().log_softmax(-1)
    found = stepped(decoder, text).log_softmax(-1)
    divergence = (expected.exp() * (expected - found)).sum(-1)
    assert divergence.mean() < 0.01
    packed = decoder.packing.packed(decoder.model)
    assert {product.scales.ndim for layer in packed.layers for product in layer[1:]} == {3}


def test_what_was_4_bits_is_4_bits_again() -> None:
    decoder = tiny_decoder(intermediate_size=64)
    torch.manual_seed(0)
    down = decoder.model.model.layers[0].mlp.down_proj
    steps = torch.randint(0, 16, (32, 2, 32)).float()
    steps[..., 0], steps[..., 1] = 0, 15
    exact = (steps * torch.rand(32, 2, 1) - torch.rand(32, 2, 1)).reshape(32, 64)
    down.weight.copy_(exact)
    layers = pack(decoder.model, groups(decoder.model) or ()).layers
    assert layers[0].down.scales.ndim == 3
    assert layers[1].down.scales.ndim == layers[0].out.scales.ndim == 1
    x = torch.randn(1, 64).bfloat16()
    torch.testing.assert_close(layers[0].down.times(x), x.float() @ exact.T, rtol=0.02, atol=0.05)


@pytest.fixture(scope="module")
def codec() -> LatentCodec:
    decoder = tiny_decoder()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = LatentCodec(decoder, LatentConfig(depth=0.5, limit=16, width=16, dz=8))
        for up in made.adapters.up:
            torch.nn.init.normal_(up, std=0.3)
    made.adapters.merge()
    return made


def test_a_prefix_and_adapters_are_heeded(codec: LatentCodec) -> None:
    readout = codec.readout([codec.encode(["A bell."]), codec.encode(["It rings at noon, once."])])
    decoder, ids = codec.decoder, torch.tensor([[*READ, *SAID]])
    given = readout.inputs(ids)
    del given["inputs"]
    places = (given["attention_mask"].cumsum(1) - 1)[:, -ids.shape[1] :]
    with readout.attached():
        expected = logits(decoder, ids.tolist(), position_ids=places, **given)[0, len(READ) :]
    near(stepped(decoder, SAID, readout), expected)
    plain = logits(decoder, [[*READ, *SAID]])[0, len(READ) :]
    with pytest.raises(AssertionError):
        near(stepped(decoder, SAID, readout), plain, 0.3)
    near(stepped(decoder, SAID), plain)


def test_gaps_in_a_prefix_are_left_out(codec: LatentCodec) -> None:
    readout = codec.readout([codec.encode(["A bell."])])
    prefix = readout._prefix
    both = prefix.keys, prefix.values
    wide = [torch.cat([x[..., :2, :], x[..., :1, :] + 9, x[..., 2:, :]], 3) for x in both]
    mask = torch.cat([prefix.mask[:, :2], torch.zeros(1, 1, dtype=torch.bool), prefix.mask[:, 2:]], 1)
    gaps = LatentReadout(type(prefix)(wide[0], wide[1], mask), 0, codec.adapters)
    assert gaps.positions == readout.positions
    near(stepped(codec.decoder, SAID, gaps), stepped(codec.decoder, SAID, readout), 0.02)


def test_adapters_leave_no_trace(codec: LatentCodec) -> None:
    decoder = codec.decoder
    readout = codec.readout([codec.encode(["A bell."])])
    before = stepped(decoder, SAID), logits(decoder, [READ])
    with_it = ["".join(decoder.generate(READ, max_tokens=8, conditioning=readout)) for _ in range(2)]
    assert with_it[0] == with_it[1]
    assert torch.equal(stepped(decoder, SAID), before[0])
    assert torch.equal(logits(decoder, [READ]), before[1])


def test_adapters_in_training_are_not_packed(codec: LatentCodec) -> None:
    trained = LatentCodec(codec.decoder, codec.config)
    assert trained.adapters.updates() is None
    readout = trained.readout([trained.encode(["A bell."])])
    generation = codec.decoder.generate(READ, max_tokens=4, conditioning=readout)
    assert "".join(generation) is not None
    assert len(generation.log_probabilities) == generation.usage.completion_tokens


def test_weights_that_change_are_packed_again() -> None:
    decoder = tiny_decoder()
    before = stepped(decoder, SAID)
    assert decoder.packing.packed(decoder.model) is decoder.packing.packed(decoder.model)
    with torch.no_grad():
        decoder.model.model.layers[0].self_attn.q_proj.weight.mul_(-1)
    assert not torch.equal(stepped(decoder, SAID), before)
    near(stepped(decoder, SAID), logits(decoder, [[*READ, *SAID]])[0, len(READ) :])


def test_threads_of_torch_change_nothing(decoder: TransformersDecoder) -> None:
    text = decoder.plain_tokens("The harbour master rings a bell.")
    # A product of a whole prompt in float32 is the library's, and may depend on them.
    found = [stepped(decoder, text, threads=threads) for threads in (1, 2, 1)]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_tokens_are_chosen_as_by_the_library(temperature: float) -> None:
    """What a model writes by itself, from its own logits."""
    decoder, ids = tiny_decoder(), torch.tensor([READ])
    for changes in ({}, {"top_k": 5}, {"top_p": 0.5, "top_k": 200}, {"repetition_penalty": 1.3}):
        settings = decoder.model.generation_config = GenerationConfig(**changes)
        assert heeded(settings)
        torch.manual_seed(7)
        sampling = {"temperature": temperature} if temperature else {}
        expected = decoder.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=temperature > 0,
            max_new_tokens=8,
            **sampling,
        )
        choose, found = Choosing(settings, temperature, 7), list(READ)
        for _ in range(8):
            found.append(choose(found, logits(decoder, [found])[0, -1]))
        assert found == expected[0].tolist()


def test_settings_that_are_not_heeded_leave_it_to_the_model() -> None:
    decoder = tiny_decoder()
    decoder.model.generation_config.no_repeat_ngram_size = 1
    said = decoder.generate(READ, max_tokens=12)
    "".join(said)
    assert not heeded(decoder.model.generation_config)
    ids = torch.tensor([READ])
    written = decoder.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12)[0]
    assert max(Counter(written.tolist()).values()) == 1


def test_a_stop_text_ends_the_run_at_once(decoder: TransformersDecoder) -> None:
    tokens = decoder.chat_tokens([{"role": "user", "content": "What is the capital of France?"}])
    found = set[tuple[str, int, int]]()
    for _ in range(3):
        generation = decoder.generate(tokens, max_tokens=40, stop=["of France", "never"])
        text = "".join(generation)
        found.add((text, generation.usage.completion_tokens, len(generation.log_probabilities)))
    assert found == {("The capital ", 4, 4)}


def test_a_run_that_is_left_stops(decoder: TransformersDecoder) -> None:
    tokens = decoder.chat_tokens([{"role": "user", "content": "Tell me a story."}])
    generation = decoder.generate(tokens, max_tokens=4000)
    left = iter(generation)
    next(left)
    left.close()  # type: ignore[attr-defined]
    assert 1 <= generation.usage.completion_tokens < 4000


def test_the_whole_context_can_be_written() -> None:
    decoder = tiny_decoder(max_position_embeddings=40, eos_token_id=None)
    decoder.model.generation_config.eos_token_id = None
    generation = decoder.generate(READ, max_tokens=40 - len(READ))
    "".join(generation)
    assert generation.usage.completion_tokens == 40 - len(READ)
    assert isinstance(decoder.model, LlamaForCausalLM)
