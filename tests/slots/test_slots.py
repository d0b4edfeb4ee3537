"""The fixed-slot memory: its laws, on good and on singular cases, against an independent reference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from larimar_memory.errors import InputError, MemoryFileError
from larimar_memory.slots import Blend, SlotMemory, load_slots, save_slots, slot_health
from larimar_memory.slots.fixed_point import ONE, product, quantise_directions, quantise_weights

D, C, K = 6, 5, 8
UNIT = st.floats(-1.0, 1.0, allow_nan=False, width=32)
SCALES = st.sampled_from([1e-30, 1e-6, 1.0, 1e6, 1e30])


def vectors(rows: int | st.SearchStrategy[int], width: int) -> st.SearchStrategy[np.ndarray]:
    """Matrices with zeros, repeated rows and tiny numbers among them, as hypothesis likes them."""
    count = st.just(rows) if isinstance(rows, int) else rows
    return hnp.arrays(np.float32, st.tuples(count, st.just(width)), elements=UNIT)


def gaussian(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def names(count: int, first: int = 0) -> list[str]:
    return [f"item {n}" for n in range(first, first + count)]


def empty(**options: object) -> SlotMemory:
    return SlotMemory(K, D, C, **options)  # type: ignore[arg-type]


def written(keys: np.ndarray, latents: np.ndarray, **options: object) -> SlotMemory:
    memory = empty(**options)
    memory.write(names(len(keys)), keys, latents)
    return memory


def same_bits(a: SlotMemory, b: SlotMemory, queries: np.ndarray) -> bool:
    one, two = a.read(queries, k=99), b.read(queries, k=99)
    return bool(
        np.array_equal(one.latents, two.latents)
        and np.array_equal(np.array(one.weights), np.array(two.weights))
        and one.sources == two.sources
        and np.array_equal(a.contents(), b.contents())
    )


def finite(reading: Blend) -> bool:
    numbers = [reading.latents, np.array(reading.weights)]
    numbers += [np.array([(s.coefficient, s.share) for s in row]) for row in reading.sources]
    return all(bool(np.isfinite(n).all()) for n in numbers)


def reference_readout(
    memory: SlotMemory, keys: np.ndarray, latents: np.ndarray, query: np.ndarray
) -> np.ndarray:
    """The readout from the definitions, in float64 and plain loops: no code of the package's."""

    def unit(v: np.ndarray) -> np.ndarray:
        v = v.astype(np.float64)
        return v / np.linalg.norm(v)

    def weigh(v: np.ndarray) -> np.ndarray:
        squared = np.array([((unit(v) - r) ** 2).sum() for r in memory.reference.astype(np.float64)])
        logits = -squared / (2 * memory.alpha * squared.min())
        powers = np.exp(logits - logits.max())
        return powers / powers.sum()

    weights = np.array([weigh(k) for k in keys])
    units = np.array([unit(z) for z in latents])
    mean_square = (weights**2).sum() / len(weights)
    normal = weights.T @ weights + memory.ridge * mean_square * np.eye(memory.slots)
    coefficients = weights @ np.linalg.solve(normal, weigh(query))
    shares = coefficients**2 / (coefficients**2).sum()
    length = sum(s * np.linalg.norm(z.astype(np.float64)) for s, z in zip(shares, latents, strict=True))
    return unit(coefficients @ units) * length


@pytest.mark.parametrize("count", [1, 3, K, 2 * K, 5 * K])
def test_a_readout_is_the_ridge_solution(count: int) -> None:
    keys, latents, queries = gaussian(1, count, D), gaussian(2, count, C), gaussian(3, 4, D)
    # A large ridge, so that rounding weights to 2^-22 is all that tells the two apart.
    memory = written(keys, latents, ridge=0.1)
    expected = np.array([reference_readout(memory, keys, latents, q) for q in queries])
    np.testing.assert_allclose(memory.read(queries).latents, expected, rtol=1e-3, atol=1e-4)


@given(vectors(st.integers(1, 2 * K), D), vectors(3, D), st.permutations(range(2 * K)), st.data())
def test_write_order_does_not_matter(
    keys: np.ndarray, queries: np.ndarray, order: list[int], data: st.DataObject
) -> None:
    latents = data.draw(vectors(len(keys), C))
    together = written(keys, latents)
    apart = empty()
    for n in [n for n in order if n < len(keys)]:
        apart.write([f"item {n}"], keys[n : n + 1], latents[n : n + 1])
    assert same_bits(together, apart, queries)


