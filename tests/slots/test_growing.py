"""Grow mode: the same laws as with slots, over every store, and no limit but the disk's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from larimar_memory.errors import InputError, LatentsUnavailableError
from larimar_memory.slots import GrowingMemory, grow_health
from larimar_memory.stores import Document, SQLiteStore, Store, WriteBatch
from larimar_memory.types import Segment

D, C = 8, 5
SCALES = st.sampled_from([1e-30, 1e-6, 1.0, 1e6, 1e30])
UNIT = st.floats(-1.0, 1.0, allow_nan=False, width=32)


def gaussian(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def names(count: int) -> list[str]:
    return [f"item {n}" for n in range(count)]


def open_store(path: Path | None = None) -> SQLiteStore:
    return SQLiteStore(path, encoder="test", dimension=D)


@pytest.fixture(params=["ram", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "m.larimar" if request.param == "sqlite" else None)
    yield opened
    opened.close()


def test_a_written_key_reads_its_latent_exactly_however_many_there_are(store: Store) -> None:
    keys, latents = gaussian(1, 300, D), gaussian(2, 300, C)
    memory = GrowingMemory(store)
    memory.write(names(300), 1e20 * keys, latents)
    reading = memory.read(keys)
    np.testing.assert_allclose(reading.latents, latents, rtol=2e-6, atol=1e-7)
    assert [row[0].id for row in reading.sources] == names(300)
    for weights in reading.weights:
        assert weights.sum() == pytest.approx(1.0, abs=1e-12)
        assert (np.diff(weights) <= 0).all()
    assert len(memory) == 300


def test_between_two_slots_the_readout_is_their_blend_at_its_full_length(store: Store) -> None:
    memory = GrowingMemory(store, alpha=1.0)
    latents = np.array([[3, 0, 0, 0, 0], [0, 0, 0, 0, 5]], dtype=np.float32)
    memory.write(["a", "b"], np.eye(2, D, dtype=np.float32), latents)
    query = np.array([[1, 1, 0, 0, 0, 0, 0, 0]], dtype=np.float32)
    reading = memory.read(query)
    np.testing.assert_allclose(reading.weights[0], [0.5, 0.5], atol=1e-3)
    expected = 4 * np.array([1, 0, 0, 0, 1]) / np.sqrt(2)
    np.testing.assert_allclose(reading.latents[0], expected, atol=1e-2)


@given(seed=st.integers(0, 5), order=st.permutations(range(12)), doomed=st.sets(st.integers(0, 11)))
@settings(max_examples=25)
def test_one_by_one_merged_and_forgotten_are_as_never_otherwise(
    seed: int, order: list[int], doomed: set[int]
) -> None:
    keys, latents, queries = gaussian(seed, 12, D), gaussian(seed + 9, 12, C), gaussian(7, 4, D)
    kept = [n for n in order if n not in doomed]
    memory, left, right = (GrowingMemory(open_store(), alpha=0.3) for _ in range(3))
    for n in order:
        memory.write([f"item {n}"], keys[n : n + 1], -latents[n : n + 1])
    for n in order:
        memory.update(f"item {n}", keys[n], latents[n])
    assert memory.forget([f"item {n}" for n in doomed]) == len(doomed)
    left.write([f"item {n}" for n in kept[::2]], keys[kept[::2]], latents[kept[::2]])
    right.write([f"item {n}" for n in kept[1::2]], keys[kept[1::2]], latents[kept[1::2]])
    left.merge(right)
    left.merge(right)
    one, two = memory.read(queries), left.read(queries)
    np.testing.assert_allclose(one.latents, two.latents, atol=1e-6)
    assert [[s.id for s in row] for row in one.sources] == [[s.id for s in row] for row in two.sources]


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(D)), elements=UNIT),
    hnp.arrays(np.float32, (3, D), elements=UNIT),
    SCALES,
    SCALES,
    st.data(),
)
@settings(max_examples=50)
def test_nothing_is_ever_not_a_number(
    keys: np.ndarray, queries: np.ndarray, one: float, two: float, data: st.DataObject
) -> None:
    latents = data.draw(hnp.arrays(np.float32, (len(keys), C), elements=UNIT)) * np.float32(two)
    memory = GrowingMemory(open_store(), alpha=data.draw(st.sampled_from([1e-3, 1.0, 100.0])))
    memory.write(names(len(keys)), keys * np.float32(one), latents)
    reading = memory.read(queries * np.float32(two))
    assert np.isfinite(reading.latents).all()
    for weights in reading.weights:
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    health = grow_health(memory)
    assert np.isfinite([health.effective_rank, health.margin, health.expected_recall]).all()


def test_what_is_not_there_is_told_apart_from_what_is_wrong(store: Store) -> None:
    memory = GrowingMemory(store)
    assert memory.read(gaussian(1, 2, D)).latents.shape == (2, 0)
    assert memory.read(gaussian(1, 2, D)).sources == ((), ())
    with pytest.raises(InputError, match="There is no item 'a'"):
        memory.update("a", gaussian(1, D), gaussian(1, C))
    with pytest.raises(InputError, match="1 keys, 1 latents and 2 texts"):
        memory.write(["a"], gaussian(1, 1, D), gaussian(1, 1, C), ["x", "y"])
    memory.write(["a"], gaussian(1, 1, D), gaussian(1, 1, C))
    memory.write(["b"], gaussian(2, 1, D), gaussian(1, 1, C + 1))
    with pytest.raises(InputError, match="differ in size and cannot be blended"):
        memory.read(gaussian(1, 1, D))
    assert memory.read(gaussian(1, 1, D), k=1).sources[0][0].id == "a"
    with pytest.raises(InputError, match="differ in size and cannot be blended"):
        memory.read(np.concatenate([gaussian(1, 1, D), gaussian(2, 1, D)]), k=1)
    bare = WriteBatch(Document("c", "", 0), [Segment(0, 0, 0, "")], gaussian(3, 1, D), True)
    store.write("bare", [bare])
    with pytest.raises(LatentsUnavailableError, match="have no latent"):
        GrowingMemory(store, "bare").read(gaussian(3, 1, D))


def test_health_sees_duplicates(store: Store) -> None:
    memory = GrowingMemory(store)
    assert grow_health(memory).advice == "Nothing is written yet."
    memory.write(names(40), gaussian(1, 40, D), gaussian(2, 40, C))
    health = grow_health(memory)
    assert health.to_dict()["condition"] is None
    assert (health.mode, health.items, health.load, health.expected_recall) == ("grow", 40, 1.0, 1.0)
    assert 1 < health.effective_rank <= D + 1e-6
    memory.write(["twin"], gaussian(1, 40, D)[:1], gaussian(3, 1, C))
    assert grow_health(memory).expected_recall == pytest.approx(39 / 41)
    assert "have the same key as another" in grow_health(memory).advice
