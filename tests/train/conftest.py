"""Fixtures of the tests of training."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from larimar_memory.decoders.transformers import TransformersDecoder
from tests.tiny import tiny_decoder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums do not depend on how many threads share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny() -> TransformersDecoder:
    """A decoder of a few thousand weights."""
    return tiny_decoder(max_position_embeddings=2048)
