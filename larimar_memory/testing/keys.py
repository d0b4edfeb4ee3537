"""The laws of what a store knows besides texts: fine keys, episodes, and how frequent words are.

They hold for every store; `StoreLaws` includes them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from larimar_memory.errors import InputError
from larimar_memory.stores.base import Document, Store, WriteBatch
from larimar_memory.testing.writes import batch, found, key_of, said


def in_episode(name: str, texts: list[str], episode: str | None) -> WriteBatch:
    """A document of an episode."""
    made = batch(name, texts)
    return replace(made, document=replace(made.document, episode=episode))


def names(found: list[list[Document]]) -> list[str]:
    """The ids of documents, joined."""
    return ["".join(document.id for document in of) for of in found]


class KeyLaws:
    """Laws of keys, episodes and counts; a subclass gives the fixture `store`, and perhaps `reopen`."""

    @pytest.fixture
    def store(self) -> Store:
        """An empty store for keys of `DIMENSION` numbers."""
        raise NotImplementedError

    def reopen(self, store: Store) -> Store:
        """A new store over what this one keeps once closed; the same store if it keeps nothing."""
        return store

    def test_the_encoders_keys_are_there_or_come_later(self, store: Store) -> None:
        """A lazy store lacks the keys it was not given; an eager one lacks none, and keeps its own."""
        texts, fine = ["one", "two", "three"], [key_of("fine one"), None, None]
        store.write("n", [replace(batch("d", texts), fine=fine)])
        one, two, three = store.segments("n", "d")
        assert store.stats("n").keyed == (1 if store.lazy else 3)
        assert store.lacking("n", 0, 9) == ([two.row, three.row] if store.lazy else [])
        assert store.lacking("n", two.row, 9) == ([three.row] if store.lazy else [])
        assert store.lacking("n", 0, 1) == ([two.row] if store.lazy else [])
        assert store.lacking("other", 0, 9) == []
        before = [store.nearest("n", key_of(text), 3) for text in texts]
        made = np.array([key_of("fine two"), key_of("of none"), key_of("fine again")])
        assert store.attach("n", [two.row, 10**9, one.row], keys=made)
        assert store.attach("other", [three.row], keys=made[:1])
        store = self.reopen(store)
        assert store.stats("n").keyed == store.stats().keyed == (2 if store.lazy else 3)
        assert store.lacking("n", 0, 9) == ([three.row] if store.lazy else [])
        held = store.segments("n", "d")
        wanted = ["fine again", "fine two", None] if store.lazy else [*texts]
        for segment, text, own in zip(held, texts, wanted, strict=True):
            assert (segment.key is None) == (own is None)
            assert (segment.coarse is not None) == store.lazy
            if segment.key is not None and own is not None:
                rounded = key_of(own).astype(np.float16).astype(np.float32)
                np.testing.assert_array_equal(segment.key, rounded)
            assert segment.best_key.dtype == np.float32
            assert found(store, "n", text, 1) == [text]
        # What a search finds does not depend on which fine keys are there.
        assert [store.nearest("n", key_of(text), 3) for text in texts] == before

    def test_the_encoders_keys_go_with_their_segments(self, store: Store) -> None:
        """A segment that is written again lacks its fine key again; a deleted one no longer counts."""
        fine = [key_of("fine")]
        store.write("n", [replace(batch(name, [f"text {name}"]), fine=fine) for name in "ab"])
        assert store.stats("n").keyed == 2
        store.write("n", [batch("a", ["text a"])])
        (again,) = store.segments("n", "a")
        assert store.lacking("n", 0, 9) == ([again.row] if store.lazy else [])
        assert store.delete("n", ids=["b"]) == 1
        assert store.stats("n").keyed == (0 if store.lazy else 1)

    def test_latents_and_keys_are_given_together_without_waiting(self, store: Store) -> None:
        """One call gives both, or either; if nobody writes, there is nothing to wait for."""
        store.write("n", [batch("d", ["one", "two"])])
        rows = [segment.row for segment in store.segments("n", "d")]
        latents = [np.full(3, n, dtype=np.int8) for n in range(2)]
        keys = np.array([key_of("fine one"), key_of("fine two")])
        assert store.attach("n", rows, latents, keys, wait=False)
        assert store.attach("n", [], [], wait=False)
        assert store.attach("n", rows, wait=False)
        held = store.fetch("n", rows, latents=True)
        assert [s.latent.tolist() for s in held if s.latent is not None] == [[0] * 3, [1] * 3]
        assert store.stats("n").keyed == 2

    def test_the_documents_of_an_episode_around_one(self, store: Store) -> None:
        """They come in the order of first writing, whatever stands between; empty ones do not count."""
        for name in "axbycd":
            store.write("n", [in_episode(name, [f"text {name}"], "E" if name in "abcd" else None)])
            store.write("other", [in_episode(f"other {name}", ["text"], "E")])
        store.write("n", [in_episode("e", [], "E"), in_episode("f", ["text f"], "E")])
        store.write("n", [in_episode("z", ["text z"], "F"), in_episode("b", ["again"], "E")])
        store = self.reopen(store)
        assert names(store.beside("n", ["b", "x", "nobody", "f", "z", "b\0"], 1)) == [
            *("abc", "x", "", "df", "z", "")
        ]
        assert names(store.beside("n", ["a", "d", "a"], 9)) == ["abcdf"] * 3
        assert names(store.beside("n", ["c"], 0)) == ["c"]
        assert names(store.beside("n", ["e"], 1)) == ["def"]
        assert store.beside("n", [], 1) == []
        assert store.beside("nowhere", ["a"], 1) == [[]]
        (near,) = store.beside("n", ["a"], 1)
        assert near == list(store.documents("n", ids=["a", "b"]))
        store.delete("n", ids=["b"])
        assert names(store.beside("n", ["a"], 1)) == ["ac"]

    def test_documents_and_episodes_by_pages(self, store: Store) -> None:
        """A page follows a document, in either order; after one that is gone comes the first page."""
        for name in ["a", "B/x", "c", "d%", "b/X\u00e9"]:
            episode = {"a": "E", "c": "E", "d%": "F'"}.get(name)
            texts = [] if name == "c" else [f"text {name}"]
            store.write("n", [in_episode(name, texts, episode)])
            store.set_metadata("n", name, {"length": len(name)})
            store.write("other", [in_episode(name, ["text"], "G")])
        store = self.reopen(store)

        def page(count: int, **chosen: Any) -> list[str]:
            found = store.page("n", count, **chosen)
            assert (
                found
                == list(store.documents("n", ids=[d.id for d in found]))[
                    :: -1 if chosen.get("newest") else 1
                ]
            )
            return [document.id for document in found]

        everything = ["a", "B/x", "c", "d%", "b/X\u00e9"]
        assert page(9) == everything
        assert page(2) == page(2, after="nobody") == ["a", "B/x"]
        assert page(2, after="B/x") == ["c", "d%"]
        assert page(9, after="b/X\u00e9") == []
        assert page(2, newest=True) == page(2, newest=True, after="nobody") == ["b/X\u00e9", "d%"]
        assert page(9, newest=True, after="c") == ["B/x", "a"]
        assert page(9, episode="E") == ["a", "c"]
        assert page(9, episode="E", newest=True, after="c") == ["a"]
        assert page(9, episode="G") == []
        assert page(9, matching="b/x") == page(9, matching="B/X") == ["B/x", "b/X\u00e9"]
        assert page(9, matching="%") == ["d%"]
        assert page(9, matching="\u00c9") == page(9, matching="_") == []
        short: dict[str, Any] = {"length": {"$lt": 3}}
        assert page(9, where=short) == ["a", "c", "d%"]
        assert page(1, where=short, after="B/x") == ["c"]
        assert page(9, where=short, newest=True, after="c", episode="E") == ["a"]
        assert page(9, where=short, matching="D") == ["d%"]
        assert page(9, where={"none": 1}) == []
        with pytest.raises(InputError, match="The metadata filter cannot be used"):
            page(9, where={"length": {"$no": 1}})
        assert (store.page("nowhere", 9), store.episodes("nowhere", 9)) == ([], [])
        assert store.episodes("n", 9) == [("E", 2), ("F'", 1)]
        assert store.episodes("n", 1) == [("E", 2)]
        assert store.episodes("n", 9, after="E") == [("F'", 1)]
        store.delete("n", ids=["d%"])
        assert store.episodes("n", 9) == [("E", 2)]

    def test_an_episode_stays_until_it_is_changed(self, store: Store) -> None:
        """New metadata keeps the episode; a new episode alone keeps the document's segments."""
        episode = "\u00e9pisode '; --"
        store.write("n", [in_episode("a", ["text a"], episode), in_episode("b", ["text b"], episode)])
        store.set_metadata("n", "a", {"v": 1})
        known = store.document("n", "a")
        assert known is not None
        assert (known.episode, known.metadata) == (episode, {"v": 1})
        nothing = np.empty((0, 0), dtype=np.float32)
        store.write("n", [WriteBatch(replace(known, episode=None), [], nothing, replace=False)])
        store = self.reopen(store)
        assert [document.episode for document in store.documents("n")] == [None, episode]
        assert names(store.beside("n", ["a", "b"], 1)) == ["a", "b"]
        assert said(store.segments("n", "a")) == ["text a"]

    def test_how_many_segments_hold_a_term(self, store: Store) -> None:
        """A term counts once per segment, in this namespace only, and no further than asked for."""
        store.write("n", [batch("d", ["the cat", "the the dog", "the bird"])])
        store.write("other", [batch("d", ["the cat"])])
        assert store.frequencies("n", ["the", "dog", "absent", "cat", "the"]) == [3, 1, 0, 1, 3]
        assert store.frequencies("n", ["the", "dog"], most=2) == [2, 1]
        assert store.frequencies("nowhere", ["the"]) == [0]
        assert store.frequencies("n", []) == []
        store.delete("n", ids=["d"])
        assert store.frequencies("n", ["the"]) == [0]
