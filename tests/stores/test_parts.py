"""A vector index in parts: the last alone is in RAM, and a change to one leaves the others alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from larimar_memory.encoders.keys import coded, cosines, unit
from larimar_memory.stores import SQLiteStore
from larimar_memory.stores.sqlite import vectors as vectors_module
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.parts import IndexFile, Part, Probe, index_file
from larimar_memory.testing.writes import batch, found, key_of
from tests.stores.test_laws import open_file

DOCUMENTS, SEGMENTS = 40, 5


@pytest.fixture
def path(tmp_path: Path, small_parts: None) -> Path:
    """Of a memory whose index has a part for some twenty segments."""
    path = tmp_path / "m" / "m.larimar"
    store = open_file(path)
    for number in range(DOCUMENTS):
        store.write("n", [batch(f"d{number}", texts_of(number))])
    store.close()
    return path


def texts_of(number: int) -> list[str]:
    return [f"document {number} says {i} of zebra{7 * number + i}" for i in range(SEGMENTS)]


def parts_of(store: SQLiteStore) -> list[Part]:
    return store._indexes._vectors[1].parts


def files_of(path: Path) -> dict[tuple[int, int], tuple[Path, str | None]]:
    files = map(index_file, path.with_name(f"{path.name}-vectors").iterdir())
    return {(file.after, file.covers): (file.path, file.checksum) for file in files if file}


def reads_right(store: SQLiteStore, numbers: range = range(DOCUMENTS)) -> bool:
    texts = [text for number in numbers for text in texts_of(number)]
    return all(found(store, "n", text, 1) == [text] for text in texts)


def test_full_parts_leave_ram_while_writing_goes_on(path: Path) -> None:
    store = open_file(path.with_name("other.larimar"))
    for number in range(DOCUMENTS):
        store.write("n", [batch(f"d{number}", texts_of(number))])
        if number > 8:
            assert all(part.mapped for part in parts_of(store)[:-1])
    parts = parts_of(store)
    assert len(parts) > 4
    assert [part.after for part in parts] == [0, *(part.covers for part in parts[:-1])]
    assert all(part.file is not None and part.file.path.exists() for part in parts[:-1])
    assert reads_right(store)
    store.close()


def test_the_parts_are_found_again_and_joined(path: Path) -> None:
    assert len(files_of(path)) > 4
    report = check(path)
    assert report.sound
    assert report.findings == []
    assert report.index_files == len(files_of(path))
    before = files_of(path)
    store = open_file(path)
    assert reads_right(store)
    assert all(part.mapped for part in parts_of(store))
    store.close()
    assert files_of(path) == before


@pytest.mark.parametrize("opened_before", [True, False])
def test_forgetting_makes_one_part_anew(path: Path, opened_before: bool) -> None:
    before = files_of(path)
    store = open_file(path)
    if opened_before:
        assert reads_right(store)
    gone = [coded(key_of(text)).tobytes() for text in texts_of(10)]
    assert store.delete("n", ids=["d10"]) == 1
    during = [file.read_bytes() for file, _ in files_of(path).values()]
    assert not [key for key in gone if any(key in held for held in during)]
    assert len(during) in {len(before) - 1, len(before) - 2}
    store.close()
    after = files_of(path)
    assert after.keys() == before.keys()
    changed = [rows for rows, (_, checksum) in after.items() if checksum != before[rows][1]]
    assert 1 <= len(changed) <= 2
    assert not [key for key in gone if any(key in file.read_bytes() for file, _ in after.values())]
    assert check(path).findings == []
    store = open_file(path)
    assert reads_right(store, range(11, DOCUMENTS))
    assert all(text.startswith("document 1") for text in found(store, "n", texts_of(1)[0], 1))
    assert not set(found(store, "n", texts_of(10)[0], 200)) & set(texts_of(10))
    store.close()


def test_what_another_process_forgets_goes_from_the_parts_in_use(path: Path) -> None:
    store = open_file(path)
    assert reads_right(store)
    other = open_file(path)
    assert other.delete("n", ids=["d3", "d30"]) == 2
    other.close()
    assert not set(found(store, "n", texts_of(3)[0], 200)) & set(texts_of(3))
    store.write("n", [batch("new", ["written later"])])
    store.close()
    gone = [coded(key_of(text)).tobytes() for n in (3, 30) for text in texts_of(n)]
    held = [file.read_bytes() for file, _ in files_of(path).values()]
    assert held
    assert not [key for key in gone if any(key in raw for raw in held)]
    assert check(path).findings == []
    store = open_file(path)
    assert reads_right(store, range(4, 30))
    assert found(store, "n", "written later", 1) == ["written later"]
    store.close()


@pytest.mark.parametrize("written_here", [True, False])
def test_a_part_that_another_process_makes_anew_is_held_as_it_was_listed(
    path: Path, monkeypatch: pytest.MonkeyPatch, written_here: bool
) -> None:
    if written_here:
        path = path.with_name("other.larimar")
    store = open_file(path)
    if written_here:
        for number in range(DOCUMENTS):
            store.write("n", [batch(f"d{number}", texts_of(number))])
    else:
        store.write("n", [batch("later", ["written later"])])
    taken = len(parts_of(store))
    other = open_file(path)
    assert other.delete("n", ids=["d3", "d13"]) == 2
    other.purge()
    other.close()
    added = list[int]()
    monkeypatch.setattr(Part, "add", lambda part, rows, keys: added.extend(rows))
    assert not set(found(store, "n", texts_of(3)[0], 200)) & {*texts_of(3), *texts_of(13)}
    assert reads_right(store, range(14, DOCUMENTS))
    assert reads_right(store, range(4, 13))
    assert added == []
    assert len(parts_of(store)) == taken
    monkeypatch.undo()
    store.close()
    gone = [coded(key_of(text)).tobytes() for n in (3, 13) for text in texts_of(n)]
    held = [file.read_bytes() for file, _ in files_of(path).values()]
    assert not [key for key in gone if any(key in raw for raw in held)]
    assert check(path).findings == []


def test_a_part_that_cannot_be_mapped_is_made_again_from_the_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hold, calls = Part.hold, list[IndexFile]()

    def fails_once(part: Part, file: IndexFile) -> None:
        calls.append(file)
        if len(calls) == 3:
            raise OSError(12, "Cannot allocate memory")
        hold(part, file)

    monkeypatch.setattr(Part, "hold", fails_once)
    store = open_file(path)
    assert reads_right(store)
    assert "is damaged and will be made again: [Errno 12] Cannot allocate memory" in caplog.text
    assert parts_of(store)[-1].covers == DOCUMENTS * SEGMENTS
    store.close()
    monkeypatch.undo()
    assert check(path).findings == []


@pytest.mark.parametrize("which", [0, 2, -1])
def test_a_damaged_part_is_made_again(path: Path, which: int) -> None:
    rows = sorted(files_of(path))
    file, _ = files_of(path)[rows[which]]
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    assert not check(path).sound
    store = open_file(path)
    assert reads_right(store)
    store.close()
    assert check(path).findings == []
    ranges = sorted(files_of(path))
    assert [after for after, _ in ranges] == [0, *(covers for _, covers in ranges[:-1])]
    assert ranges[-1][1] == rows[-1][1]


def test_a_part_that_cannot_be_saved_stays_in_ram(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full_disk(self: Part, folder: Path, space: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Part, "write", full_disk)
    store = open_file(path.with_name("other.larimar"))
    for number in range(DOCUMENTS):
        store.write("n", [batch(f"d{number}", texts_of(number))])
    assert "cannot be saved, and is made again" in caplog.text
    assert "The system said: No space left on device." in caplog.text
    assert not [part for part in parts_of(store) if part.mapped]
    assert reads_right(store)
    store.close()


# --- what a search of signs finds ---


def clustered(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Keys around a few hundred centres that are all a little to one side, as sentences' keys are."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((count // 50, dimension)) + 0.3
    some = centres[draw.integers(0, len(centres), count)]
    return unit(some + 0.8 * draw.standard_normal((count, dimension)))


@pytest.mark.parametrize("dimension", [384, 100])
def test_nearly_all_that_is_nearest_is_found_by_signs(
    dimension: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors_module, "EXACT_LIMIT", 100)
    monkeypatch.setattr(vectors_module, "_POOL", 400)
    keys = clustered(20_000, dimension)
    vectors = vectors_module.Vectors(dimension)
    for first in range(0, len(keys), 5_000):
        vectors.append(np.arange(first, first + 5_000) + 1, keys[first : first + 5_000])
        vectors.index_tail()
    draw, shared = np.random.default_rng(1), list[float]()
    for key in unit(keys[::1_000] + 0.03 * draw.standard_normal((20, dimension))):
        exact = cosines(keys, key)
        best = np.argsort(-exact)[:20] + 1
        found = vectors.search(key, 20)
        shared.append(len({row for row, _ in found} & set(best.tolist())) / 20)
        assert [score for _, score in found] == sorted((s for _, s in found), reverse=True)
        assert all(abs(score - exact[row - 1]) < 0.01 for row, score in found)
    assert np.mean(shared) > 0.97


def test_a_key_of_zeros_takes_no_longer_and_finds_as_many() -> None:
    part = Part(8, 0)
    part.add(np.arange(1, 20_001), np.zeros((20_000, 8), dtype=np.float32))
    vectors = vectors_module.Vectors(8)
    vectors.parts, vectors.last_row = [part], 20_000
    assert vectors.search(np.zeros(8, dtype=np.float32), 3) == [(1, 0.0), (2, 0.0), (3, 0.0)]
    assert len(vectors.search(np.ones(8, dtype=np.float32), 19_999)) == 19_999


def test_distances_weigh_the_signs_of_large_numbers() -> None:
    key = np.array([3.0, -2.0, 1.0, 0.1], dtype=np.float32)
    part = Part(4, 0)
    others = np.array([key, -key, [-1, -1, 1, 1], [1, -1, 1, -1]], dtype=np.float32)
    part.add(np.arange(1, 5), others)
    same, opposite, large, small = Probe(key).distances(part.signs).tolist()
    assert (same, small) == (0, 0)
    assert 0 < large < opposite <= Probe(key).farthest


def test_what_is_removed_from_a_part_is_overwritten() -> None:
    keys = clustered(200, 8)
    part = Part(8, 0)
    part.add(np.arange(1, 201), keys)
    part.remove(np.array([5, 6, 150, 900]))
    assert (len(part), part.covers) == (197, 200)
    stay = np.delete(np.arange(200), [4, 5, 149])
    np.testing.assert_array_equal(part.rows, stay + 1)
    np.testing.assert_array_equal(part.codes, coded(keys[stay]))
    assert not part._codes[197:200].any()
    assert not part._signs[:, 197:200].any()
    raw = part._codes.tobytes()
    assert not any(coded(keys[n]).tobytes() in raw for n in (4, 5, 149))
    part.keep(np.arange(1, 3))
    assert part.rows.tolist() == [1, 2]
