"""The latents that ship for the bundled decoder: they, and nothing else, make it say a text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.recitation import said_again
from larimar_memory import Larimar
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.latents import LatentCodec, StoredForm
from larimar_memory.latents.bundle import latents_for, load_bundle
from larimar_memory.train.evaluate import say
from larimar_memory.types import Readout

FACTS = {
    "key": "The pass key is 71432. Remember it. 71432 is the pass key.",
    "other": "The pass key is 20815. Remember it. 20815 is the pass key.",
}
SENTENCES = [
    "The ferry to Stromness leaves at seven in the morning.",
    "Odile Marchetti built the lighthouse in 1887.",
    "Bread is sold on Mondays and on Thursdays.",
    "His garden had eleven apple trees and a well.",
    "They met again in Lisbon after the war was over.",
    "The committee voted against the new bridge.",
]


@pytest.fixture(scope="module")
def codec(decoder: TransformersDecoder) -> LatentCodec:
    folder = latents_for(decoder.name)
    assert folder is not None
    return load_bundle(folder, decoder)


def test_sentences_are_said_again(codec: LatentCodec) -> None:
    said = said_again(codec, SENTENCES)
    right = sum(a == b for a, b in zip(SENTENCES, said, strict=True))
    assert right >= len(SENTENCES) - 1, said


def test_the_latent_decides_what_is_said(codec: LatentCodec) -> None:
    one, two = codec.encode(list(FACTS.values()))
    rows = codec.prefix([[two], [one], [one * 0]])
    swapped, back, nothing = (
        codec.decoder.tokenizer.decode([t for t in ids if t >= 0]) for ids in say(codec, rows, 32)
    )
    assert "20815" in swapped
    assert "71432" in back
    assert "71432" not in nothing
    assert "20815" not in nothing


def test_a_memory_hands_its_latents_to_the_decoder(
    decoder: TransformersDecoder, encoder: SentenceEncoder, tmp_path: Path
) -> None:
    with Larimar.open(tmp_path / "m.larimar", encoder=encoder, decoder=decoder, latents=True) as memory:
        memory.write([*SENTENCES, FACTS["key"]])
        told = memory.answer("What is the pass key?", grounding="latent", max_tokens=8)
        assert told.grounding == "latent"
        assert told.sources[0].text == FACTS["key"]
        readout = memory.read("What is the pass key?", k=1)
        assert memory.latents.condition(readout).recalled == len(codec_tokens(memory, readout))


def test_what_is_stored_of_a_text_is_some_sixty_bytes_a_token(codec: LatentCodec) -> None:
    (latents,) = codec.encode_windows([[*SENTENCES, *FACTS.values()]])
    tokens = sum(len(codec.tokens(text)) for text in (*SENTENCES, *FACTS.values()))
    stored = [codec.stored_form.pack(z) for z in latents]
    assert sum(z.nbytes for z in stored) < 70 * tokens
    assert codec.predictor is not None
    plain = StoredForm(codec.config.dz, codec.config.step, codec.fingerprint)
    assert sum(z.nbytes for z in stored) < 0.9 * sum(plain.pack(z).nbytes for z in latents)
    for z, back in zip(latents, codec.stored_form.unpack_all(stored), strict=True):
        assert back is not None
        assert np.array_equal(back, plain.unpack(plain.pack(z)))


def codec_tokens(memory: Larimar, readout: Readout) -> list[int]:
    """Tokens of the best segment, its mark with them."""
    codec = memory.latents.codec
    return [*codec.tokens(readout.segments[0].text), codec.mark]


def test_the_bundle_says_where_it_comes_from(decoder: TransformersDecoder) -> None:
    folder = latents_for(decoder.name)
    assert folder is not None
    assert (folder / "latents.safetensors").stat().st_size <= 60e6
    described = json.loads((folder / "latents.json").read_text())
    assert described["figures"]["recipe"]["stages"]
    card = (folder / "README.md").read_text()
    for word in ("SmolLM2-135M-Instruct", "seed", "tokens", "Limits"):
        assert word in card
