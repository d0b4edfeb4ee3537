"""Latents in a memory: written with the text or later, read back, and all that the decoder is given."""

from __future__ import annotations

import tracemalloc
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory import Larimar, write
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError, LatentsUnavailableError
from larimar_memory.latents import LatentCodec, LatentConfig, latent_memory, load_bundle, save_bundle
from larimar_memory.latents import bundle as bundle_module
from larimar_memory.latents.stored import StoredForm, dequantise, quantise
from larimar_memory.text.segments import segment
from tests.tiny import tiny_decoder

FACTS = [
    "The lighthouse keeper of Orkney is called Magnus.",
    "The baker of Kirkwall sells rye bread on Mondays.",
    "The ferry to Stromness leaves at seven in the morning.",
]
QUESTION = "Who is the lighthouse keeper of Orkney?"


SIZES = LatentConfig(depth=0.5, limit=16, width=16, dz=8)


def random_codec(
    decoder: TransformersDecoder, seed: int = 0, config: LatentConfig = SIZES
) -> LatentCodec:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        codec = LatentCodec(decoder, config)
        for parameter in codec.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return codec.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def codec() -> LatentCodec:
    return random_codec(tiny_decoder(max_position_embeddings=512))


def opened(codec: LatentCodec, encoder: SentenceEncoder, path: Path | None = None, **options: Any):
    return Larimar.open(path, encoder=encoder, decoder=codec.decoder, **options)


@pytest.mark.parametrize("in_file", [False, True])
def test_latents_are_written_with_the_text(
    in_file: bool, codec: LatentCodec, encoder: SentenceEncoder, tmp_path: Path
) -> None:
    path = tmp_path / "m.larimar" if in_file else None
    with opened(codec, encoder, path, latents=codec) as memory:
        memory.write(FACTS)
        readout = memory.read(QUESTION)
        assert readout.segments
        for segment in readout.segments:
            (stored,) = segment.latents
            assert stored is not None
            z = codec.stored_form.unpack(stored)
            exact = codec.encode([segment.text])[0]
            assert (np.abs(z - exact) <= codec.config.step * 0.501).all()
        assert memory.write_latents() == 0


def test_latents_can_follow_later(codec: LatentCodec, encoder: SentenceEncoder, tmp_path: Path) -> None:
    path = tmp_path / "m.larimar"
    with opened(codec, encoder, path) as memory:
        memory.write(FACTS)
        assert {s.latents for s in memory.read(QUESTION).segments} == {(None,)}
    with opened(codec, encoder, path, latents=codec) as memory:
        with pytest.raises(LatentsUnavailableError) as caught:
            memory.answer(QUESTION, grounding="latent", threshold=0)
        assert str(caught.value) == (
            "The answer cannot be grounded in latents. 1 of 1 recalled segments have no latent made "
            "for this decoder. Call `write_latents` once, open with latents=True, or use "
            'grounding="text".'
        )
        seen = list[tuple[int, int]]()
        assert memory.write_latents(on_progress=lambda done, of: seen.append((done, of))) == 3
        assert seen[-1] == (3, 3)
        assert memory.write_latents() == 0
    with opened(codec, encoder, path, latents=codec) as memory:
        assert memory.answer(QUESTION, grounding="latent", threshold=0).grounding == "latent"


