"""A BERT of this package has the hidden states of the library's, and reads no other kind of model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel

from larimar_memory.encoders.bert import Bert
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import ModelError
from larimar_memory.models import finding

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "initializer_range": 0.3,
}
TEXTS = st.lists(st.lists(st.integers(1, 49), min_size=1, max_size=12), min_size=1, max_size=5)


def made(folder: Path, **changes: Any) -> BertModel:
    """A random model of the library, in a folder as well."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(BertConfig(**{**SIZES, **changes}), add_pooling_layer=False).eval()
    for name, weight in model.named_parameters():
        if name.endswith(("LayerNorm.weight", "bias")):
            # The library's own are ones and zeros, which could be left out unseen.
            torch.nn.init.uniform_(weight, 0.5, 1.5, torch.Generator().manual_seed(len(name)))
    model.save_pretrained(folder)
    return model


def states_of(model: BertModel, text: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        states: torch.Tensor = model(input_ids=torch.tensor([text])).last_hidden_state[0]
    return states


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[BertModel, Bert]:
    folder = tmp_path_factory.mktemp("bert")
    library, own = made(folder), Bert.load(folder, torch.float32)
    assert own is not None
    return library, own


@given(st.lists(TEXTS, min_size=1, max_size=4))
@settings(max_examples=50)
def test_each_text_is_as_the_library_reads_it_alone(
    pair: tuple[BertModel, Bert], groups: list[list[list[int]]]
) -> None:
    library, own = pair
    with torch.inference_mode():
        found = own(groups)
    for group, (hidden, mask) in zip(groups, found, strict=True):
        assert mask.sum(1).tolist() == [len(text) for text in group]
        for text, states in zip(group, hidden, strict=True):
            alone = states_of(library, text)
            torch.testing.assert_close(states[: len(text)], alone, atol=1e-4, rtol=1e-4)


def test_a_file_whose_names_begin_with_bert_is_read(tmp_path: Path) -> None:
    library = made(tmp_path)
    file = tmp_path / "model.safetensors"
    save_file({f"bert.{name}": tensor for name, tensor in load_file(file).items()}, file)
    own = Bert.load(tmp_path, torch.float32)
    assert own is not None
    [(states, _)] = own([[[3, 1, 4, 1, 5]]])
    torch.testing.assert_close(states[0], states_of(library, [3, 1, 4, 1, 5]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "change",
    [{"hidden_act": "relu"}, {"is_decoder": True}, {"model_type": "electra"}, {"hidden_size": 16}],
)
def test_a_bert_of_another_kind_is_left_to_the_library(tmp_path: Path, change: dict[str, Any]) -> None:
    made(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    assert Bert.load(tmp_path, torch.float32) is None


def test_a_file_that_lacks_a_tensor_is_left_to_the_library(tmp_path: Path) -> None:
    made(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    del tensors["encoder.layer.1.attention.self.key.bias"]
    save_file(tensors, file)
    assert Bert.load(tmp_path, torch.float32) is None
    file.unlink()
    assert Bert.load(tmp_path, torch.float32) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_another_kind_of_encoder_is_read_by_the_library(tmp_path: Path, dtype: torch.dtype) -> None:
    shutil.copy(finding.resolve(finding.DEFAULT_ENCODER) / "tokenizer.json", tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = MPNetConfig(**{**SIZES, "vocab_size": 30522})
        MPNetModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    encoder = SentenceEncoder.load(tmp_path, dtype=dtype)
    together, alone = encoder.encode(["one", "two words"]), encoder.encode(["two words"])
    assert together.shape == (2, 32)
    assert float(together[1] @ alone[0]) > 0.999


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    made(tmp_path)
    shutil.copy(finding.resolve(finding.DEFAULT_ENCODER) / "tokenizer.json", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(
        ModelError, match=r"encoder .* could not be loaded\. Reading it failed: .*\. Name"
    ):
        SentenceEncoder.load(tmp_path)
