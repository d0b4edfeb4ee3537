"""A llama of this package computes what the library's does, bit for bit, and reads no other kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, DynamicCache, LlamaConfig, LlamaForCausalLM

from larimar_memory.decoders.llama import Llama
from larimar_memory.decoders.loading import load_llama, with_layers_of
from larimar_memory.decoders.rows import ModelRows
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.errors import ModelError
from larimar_memory.latents.anatomy import examine, fingerprint, network
from larimar_memory.models import finding
from tests.tiny import SIZES

DTYPES = [torch.float32, torch.bfloat16]


def made(folder: Path, dtype: torch.dtype = torch.float32, **changes: Any) -> LlamaForCausalLM:
    """A random model of the library, in a folder as well."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**{**SIZES, **changes}))
        for name, weight in model.named_parameters():
            if "norm" in name:
                torch.nn.init.uniform_(weight, 0.5, 1.5)
    model.save_pretrained(folder)
    # Read from the folder, as `to` would round the pace of the rotation as well.
    read: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(folder, dtype=dtype)
    return read.eval()


@pytest.fixture(scope="module", params=DTYPES, ids=str)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LlamaForCausalLM, Llama]:
    folder = tmp_path_factory.mktemp("llama")
    library, own = made(folder, request.param), load_llama(folder, request.param)
    assert own is not None
    return library, own


def read(model: Any, parts: list[torch.Tensor], mask: torch.Tensor) -> list[torch.Tensor]:
    """Hidden states and logits of each part after those before it, and then all that was cached."""
    cache, given, seen = DynamicCache(), list[torch.Tensor](), 0
    for part in parts:
        seen += part.shape[1]
        upto = mask[:, :seen]
        places = (upto.cumsum(1) - 1)[:, -part.shape[1] :].clamp_min(0)
        with torch.inference_mode():
            hidden = model.base_model(
                input_ids=part,
                attention_mask=upto,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
            given += [hidden, model.lm_head(hidden[:, -1])]
    return given + [x for layer in cache.layers for x in (layer.keys, layer.values)]


@given(
    rows=st.integers(1, 3),
    lengths=st.lists(st.sampled_from([1, 2, 5, 17]), min_size=1, max_size=3),
    gaps=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_what_is_read_is_the_librarys_bit_for_bit(
    pair: tuple[LlamaForCausalLM, Llama], rows: int, lengths: list[int], gaps: bool, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    parts = [torch.randint(2, 258, (rows, length), generator=random) for length in lengths]
    mask = torch.ones(rows, sum(lengths), dtype=torch.long)
    if gaps:
        # The first token is always there: a row that attends to nothing has no value.
        mask[:, 1 : lengths[0]] = torch.randint(0, 2, (rows, lengths[0] - 1), generator=random)
    library, own = (read(model, parts, mask) for model in pair)
    assert all(torch.equal(a, b) for a, b in zip(library, own, strict=True))


@pytest.mark.parametrize("pace", [{}, {"rope_theta": 500.0}])
def test_an_older_configuration_is_read(tmp_path: Path, pace: dict[str, float]) -> None:
    made(tmp_path)
    config = tmp_path / "config.json"
    held = json.loads(config.read_text())
    del held["rope_parameters"]
    config.write_text(json.dumps({**held, "rope_scaling": None, **pace}))
    own, library = load_llama(tmp_path, torch.float32), LlamaForCausalLM.from_pretrained(tmp_path)
    ids = torch.arange(2, 40)[None]
    given = [read(model, [ids], torch.ones_like(ids)) for model in (own, library.eval())]
    assert all(torch.equal(a, b) for a, b in zip(*given, strict=True))


def test_rows_that_fork_are_the_librarys(pair: tuple[LlamaForCausalLM, Llama]) -> None:
    given = list[torch.Tensor]()
    for model in pair:
        ids = torch.arange(2, 13)[None]
        cache, mask = DynamicCache(), torch.ones_like(ids)
        read = {"attention_mask": mask, "position_ids": mask.cumsum(1) - 1, "past_key_values": cache}
        with torch.inference_mode():
            model.base_model(input_ids=ids, use_cache=True, **read)
            rows = ModelRows(model, cache, mask)
            rows([3, 4], [0, 0])
            given.append(rows([5, 6, 7], [1, 1, 0]))
    assert torch.equal(*given)


def test_the_bundled_decoder_is_the_librarys(decoder: TransformersDecoder) -> None:
    folder = finding.resolve(finding.DEFAULT_DECODER)
    own = load_llama(folder, decoder.network.dtype)
    assert own is not None
    library: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=own.dtype).eval()
    assert own.num_parameters() == library.num_parameters()
    settings_of = [model.generation_config.to_diff_dict() for model in (own, library)]
    assert settings_of[0] == settings_of[1]
    ids = torch.tensor([decoder.plain_tokens("The quick brown fox jumps over the lazy dog. " * 9)])
    given = [read(model, [ids[:, :50], ids[:, 50:]], torch.ones_like(ids)) for model in (own, library)]
    assert all(torch.equal(a, b) for a, b in zip(*given, strict=True))


def test_the_librarys_model_has_the_same_layers(tmp_path: Path) -> None:
    made(tmp_path, tie_word_embeddings=True)
    own = load_llama(tmp_path, torch.float32)
    assert own is not None
    whole = with_layers_of(own, LlamaForCausalLM.from_pretrained(tmp_path))
    names = [dict(model.named_parameters()) for model in (own, whole)]
    assert list(names[0]) == list(names[1])
    assert all(names[0][name] is names[1][name] for name in names[0])
    assert own.model.layers[1].mlp.up_proj is whole.model.layers[1].mlp.up_proj
    assert whole.get_input_embeddings() is own.get_input_embeddings()
    assert own.lm_head.weight is own.model.embed_tokens.weight


def test_a_decoder_has_its_model_when_asked_for_it() -> None:
    folder = finding.resolve(finding.DEFAULT_DECODER)
    decoder = TransformersDecoder.load(folder)
    tokens = decoder.chat_tokens([{"role": "user", "content": "What is the capital of France?"}])
    said = "".join(decoder.generate(tokens, max_tokens=12))
    first = decoder.network
    assert isinstance(first, Llama)
    known = fingerprint(decoder)
    anatomy = examine(decoder, first)
    model = decoder.model
    assert isinstance(model, LlamaForCausalLM)
    assert decoder.model is decoder.network is network(decoder) is model
    assert fingerprint(decoder) == known
    assert examine(decoder).projections == anatomy.projections
    assert "".join(decoder.generate(tokens, max_tokens=12)) == said
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_act": "gelu"},
        {"attention_bias": True},
        {"model_type": "mistral"},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
        {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_parameters": None, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
        {"quantization_config": {"quant_method": "none"}},
        {"hidden_size": 64},
        {"num_hidden_layers": 1},
    ],
)
def test_another_kind_is_left_to_the_library(tmp_path: Path, change: dict[str, Any]) -> None:
    made(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    assert load_llama(tmp_path, torch.float32) is None


def test_a_folder_that_lacks_something_is_left_to_the_library(tmp_path: Path) -> None:
    made(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "model.extra": torch.zeros(1)}, file)
    assert load_llama(tmp_path, torch.float32) is None
    save_file(tensors, file)
    assert load_llama(tmp_path, torch.float32) is not None
    (tmp_path / "generation_config.json").unlink()
    assert load_llama(tmp_path, torch.float32) is None
    file.unlink()
    assert Llama.load(tmp_path, torch.float32) is None


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ModelError, match=r"The decoder .* could not be loaded\. Reading it failed: "):
        TransformersDecoder.load(tmp_path)
