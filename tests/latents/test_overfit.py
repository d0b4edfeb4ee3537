"""The real decoder says 24 segments again, freely, from nothing but their latents.

They have more positions than a latent has numbers, so that no linear code holds all of them. The code
that training begins with is near them where the adapters recite well from exact keys and values; small
steps from there take a third of the time that large ones took, which lost it and found it again.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest

from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.latents import LatentCodec, LatentConfig, load_bundle
from larimar_memory.train import Recipe, Stage, recall, train
from larimar_memory.train.evaluate import say
from larimar_memory.train.sampling import Sample

pytestmark = [pytest.mark.model, pytest.mark.slow]

SEGMENTS = 24
RECIPE = Recipe(
    codec=LatentConfig(dz=128, limit=16, step=0.4),
    calibration=500,
    importance=100,
    balance=0,
    check_every=10_000,
    check_segments=8,
    stages=(
        Stage(kind="exact", steps=8, tokens=192, adapter_rate=5e-3, warmup=2),
        Stage(kind="regress", steps=1, tokens=192, warmup=1),
        Stage(kind="recite", steps=10, tokens=192, codec_rate=1e-4, adapter_rate=3e-4, warmup=3),
    ),
)


class Few:
    """The same few segments over and over, shuffled, whatever the length asked for."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples, self._deck = samples, list[Sample]()

    def samples(self, rng: random.Random, count: int, length: int) -> list[Sample]:
        while len(self._deck) < count:
            self._deck += rng.sample(self._samples, len(self._samples))
        drawn, self._deck = self._deck[:count], self._deck[count:]
        return drawn

    def consecutive(self, rng: random.Random, count: int, shortest: int, longest: int) -> list[Sample]:
        return self.samples(rng, count, longest)


@pytest.fixture(scope="module")
def samples(decoder: TransformersDecoder) -> list[Sample]:
    """Stretches of 5 to 11 tokens of the Python language reference."""
    rng = random.Random(0)
    words = re.sub(r"\s+", " ", " ".join(topics[name] for name in sorted(topics))).split(" ")
    out = list[Sample]()
    for _ in range(SEGMENTS):
        at = rng.randrange(len(words) - 20)
        ids = decoder.tokenizer(" ".join(words[at : at + 20]))["input_ids"][: rng.randint(5, 11)]
        out.append(Sample(ids, decoder.tokenizer.decode(ids)))
    return out


@pytest.fixture(scope="module")
def codec(
    decoder: TransformersDecoder, samples: list[Sample], tmp_path_factory: pytest.TempPathFactory
) -> LatentCodec:
    """Trained for some seconds, then loaded as anyone would load it: from its bundle, in bf16."""
    out: Path = tmp_path_factory.mktemp("overfit")
    source = Few(samples)
    trained = train(RECIPE, decoder, (source, source), out, resume=False)
    return load_bundle(trained.bundle, decoder)


def said(codec: LatentCodec, latents: list[np.ndarray]) -> list[str]:
    """What the decoder says from each latent, in words."""
    ids = say(codec, codec.prefix([[z] for z in latents]), 20)
    return [codec.decoder.tokenizer.decode([t for t in row if t >= 0]) for row in ids]


def test_every_segment_is_said_again(codec: LatentCodec, samples: list[Sample]) -> None:
    assert sum(len(sample.tokens) for sample in samples) > codec.config.dz
    found = recall(codec, samples)
    assert found.exact == 1.0, found


def test_the_latent_decides_what_is_said(codec: LatentCodec, samples: list[Sample]) -> None:
    texts = [s.text for s in samples[:2]]
    one, two = codec.encode(texts)
    assert said(codec, [two, one]) == texts[::-1]
    assert not set(said(codec, [one * 0, two * 0])) & set(texts)


def test_few_bits_are_enough(codec: LatentCodec, samples: list[Sample]) -> None:
    texts = [s.text for s in samples]
    kept = [codec.stored_form.unpack(codec.stored_form.pack(z)) for z in codec.encode(texts)]
    latents = [z for z in kept if z is not None]
    right = sum(a == b for a, b in zip(said(codec, latents), texts, strict=True))
    assert right >= 0.95 * len(texts)
