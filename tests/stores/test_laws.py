"""The store contract: every law holds for every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larimar_memory.stores import SQLiteStore, Store
from larimar_memory.stores.sqlite import parts as parts_module
from larimar_memory.stores.sqlite import vectors as vectors_module
from larimar_memory.testing.stores import StoreLaws
from larimar_memory.testing.writes import DIMENSION, batch, key_of
from tests.stores.dict_store import DictStore


def open_file(path: Path | None, **options: object) -> SQLiteStore:
    """The store in a file, or in RAM."""
    return SQLiteStore(path, encoder="test-encoder", dimension=DIMENSION, **options)  # type: ignore[arg-type]


class TestInAFile(StoreLaws):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        self.opened = open_file(tmp_path / "m.larimar")
        yield self.opened
        self.opened.close()

    def reopen(self, store: Store) -> Store:
        store.close()
        assert isinstance(store, SQLiteStore)
        self.opened = open_file(store.path)
        return self.opened


class TestInAFileWithAnIndex(TestInAFile):
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(vectors_module, "EXACT_LIMIT", 3)
        monkeypatch.setattr(vectors_module, "_TAIL_LIMIT", 2)
        monkeypatch.setattr(parts_module, "LIMIT", 6)


class TestInRam(StoreLaws):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        opened = open_file(None)
        yield opened
        opened.close()


class TestInRamWithAnIndex(TestInRam):
    small = TestInAFileWithAnIndex.small


class TestLazyInAFile(TestInAFile):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        self.opened = open_file(tmp_path / "m.larimar", lazy=True)
        yield self.opened
        self.opened.close()


class TestLazyInAFileWithAnIndex(TestLazyInAFile):
    small = TestInAFileWithAnIndex.small


class TestLazyInRam(StoreLaws):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        opened = open_file(None, lazy=True)
        yield opened
        opened.close()


class TestLazyInRamWithAnIndex(TestLazyInRam):
    small = TestInAFileWithAnIndex.small


class TestOfDictionaries(StoreLaws):
    @pytest.fixture
    def store(self) -> Store:
        return DictStore()


def test_words_are_found_by_their_stems_in_english_alone() -> None:
    store = open_file(None)
    russian = "\u0431\u0435\u0433\u0430\u0442\u044c"
    texts = ["She runs ponies", "a pony ran; running late", "caf\u00e9s \u00fcberings", russian]
    store.write("n", [batch("d", texts)])
    asked = ["run", "running", "pony", "ponies", "cafe", "ran", russian, russian[:-1]]
    assert store.frequencies("n", asked) == [2, 2, 2, 2, 1, 1, 1, 0]
    assert [hit.row for hit in store.lexical("n", ["run", "late"], 9)] == [2, 1]
    store.write("n", [batch("d", ["other"])])
    assert store.frequencies("n", ["run", "pony", "cafe"]) == [0, 0, 0]
    store.close()


def test_bm25_scores_are_the_formula() -> None:
    texts = ["alpha beta gamma", "alpha alpha", "beta delta epsilon zeta", "eta", "theta iota"]
    plain, ram = DictStore(), open_file(None)
    for store in (plain, ram):
        store.write("n", [batch("d", texts)])
    for terms in (["alpha"], ["beta", "delta"], ["eta", "alpha", "absent"]):
        expected = [h.score for h in plain.lexical("n", terms, 5)]
        assert [h.score for h in ram.lexical("n", terms, 5)] == pytest.approx(expected, rel=1e-6)


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
def test_the_file_store_does_what_the_plain_one_does(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, str, str, list[str]]]
) -> None:
    path = tmp_path_factory.mktemp("laws") / "m.larimar"
    plain, file = DictStore(), open_file(path)
    for action, namespace, name, texts in actions:
        for store in (plain, file):
            if action == "delete":
                store.delete(namespace, ids=[name])
            elif action == "write" or not store.document(namespace, name):
                store.write(namespace, [batch(name, texts)])
            else:
                (document,) = store.documents(namespace, ids=[name])
                more = batch(name, texts, first=document.segments, replace=False)
                store.write(namespace, [more])
    file.close()
    file = open_file(path)
    for namespace in ("n1", "n2"):
        assert list(file.documents(namespace)) == list(plain.documents(namespace))
        assert file.stats(namespace).segments == plain.stats(namespace).segments
        for text in ("red fox", "old tree"):
            scores = [[h.score for h in s.nearest(namespace, key_of(text), 4)] for s in (plain, file)]
            assert scores[1] == pytest.approx(scores[0], abs=1e-5)
            words = [[h.score for h in s.lexical(namespace, text.split(), 9)] for s in (plain, file)]
            assert words[1] == pytest.approx(words[0], rel=1e-6)
    assert file.namespaces() == plain.namespaces()
    file.close()