@given(vectors(st.integers(2, 2 * K), D), vectors(3, D), st.integers(1, 4), st.data())
def test_merged_shards_are_one_memory(
    keys: np.ndarray, queries: np.ndarray, shards: int, data: st.DataObject
) -> None:
    latents = data.draw(vectors(len(keys), C))
    merged = empty()
    for part in data.draw(st.permutations(range(shards))):
        shard = empty()
        chosen = list(range(part, len(keys), shards))
        shard.write([f"item {n}" for n in chosen], keys[chosen], latents[chosen])
        merged.merge(shard)
        merged.merge(shard)
    assert same_bits(written(keys, latents), merged, queries)


@given(vectors(st.integers(2, 2 * K), D), vectors(3, D), st.data())
def test_written_and_forgotten_is_never_written(
    keys: np.ndarray, queries: np.ndarray, data: st.DataObject
) -> None:
    scales = data.draw(st.lists(SCALES, min_size=len(keys), max_size=len(keys)))
    latents = (data.draw(vectors(len(keys), C)) * np.array(scales)[:, None]).astype(np.float32)
    doomed = data.draw(st.sets(st.integers(0, len(keys) - 1)))
    kept = [n for n in range(len(keys)) if n not in doomed]
    memory = written(keys, latents)
    assert memory.forget([f"item {n}" for n in doomed] + ["never written"]) == len(doomed)
    plain = empty()
    plain.write([f"item {n}" for n in kept], keys[kept], latents[kept])
    assert list(memory) == list(plain)
    assert same_bits(memory, plain, queries)


@given(vectors(st.integers(1, 2 * K), D), vectors(3, D), st.data())
def test_an_update_leaves_no_trace(keys: np.ndarray, queries: np.ndarray, data: st.DataObject) -> None:
    latents, before = data.draw(vectors(len(keys), C)), data.draw(vectors(len(keys), C))
    memory = written(keys[::-1].copy(), before)
    for n, name in enumerate(names(len(keys))):
        memory.update(name, keys[n], latents[n])
    assert same_bits(memory, written(keys, latents), queries)
    memory.write(names(len(keys)), keys, latents)
    assert len(memory) == len(keys)
    assert same_bits(memory, written(keys, latents), queries)


@given(vectors(st.integers(1, 3 * K), D), vectors(3, D), SCALES, SCALES, SCALES, st.data())
def test_nothing_is_ever_not_a_number(
    keys: np.ndarray,
    queries: np.ndarray,
    key_scale: float,
    latent_scale: float,
    query_scale: float,
    data: st.DataObject,
) -> None:
    latents = data.draw(vectors(len(keys), C)) * np.float32(latent_scale)
    memory = written(keys * np.float32(key_scale), latents)
    reading = memory.read(queries * np.float32(query_scale), k=99)
    assert finite(reading)
    for weights in reading.weights:
        assert (weights >= 0).all()
        assert weights.sum() == 1.0
    assert all(0 <= s.share <= 1 for row in reading.sources for s in row)
    longest = np.linalg.norm(latents.astype(np.float64), axis=1).max()
    lengths = np.linalg.norm(reading.latents.astype(np.float64), axis=1)
    assert (lengths <= longest * (1 + 1e-6)).all()
    assert np.isfinite(
        [v for v in slot_health(memory).to_dict().values() if not isinstance(v, str)]
    ).all()


@pytest.mark.parametrize("count", [1, 10, 32, 64])
def test_what_was_written_is_read_back_while_there_are_slots(count: int) -> None:
    keys, latents = gaussian(4, count, 48), 7.0 * gaussian(5, count, 32)
    memory = SlotMemory(64, 48, 32, ridge=1e-9)
    memory.write(names(count), keys, latents)
    readout = memory.read(keys).latents
    cosines = (readout * latents).sum(1) / np.linalg.norm(readout, axis=1)
    cosines /= np.linalg.norm(latents, axis=1)
    assert cosines.min() > 1 - (1e-6 if count <= 32 else 1e-3)
    lengths = np.linalg.norm(readout, axis=1) / np.linalg.norm(latents, axis=1)
    np.testing.assert_allclose(lengths, 1.0, rtol=1e-5 if count <= 32 else 2e-2)
    assert [row[0].id for row in memory.read(keys).sources] == names(count)


