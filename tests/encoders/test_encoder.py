"""The sentence encoder: the keys are the model's own, however they were computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from larimar_memory.encoders import fast_cpu
from larimar_memory.encoders.pooling import Pooling, load_pooling
from larimar_memory.encoders.sentence import SentenceEncoder, _buckets
from larimar_memory.errors import ModelError
from larimar_memory.models import finding

TEXTS = [
    "The pass key is 71432.",
    "What is the pass key?",
    "A much longer sentence, " * 12 + "which the shorter ones have to be padded for.",
    "x",
    "\u4eca\u65e5\u306f\u826f\u3044\u5929\u6c17\u3067\u3059\u3002",
    "word " * 600,
]


@pytest.fixture(scope="module")
def reference() -> np.ndarray:
    """Keys in fp32, one text at a time, by the plain model: mean over tokens, normalised."""
    folder = finding.resolve(finding.DEFAULT_ENCODER)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    keys = []
    for text in TEXTS:
        inputs = tokenizer(text.strip(), return_tensors="pt", truncation=True, max_length=256)
        with torch.inference_mode():
            mean = model(**inputs).last_hidden_state[0].mean(0)
        keys.append((mean / mean.norm()).numpy())
    return np.array(keys)


def test_keys_are_the_models(encoder: SentenceEncoder, reference: np.ndarray) -> None:
    keys = encoder.encode(TEXTS)
    assert keys.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(keys, axis=1), 1.0, atol=1e-5)
    assert (keys * reference).sum(1).min() > 0.999


def test_fp32_keys_are_the_models_closely(reference: np.ndarray) -> None:
    plain = SentenceEncoder.load(dtype=torch.float32)
    np.testing.assert_allclose(plain.encode(TEXTS), reference, atol=2e-6)


def test_the_fast_path_ran_where_the_processor_has_bf16(encoder: SentenceEncoder) -> None:
    packed = [m for m in encoder._model.modules() if isinstance(m, fast_cpu.PackedLinear)]
    capable = torch.cpu.get_capabilities().get("avx512_bf16", False) and fast_cpu.supported()
    assert bool(packed) == bool(capable)
    if capable:
        # Four in each of six layers.
        assert len(packed) == 24


@pytest.mark.skipif(not fast_cpu.supported(), reason="oneDNN has no bf16 products for this CPU")
def test_packed_layers_compute_the_same_product() -> None:
    linear = torch.nn.Linear(64, 96).to(torch.bfloat16)
    x = torch.randn(7, 5, 64, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    with torch.inference_mode():
        torch.testing.assert_close(fast_cpu.PackedLinear(linear)(x), linear(x), atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize(
    ("can", "there"),
    [
        ({}, False),
        ({"avx2": True, "avx512_bw": True}, False),
        ({"avx512_bw": True, "avx512_vl": True, "avx512_dq": True}, True),
        ({"avx_ne_convert": True}, True),
    ],
)
def test_layers_are_packed_where_the_cpu_has_the_products(
    monkeypatch: pytest.MonkeyPatch, can: dict[str, bool], there: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    assert fast_cpu.supported() is there


@pytest.mark.parametrize(
    ("scale", "shift", "plain"), [(1, 0, True), (100, 0, False), (1, -50, False), (1, 80, False)]
)
def test_short_attention_is_attention(
    monkeypatch: pytest.MonkeyPatch, scale: float, shift: float, plain: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 9, 8, generator=generator) for _ in range(3))
    # One channel moves all scores; others spread them.
    q[..., 0], k[..., 0] = 1.0, shift * 8**0.5
    q[..., 1:] *= scale
    exact = list[bool]()
    softmax = torch.Tensor.softmax

    def counted(x: torch.Tensor, dim: int) -> torch.Tensor:
        exact.append(True)
        return softmax(x, dim)

    monkeypatch.setattr(torch.Tensor, "softmax", counted)
    mask = torch.zeros(2, 1, 9, 9)
    mask[1, :, :, 6:] = torch.finfo(torch.float32).min
    out = fast_cpu.attend(q, k, v, mask)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(out, expected.transpose(1, 2), atol=1e-5, rtol=1e-5)
    assert exact == ([] if plain else [True])


def test_order_and_company_do_not_change_a_key(encoder: SentenceEncoder) -> None:
    together = encoder.encode(TEXTS * 2)
    backwards = encoder.encode(TEXTS[::-1])[::-1]
    np.testing.assert_array_equal(together[: len(TEXTS)], together[len(TEXTS) :])
    np.testing.assert_allclose((together[: len(TEXTS)] * backwards).sum(1), 1.0, atol=1e-3)


def test_tokenised_batches_equal_one_batch(encoder: SentenceEncoder) -> None:
    parts = [encoder.tokenize(texts) for texts in (TEXTS[:2], TEXTS[2:3], TEXTS[3:])]
    keys = [encoder.encode_tokens(part) for part in parts]
    assert [len(part) for part in keys] == [2, 1, 3]
    assert (np.concatenate(keys) * encoder.encode(TEXTS)).sum(1).min() > 0.999
    assert sum(part.tokens for part in parts) == encoder.tokenize(TEXTS).tokens


def test_special_tokens_are_not_counted(encoder: SentenceEncoder) -> None:
    assert encoder.tokenize(["hello"]).tokens == 1
    assert encoder.tokenize(["word " * 600]).tokens == 254


def test_nothing_to_encode(encoder: SentenceEncoder) -> None:
    assert encoder.encode([]).shape == (0, 384)


def test_buckets_cover_all_within_the_budget() -> None:
    rows = [tuple(range(n)) for n in (1, 1, 2, 3, 5, 8, 13, 40)]
    buckets = list(_buckets(rows, 16))
    assert [row for bucket in buckets for row in bucket] == rows
    assert all(len(b) == 1 or len(b) * len(b[-1]) <= 16 for b in buckets)


@pytest.mark.parametrize("mode", ["mean", "cls", "max", "lasttoken"])
def test_pooling_ignores_padding(mode: str) -> None:
    hidden = torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(1))
    pooling = Pooling(mode, [])
    padded = torch.cat([hidden, torch.full((1, 2, 6), 99.0)], dim=1)
    short = pooling(hidden, torch.ones(1, 4, dtype=torch.long))
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    torch.testing.assert_close(pooling(padded, mask), short)


def test_an_unknown_stage_is_named(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text('[{"type": "x.WeightedLayerPooling", "path": "1"}]')
    with pytest.raises(ModelError, match="It has a WeightedLayerPooling stage, which is not supported"):
        load_pooling(tmp_path)
