"""The store contract: every law holds for every store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larimar_memory.errors import InputError
from larimar_memory.stores import Document, RamStore, SQLiteStore, Store, WriteBatch
from larimar_memory.stores.sqlite import parts as parts_module
from larimar_memory.stores.sqlite import vectors as vectors_module
from larimar_memory.types import Segment

DIMENSION = 8


def key_of(text: str) -> np.ndarray:
    """A unit vector that depends on the text alone."""
    raw = np.random.default_rng(list(text.encode())).standard_normal(DIMENSION)
    return (raw / np.linalg.norm(raw)).astype(np.float32)


def batch(
    name: str,
    texts: list[str],
    metadata: dict[str, object] | None = None,
    *,
    first: int = 0,
    replace: bool = True,
    complete: bool = True,
) -> WriteBatch:
    segments = [Segment(first + i, 10 * i, 10 * i + len(t), t) for i, t in enumerate(texts)]
    keys = np.array([key_of(t) for t in texts], dtype=np.float32).reshape(len(texts), DIMENSION)
    document = Document(name, f"hash of {texts}", 10 * len(texts), metadata or {}, complete)
    return WriteBatch(document, segments, keys, replace)


def open_file(path: Path, **options: object) -> SQLiteStore:
    return SQLiteStore(path, encoder="test-encoder", dimension=DIMENSION, **options)  # type: ignore[arg-type]


@pytest.fixture(params=["ram", "sqlite", "sqlite-indexed"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    if request.param == "sqlite-indexed":
        monkeypatch.setattr(vectors_module, "EXACT_LIMIT", 3)
        monkeypatch.setattr(vectors_module, "_TAIL_LIMIT", 2)
        monkeypatch.setattr(parts_module, "LIMIT", 6)
    opened: Store = RamStore() if request.param == "ram" else open_file(tmp_path / "m.larimar")
    yield opened
    opened.close()


def found(store: Store, namespace: str, text: str, k: int = 3, **options: object) -> list[str]:
    hits = store.nearest(namespace, key_of(text), k, **options)  # type: ignore[arg-type]
    return [s.text for s in store.fetch(namespace, [hit.row for hit in hits])]


def test_a_written_segment_is_nearest_to_itself(store: Store) -> None:
    texts = [f"text number {i}" for i in range(20)]
    store.write("n", [batch("d", texts)])
    for text in texts:
        assert found(store, "n", text, 1) == [text]
        (hit,) = store.nearest("n", key_of(text), 1)
        assert hit.score == pytest.approx(1.0, abs=2e-3)


def test_segments_come_back_whole(store: Store) -> None:
    store.write("n", [batch("d", ["one", "two"], {"source": "s", "n": [1, None]})])
    one, two = store.neighbours("n", "d", 0, 5)
    assert (one.text, one.index, one.start, one.end) == ("one", 0, 0, 3)
    assert (two.text, two.index, two.start, two.end) == ("two", 1, 10, 13)
    assert one.metadata == {"source": "s", "n": [1, None]}
    np.testing.assert_allclose(one.key, key_of("one"), atol=1e-3)
    assert [s.text for s in store.fetch("n", [two.row, 10**9, one.row])] == ["two", "one"]


def test_latents_come_back_as_they_were_given(store: Store) -> None:
    given = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([[1, -128]], dtype=np.int8)]
    with_latents = replace(batch("d", ["one", "two"]), latents=given)
    store.write("n", [with_latents, batch("e", ["three"])])
    rows = [hit.row for name in ("one", "two", "three") for hit in store.nearest("n", key_of(name), 1)]
    one, two, three = store.latents("n", rows)
    for found, expected in zip((one, two), given, strict=True):
        assert found is not None
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert three is None
    late = np.array([1.5, np.inf], dtype=np.float16)
    store.set_latents("n", [rows[2], 10**9], [late, late])
    np.testing.assert_array_equal(store.latents("n", rows[::-1])[0], late)
    assert store.latents("other", rows) == [None] * 3
    store.set_latents("other", rows[:1], [late])
    np.testing.assert_array_equal(store.latents("n", rows)[0], given[0])
    store.delete("n", ids=["d"])
    assert store.latents("n", rows[:2]) == [None, None]


def test_a_latent_that_cannot_be_stored_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="array of type complex64 with 1 dimensions"):
        store.write("n", [replace(batch("d", ["one"]), latents=[np.ones(2, dtype=np.complex64)])])
    assert store.document("n", "d") is None or store.segment_count("n", "d") == 0


def test_keys_and_generations_tell_what_changed(store: Store) -> None:
    assert list(store.keys("n")) == []
    store.write("n", [batch("d", ["one", "two"])])
    ((rows, keys),) = store.keys("n")
    np.testing.assert_allclose(keys, [key_of("one"), key_of("two")], atol=1e-3)
    before = store.generation("n")
    store.write("n", [batch("e", ["three"])])
    ((new, _),) = store.keys("n", int(rows[-1]))
    assert len(new) == 1
    store.delete("n", ids=["e"])
    assert store.generation("n") != before
    assert list(store.keys("n", int(rows[-1]))) == []
    seen = {before, store.generation("n")}
    store.delete("n")
    seen.add(store.generation("n"))
    store.write("n", [batch("d", ["one", "two"])])
    assert store.generation("n") not in seen


def test_a_document_twice_in_one_write_is_what_the_last_says(store: Store) -> None:
    for n in range(6):
        store.write("n", [batch("d", [f"alpha {n}", "and more"]), batch("d", [f"beta {n}"])])
        assert [s.text for s in store.neighbours("n", "d", 0, 9)] == [f"beta {n}"]
        assert len(store.lexical("n", ["beta"], 5)) == store.stats("n").segments == 1
        assert store.lexical("n", ["alpha", "more"], 5) == []
        assert found(store, "n", f"alpha {n}", 5) == [f"beta {n}"]


def test_words_are_found_by_bm25(store: Store) -> None:
    store.write("n", [batch("d", ["the cat sat", "the dog sat down", "the the the bird"])])
    assert [s.text for s in store.fetch("n", [h.row for h in store.lexical("n", ["cat"], 5)])] == [
        "the cat sat"
    ]
    hits = store.lexical("n", ["sat", "dog"], 5)
    assert [s.text for s in store.fetch("n", [h.row for h in hits])] == [
        "the dog sat down",
        "the cat sat",
    ]
    assert store.lexical("n", ["absent"], 5) == []
    assert store.lexical("n", [], 5) == []
    assert store.document_frequency("n", ["the", "sat", "absent"], 10) == [3, 2, 0]
    assert store.document_frequency("n", ["the"], 2) == [2]


def test_bm25_scores_are_the_formula(tmp_path: Path) -> None:
    ram, file = RamStore(), open_file(tmp_path / "bm25.larimar")
    texts = ["alpha beta gamma", "alpha alpha", "beta delta epsilon zeta", "eta", "theta iota"]
    for store in (ram, file):
        store.write("n", [batch("d", texts)])
    for terms in (["alpha"], ["beta", "delta"], ["eta", "alpha", "absent"]):
        expected = [h.score for h in ram.lexical("n", terms, 5)]
        assert [h.score for h in file.lexical("n", terms, 5)] == pytest.approx(expected, rel=1e-6)
    file.close()


def test_filters_restrict_every_search(store: Store) -> None:
    for year in range(2018, 2024):
        store.write("n", [batch(f"d{year}", [f"report of {year}"], {"year": year})])
    where = {"year": {"$gte": 2022}}
    assert set(found(store, "n", "report of 2018", 10, where=where)) == {
        "report of 2022",
        "report of 2023",
    }
    assert len(store.lexical("n", ["report"], 10, where)) == 2
    assert [d.id for d in store.documents("n", where)] == ["d2022", "d2023"]
    assert store.delete("n", where=where) == 2
    assert store.stats("n").documents == 4


def test_replacing_leaves_nothing_behind(store: Store) -> None:
    store.write("n", [batch("d", ["old one", "old two"]), batch("e", ["other text"])])
    store.write("n", [batch("d", ["new"])])
    assert found(store, "n", "old one", 5).count("old one") == 0
    assert store.lexical("n", ["old"], 5) == []
    assert [s.text for s in store.neighbours("n", "d", 0, 9)] == ["new"]
    assert store.segment_count("n", "d") == 1
    assert found(store, "n", "other text", 1) == ["other text"]


def test_a_document_written_in_parts_is_whole_in_the_end(store: Store) -> None:
    store.write("n", [batch("d", ["a a", "b b"], complete=False)])
    assert not store.document("n", "d").complete  # type: ignore[union-attr]
    store.write("n", [batch("d", ["c c"], first=2, replace=False)])
    assert store.document("n", "d").complete  # type: ignore[union-attr]
    assert [s.text for s in store.neighbours("n", "d", 0, 9)] == ["a a", "b b", "c c"]


def test_namespaces_never_meet(store: Store) -> None:
    names = ["a", "A", "a ", "a%", "a_", "'; DROP TABLE segments; --", "a.b", "\u00e9", "e\u0301"]
    for name in names:
        store.write(name, [batch("same id", [f"secret of {name}"])])
    for name in names:
        texts = found(store, name, "secret of a", 50)
        assert texts == [f"secret of {name}"]
        assert len(store.lexical(name, ["secret"], 50)) == 1
        assert store.document_frequency(name, ["secret"], 50) == [1]
        assert store.stats(name).segments == 1
    everything = [row for n in names for row in (h.row for h in store.nearest(n, key_of("x"), 50))]
    assert len(store.fetch("a", everything)) == 1
    assert sorted(store.namespaces()) == sorted(names)
    assert store.delete("a") == 1
    assert found(store, "a", "secret of a") == []
    assert store.fetch("a", everything) == []
    assert len(store.namespaces()) == len(names) - 1
    assert found(store, "A", "secret of A") == ["secret of A"]


def test_deleting_by_id_and_all(store: Store) -> None:
    store.write("n", [batch(f"d{i}", [f"text {i}"]) for i in range(10)])
    assert store.delete("n", ids=["d3", "d4", "never there"]) == 2
    assert store.delete("n", ids=[]) == 0
    assert "text 3" not in found(store, "n", "text 3", 10)
    assert store.document("n", "d3") is None
    assert store.delete("n") == 8
    assert store.namespaces() == []
    assert store.delete("n") == 0
    store.write("n", [batch("d3", ["back again"])])
    assert found(store, "n", "back again") == ["back again"]


def test_metadata_can_change_alone(store: Store) -> None:
    store.write("n", [batch("d", ["text"], {"v": 1})])
    store.set_metadata("n", "d", {"v": 2})
    assert store.neighbours("n", "d", 0, 0)[0].metadata == {"v": 2}
    assert store.document("n", "d").metadata == {"v": 2}  # type: ignore[union-attr]
    store.set_metadata("n", "absent", {"v": 3})


def test_a_document_without_segments_is_kept_and_never_found(store: Store) -> None:
    store.write("n", [batch("bare", [], {"v": 1}), batch("d", ["one"], {"v": 2})])
    store.write("alone", [batch("bare", [])])
    assert [d.id for d in store.documents("n", {"v": 1})] == ["bare"]
    assert store.document("n", "bare") == Document("bare", "hash of []", 0, {"v": 1})
    assert store.segment_count("n", "bare") == 0
    assert store.neighbours("n", "bare", 0, 9) == []
    assert found(store, "n", "one", 9) == ["one"]
    assert found(store, "alone", "one", 9) == []
    assert store.namespaces() == ["alone", "n"]
    assert (store.stats("n").documents, store.stats("n").segments) == (2, 1)
    store.write("n", [batch("bare", ["two"]), batch("d", [])])
    assert found(store, "n", "one", 9) == ["two"]
    assert store.delete("n", ids=["bare", "d"]) == 2
    assert store.namespaces() == ["alone"]


def test_an_empty_store_answers(store: Store) -> None:
    assert store.nearest("n", key_of("x"), 3) == []
    assert store.nearest("n", key_of("x"), 3, {"a": 1}) == []
    assert store.lexical("n", ["x"], 3) == []
    assert store.document_frequency("n", ["x"], 3) == [0]
    assert store.fetch("n", [1, 2]) == []
    assert list(store.documents("n")) == []
    assert store.stats().segments == 0
    store.purge()


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "delete", "extend"]),
        st.sampled_from(["n1", "n2"]),
        st.sampled_from(["d1", "d2", "d3"]),
        st.lists(
            st.sampled_from(["red fox", "blue sky", "red sky", "old tree", "fox den"]), max_size=3
        ),
    ),
    max_size=12,
)


@given(ACTIONS)
@settings(max_examples=40)
def test_the_file_store_does_what_the_ram_store_does(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, str, str, list[str]]]
) -> None:
    path = tmp_path_factory.mktemp("laws") / "m.larimar"
    ram, file = RamStore(), open_file(path)
    for action, namespace, name, texts in actions:
        for store in (ram, file):
            if action == "delete":
                store.delete(namespace, ids=[name])
            elif action == "write" or not store.document(namespace, name):
                store.write(namespace, [batch(name, texts)])
            else:
                count = store.segment_count(namespace, name)
                store.write(namespace, [batch(name, texts, first=count, replace=False)])
    file.close()
    file = open_file(path)
    for namespace in ("n1", "n2"):
        assert list(file.documents(namespace)) == list(ram.documents(namespace))
        assert file.stats(namespace).segments == ram.stats(namespace).segments
        for text in ("red fox", "old tree"):
            scores = [[h.score for h in s.nearest(namespace, key_of(text), 4)] for s in (ram, file)]
            assert scores[1] == pytest.approx(scores[0], abs=1e-5)
            words = [[h.score for h in s.lexical(namespace, text.split(), 9)] for s in (ram, file)]
            assert words[1] == pytest.approx(words[0], rel=1e-6)
    assert file.namespaces() == ram.namespaces()
    file.close()
