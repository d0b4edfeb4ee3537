"""The arithmetic of keys: the nearest are those of the largest cosines, whatever BLAS rounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.encoders.keys import cosines, largest, products, unit

D = 96


def keys_of(seed: int, count: int, alike: int) -> np.ndarray:
    """Keys, of which many are equal, and some are of zeros."""
    draw = np.random.default_rng(seed)
    different = unit(draw.standard_normal((alike, D)).astype(np.float32))
    different[:1] *= draw.integers(2)
    return different[draw.integers(0, alike, count)]


@given(st.integers(0, 99), st.integers(1, 400), st.integers(1, 400), st.integers(1, 500))
def test_the_largest_are_those_of_all_cosines(seed: int, count: int, alike: int, k: int) -> None:
    keys, key = keys_of(seed, count, alike), keys_of(seed + 1, 1, 1)[0]
    places, found = largest(keys, key, k)
    every = cosines(keys, key)
    assert len(places) >= min(k, count)
    assert len(set(places.tolist())) == len(places)
    np.testing.assert_array_equal(found, every[places])
    left = np.delete(every, places)
    assert not len(left) or left.max() < np.sort(found)[-min(k, count)]


@pytest.mark.parametrize(("count", "dimension"), [(0, 8), (1, 1), (5, 9_000), (700, 384), (701, 3)])
def test_products_are_dot_products(count: int, dimension: int) -> None:
    draw = np.random.default_rng(count)
    keys = unit(draw.standard_normal((count, dimension)).astype(np.float32))
    key = unit(draw.standard_normal(dimension).astype(np.float32))
    exact = keys.astype(np.float64) @ key.astype(np.float64)
    np.testing.assert_allclose(products(keys, key), exact, atol=1e-6)
