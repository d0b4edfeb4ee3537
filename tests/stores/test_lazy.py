"""A lazy store: searched by coarse keys, and given the encoder's own when there is time for them."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from larimar_memory.encoders.base import Kind
from larimar_memory.encoders.keys import unit
from larimar_memory.errors import InputError, MemoryFileError
from larimar_memory.exchange import coarse_keys, export, import_into
from larimar_memory.slots import GrowingMemory
from larimar_memory.stores import SQLiteStore
from larimar_memory.stores.exported import look
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.opening import open_as_written, open_store
from larimar_memory.stores.sqlite.repair import repair
from larimar_memory.testing.writes import DIMENSION, batch, key_of
from tests.damage import contents, sql, whole
from tests.stores.test_laws import open_file

KEYS = {"encoder": "test-encoder", "dimension": DIMENSION}
TEXTS = [f"The ferry number {n} leaves at nine. " for n in range(6)]


def fine_of(text: str) -> np.ndarray:
    return key_of(f"{text} as the encoder has it")


def coarse_of(texts: Sequence[str]) -> np.ndarray:
    return np.array([key_of(text) for text in texts])


class Encoder:
    fingerprint, dimension = "test-encoder", DIMENSION

    def encode(self, texts: Sequence[str], kind: Kind = "segment") -> np.ndarray:
        return np.array([fine_of(text) for text in texts])


def filled(path: Path | None) -> SQLiteStore:
    """Two documents of six segments; the first's have the encoder's keys, but for the last."""
    store = open_file(path, lazy=True)
    fine = [*map(fine_of, TEXTS[:5]), None]
    texts = [text.replace("ferry", "train") for text in TEXTS]
    made = replace(whole("e", texts), document=replace(whole("e", texts).document, episode="E"))
    store.write("n", [replace(whole("d", TEXTS), fine=fine), made])
    return store


def all_keys(store: SQLiteStore) -> dict[str, tuple[bytes | None, bytes | None]]:
    return {
        s.text: (
            None if s.key is None else s.key.tobytes(),
            None if s.coarse is None else s.coarse.tobytes(),
        )
        for name in ("d", "e")
        for s in store.segments("n", name)
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m" / "m.larimar"
    filled(path).close()
    return path


def test_a_file_stays_what_it_is(tmp_path: Path, path: Path) -> None:
    for lazy in (False, True):
        store = open_file(path, lazy=lazy)
        assert store.lazy
        store.close()
    open_file(tmp_path / "eager").close()
    store = open_file(tmp_path / "eager", lazy=True)
    assert not store.lazy
    store.close()
    with open_as_written(path) as store:
        assert store.lazy
    made = open_store(None, encoder="e", dimension=4, lazy=True)
    assert made.lazy
    made.close()


def test_coarse_keys_are_bytes_and_unit_vectors(path: Path) -> None:
    store = open_file(path)
    with store._db.reading() as db:
        (blob,) = db.execute("SELECT key FROM segments LIMIT 1").fetchone()
    codes = np.frombuffer(blob, dtype=np.int8)
    assert (len(codes), np.abs(codes).max()) == (DIMENSION, 127)
    segment = store.segments("n", "d")[0]
    assert segment.coarse is not None
    assert segment.key is not None
    np.testing.assert_array_equal(segment.coarse, unit(codes.astype(np.float32)))
    np.testing.assert_array_equal(segment.key, fine_of(TEXTS[0]).astype("<f2").astype(np.float32))
    ((_, keys),) = store.keys("n")
    np.testing.assert_array_equal(keys[0], segment.coarse)
    zeros = replace(batch("z", ["nothing"]), keys=np.zeros((1, DIMENSION), np.float32))
    store.write("n", [zeros])
    (nothing,) = store.segments("n", "z")
    assert nothing.coarse is not None
    assert not nothing.coarse.any()
    store.close()


def test_what_is_found_does_not_depend_on_which_keys_are_there(path: Path) -> None:
    store = open_file(path)
    before = [store.nearest("n", key_of(text), 4) for text in TEXTS]
    filtered = [store.nearest("n", key_of(text), 4, {}) for text in TEXTS]
    rows = store.lacking("n", 0, 99)
    assert rows == [6, *range(7, 13)]
    assert store.attach("n", rows, keys=np.array([key_of(str(row)) for row in rows]))
    assert (store.lacking("n", 0, 99), store.stats("n").keyed) == ([], 12)
    assert [store.nearest("n", key_of(text), 4) for text in TEXTS] == before == filtered
    store.close()


@pytest.mark.parametrize("in_ram", [True, False])
def test_what_does_not_wait_says_so(path: Path, in_ram: bool) -> None:
    store = filled(None) if in_ram else open_file(path)
    other = store if in_ram else open_file(path)
    said = list[bool]()

    def tries() -> None:
        said.append(other.attach("n", [6], keys=fine_of(TEXTS[5])[None], wait=False))

    with store._db.writing():
        thread = threading.Thread(target=tries)
        thread.start()
        thread.join(4.0)
        assert said == [False]
    assert store.lacking("n", 0, 1) == [6]
    tries()
    assert said == [False, True]
    assert store.lacking("n", 0, 1) == [7]
    # It waits again where it is to wait.
    with other._db.maintaining() as db:
        assert db.execute("PRAGMA busy_timeout").fetchone() == (5000,)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    other.close()
    store.close()


def test_what_may_only_be_read_is_given_nothing(path: Path) -> None:
    store = open_file(path, read_only=True)
    assert not store.attach("n", [6], keys=fine_of("x")[None], wait=False)
    with pytest.raises(MemoryFileError, match="read-only"):
        store.attach("n", [6], keys=fine_of("x")[None])
    store.close()


def test_what_is_deleted_leaves_no_key(path: Path) -> None:
    traces = [fine_of(text).astype("<f2").tobytes() for text in TEXTS[:5]]
    assert all(trace in path.read_bytes() for trace in traces)
    store = open_file(path)
    store.write("n", [whole("d", ["Something else."])])
    assert (store.stats("n").keyed, store.lacking("n", 0, 1)) == (0, [7])
    store.attach("n", [1], keys=fine_of("x")[None])
    assert store.stats("n").keyed == 0
    store.purge()
    store.close()
    assert not any(trace in path.read_bytes() for trace in traces)
    assert check(path).findings == []


def test_slots_ask_for_all_keys(path: Path) -> None:
    store = open_file(path)
    with pytest.raises(InputError, match=r"searched by coarse keys.*keys=\"eager\""):
        GrowingMemory(store)
    store.close()


# --- damage ---

ROWS = ("rows", "fine keys that are not what was written")


@pytest.mark.parametrize(
    "change",
    ["key = zeroblob(16)", "checksum = checksum + 1", "key = x'00'", "key = 'text'", "checksum = NULL"],
)
def test_a_damaged_fine_key_is_dropped_and_its_segment_kept(path: Path, change: str) -> None:
    sql(path, f"UPDATE fine_keys SET {change} WHERE id = 2")
    report = check(path)
    assert [(f.part, f.what) for f in report.findings] == [ROWS]
    assert not report.sound
    store = open_file(path)
    with pytest.raises(MemoryFileError, match="the key of segment 2 is not what was written"):
        store.segments("n", "d")
    store.close()
    done = repair(path)
    assert (done.lost, done.incomplete) == ({"fine keys": 1}, {})
    assert done.after is not None
    assert done.after.sound
    assert (done.after.segments, done.after.fine_keys) == (12, 4)
    store = open_file(path)
    assert store.lacking("n", 0, 2) == [2, 6]
    assert store.beside("n", ["e"], 1) == [[store.document("n", "e")]]
    store.close()


def test_fine_keys_of_no_segment_are_told_and_erased(path: Path) -> None:
    sql(path, "INSERT INTO fine_keys SELECT 99, 1, key, checksum FROM fine_keys WHERE id = 1")
    found = check(path)
    assert {f.what for f in found.findings} == {
        "fine keys that are not what was written",
        "not erased: fine keys of segments that are no more",
    }
    assert repair(path).lost == {"fine keys": 1}
    assert check(path).findings == []


@pytest.mark.parametrize("given", [True, False])
def test_a_damaged_coarse_key_is_made_again_where_there_is_a_way(path: Path, given: bool) -> None:
    store = open_file(path)
    before = all_keys(store)
    store.close()
    sql(path, "UPDATE segments SET key = zeroblob(8) WHERE id = 3")
    assert [f.what for f in check(path).findings] == ["keys that are not what was written"]
    done = repair(path, keys=coarse_of if given else None)
    assert (done.keys_made, done.lost) == ((1, {}) if given else (0, {"segments": 1, "fine keys": 1}))
    assert check(path).findings == []
    if given:
        store = open_file(path)
        assert all_keys(store) == before
        store.close()


def test_that_a_file_is_lazy_is_said_twice(path: Path) -> None:
    for change in (
        "DELETE FROM meta WHERE key = 'keys'",
        "UPDATE meta SET value = 'eager' WHERE key = 'keys'",
        "UPDATE meta SET value = replace(value, 'lazy', 'eager') WHERE key = 'again'",
    ):
        sql(path, change)
        assert [f.what for f in check(path).findings] == ["what is said of the encoder"]
        assert repair(path).lost == {}
        store = open_file(path)
        assert (store.lazy, store.stats("n").keyed) == (True, 5)
        store.close()


@pytest.mark.parametrize("change", ["NULL", "'F'", "x'45'", "''"])
def test_the_episode_of_a_document_is_sealed(path: Path, change: str) -> None:
    sql(path, f"UPDATE documents SET episode = {change} WHERE name = 'e'")
    assert "documents that are not what was written" in [f.what for f in check(path).findings]
    store = open_file(path)
    with pytest.raises(MemoryFileError, match="for document 'e' is not what was written"):
        store.document("n", "e")
    store.close()


# --- out and in again ---


def test_an_export_holds_both_keys_and_comes_back_whole(tmp_path: Path, path: Path) -> None:
    source, target = open_file(path), open_file(tmp_path / "new", lazy=True)
    export(source, tmp_path / "out", **KEYS)  # type: ignore[arg-type]
    about = json.loads((tmp_path / "out" / "memory.json").read_text())
    assert (about["lazy"], look(tmp_path / "out").lazy) == (True, True)
    tensors = load_file(tmp_path / "out" / "segments-00000.safetensors")
    assert (tensors["keys"].dtype, tensors["keys"].shape) == (np.int8, (12, DIMENSION))
    assert (tensors["fine_keys"].dtype, tensors["fine_keys"].shape) == (np.float16, (5, DIMENSION))
    assert tensors["keyed"].tolist() == [True] * 5 + [False] * 7
    import_into(target, look(tmp_path / "out"), **KEYS)  # type: ignore[arg-type]
    assert all_keys(target) == all_keys(source)
    assert target.document("n", "e") == source.document("n", "e")
    assert [d.episode for d in target.documents("n")] == [None, "E"]
    source.close()
    target.close()
    assert check(tmp_path / "new").findings == []


def test_a_lazy_export_becomes_eager_where_keys_can_be_made(tmp_path: Path, path: Path) -> None:
    source, target = open_file(path), open_file(None)
    export(source, tmp_path / "out", **KEYS)  # type: ignore[arg-type]
    found = look(tmp_path / "out")
    with pytest.raises(InputError, match=r"some have none\. Have them made with `--reencode`"):
        import_into(target, found, **KEYS)  # type: ignore[arg-type]
    assert target.stats().documents == 0
    import_into(target, found, **KEYS, reencode=Encoder())  # type: ignore[arg-type]
    for segment in target.segments("n", "d") + target.segments("n", "e"):
        wanted = fine_of(segment.text).astype("<f2").astype(np.float32)
        np.testing.assert_array_equal(segment.key, wanted)
        assert segment.coarse is None
    source.attach("n", source.lacking("n", 0, 99), keys=np.array([fine_of("x")] * 7))
    export(source, tmp_path / "keyed", **KEYS)  # type: ignore[arg-type]
    whole_one = open_file(None)
    import_into(whole_one, look(tmp_path / "keyed"), **KEYS)  # type: ignore[arg-type]
    assert whole_one.stats().keyed == 12
    for store in (source, target, whole_one):
        store.close()


def test_an_eager_export_becomes_lazy_where_coarse_keys_can_be_made(tmp_path: Path) -> None:
    source, target = open_file(None), open_file(None, lazy=True)
    source.write("n", [whole("d", TEXTS)])
    export(source, tmp_path / "out", **KEYS)  # type: ignore[arg-type]
    assert not look(tmp_path / "out").lazy
    with pytest.raises(InputError, match=r"searched by coarse keys, and none are there for it\."):
        import_into(target, look(tmp_path / "out"), **KEYS)  # type: ignore[arg-type]
    assert target.stats().documents == 0
    import_into(target, look(tmp_path / "out"), **KEYS, coarse=coarse_of)  # type: ignore[arg-type]
    assert target.stats().keyed == 6
    assert contents(target) == contents(source)
    assert target.nearest("n", key_of(TEXTS[2]), 1)[0].row == 3
    source.close()
    target.close()


def test_another_encoders_export_becomes_lazy_without_its_keys(tmp_path: Path, path: Path) -> None:
    source = open_file(path)
    export(source, tmp_path / "out", encoder="other", dimension=DIMENSION)
    target = open_file(None, lazy=True)
    options = {**KEYS, "reencode": Encoder(), "coarse": coarse_of}
    import_into(target, look(tmp_path / "out"), **options)  # type: ignore[arg-type]
    assert (target.stats().segments, target.stats().keyed) == (12, 0)
    source.close()
    target.close()


def test_an_encoder_without_a_table_makes_no_coarse_keys() -> None:
    assert coarse_keys(Encoder()) is None