def test_a_latent_knows_the_segments_before_it_whenever_it_is_made(
    codec: LatentCodec, encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(f"On day {n} the keeper of lamp {n} went to the shore." for n in range(21))
    found = list[list[np.ndarray]]()

    def stored(memory: Larimar) -> None:
        rows = [int(row) for rows, _ in memory.store.keys("default") for row in rows]
        held = memory.store.fetch("default", rows, latents=True)
        assert len(held) == len(rows)
        unpacked = [codec.stored_form.unpack(s.latent) for s in held]
        found.append([z for z in unpacked if z is not None])

    with opened(codec, encoder, latents=codec) as memory:
        memory.write([text, *FACTS])
        stored(memory)
    # Cut anywhere, also inside a window, and made in any order.
    monkeypatch.setattr(write, "BATCH_SEGMENTS", 5)
    monkeypatch.setattr(latent_memory, "BATCH_SEGMENTS", 3)
    with opened(codec, encoder, latents=codec) as memory:
        memory.write([text, *FACTS])
        stored(memory)
    with opened(codec, encoder) as memory:
        memory.write([text, *FACTS])
        rows = [int(row) for rows, _ in memory.store.keys("default") for row in rows]
        assert len(rows) == 24
        later = latent_memory.LatentMemory(memory.store, lambda: codec.decoder, codec)
        assert later._write("default", rows[3:5]) == 2
        assert later.write("default") == 22
        stored(memory)
    whole = [s.text.strip() for s in segment(text)]
    windows = codec.encode_windows([whole[at : at + 8] for at in range(0, 21, 8)])
    exact = [z for window in windows for z in window]
    step = max(float(np.abs(z).max()) for z in exact) / 7
    for n, z in enumerate(exact):
        for latents in found:
            np.testing.assert_allclose(latents[n], z, atol=step)
    alone = codec.encode(whole)
    assert np.abs(alone[1] - exact[1]).max() > step
    assert np.abs(alone[8] - exact[8]).max() < 1e-4


class LatePool:
    """Does what it was given when somebody waits for it, and not before."""

    def __init__(self, *_: Any) -> None:
        """As a pool of threads is made."""

    def __enter__(self) -> LatePool:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is waiting."""

    def shutdown(self, **_: Any) -> None:
        """Nothing is running."""

    def submit(self, do: Any, *given: Any) -> Any:
        return SimpleNamespace(result=cache(lambda: do(*given)))


def test_a_latent_waits_for_the_segments_before_it(
    codec: LatentCodec, encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late a batch is committed, the next one's windows begin with what it holds."""
    text, found = " ".join(f"On day {n} the keeper of lamp {n} slept." for n in range(12)), []
    monkeypatch.setattr(write, "BATCH_SEGMENTS", 5)
    monkeypatch.setattr(write, "LAZY_BATCHES", 1)
    for late in (False, True):
        if late:
            monkeypatch.setattr(write, "ThreadPoolExecutor", LatePool)
        with opened(codec, encoder, latents=codec) as memory:
            memory.write([text])
            rows = [int(row) for rows, _ in memory.store.keys("default") for row in rows]
            found.append([s.latent for s in memory.store.fetch("default", rows, latents=True)])
    assert len(found[0]) > 5
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True))


def test_latents_of_another_codec_are_not_read_but_made_again(
    codec: LatentCodec, encoder: SentenceEncoder, tmp_path: Path
) -> None:
    path = tmp_path / "m.larimar"
    other = random_codec(codec.decoder, seed=1)
    assert other.fingerprint != codec.fingerprint
    with opened(codec, encoder, path, latents=other) as memory:
        memory.write(FACTS)
    with opened(codec, encoder, path, latents=codec) as memory:
        with pytest.raises(LatentsUnavailableError, match="no latent made for this decoder"):
            memory.answer(QUESTION, grounding="latent")
        assert memory.write_latents() == 3
        memory.answer(QUESTION, grounding="latent", max_tokens=2)


