"""The paper's own scheme, in which a latent is its own key."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from larimar_memory.slots import SelfKeyedMemory
from larimar_memory.slots.self_keyed import safe_pinv
from tests.slots.test_slots import SCALES, C, gaussian, vectors


@given(vectors(st.integers(1, 12), C), vectors(3, C), SCALES, SCALES)
def test_the_papers_scheme_is_a_projection(
    latents: np.ndarray, queries: np.ndarray, scale: float, query_scale: float
) -> None:
    # What is nearly dependent, or nearly nothing, is a matter of where the cutoff lies.
    _, singular, basis = np.linalg.svd(latents.astype(np.float64), full_matrices=False)
    kept = singular > 1e-3 * max(singular[0], 1e-3)
    assume((kept | (singular == 0)).all())
    memory = SelfKeyedMemory(C, C)
    memory.write(latents * np.float32(scale))
    asked = queries * np.float32(query_scale)
    readout = memory.read(asked)
    assert np.isfinite(readout).all()
    expected = asked.astype(np.float64) @ basis[kept].T @ basis[kept]
    np.testing.assert_allclose(readout, expected, atol=1e-3 * query_scale)


def test_the_papers_scheme_forgets_by_the_sequential_update() -> None:
    latents = gaussian(22, 10, 32)
    memory, plain = SelfKeyedMemory(32, 32), SelfKeyedMemory(32, 32)
    memory.write(latents)
    memory.forget(latents[4])
    plain.write(np.delete(latents, 4, axis=0))
    np.testing.assert_allclose(memory.read(latents), plain.read(latents), atol=1e-5)


@pytest.mark.parametrize("values", [np.zeros((3, 2)), np.ones((4, 4)) * 1e30, np.eye(3) * 1e-30])
def test_the_inverse_cannot_blow_up(values: np.ndarray) -> None:
    inverse = safe_pinv(values)
    assert np.isfinite(inverse).all()
    np.testing.assert_allclose(values @ inverse @ values, values, rtol=1e-9)
