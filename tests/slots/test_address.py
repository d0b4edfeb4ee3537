"""Address weights: Eq. 7 with fixed reference keys, against an independent reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from larimar_memory.slots import ALPHA, address

SCALES = st.sampled_from([1e-30, 1e-6, 1.0, 1e6, 1e30])
UNIT = st.floats(-1.0, 1.0, allow_nan=False, width=32)


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(5)), elements=UNIT),
    hnp.arrays(np.float32, 5, elements=UNIT),
    SCALES,
    st.sampled_from([1e-3, 1e-2, 1.0, 100.0]),
)
def test_weights_are_a_distribution_at_any_scale(
    reference: np.ndarray, query: np.ndarray, scale: float, alpha: float
) -> None:
    weights = address((query * scale).astype(np.float32), (reference * scale).astype(np.float32), alpha)
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(2, 6), st.just(4)), elements=UNIT),
    hnp.arrays(np.float32, 4, elements=UNIT),
    st.sampled_from([1e-2, 0.1, 1.0]),
)
def test_weights_are_equation_seven(reference: np.ndarray, query: np.ndarray, alpha: float) -> None:
    squared = [
        sum((float(a) - float(b)) ** 2 for a, b in zip(row, query, strict=True)) for row in reference
    ]
    sigma2 = min(squared)
    if sigma2 < 1e-6:
        return
    logits = [-s / (2 * alpha * sigma2) for s in squared]
    expected = [np.exp(x - max(logits)) for x in logits]
    np.testing.assert_allclose(
        address(query, reference, alpha), np.array(expected) / sum(expected), atol=1e-9
    )


def test_the_nearest_row_takes_nearly_all() -> None:
    reference = np.eye(4, dtype=np.float32)
    query = np.array([1.0, 0.2, 0.1, 0.0], dtype=np.float32)
    weights = address(query, reference, ALPHA)
    assert weights.argmax() == 0
    assert weights[0] > 0.999999


def test_rows_equal_to_the_query_share_the_weight() -> None:
    reference = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)
    np.testing.assert_array_equal(
        address(np.array([1, 0], dtype=np.float32), reference), [0.5, 0.0, 0.5]
    )


def test_nothing_to_address() -> None:
    assert address(np.ones(3, dtype=np.float32), np.zeros((0, 3), dtype=np.float32)).shape == (0,)
