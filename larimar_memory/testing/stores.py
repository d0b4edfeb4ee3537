"""The laws of a store.

    class TestBucketStore(StoreLaws):
        @pytest.fixture
        def store(self, tmp_path):
            return BucketStore(tmp_path)

Keys have `writes.DIMENSION` numbers. Each law begins with an empty store.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from larimar_memory.errors import InputError
from larimar_memory.stores.base import Document, Span, Store
from larimar_memory.testing.keys import KeyLaws
from larimar_memory.testing.receipts import ReceiptLaws
from larimar_memory.testing.writes import batch, found, key_of, said, worded
from larimar_memory.text.words import words


class StoreLaws(KeyLaws, ReceiptLaws):
    """The laws of a store; a subclass gives the fixture `store`, and perhaps `reopen`."""

    @pytest.fixture
    def store(self) -> Store:
        """An empty store for keys of `DIMENSION` numbers."""
        raise NotImplementedError

    def reopen(self, store: Store) -> Store:
        """A new store over what this one keeps once closed; the same store if it keeps nothing."""
        return store

    # --- what is written is there ---

    def test_segments_come_back_whole(self, store: Store) -> None:
        """All of a segment comes back; keys are rounded to float16, coarse ones to a byte a number."""
        store.write("n", [batch("d", ["one", "two"], {"source": "s", "n": [1, None]})])
        store = self.reopen(store)
        one, two = store.segments("n", "d")
        assert (one.document_id, one.text, one.index, one.start, one.end) == ("d", "one", 0, 0, 3)
        assert (two.document_id, two.text, two.index, two.start, two.end) == ("d", "two", 1, 10, 13)
        assert one.metadata == {"source": "s", "n": [1, None]}
        assert one.latent is None
        assert one.best_key.dtype == np.float32
        if store.lazy:
            assert one.key is None
            np.testing.assert_allclose(one.best_key, key_of("one"), atol=5e-3)
        else:
            rounded = key_of("one").astype(np.float16).astype(np.float32)
            np.testing.assert_array_equal(one.best_key, rounded)
        assert said(store.fetch("n", [two.row, 10**9, one.row])) == ["two", "one"]

    def test_any_unicode_comes_back(self, store: Store) -> None:
        """Names, texts and metadata of any Unicode come back as they are."""
        names = ["\u00e9", "e\u0301", "\U0001f600", "\u202e x", "'; DROP TABLE segments; --", "%"]
        for name in names:
            store.write(name, [batch(name, [f"{name} \ufffe says"], {name: name})])
        for name in names:
            (document,) = store.documents(name)
            assert (document.id, document.metadata) == (name, {name: name})
            assert said(store.segments(name, name)) == [f"{name} \ufffe says"]
        assert store.namespaces() == sorted(names) == list(store.stats().names)

    def test_a_write_is_one_transaction(self, store: Store) -> None:
        """If one batch cannot be stored, none is."""
        store.write("n", [batch("d", ["old"])])
        unfit = [np.ones(2, dtype=np.complex64)]
        with pytest.raises(InputError, match="array of type complex64 with 1 dimensions"):
            store.write("n", [batch("d", ["new"]), batch("e", ["one"], latents=unfit)])
        assert (said(store.segments("n", "d")), store.document("n", "e")) == (["old"], None)
        assert (worded(store, "n", "new", "one"), found(store, "n", "new")) == ([], ["old"])
        assert store.stats("n").segments == 1

    def test_a_document_twice_in_one_write_is_what_the_last_says(self, store: Store) -> None:
        """A later batch of the same write replaces an earlier one."""
        for n in range(6):
            store.write("n", [batch("d", [f"alpha {n}", "and more"]), batch("d", [f"beta {n}"])])
            assert said(store.segments("n", "d")) == [f"beta {n}"]
            assert len(worded(store, "n", "beta")) == store.stats("n").segments == 1
            assert worded(store, "n", "alpha", "more") == []
            assert found(store, "n", f"alpha {n}", 5) == [f"beta {n}"]

    def test_replacing_leaves_nothing_behind(self, store: Store) -> None:
        """What was replaced is not found again."""
        store.write("n", [batch("d", ["old one", "old two"]), batch("e", ["other text"])])
        store.write("n", [batch("d", ["new"])])
        assert sorted(found(store, "n", "old one", 5)) == ["new", "other text"]
        assert worded(store, "n", "old") == []
        assert said(store.segments("n", "d")) == ["new"]
        assert [(d.id, d.segments) for d in store.documents("n")] == [("d", 1), ("e", 1)]
        assert found(store, "n", "other text", 1) == ["other text"]

    def test_a_document_written_in_parts_is_whole_in_the_end(self, store: Store) -> None:
        """Batches that do not replace append."""
        store.write("n", [batch("d", ["a a", "b b"], complete=False)])
        (document,) = store.documents("n")
        assert (document.complete, document.segments) == (False, 2)
        store.write("n", [batch("d", ["c c"], first=2, replace=False)])
        (document,) = store.documents("n")
        assert (document.complete, document.segments) == (True, 3)
        assert said(store.segments("n", "d")) == ["a a", "b b", "c c"]

    def test_documents_come_in_the_order_of_their_first_writing(self, store: Store) -> None:
        """Writing again keeps a document's place; ids and filters choose."""
        for name in ("c", "a", "b", "c"):
            store.write("n", [batch(name, [f"text {name}"], {"of": name})])
        assert [d.id for d in store.documents("n")] == ["c", "a", "b"]
        assert [d.id for d in store.documents("n", ids=["b", "x", "c", "b", "a\0"])] == ["c", "b"]
        assert [d.id for d in store.documents("n", {"of": {"$ne": "b"}}, ["b", "a"])] == ["a"]
        assert list(store.documents("n", ids=[])) == []

    def test_the_latest_texts_and_those_around_one(self, store: Store) -> None:
        """Both go by the order of first writing, and skip documents without text."""
        assert store.latest("n", 3) == store.around("n", "a", 3) == []
        for name in "abcdefgb":
            store.write("n", [batch(name, [f"text {name}"] * (name not in "ce"))])
            store.write("other", [batch(f"other {name}", ["text"])])
        for count in (0, 1, 3, 9):
            assert [d.id for d in store.latest("n", count)] == list("gfdba")[:count]
        (known,) = store.documents("n", ids=["g"])
        assert store.latest("n", 1) == [known]
        assert [d.id for d in store.around("n", "d", 0)] == ["d"]
        assert [d.id for d in store.around("n", "d", 1)] == ["b", "d", "f"]
        assert [d.id for d in store.around("n", "b", 2)] == ["a", "b", "d", "f"]
        assert [d.id for d in store.around("n", "f", 9)] == list("abdfg")
        assert store.around("n", "c", 1) == store.around("n", "x", 1) == []
        store.delete("n", ids=["f", "g"])
        assert [d.id for d in store.latest("n", 2)] == ["d", "b"]

    def test_a_document_without_segments_is_kept_and_never_found(self, store: Store) -> None:
        """A document may have no text."""
        store.write("n", [batch("bare", [], {"v": 1}), batch("d", ["one"], {"v": 2})])
        store.write("alone", [batch("bare", [])])
        assert [d.id for d in store.documents("n", {"v": 1})] == ["bare"]
        assert store.document("n", "bare") == Document("bare", "hash of []", 0, {"v": 1})
        assert store.segments("n", "bare") == []
        assert found(store, "n", "one", 9) == ["one"]
        assert found(store, "alone", "one", 9) == []
        assert store.namespaces() == ["alone", "n"]
        assert (store.stats("n").documents, store.stats("n").segments) == (2, 1)
        store.write("n", [batch("bare", ["two"]), batch("d", [])])
        assert found(store, "n", "one", 9) == ["two"]
        assert store.delete("n", ids=["bare", "d"]) == 2
        assert store.namespaces() == ["alone"]

    def test_metadata_can_change_alone(self, store: Store) -> None:
        """New metadata leaves the segments as they are."""
        store.write("n", [batch("d", ["text"], {"v": 1})])
        (before,) = store.documents("n")
        store.set_metadata("n", "d", {"v": 2})
        assert list(store.documents("n")) == [replace(before, metadata={"v": 2})]
        (segment,) = store.segments("n", "d")
        assert (segment.text, segment.metadata) == ("text", {"v": 2})
        assert found(store, "n", "text", where={"v": 2}) == worded(store, "n", "text") == ["text"]
        store.set_metadata("n", "absent", {"v": 3})
        assert store.document("n", "absent") is None

    # --- what is asked for is found ---

    def test_a_written_segment_is_nearest_to_itself(self, store: Store) -> None:
        """A segment's own key finds it, with a cosine of one."""
        texts = [f"text number {i}" for i in range(20)]
        store.write("n", [batch("d", texts)])
        store = self.reopen(store)
        for text in texts:
            assert found(store, "n", text, 1) == [text]
            (hit,) = store.nearest("n", key_of(text), 1)
            assert hit.score == pytest.approx(1.0, abs=2e-3)

    def test_filters_restrict_every_search_and_nearest_is_exact_then(self, store: Store) -> None:
        """A filter chooses among documents; wrong ones are refused."""
        for year in range(2014, 2024):
            store.write("n", [batch(f"d{year}", [f"report of {year}"], {"year": year})])
        where, texts = {"year": {"$gte": 2020}}, [f"report of {year}" for year in range(2020, 2024)]
        order = sorted(texts, key=lambda text: -float(key_of(text) @ key_of("report of 2018")))
        assert found(store, "n", "report of 2018", 10, where=where) == order
        assert found(store, "n", "report of 2018", 2, where=where) == order[:2]
        assert sorted(worded(store, "n", "report", where=where)) == texts
        assert [d.id for d in store.documents("n", where)] == [f"d{n}" for n in range(2020, 2024)]
        for use in (store.documents, lambda n, w: store.lexical(n, ["report"], 1, w)):
            with pytest.raises(InputError):
                use("n", {"year": {"$near": 2020}})
        assert store.delete("n", ids=["d2020", "d2014"], where=where) == 1
        assert store.delete("n", where=where) == 3
        assert store.stats("n").documents == 6

    def test_filters_speak_their_whole_language(self, store: Store) -> None:
        """Every operator, alone and joined, means what `larimar_memory.stores.filters` says."""
        held: dict[str, dict[str, Any]] = {
            "a": {"n": 1, "t": "x"},
            "b": {"n": 2.5, "t": "y", "f": True},
            "c": {"n": "1", "f": False},
            "d": {"t": None},
        }
        store.write("n", [batch(name, [name], held[name]) for name in held])
        for where, wanted in (
            ({}, "abcd"),
            ({"n": 1}, "a"),
            ({"n": True}, ""),
            ({"t": None}, "d"),
            ({"n": {"$gt": 1}}, "b"),
            ({"n": {"$gte": 1, "$lt": 2.5}}, "a"),
            ({"n": {"$lte": "1"}}, "c"),
            ({"n": {"$ne": 1}}, "bcd"),
            ({"t": {"$in": ["x", "y", 1]}}, "ab"),
            ({"t": {"$nin": ["x", None]}}, "bc"),
            ({"f": {"$exists": True}}, "bc"),
            ({"f": {"$exists": False}}, "ad"),
            ({"$and": [{"t": "y"}, {"f": True}]}, "b"),
            ({"$or": [{"n": 1}, {"f": False}]}, "ac"),
            ({"$not": {"n": {"$exists": True}}}, "d"),
            ({"$or": [{"$not": {"t": "x"}}, {"n": 1}], "n": {"$exists": True}}, "abc"),
        ):
            assert "".join(d.id for d in store.documents("n", where)) == wanted, where

    def test_threads_share_a_store(self, store: Store) -> None:
        """Everything that several threads write is there, and what they read meanwhile is whole."""

        def work(name: str) -> None:
            for n in range(5):
                store.write("n", [batch(f"{name}{n}", [f"{name} {n} one", f"{name} {n} two"])])
                assert len(store.segments("n", f"{name}{n}")) == 2
                assert all(d.segments == 2 for d in store.documents("n"))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, "abcd"))
        assert store.stats("n").documents == 20

    def test_words_are_found_best_first_and_the_rarest_where_there_is_a_limit(
        self, store: Store
    ) -> None:
        """BM25 orders; `most` drops the words that most segments hold."""
        store.write("n", [batch("d", ["the cat sat", "the dog sat down", "the the the bird"])])
        assert worded(store, "n", "cat") == ["the cat sat"]
        assert worded(store, "n", "sat", "dog") == ["the dog sat down", "the cat sat"]
        assert worded(store, "n", "sat", "dog", k=1) == ["the dog sat down"]
        assert worded(store, "n", "absent") == worded(store, "n") == []
        assert len(worded(store, "n", "the", "sat", most=6)) == 3
        assert worded(store, "n", "the", "sat", "absent", most=5) == ["the cat sat", "the dog sat down"]
        assert worded(store, "n", "the", "sat", "cat", most=3) == ["the cat sat"]
        assert worded(store, "n", "the", most=3) == []

    def test_words_are_found_in_every_script(self, store: Store) -> None:
        """A store cuts texts into words by the function that cuts questions."""
        texts = [
            "Йван, Αθήνα, naïve: ½",
            "회의실 열쇠는 책상에",
            "昨天的报告由王芳修改",
            "أحمد هنا",
            "क्षेत्र नमस्ते",
            "🎂",
        ]
        store.write("n", [batch("d", texts)])
        for text in texts:
            for term in words(text):
                assert text in worded(store, "n", term, k=9)
        store.write("n", [batch("d", ["other"])])
        assert [worded(store, "n", *words(text)) for text in texts] == [[]] * len(texts)

    def test_spans_are_what_they_say(self, store: Store) -> None:
        """Spans may overlap and end anywhere, and bring latents if asked to."""
        texts = [f"text {n}" for n in range(9)]
        latents = [np.full(3, n, dtype=np.int8) for n in range(9)]
        store.write("n", [batch("d", texts, latents=latents), batch("e", ["other"])])
        asked = [Span("d", 3, 5), Span("e"), Span("d", 4), Span("d", -2, 0), Span("d", 5, 4), Span("x")]
        held = store.spans("n", asked, latents=True)
        assert [said(of) for of in held] == [texts[3:6], ["other"], texts[4:], texts[:1], [], []]
        assert [of.latent.tolist() for of in held[0] if of.latent is not None] == [
            [n] * 3 for n in (3, 4, 5)
        ]
        assert held[1][0].latent is None
        assert all(of.latent is None for of in store.spans("n", asked[:1])[0])
        assert store.spans("other", asked[:2]) == [[], []]
        assert store.spans("n", []) == []
        assert said(store.segments("n", "d", 7)) == texts[7:]

    def test_latents_come_back_bit_for_bit(self, store: Store) -> None:
        """They do whether they were given at once or later; segments without any have None."""
        given: list[np.ndarray] = [
            np.ones((2, 3), dtype=np.float32),
            np.array([[1, -128]], dtype=np.int8),
        ]
        late = np.array([1.5, np.inf, np.nan], dtype=np.float16)
        store.write("n", [batch("d", ["one", "two"], latents=given), batch("e", ["three"])])
        store.write("n", [batch("f", ["four", "five"], latents=[None, given[0]])])
        rows = [s.row for name in ("d", "e", "f") for s in store.segments("n", name)]
        store.attach("n", [rows[2], 10**9], [late, late])
        store.attach("other", rows[:1], [late])
        store = self.reopen(store)
        held = [s.latent for s in store.fetch("n", rows, latents=True)]
        bits = [None if z is None else (z.dtype, z.shape, z.tobytes()) for z in held]
        wanted = [*given, late, None, given[0]]
        assert bits == [None if z is None else (z.dtype, z.shape, z.tobytes()) for z in wanted]
        assert [s.latent for s in store.fetch("n", rows)] == [None] * 5

    # --- what is deleted is gone ---

    def test_deleting_by_id_and_all(self, store: Store) -> None:
        """What is deleted is gone, and can be written again."""
        store.write("n", [batch(f"d{i}", [f"text {i}"]) for i in range(10)])
        rows = [s.row for s in store.segments("n", "d3")]
        assert store.delete("n", ids=["d3", "d4", "never there", "d5\0"], to_purge=True) == 2
        store.purge()
        assert store.delete("n", ids=[]) == 0
        assert "text 3" not in found(store, "n", "text 3", 10)
        assert (worded(store, "n", "3", "4"), store.fetch("n", rows)) == ([], [])
        assert store.document("n", "d3") is None
        assert store.delete("n") == 8
        assert store.namespaces() == []
        assert store.delete("n") == 0
        store.write("n", [batch("d3", ["back again"])])
        assert found(self.reopen(store), "n", "back again") == ["back again"]

    def test_keys_ascend_and_generations_tell_what_was_deleted(self, store: Store) -> None:
        """Row numbers only grow; after a deletion, the generation is a new one."""
        assert list(store.keys("n")) == []
        store.write("n", [batch("d", ["one", "two"])])
        ((rows, keys),) = store.keys("n")
        np.testing.assert_allclose(keys, [key_of("one"), key_of("two")], atol=5e-3)
        store.write("n", [batch("e", ["three"]), batch("f", [f"text {n}" for n in range(9)])])
        every = [int(row) for of, _ in store.keys("n") for row in of]
        assert every == sorted(every)
        assert [int(row) for of, _ in store.keys("n", int(rows[-1])) for row in of] == every[2:]
        seen = {store.generation("n")}
        store.delete("n", ids=["e", "f"])
        assert store.generation("n") not in seen
        assert list(store.keys("n", int(rows[-1]))) == []
        seen.add(store.generation("n"))
        store.write("n", [batch("d", ["one"])])
        assert store.generation("n") not in seen
        seen.add(store.generation("n"))
        store.delete("n")
        store.write("n", [batch("d", ["one", "two"])])
        assert store.generation("n") not in seen

    def test_namespaces_never_meet(self, store: Store) -> None:
        """Equal ids and words in namespaces of similar names stay apart."""
        names = ["a", "A", "a ", "a%", "a_", "'; DROP TABLE segments; --", "a.b", "\u00e9", "e\u0301"]
        for name in names:
            store.write(name, [batch("same id", [f"secret of {name}"])])
        rows = {name: [int(r) for of, _ in store.keys(name) for r in of] for name in names}
        everything = [row for of in rows.values() for row in of]
        for name in names:
            assert found(store, name, "secret of a", 50) == [f"secret of {name}"]
            assert worded(store, name, "secret", most=2) == [f"secret of {name}"]
            assert said(store.fetch(name, everything)) == [f"secret of {name}"]
            stats = store.stats(name)
            assert (stats.names, stats.documents, stats.segments) == ((name,), 1, 1)
            assert stats.characters == 10
        assert store.namespaces() == sorted(names) == list(store.stats().names)
        assert store.delete("a") == 1
        assert (found(store, "a", "secret of a"), store.fetch("a", everything)) == ([], [])
        assert (store.stats().namespaces, store.stats("a").names) == (len(names) - 1, ())
        assert found(store, "A", "secret of A") == ["secret of A"]

    def test_an_empty_store_answers_and_closes(self, store: Store) -> None:
        """Nothing is found in an empty store; a second close does nothing."""
        assert store.nearest("n", key_of("x"), 3) == store.nearest("n", key_of("x"), 3, {"a": 1}) == []
        assert store.lexical("n", ["x"], 3) == store.lexical("n", ["x"], 3, most=9) == []
        assert store.fetch("n", [1, 2]) == store.segments("n", "d") == []
        assert list(store.documents("n")) == []
        assert store.stats().segments == store.stats().namespaces == 0
        store.attach("n", [1], [np.ones(2, dtype=np.float32)])
        store.purge()
        store.clear()
        with store.snapshot():
            assert store.namespaces() == []
        store.close()
        store.close()
