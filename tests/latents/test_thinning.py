"""Latents of which positions were dropped: what is kept, where it stands, and how it is stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory import Larimar
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from larimar_memory.latents import LatentCodec, LatentConfig, StoredForm
from larimar_memory.latents.stored import dequantise, kept, quantise
from larimar_memory.latents.thinning import attention, thin, without_least
from larimar_memory.models import caches
from tests.tiny import tiny_decoder

TEXTS = ["The key is 5.", "x", "abcdefghijklmnopqrstuvwxyz", "A boat left Bonn."]


def codec_of(**changes: int) -> LatentCodec:
    torch.manual_seed(0)
    sizes = {"depth": 0.5, "limit": 16, "width": 16, "dz": 8, **changes}
    codec = LatentCodec(tiny_decoder(), LatentConfig(**sizes))
    for parameter in (*codec.head.parameters(), *codec.adapters.parameters()):
        torch.nn.init.normal_(parameter, std=0.3)
    return codec


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32 - 1), st.data())
def test_a_stored_latent_comes_back_without_what_was_dropped(
    m: int, dz: int, seed: int, data: st.DataObject
) -> None:
    z = np.random.default_rng(seed).normal(size=(m, dz)).astype(np.float32)
    there = np.array(data.draw(st.lists(st.booleans(), min_size=m, max_size=m)))
    there[data.draw(st.integers(0, m - 1))] = True
    form = StoredForm(dz, 0.5, b"fingerprint")
    whole, thinned = form.pack(z), np.where(there[:, None], z, np.nan).astype(np.float32)
    stored = form.pack(thinned)
    found = form.unpack(stored)
    assert found is not None
    np.testing.assert_array_equal(kept(found), there)
    np.testing.assert_array_equal(found[there], dequantise(quantise(z[there], 0.5), 0.5))
    assert (stored[:8].tobytes() == whole[:8].tobytes()) == bool(there.all())
    assert StoredForm(dz, 0.5, b"another").unpack(stored) is None
    for end in {8, 9, 12, len(stored) - 1} & set(range(len(stored))):
        assert form.unpack(stored[:end]) is None


@given(st.integers(1, 60), st.integers(1, 20), st.floats(0.01, 1), st.integers(0, 2**32 - 1))
def test_a_share_of_every_piece_is_kept_and_what_is_worth_most(
    m: int, piece: int, share: float, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    z, worth = draw.normal(size=(m, 3)).astype(np.float32), draw.random(m).astype(np.float32)
    left = without_least(z, worth, share, piece)
    there = kept(left)
    np.testing.assert_array_equal(left[there], z[there])
    for at in range(0, m, piece):
        here, value = there[at : at + piece], worth[at : at + piece]
        assert here.sum() == max(1, round(share * len(here)))
        assert value[here].min() >= value[~here].max(initial=-1)


def test_the_attention_is_the_decoders_own() -> None:
    codec = codec_of()
    latents = codec.encode(TEXTS)
    found = attention(codec, TEXTS, latents)
    model, lead = codec.decoder.model, len(codec.lead.tokens)
    model.set_attn_implementation("eager")
    for text, z, got in zip(TEXTS, latents, found, strict=True):
        prefix = codec.prefix([[z]])
        tokens = torch.tensor([[codec.mark, *codec.tokens(text)]])
        with codec.adapters.attached():
            read = model.model(
                input_ids=tokens,
                **caches.given(model.model, prefix.cache()),
                attention_mask=prefix.covering(torch.ones_like(tokens, dtype=torch.bool)),
                position_ids=prefix.positions(tokens.shape[1]),
                use_cache=True,
                output_attentions=True,
            )
        own = torch.stack(read.attentions)[:, 0, ..., lead : lead + len(z)].mean((0, 1, 2))
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, own.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(("ratio", "spread"), [(1, 1), (4, 2)])
def test_what_is_kept_stands_where_it_stood(ratio: int, spread: int) -> None:
    codec = codec_of(ratio=ratio, spread=spread)
    whole = codec.encode(TEXTS)
    some = thin(codec, TEXTS, whole, 0.5)
    assert [len(z) for z in some] == [len(z) for z in whole]
    for short, many in ((whole, some), (whole[:1], some[:1])):
        before, after = codec.prefix([short]), codec.prefix([many])
        there = torch.from_numpy(np.concatenate([kept(z) for z in many])).repeat_interleave(spread)
        assert after.mask.all()
        assert int(there.sum()) < len(there)
        assert after.mask.shape[1] == len(codec.lead.tokens) + int(there.sum())
        # As far from what is read next as before: the prefix is shorter, and begins further ahead.
        place = torch.cat([torch.ones(len(codec.lead.tokens), dtype=torch.bool), there])
        torch.testing.assert_close(before.values[..., place, :], after.values)
        moved = before.keys[..., place, :] - after.keys
        assert float(moved.abs().max()) > 0
        both = codec.prefix([many, many[:1]])
        row = both.mask[0]
        torch.testing.assert_close(after.keys, both.keys[:, :1][..., row, :], atol=1e-4, rtol=1e-4)


def test_all_is_kept_where_the_share_is_one() -> None:
    codec = codec_of()
    latents = codec.encode(TEXTS)
    assert all(a is b for a, b in zip(latents, thin(codec, TEXTS, latents, 1.0), strict=True))


def test_a_memory_keeps_half_of_the_positions(encoder: SentenceEncoder) -> None:
    codec = codec_of()
    text = "The pass key is 71432. The ferry to Ren leaves at nine. A lamp burns at the pier."
    sizes = list[tuple[int, int]]()
    for share in (1.0, 0.5):
        with Larimar.open(
            encoder=encoder, decoder=codec.decoder, latents=codec, latent_share=share
        ) as memory:
            memory.write(text)
            readout = memory.read("What is the pass key?", threshold=0)
            stored = [z for segment in readout.segments for z in segment.latents if z is not None]
            assert len(stored) == len(readout.segments)
            answer = memory.answer("What is the pass key?", grounding="latent", threshold=0)
            assert answer.grounding == "latent"
            sizes.append((sum(z.nbytes for z in stored), memory.latents.condition(readout).recalled))
    (whole, all_positions), (half, half_positions) = sizes
    assert half < whole
    assert abs(half_positions - all_positions / 2) <= 3


@pytest.mark.parametrize("share", [0, -1, 1.5, float("nan"), "half"])
def test_a_share_that_cannot_be_kept_is_refused(share: float) -> None:
    with pytest.raises(InputError) as caught:
        Larimar.open(latent_share=share)
    assert str(caught.value) == (
        f"The memory cannot be opened with latent_share={share!r}. latent_share is the share of its "
        "positions that a latent keeps, above 0 and at most 1. Use such a number; 1 keeps all."
    )
