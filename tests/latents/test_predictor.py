"""Latents whose positions are stored as differences from what the position before predicts."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from larimar_memory.errors import ModelError
from larimar_memory.latents import LatentCodec, LatentConfig, StoredForm, load_bundle, save_bundle
from larimar_memory.latents.bundle import TENSORS, stored_form_of
from larimar_memory.latents.stored import Predictor, dequantise, kept, quantise
from larimar_memory.train.predicting import fitted, predict
from larimar_memory.train.sampling import Sampler
from tests.latents.test_latent_memory import random_codec
from tests.tiny import tiny_decoder

TEXTS = [
    "The ferry to Stromness leaves at seven. The baker sells rye bread on Mondays. "
    "Magnus keeps the lighthouse of Orkney. His sister Ada keeps the bees. It rains in May."
]


def predictor_of(dz: int, seed: int) -> Predictor:
    draw = np.random.default_rng(seed)
    weights = draw.integers(-255, 255, (dz, dz), endpoint=True).astype(np.int16)
    return Predictor(weights, draw.permutation(dz).astype(np.int16))


def walks(count: int, dz: int, seed: int) -> list[np.ndarray]:
    """Latents whose positions depend on those before them."""
    draw = np.random.default_rng(seed)
    out = list[np.ndarray]()
    for _ in range(count):
        z = draw.normal(size=(25, dz))
        for at in range(1, len(z)):
            z[at] = 0.9 * z[at - 1] + 0.44 * z[at]
        out.append((z * np.linspace(1, 12, dz)).astype(np.float32))
    return out


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=6),
    st.integers(1, 9),
    st.floats(0.02, 2.0),
    st.integers(0, 2**32 - 1),
    st.data(),
)
def test_latents_come_back_whatever_is_predicted(
    lengths: list[int], dz: int, step: float, seed: int, data: st.DataObject
) -> None:
    form, draw = StoredForm(dz, step, b"codec", predictor_of(dz, seed)), np.random.default_rng(seed)
    latents = [draw.normal(size=(m, dz)).astype(np.float32) * 3 for m in lengths]
    for z in latents:
        there = np.array(data.draw(st.lists(st.booleans(), min_size=len(z), max_size=len(z))))
        there[0] = True
        z[~there] = np.nan
    stored = [form.pack(z) for z in latents]
    others = [np.zeros(9, np.int8), *stored, stored[0][:-1]]
    found = form.unpack_all(others)
    assert found[0] is found[-1] is None
    assert [form.holds(one) for one in others] == [one is not None for one in found]
    for z, alone, one in zip(latents, map(form.unpack, stored), found[1:-1], strict=True):
        assert one is not None
        assert alone is not None
        np.testing.assert_array_equal(one, alone)
        np.testing.assert_array_equal(kept(one), kept(z))
        np.testing.assert_array_equal(one[kept(z)], dequantise(quantise(z[kept(z)], step), step))
    assert form.unpack_all([]) == []
    assert StoredForm(dz, step, b"codec", predictor_of(dz, seed + 1)).unpack(stored[0]) is None
    assert StoredForm(dz, step, b"codec").unpack(stored[0]) is None


@given(st.integers(1, 30), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_what_is_predicted_is_exact_in_any_order_of_adding(n: int, dz: int, seed: int) -> None:
    predictor, draw = predictor_of(dz, seed), np.random.default_rng(seed)
    counts = draw.integers(-128, 127, (n, dz), endpoint=True).astype(np.int8)
    shuffled = draw.permutation(dz)
    whole = counts.astype(object) @ predictor.weights.astype(object)
    expected = np.array([[(int(x) + 64) // 128 for x in row] for row in whole])
    np.testing.assert_array_equal(predictor.next(counts), expected)
    weights = np.ascontiguousarray(predictor.weights[shuffled])
    again = Predictor(weights, predictor.order).next(counts[:, shuffled])
    np.testing.assert_array_equal(again, expected)


def test_numbers_that_differ_least_from_what_is_predicted_come_first() -> None:
    counts = [quantise(z[:, ::-1], 0.5) for z in walks(60, 24, 0)]
    predictor = fitted(counts)
    left = np.concatenate([predictor.differences(some) for some in counts]).astype(float).std(axis=0)
    assert left[-4:].min() > 2 * left[:4].max()
    assert sorted(predictor.order) == list(range(24))


def test_latents_that_can_be_predicted_take_fewer_bytes() -> None:
    learnt, others = walks(60, 24, 0), walks(20, 24, 1)
    predicting = fitted([quantise(z, 0.5) for z in learnt])
    plain, less = (
        sum(StoredForm(24, 0.5, b"codec", made).pack(z).nbytes for z in others)
        for made in (None, predicting)
    )
    assert less < 0.88 * plain


def test_a_latent_that_nothing_predicts_comes_back_from_a_fit_on_nothing() -> None:
    predictor = fitted([np.zeros((1, 4), np.int8), np.zeros((3, 4), np.int8)])
    assert not predictor.weights.any()


@pytest.fixture
def codec() -> LatentCodec:
    return random_codec(
        tiny_decoder(), config=LatentConfig(depth=0.5, limit=16, width=16, dz=12, step=0.05)
    )


def test_a_bundle_keeps_what_predicts_its_latents(codec: LatentCodec, tmp_path: Path) -> None:
    source = Sampler(TEXTS, codec.decoder.tokenizer)
    save_bundle(codec, tmp_path / "plain")
    predict(codec, source, random.Random(0), 400)
    assert codec.predictor is not None
    assert codec.predictor.weights.any()
    save_bundle(codec, tmp_path / "made")
    loaded = load_bundle(tmp_path / "made", codec.decoder)
    assert loaded.predictor is not None
    np.testing.assert_array_equal(loaded.predictor.weights, codec.predictor.weights)
    form, plain = loaded.stored_form, load_bundle(tmp_path / "plain", codec.decoder)
    assert form.signature == stored_form_of(tmp_path / "made").signature
    assert plain.predictor is None
    assert plain.stored_form.signature == stored_form_of(tmp_path / "plain").signature
    np.testing.assert_array_equal(loaded.predictor.order, codec.predictor.order)


WEIGHTS, ORDER = torch.zeros(12, 12, dtype=torch.int16), torch.arange(12, dtype=torch.int16)


@pytest.mark.parametrize(
    "held",
    [
        {"weights": WEIGHTS},
        {"order": ORDER},
        {"weights": WEIGHTS[:, :11].contiguous(), "order": ORDER},
        {"weights": WEIGHTS.float(), "order": ORDER},
        {"weights": WEIGHTS, "order": ORDER.long()},
        {"weights": WEIGHTS, "order": ORDER - 1},
        {"weights": WEIGHTS, "order": ORDER[:11].contiguous()},
        {"weights": WEIGHTS, "order": ORDER // 2},
    ],
)
def test_a_bundle_with_half_a_predictor_or_another_codecs_is_damaged(
    codec: LatentCodec, tmp_path: Path, held: dict[str, torch.Tensor]
) -> None:
    save_bundle(codec, tmp_path)
    named = {f"predictor.{name}": tensor for name, tensor in held.items()}
    save_file(load_file(tmp_path / TENSORS) | named, tmp_path / TENSORS)
    for read in (stored_form_of, lambda folder: load_bundle(folder, codec.decoder)):
        with pytest.raises(ModelError, match="does not have the tensors its description says"):
            read(tmp_path)