def test_forgetting_one_leaves_the_others_as_they_were() -> None:
    keys, latents = gaussian(6, 24, 48), gaussian(7, 24, 32)
    memory = SlotMemory(64, 48, 32, ridge=1e-9)
    memory.write(names(24), keys, latents)
    before = memory.read(keys).latents
    memory.forget(["item 3"])
    after = memory.read(keys).latents
    others = [n for n in range(24) if n != 3]
    np.testing.assert_allclose(after[others], before[others], atol=1e-4)
    assert "item 3" not in {s.id for row in memory.read(keys, k=99).sources for s in row}
    cosine = float(after[3] @ latents[3] / np.linalg.norm(after[3]) / np.linalg.norm(latents[3]))
    assert abs(cosine) < 0.6


def test_beyond_capacity_the_cosine_follows_the_square_root() -> None:
    for load in (2, 4, 8):
        count = 64 * load
        keys, latents = gaussian(8, count, 48), gaussian(9, count, 256)
        memory = SlotMemory(64, 48, 256)
        memory.write(names(count), keys, latents)
        readout = memory.read(keys).latents
        cosines = (readout * latents).sum(1) / np.linalg.norm(readout, axis=1)
        cosine = float((cosines / np.linalg.norm(latents, axis=1)).mean())
        assert cosine == pytest.approx(load**-0.5, abs=0.04)
        assert slot_health(memory).expected_cosine == pytest.approx(cosine, abs=0.02)
        lengths = np.linalg.norm(readout, axis=1)
        np.testing.assert_allclose(lengths, 16.0, rtol=0.1)


def test_the_oldest_go_when_the_user_wants_that() -> None:
    keys, latents = gaussian(10, 2 * K, D), gaussian(11, 2 * K, C)
    memory = empty(when_full="evict")
    assert memory.write(names(K), keys[:K], latents[:K]) == []
    memory.update("item 0", keys[0], latents[1])
    assert memory.write(names(2, K), keys[K : K + 2], latents[K : K + 2]) == ["item 1", "item 2"]
    assert list(memory) == [*names(K)[3:], "item 0", *names(2, K)]
    plain = empty()
    plain.merge(memory)
    assert same_bits(memory, plain, keys)
    other = empty()
    other.write(names(3, 90), keys[:3], latents[:3])
    assert memory.merge(other) == ["item 3", "item 4", "item 5"]


@given(vectors(st.integers(0, K), D), vectors(3, D), st.data())
def test_saved_moved_and_loaded_reads_the_same_bits(
    tmp_path: Path, keys: np.ndarray, queries: np.ndarray, data: st.DataObject
) -> None:
    latents = data.draw(vectors(len(keys), C))
    memory = empty(when_full="evict", alpha=0.2)
    memory.write([f"ide {n}" for n in range(len(keys))], keys, latents)
    save_slots(memory, tmp_path / "slots.safetensors")
    (tmp_path / "slots.safetensors").rename(tmp_path / "moved.safetensors")
    loaded = load_slots(tmp_path / "moved.safetensors")
    assert same_bits(memory, loaded, queries)
    assert list(loaded) == list(memory)
    loaded.forget(["ide 0"])
    memory.forget(["ide 0"])
    assert same_bits(memory, loaded, queries)
    assert (loaded.when_full, loaded.alpha) == ("evict", 0.2)


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "slots.safetensors"
    with pytest.raises(MemoryFileError, match=r"cannot be opened\. The file is missing or damaged"):
        load_slots(path)
    memory = written(gaussian(12, 4, D), gaussian(13, 4, C))
    save_slots(memory, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(MemoryFileError, match="missing or damaged"):
        load_slots(path)
    path.write_bytes(whole)
    with safe_open(path, framework="numpy") as file:
        about = file.metadata()
    for name in load_file(path):
        changed = load_file(path)
        raw = changed[name].view(np.uint8)
        raw.flat[3] ^= 1
        save_file(changed, tmp_path / "changed", about)
        with pytest.raises(MemoryFileError, match="Its checksum is not that of its contents"):
            load_slots(tmp_path / "changed")
    save_file(load_file(path), tmp_path / "other", {"format": "something"})
    with pytest.raises(MemoryFileError, match="It is not a file of slots"):
        load_slots(tmp_path / "other")
    newer = {**about, "settings": json.dumps({**json.loads(about["settings"]), "version": 2})}
    save_file(load_file(path), tmp_path / "newer", newer)
    with pytest.raises(MemoryFileError, match="version 2, newer than this release's"):
        load_slots(tmp_path / "newer")


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float16, 1e-3), (torch.bfloat16, 8e-3)]
)
def test_half_precision_latents_keep_their_tolerance(dtype: torch.dtype, tolerance: float) -> None:
    keys, latents = gaussian(14, 6, D), gaussian(15, 6, C)
    memory = empty(ridge=1e-9)
    memory.write(names(6), torch.from_numpy(keys), torch.from_numpy(latents).to(dtype))
    readout = memory.read(torch.from_numpy(keys)).latents
    error = np.linalg.norm(readout - latents, axis=1) / np.linalg.norm(latents, axis=1)
    assert error.max() < tolerance