def test_the_decoder_is_given_latents_and_no_text(
    codec: LatentCodec, encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = list[tuple[list[int], Any]]()
    generate = TransformersDecoder.generate

    def spy(self: TransformersDecoder, tokens: list[int], **options: Any) -> Any:
        given.append((list(tokens), options["conditioning"]))
        return generate(self, tokens, **options)

    monkeypatch.setattr(TransformersDecoder, "generate", spy)
    with opened(codec, encoder, latents=codec) as memory:
        memory.write(FACTS)
        answer = memory.answer(QUESTION, k=1, grounding="latent", max_tokens=3)
        ((tokens, conditioning),) = given
        before, after = codec.decoder.around_recalled(QUESTION)
        assert tokens == after
        assert answer.sources[0].text == FACTS[0]
        # Its text's bytes and the mark.
        assert conditioning.recalled == len(FACTS[0]) + 1
        assert conditioning.positions == len(before) + 1 + conditioning.recalled
        assert answer.usage.prompt_tokens == len(tokens) + conditioning.positions
        assert not any("forward" in m.__dict__ for m in codec.decoder.model.modules())


def test_swapped_latents_swap_the_answers(codec: LatentCodec, encoder: SentenceEncoder) -> None:
    """Nothing but the stored latent says which segment it is."""
    with opened(codec, encoder, latents=codec) as memory:
        memory.write(FACTS[:2], ["a", "b"])
        rows = [int(r) for found, _ in memory.store.keys("default") for r in found]
        question = {"question": "baker lighthouse", "k": 2, "threshold": 0.0}
        options = {"grounding": "latent", "max_tokens": 8}

        def said() -> dict[str, str]:
            return {
                id: memory.answer(**question, **options, where={"id": id}).text for id in ("a", "b")
            }

        for id in ("a", "b"):
            memory.store.set_metadata("default", id, {"id": id})
        before = said()
        assert before["a"] != before["b"]
        held = [s.latent for s in memory.store.fetch("default", rows, latents=True)]
        memory.store.attach("default", rows, held[::-1])
        after = said()
        assert (after["a"], after["b"]) == (before["b"], before["a"])


def test_neighbours_bring_their_latents_once(codec: LatentCodec, encoder: SentenceEncoder) -> None:
    with opened(codec, encoder, latents=codec) as memory:
        memory.write([" ".join(FACTS)])
        readout = memory.read(QUESTION, threshold=0, neighbours=1)
        assert [len(segment.latents) for segment in readout.segments] == [
            len([n for n in (s.index - 1, s.index, s.index + 1) if 0 <= n < 3])
            for s in readout.segments
        ]
        alone = memory.read(QUESTION, threshold=0)
        together = memory.latents.condition(readout)
        assert together.positions == memory.latents.condition(alone).positions


def test_a_budget_holds_for_latents_too(codec: LatentCodec, encoder: SentenceEncoder) -> None:
    with opened(codec, encoder, latents=codec) as memory:
        memory.write([" ".join(FACTS)])
        some = memory.answer(
            QUESTION, grounding="latent", neighbours=2, context_tokens=200, max_tokens=2
        )
        assert some.sources
        with pytest.raises(InputError, match="Nothing that was recalled fits into 20 tokens"):
            memory.answer(QUESTION, grounding="latent", context_tokens=20)


def test_out_of_scope_there_is_no_readout(codec: LatentCodec, encoder: SentenceEncoder) -> None:
    with opened(codec, encoder, latents=codec) as memory:
        memory.write(FACTS)
        answer = memory.answer("How do I bake a cheesecake?", grounding="latent")
        assert (answer.grounding, answer.text) == ("none", "Not in memory.")


def test_a_decoder_without_latents_says_so(encoder: SentenceEncoder) -> None:
    with Larimar.open(encoder=encoder, decoder=tiny_decoder()) as memory:
        memory.write(FACTS)
        with pytest.raises(LatentsUnavailableError) as caught:
            memory.answer(QUESTION, grounding="latent")
        assert str(caught.value) == (
            "The answer cannot be grounded in latents. No trained latents ship for the decoder 'tiny'. "
            'Train them with `larimar train` and name their folder, or use grounding="text".'
        )


def test_a_generation_loop_of_ones_own(codec: LatentCodec, encoder: SentenceEncoder) -> None:
    with opened(codec, encoder, latents=codec) as memory:
        memory.write(FACTS)
        readout = memory.read(QUESTION, k=1)
        answer = memory.answer(QUESTION, k=1, grounding="latent", max_tokens=6)
        conditioning = memory.latents.condition(readout)
        tokens = torch.tensor([codec.decoder.around_recalled(QUESTION)[1]])
        said = list[int]()
        with torch.inference_mode(), conditioning.attached():
            cache, step = conditioning.past_key_values(), tokens
            for _ in range(6):
                at = conditioning.positions + len(said) + torch.arange(step.shape[1])[None]
                at = at + (tokens.shape[1] - 1 if said else 0)
                out = codec.decoder.model(step, past_key_values=cache, position_ids=at)
                step = out.logits[:, -1:].argmax(-1)
                said.append(int(step))
        assert codec.decoder.tokenizer.decode(said).strip() == answer.text
        # Of the memory's own decoder, and of another one of the same model.
        cache = readout.past_key_values()
        assert readout.past_key_values(tiny_decoder(max_position_embeddings=512)).get_seq_length()
        for mine, own in zip(cache.layers, conditioning.past_key_values().layers, strict=True):
            assert torch.equal(mine.keys, own.keys)
            assert torch.equal(mine.values, own.values)


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.floats(0.05, 2.0),
    st.binary(min_size=8, max_size=32),
    st.integers(0, 2**32 - 1),
)
def test_a_stored_latent_comes_back(
    m: int, dz: int, step: float, fingerprint: bytes, seed: int
) -> None:
    z = np.random.default_rng(seed).normal(size=(m, dz)).astype(np.float32)
    form = StoredForm(dz, step, fingerprint)
    stored = form.pack(z)
    found = form.unpack(stored)
    assert found is not None
    np.testing.assert_array_equal(found, dequantise(quantise(z, step), step))
    assert StoredForm(dz, step, bytes(b ^ 1 for b in fingerprint)).unpack(stored) is None
    assert form.unpack(stored[:-1]) is None
    assert form.unpack(stored[:8]) is None
    assert form.unpack(np.append(stored[:8], np.int8(7))) is None


