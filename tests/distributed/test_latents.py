"""Latents and fine keys that workers make are those that one process makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.clusters import content_hash
from larimar_memory.distributed import ingest
from larimar_memory.larimar import Larimar
from larimar_memory.stores.base import StoredSegment
from tests.distributed.texts import corpus, write

pytestmark = [pytest.mark.model, pytest.mark.slow]
ROWS = corpus(5, 5, 8)


def held(memory: Larimar) -> list[StoredSegment]:
    """All segments, with their latents, by document."""
    rows = [int(row) for rows, _ in memory.store.keys("default") for row in rows]
    found = memory.store.fetch("default", rows, latents=True)
    return sorted(found, key=lambda one: (one.document_id, one.index))


def test_of_the_same_batch_they_are_the_same(cluster: Any, tmp_path: Path) -> None:
    place, dataset = tmp_path / "m.larimar", cluster.data.from_items(ROWS, override_num_blocks=1)
    ingest(dataset, place, latents=True, keys="eager", workers=1, progress=False)
    with (
        Larimar.open(latents=True, keys="eager") as one,
        Larimar.open(place, latents=True, keys="eager") as many,
    ):
        write(one, ROWS)
        assert all(segment.latent is not None for segment in held(many))
        assert content_hash(many.store) == content_hash(one.store)


def test_of_other_batches_they_differ_by_rounding(cluster: Any, address: str) -> None:
    """Into a database. In bf16, what else is in a batch moves a few numbers by a step."""
    dataset = cluster.data.from_items(ROWS, override_num_blocks=2)
    ingest(dataset, address, latents=True, workers=2, progress=False)
    with Larimar.open(latents=True) as one, Larimar.open(address, latents=True) as many:
        write(one, ROWS)
        form = one.latents.stored_form
        steps = list[np.ndarray]()
        for own, other in zip(held(one), held(many), strict=True):
            assert (own.document_id, own.text) == (other.document_id, other.text)
            ours, theirs = (form.unpack(s.latent) for s in (own, other) if s.latent is not None)
            assert ours is not None
            assert theirs is not None
            steps.append(np.abs(ours - theirs).ravel() / form.step)
        apart = np.concatenate(steps)
        assert apart.max() < 1.01
        assert (apart > 0.5).mean() < 0.05
        assert many.write_latents() == 0
