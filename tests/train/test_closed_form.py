"""The closed form: the best linear code, and the weighted one."""

from __future__ import annotations

import random
from pathlib import Path

import torch

from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.latents import LatentCodec
from larimar_memory.train.batches import recital
from larimar_memory.train.closed_form import Moments
from larimar_memory.train.importance import importance, weighted
from larimar_memory.train.sampling import Sample
from tests.train.tiny_runs import CODEC


def test_the_closed_form_is_the_best_linear_code() -> None:
    """Against gradient-free references: full rank is ridge regression, and no random code is better."""
    torch.manual_seed(0)
    x = torch.randn(500, 12) @ torch.randn(12, 12) + 3
    y = x @ torch.randn(12, 30) * torch.rand(30) + torch.randn(500, 30) + 5
    moments = Moments(12, 30, torch.device("cpu"))
    for part in range(0, 500, 100):
        moments.add(x[part : part + 100], y[part : part + 100])
    torch.testing.assert_close(moments.mean(), y.mean(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(moments.deviation(), y.std(0, correction=0), atol=1e-3, rtol=1e-3)
    wanted = (y - y.mean(0)) / y.std(0, correction=0)
    full = moments.fit(12, ridge=0.0)
    solved = torch.linalg.lstsq(x - x.mean(0), wanted).solution
    found = (x @ full.encode + full.shift) @ full.decode
    torch.testing.assert_close(found, (x - x.mean(0)) @ solved, atol=2e-2, rtol=1e-2)
    code = moments.fit(3, ridge=0.0)
    z = x @ code.encode + code.shift
    torch.testing.assert_close(z.mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(3), atol=1e-2, rtol=0)
    best = (wanted - z @ code.decode).square().mean()
    for _ in range(50):
        other = (x - x.mean(0)) @ torch.randn(12, 3)
        fitted = other @ torch.linalg.lstsq(other, wanted).solution
        assert (wanted - fitted).square().mean() > best


def test_the_weighted_code_errs_least_where_it_matters() -> None:
    torch.manual_seed(0)
    x, noise = torch.randn(600, 12), torch.randn(600, 8)
    y = x @ torch.randn(12, 8) + 0.3 * noise
    half = torch.randn(2, 4, 4)
    root = half @ half.transpose(1, 2) + 0.1 * torch.eye(4)
    moments = Moments(12, 8, torch.device("cpu"))
    moments.add(x, y)
    unit = (y - y.mean(0)) / y.std(0, unbiased=False)

    def error(importance: torch.Tensor | None, judge: torch.Tensor) -> float:
        code = moments.fit(2, importance, ridge=1e-6)
        left = (x @ code.encode + code.shift) @ code.decode - unit
        return float(torch.einsum("nbc,bcd->nbd", left.reshape(-1, 2, 4), judge).square().mean())

    plain = torch.eye(4).expand(2, 4, 4)
    assert error(root, root) < error(None, root)
    assert error(None, plain) < error(root, plain)
    torch.testing.assert_close(error(None, plain), error(plain.contiguous(), plain))


def test_importance_is_that_of_the_decoders_loss(tiny: TransformersDecoder, tmp_path: Path) -> None:
    """To second order, what an error adds to the loss grows with its weighted square."""
    torch.manual_seed(0)
    codec = LatentCodec(tiny, CODEC)
    rows = [[Sample([10 + n, 20 + n, 30 + n, 40 + n], "")] for n in range(64)]
    roots = importance(codec, [recital(codec, rows, random.Random(0))])
    assert roots.shape == (2 * 2 * 2, 8, 8)
    torch.testing.assert_close(roots, roots.transpose(1, 2), atol=1e-5, rtol=1e-4)
    mean = torch.einsum("nij,nij->n", roots, roots).mean() / 8
    assert 1.0 < float(mean) < 1.03
    unit = torch.randn(3, 2, 2, 2, 8)
    flat = unit.reshape(3, 8, 8)
    torch.testing.assert_close(weighted(unit, roots), torch.einsum("pnc,ncd->pnd", flat, roots))