@given(hnp.arrays(np.float64, (7, 9), elements=st.floats(0, 1)))
def test_rounded_weights_sum_to_one(values: np.ndarray) -> None:
    values = values + 1e-12
    weights = values / values.sum(axis=1, keepdims=True)
    whole = quantise_weights(weights)
    assert (whole.sum(axis=1) == ONE).all()
    assert (whole >= 0).all()
    np.testing.assert_allclose(whole / ONE, weights, atol=9 / ONE)


@given(st.integers(1, 1_200), st.integers(0, 9))
def test_products_are_exact(rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    left = random.integers(0, ONE + 1, (rows, 2)).astype(np.int32)
    right = random.integers(-ONE, ONE + 1, (rows, 2)).astype(np.int32)
    expected = [
        [sum(int(a) * int(b) for a, b in zip(left[:, i], right[:, j], strict=True)) for j in range(2)]
        for i in range(2)
    ]
    assert product(left, right).tolist() == expected


def test_directions_keep_their_length() -> None:
    latents = np.array([[3e30, 4e30], [0, 0], [-3e-30, 4e-30]], dtype=np.float32)
    directions, lengths = quantise_directions(latents)
    np.testing.assert_allclose(lengths, [5e30, 0, 5e-30], rtol=1e-6)
    np.testing.assert_allclose(directions / ONE, [[0.6, 0.8], [0, 0], [-0.6, 0.8]], atol=1e-6)


def test_what_cannot_be_used_is_refused_and_nothing_is_written() -> None:
    memory = written(gaussian(16, 2, D), gaussian(17, 2, C))
    good = np.ones((1, D), dtype=np.float32), np.ones((1, C), dtype=np.float32)
    with pytest.raises(InputError, match=r"keys cannot be used\. They have 5 numbers each, and this"):
        memory.write(["a"], good[1], good[1])
    with pytest.raises(InputError, match="Some of their numbers are infinite"):
        memory.write(["a"], good[0], good[1] * np.nan)
    with pytest.raises(InputError, match="beyond float32"):
        memory.write(["a"], good[0], good[1].astype(np.float64) * 1e300)
    with pytest.raises(InputError, match="There are 1 keys and 2 latents"):
        memory.write(["a"], good[0], np.ones((2, C)))
    with pytest.raises(InputError, match="There are 2 ids for 1 keys"):
        memory.write(["a", "b"], *good)
    with pytest.raises(InputError, match="The ids are a str"):
        memory.write("a", *good)
    with pytest.raises(InputError, match=r"array of shape \(6,\)"):
        memory.read(good[0][0])
    with pytest.raises(InputError, match="There is no item 'a'"):
        memory.update("a", good[0][0], good[1][0])
    with pytest.raises(InputError, match=r"cannot be merged\. Their reference keys, alpha"):
        memory.merge(SlotMemory(K, D, C, seed=1))
    with pytest.raises(InputError, match="There cannot be 0 slots"):
        SlotMemory(0, D, C)
    with pytest.raises(InputError, match=r"Its alpha is 0\.0"):
        SlotMemory(K, D, C, alpha=0.0)
    assert same_bits(memory, written(gaussian(16, 2, D), gaussian(17, 2, C)), gaussian(18, 3, D))


def test_an_empty_memory_reads_nothing() -> None:
    reading = empty().read(gaussian(19, 2, D))
    assert reading.sources == ((), ())
    np.testing.assert_array_equal(reading.latents, np.zeros((2, C), dtype=np.float32))
    health = slot_health(empty())
    assert (health.items, health.load, health.advice) == (0, 0.0, "Nothing is written yet.")


def test_health_says_when_it_is_too_full() -> None:
    keys, latents = gaussian(20, 3 * K, D), gaussian(21, 3 * K, C)
    roomy, full = written(keys[:2], latents[:2]), written(keys, latents)
    assert slot_health(roomy).advice.startswith("There is room")
    health = slot_health(full)
    assert health.load == 3.0
    assert "3.0 times as many items as slots" in health.advice
    assert health.effective_rank <= K
    assert health.condition < slot_health(roomy).condition
    twins = written(np.repeat(keys[:1], 4, axis=0), latents[:4])
    assert "so alike that they share slots" in slot_health(twins).advice
    assert slot_health(twins).expected_recall == 0.0
