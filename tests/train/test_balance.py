"""Scaling the numbers of latents changes nothing but what their rounding costs."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from larimar_memory.latents import LatentCodec
from larimar_memory.latents.stored import StoredForm
from larimar_memory.train import Recipe, Stage
from larimar_memory.train.balance import balance, rescale, sensitivity
from larimar_memory.train.sampling import Sample
from larimar_memory.train.stages import Exact, Recite, noisy
from tests.latents.test_latent_memory import SIZES, random_codec
from tests.latents.test_overfit import Few
from tests.tiny import tiny_decoder

TEXTS = ["abcdefg hijkl", "mnopqrstuv wx", "yzabcdef", "ghij klmnop qrs"]


@pytest.fixture
def codec() -> LatentCodec:
    return random_codec(tiny_decoder(max_position_embeddings=512))


def learning(codec: LatentCodec, kind: type[Recite] | type[Exact] = Recite) -> Recite | Exact:
    stage = Stage(kind="recite", steps=1, tokens=60, readouts=2)
    source = Few([Sample(codec.tokens(text), text) for text in TEXTS])
    return kind(codec, stage, Recipe(codec=codec.config, stages=(stage,), batch=30), source)


@pytest.mark.parametrize("squeeze", [0, 5])
def test_keys_and_values_stay_as_they_are(squeeze: int) -> None:
    config = SIZES.model_copy(update={"squeeze": squeeze})
    codec = random_codec(tiny_decoder(max_position_embeddings=512), config=config)
    before = codec.encode(TEXTS)
    prefix = codec.prefix([before])
    scale = torch.linspace(0.2, 4, SIZES.dz)
    rescale(codec, scale)
    for z, scaled in zip(before, codec.encode(TEXTS), strict=True):
        np.testing.assert_allclose(scaled, z * scale.numpy(), rtol=1e-4, atol=1e-5)
    after = codec.prefix([codec.encode(TEXTS)])
    torch.testing.assert_close(after.keys, prefix.keys, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after.values, prefix.values, rtol=1e-3, atol=1e-4)


def test_what_no_key_or_value_is_made_of_does_not_matter(codec: LatentCodec) -> None:
    codec.head.enter.weight[:, 3] = 0
    codec.head.linear.weight[:, 3] = 0
    codec.head.linear.weight[:, 5] *= 30
    codec.head.enter.weight[:, 5] *= 30
    learns = learning(codec)
    batches = learns.batches(random.Random(0))
    found = sensitivity(codec, learns, batches)
    assert found[3] == 0
    assert found[5] == found.max()
    assert not codec.encoder._forward_hooks
    scale = torch.linspace(0.5, 2, SIZES.dz)
    rescale(codec, scale)
    torch.testing.assert_close(
        sensitivity(codec, learns, batches), found / scale.square(), rtol=1e-2, atol=1e-12
    )


def test_balanced_latents_are_rounded_where_it_matters_least(codec: LatentCodec) -> None:
    """At one size of the file, the loss rises less."""
    for module in (codec.head.enter, codec.head.linear):
        module.weight *= torch.logspace(-1.5, 1, SIZES.dz)
    learns = learning(codec)
    batches = learns.batches(random.Random(0))

    def risen(step: float) -> tuple[float, float]:
        """Bytes, and how far what the rounded latents make is from what they should make."""
        form, wrong, taken = StoredForm(SIZES.dz, step, b"form"), 0.0, 0
        for z in codec.encode(TEXTS * 8):
            back = form.unpack(form.pack(z))
            assert back is not None
            mine, theirs = (codec.prefix([[x]]) for x in (back, z))
            wrong += float((mine.values - theirs.values).square().sum())
            taken += form.pack(z).nbytes
        return taken, wrong

    before = [risen(step) for step in (0.4, 0.3, 0.2)]
    balance(codec, learns, batches)
    taken, wrong = risen(0.4)
    assert any(taken <= t and wrong < 0.7 * w for t, w in before), (before, taken, wrong)


def test_where_latents_are_not_used_nothing_is_scaled(codec: LatentCodec) -> None:
    before = {name: x.clone() for name, x in codec.state_dict().items()}
    learns = learning(codec, Exact)
    assert sensitivity(codec, learns, learns.batches(random.Random(0))).abs().max() == 0
    balance(codec, learns, learns.batches(random.Random(0)))
    for name, tensor in codec.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_noise_is_measured_by_the_usual_number() -> None:
    z = torch.randn(400, 6, 8, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor([100.0, 0.01, 1, 1, 1, 1, 1, 1])
    plain, scaled = noisy(z, 0.5, 1) - z, noisy(z * scale, 0.5, 1) - z * scale
    torch.testing.assert_close(scaled, plain, rtol=1e-2, atol=1e-3)
    assert 0.2 < float(plain.square().mean().sqrt()) < 0.35
    assert torch.equal(noisy(z, 0.0, 1), z)
