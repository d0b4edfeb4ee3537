"""Encoder, head, bundle and int8: shapes, padding, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from larimar_memory.errors import InputError, ModelError
from larimar_memory.latents import LatentCodec, LatentConfig, load_bundle, save_bundle
from larimar_memory.latents.segment_encoder import Features
from larimar_memory.latents.states import pad, read_lead
from larimar_memory.latents.stored import dequantise, quantise
from tests.tiny import tiny_decoder

SMALL = LatentConfig(depth=0.5, limit=16, width=16, dz=8)
END = 1


def codec_of(**changes: int) -> LatentCodec:
    torch.manual_seed(0)
    return LatentCodec(tiny_decoder(), SMALL.model_copy(update=changes))


@pytest.mark.parametrize(("ratio", "spread"), [(1, 1), (2, 1), (4, 1), (4, 4), (8, 2)])
def test_positions_follow_the_length(ratio: int, spread: int) -> None:
    codec = codec_of(ratio=ratio, spread=spread)
    texts = ["a", "abc", "abcdefg", "abcdefghijklmnop"]
    latents = codec.encode(texts)
    assert [len(z) for z in latents] == [-(-(len(t) + 1) // ratio) for t in texts]
    prefix = codec.prefix([[z] for z in latents])
    assert codec.config.positions == len(latents[-1])
    assert prefix.mask.sum(1).tolist() == [len(codec.lead.tokens) + spread * len(z) for z in latents]
    assert prefix.keys.shape[3] == prefix.mask.shape[1]


@pytest.mark.parametrize("ratio", [1, 4])
def test_padding_changes_nothing(ratio: int) -> None:
    codec = codec_of(ratio=ratio)
    texts = ["abcdefghijk", "x", "hello", "hello world"]
    for text, z in zip(texts, codec.encode(texts), strict=True):
        np.testing.assert_allclose(z, codec.encode([text])[0], atol=1e-5)


def test_a_long_segment_is_read_whole_and_placed_in_pieces() -> None:
    codec = codec_of()
    z = codec.encode(["abcdefghijklmnopqrstuvwxyz"])[0]
    np.testing.assert_allclose(z[:16], codec.encode(["abcdefghijklmnop"])[0][:16], atol=1e-5)
    assert len(z) == 27
    whole, apart = codec.prefix([[z]]), codec.prefix([[z[:17], z[17:]]])
    assert torch.equal(whole.keys, apart.keys)
    assert torch.equal(whole.mask, apart.mask)
    with pytest.raises(InputError, match=r"cannot be made into a latent\. It is empty\."):
        codec.encode([""])


@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize(("ratio", "spread"), [(1, 1), (4, 4), (4, 2)])
def test_a_single_row_is_that_of_a_batch(ratio: int, spread: int, ready: bool) -> None:
    """It is made some positions at a time, of joined maps if ready: nothing is different for that."""
    codec = LatentCodec(
        tiny_decoder(), LatentConfig(ratio=ratio, spread=spread, dz=8, width=16, limit=8)
    )
    draw = np.random.default_rng(ratio)
    for parameter in codec.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    torch.nn.init.normal_(codec.head.mean)
    torch.nn.init.uniform_(codec.head.deviation, 0.5, 2.0)
    if ready:
        codec.head.for_reading(torch.float32)
    lengths = [[1], [3, 2], [40, 1, 9], [2] * 150]
    for row in ([draw.normal(size=(n, 8)).astype(np.float32) for n in some] for some in lengths):
        alone, both = codec.prefix([row]), codec.prefix([row, row[:1]])
        there = both.mask[0]
        assert alone.mask.all()
        assert alone.mask.sum() == there.sum()
        assert alone.keys.dtype == both.keys.dtype
        torch.testing.assert_close(alone.keys, both.keys[:, :1][..., there, :], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            alone.values, both.values[:, :1][..., there, :], atol=1e-4, rtol=1e-4
        )


def test_features_run_the_first_layers_only() -> None:
    decoder = tiny_decoder()
    codec = LatentCodec(decoder, SMALL)
    segments = pad([[40, 41, 42], [50]], END, codec.device)
    lead = read_lead(codec.anatomy, [60, 61])
    tokens = torch.tensor([[*lead.tokens, *row] for row in segments.tokens.tolist()])
    hidden = decoder.model.model(tokens, output_hidden_states=True)
    expected = torch.nn.functional.layer_norm(hidden.hidden_states[1], (32,))[:, 3:]
    found = Features(codec.anatomy, lead, 1)(segments)
    torch.testing.assert_close(found[..., 32:], expected)
    assert len(decoder.model.model.layers) == 2


def test_readouts_that_do_not_fit_are_refused() -> None:
    codec = codec_of()
    with pytest.raises(InputError, match="There are no readouts"):
        codec.prefix([])
    with pytest.raises(InputError, match=r"is of shape \(3, 9\), not \(m, 8\)"):
        codec.prefix([[np.zeros((3, 9), np.float32)]])


def test_sizes_are_checked() -> None:
    with pytest.raises(ValidationError, match="spread 2 does not divide ratio 3"):
        LatentConfig(ratio=3, spread=2)
    with pytest.raises(ValidationError):
        LatentConfig(dz=0)


def test_a_bundle_comes_back(tmp_path: Path) -> None:
    codec = codec_of()
    for parameter in codec.parameters():
        torch.nn.init.normal_(parameter)
    save_bundle(codec, tmp_path, {"tokens": 7})
    loaded = load_bundle(tmp_path, codec.decoder)
    assert loaded.config == codec.config
    for name, tensor in codec.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.bfloat16().float()), name
    assert not any(p.requires_grad for p in loaded.parameters())
    assert json.loads((tmp_path / "latents.json").read_text())["figures"] == {"tokens": 7}


def test_bundles_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    decoder = tiny_decoder()
    with pytest.raises(ModelError, match=r"There are no latents in .*\. It has no latents\.json\."):
        load_bundle(tmp_path, decoder)
    save_bundle(LatentCodec(decoder, SMALL), tmp_path)
    with pytest.raises(ModelError, match=r"do not fit the decoder 'tiny'\. They were trained for"):
        load_bundle(tmp_path, tiny_decoder(seed=1))
    tensors = (tmp_path / "latents.safetensors").read_bytes()
    description = json.loads((tmp_path / "latents.json").read_text())
    changed = json.dumps({**description, "lead": [0, 5]})
    (tmp_path / "latents.json").write_text(changed)
    with pytest.raises(ModelError, match=r"They were trained within another chat than the one"):
        load_bundle(tmp_path, decoder)
    (tmp_path / "latents.json").write_text(json.dumps(description))
    (tmp_path / "latents.safetensors").write_bytes(tensors[:-9])
    with pytest.raises(ModelError, match=r"are damaged\. latents\.safetensors cannot be read\."):
        load_bundle(tmp_path, decoder)
    description["format"] = 99
    (tmp_path / "latents.json").write_text(json.dumps(description))
    with pytest.raises(ModelError, match="They are in format 99"):
        load_bundle(tmp_path, decoder)
    (tmp_path / "latents.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read as a bundle's description"):
        load_bundle(tmp_path, decoder)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 300.0]), st.floats(0.01, 2.0))
def test_a_number_is_off_by_half_a_step(seed: int, size: float, step: float) -> None:
    z = (np.random.default_rng(seed).normal(size=(5, 16)) * size).astype(np.float32)
    z[2] = 0
    q = quantise(z, step)
    assert (q.dtype, q.shape) == (np.int8, (5, 16))
    # What is farther away than a byte counts steps is cut off there.
    within = np.clip(z, -127 * step, 127 * step)
    assert (np.abs(dequantise(q, step) - within) <= step * 0.501).all()
    assert (dequantise(q, step)[2] == 0).all()


def test_long_and_short_segments_in_a_batch_stand_as_they_do_alone() -> None:
    codec = codec_of(limit=4)
    rows = [["abcdefghijkl", "mn", "opqrstu"], ["vw", "xyzabcdefghijk", "l"]]
    padded = codec.padded([codec.tokens(text) for row in rows for text in row])
    together = codec.placed(codec.head(*codec.latents(padded)), count=3)
    for at, row in enumerate(rows):
        alone = codec.prefix([codec.encode(row)])
        for mine, theirs in ((alone.keys, together.keys), (alone.values, together.values)):
            found = theirs[:, at][..., together.mask[at], :]
            torch.testing.assert_close(mine[:, 0][..., alone.mask[0], :], found)


@pytest.mark.parametrize("ratio", [1, 4])
def test_a_segment_is_read_with_those_before_it_in_its_window(ratio: int) -> None:
    codec = codec_of(ratio=ratio)
    windows = [["abcdefg", "hi", "jklmnopqrst"], ["x"], ["uvw", "yz"]]
    found = codec.encode_windows(windows)
    assert [len(window) for window in found] == [3, 1, 2]
    for texts, latents in zip(windows, found, strict=True):
        # The first knows of nothing, the others not of what follows them.
        np.testing.assert_allclose(latents[0], codec.encode(texts[:1])[0], atol=1e-5)
        if len(texts) > 1:
            shorter = codec.encode_windows([texts[:-1]])[0]
            np.testing.assert_allclose(latents[-2], shorter[-1], atol=1e-5)
        for text, z in zip(texts[1:], latents[1:], strict=True):
            alone = codec.encode([text])[0]
            assert z.shape == alone.shape
            assert not np.allclose(z, alone, atol=1e-3)
    # As one text, the mark between them included; so are keys and values.
    whole = "\n".join(windows[0])
    ids = [codec.mark if c == "\n" else codec.tokens(c)[0] for c in whole]
    features = codec.features(codec.padded([ids]))
    mine = codec.features.in_windows(codec.padded([codec.tokens(t) for t in windows[0]]), 3)
    mask = codec.padded([codec.tokens(t) for t in windows[0]]).mask
    torch.testing.assert_close(mine[mask], features[0])
    parts = codec.exact(codec.padded([codec.tokens(text) for text in windows[0]]), 3)
    text = codec.exact(codec.padded([ids]))
    for of_parts, of_text in ((parts.keys, text.keys), (parts.values, text.values)):
        torch.testing.assert_close(of_parts.transpose(2, 3)[:, mask], of_text[:, 0].transpose(1, 2))