@pytest.mark.parametrize("step", [0.25, 0.5])
def test_a_latent_of_common_size_takes_hardly_more_bytes_than_any_code_must(step: float) -> None:
    z = np.random.default_rng(0).normal(size=(25, 192)).astype(np.float32)
    # The entropy of a number of deviation 1, rounded to steps small beside it (Gish and Pierce, 1968).
    bits = 0.5 * np.log2(2 * np.pi * np.e) - np.log2(step)
    assert StoredForm(192, step, b"fingerprint").pack(z).nbytes < 1.06 * z.size * bits / 8


def test_numbers_that_hardly_vary_cost_hardly_anything() -> None:
    z = np.random.default_rng(0).normal(size=(25, 192)).astype(np.float32)
    form = StoredForm(192, 0.5, b"fingerprint")
    flat = z * (np.arange(192) < 96)
    assert form.pack(flat).nbytes < 0.75 * form.pack(z).nbytes


def test_stored_bytes_cannot_be_made_to_fill_the_ram() -> None:
    form = StoredForm(192, 0.5, b"fingerprint")
    coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = coder.compress(bytes(form.dz * 1_000_000)) + coder.flush()
    tracemalloc.start()
    assert form.unpack(np.frombuffer(form.signature + bomb, dtype=np.int8)) is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * len(bomb)


def test_whether_there_are_latents_is_read_from_the_codecs_files_once(
    codec: LatentCodec, encoder: SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_bundle(codec, tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle", codec.decoder)
    with opened(codec, encoder, tmp_path / "m.larimar", latents=bundle) as memory:
        memory.write(FACTS)
    read, form_of = list[Path](), bundle_module.stored_form_of
    monkeypatch.setattr(
        bundle_module, "stored_form_of", lambda folder: read.append(folder) or form_of(folder)
    )
    # There is no such decoder to be loaded.
    options = {"decoder": "nowhere", "latents": tmp_path / "bundle"}
    with Larimar.open(tmp_path / "m.larimar", encoder=encoder, **options) as memory:
        readout = memory.read(QUESTION)
        for _ in range(3):
            memory.latents.check(readout)
        bare = replace(readout, segments=(replace(readout.segments[0], latents=(None,)),))
        with pytest.raises(LatentsUnavailableError, match="1 of 1 recalled segments have no latent"):
            memory.latents.check(bare)
    assert read == [tmp_path / "bundle"]
