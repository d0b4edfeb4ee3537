"""Texts kept as one segment, searches that hand out keys, and encoders of any kind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory import Larimar, moving, write
from larimar_memory.encoders.base import Encoder, Kind
from larimar_memory.encoders.keys import unit
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import EncoderMismatchError, InputError, MemoryFileError
from larimar_memory.recall import candidates

DIMENSION = 8
LONG = "The first sentence says what this is about. The second one adds that it is long.\n\n" * 9
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=400).filter(str.strip)


class Hashing:
    """Keys that depend on the text alone, of no language model."""

    fingerprint = "hashing"
    dimension = DIMENSION

    def encode(self, texts: Sequence[str], kind: Kind = "segment") -> np.ndarray:
        drawn = [np.random.default_rng(list(t.encode())).standard_normal(DIMENSION) for t in texts]
        return unit(np.array(drawn).reshape(len(texts), DIMENSION))


@pytest.fixture(params=["ram", "file"])
def hashed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Larimar]:
    path = None if request.param == "ram" else tmp_path / "m.larimar"
    with Larimar.open(path, encoder=Hashing()) as opened:
        yield opened


def segments(memory: Larimar, name: str) -> list[str]:
    return [s.text for s in memory.store.segments("default", name)]


def test_encoders_of_any_kind(encoder: SentenceEncoder, tmp_path: Path) -> None:
    assert isinstance(encoder, Encoder)
    assert isinstance(Hashing(), Encoder)
    assert not isinstance("a name", Encoder)
    with Larimar.open(tmp_path / "m.larimar", encoder=Hashing()) as memory:
        memory.write(["red", "green", "blue"])
        assert memory.read("green", k=1, hybrid=False).segments[0].text == "green"
    with pytest.raises(EncoderMismatchError, match="It was written with encoder hashing"):
        Larimar.open(tmp_path / "m.larimar", encoder=encoder)


@given(st.lists(texts, min_size=1, max_size=5))
def test_a_whole_text_is_one_segment_that_is_read_as_it_was_written(written: list[str]) -> None:
    with Larimar.open(encoder=Hashing()) as memory:
        names = [f"d{n}" for n in range(len(written))]
        assert memory.write(written, names, whole=True) == names
        assert memory.stats().segments == memory.stats().documents == len(written)
        for name, text in zip(names, written, strict=True):
            assert segments(memory, name) == [memory.text(name)] == [text]
        best = memory.read(written[0], k=1, hybrid=False, threshold=0).segments[0]
        assert (best.text, best.start, best.end) == (written[0], 0, len(written[0]))


def test_whole_or_cut_is_part_of_what_is_written(
    hashed: Larimar, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed.write([LONG], ["d"], [{"v": 1}])
    assert len(segments(hashed, "d")) > 1
    hashed.write([LONG], ["d"], [{"v": 1}], whole=True)
    assert segments(hashed, "d") == [LONG]
    hashed.update("d", LONG + "And an end.", whole=True)
    assert segments(hashed, "d") == [LONG + "And an end."]
    assert [d.metadata for d in hashed.documents()] == [{"v": 1}]
    hashed.update("d", LONG, whole=False)
    cut = segments(hashed, "d")
    assert len(cut) > 1
    assert "".join(cut) == LONG
    hashed.write([LONG], ["e"], whole=True)
    monkeypatch.setattr(hashed.store, "write", None)
    hashed.write([LONG], ["e"], whole=True)
    hashed.write([LONG], ["d"], [{"v": 1}])


@given(texts, texts, st.booleans())
def test_an_update_keeps_the_way_a_text_was_written(before: str, after: str, whole: bool) -> None:
    with Larimar.open(encoder=Hashing()) as memory:
        memory.write([before], ["d"], whole=whole)
        memory.write([after], ["as written"], whole=whole)
        for _ in range(2):
            memory.update("d", after)
            assert segments(memory, "d") == segments(memory, "as written")


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("before", ["short", LONG])
def test_the_way_a_text_was_written_is_known_wherever_it_is(
    tmp_path: Path, before: str, whole: bool
) -> None:
    """After a change of metadata and of episode, a copy, an export and an import."""
    held, copied, out = tmp_path / "m.larimar", tmp_path / "c.larimar", tmp_path / "out"
    with Larimar.open(held, encoder=Hashing()) as memory:
        memory.write([before], ["d"], whole=whole)
        memory.write([before], ["d"], [{"v": 1}], whole=whole)
        memory.write([before], ["d"], [{"v": 2}], episode="E", whole=whole)
    moving.copy(held, copied)
    moving.copy(copied, out)
    moving.copy(out, tmp_path / "i.larimar")
    for path in (held, copied, tmp_path / "i.larimar"):
        with Larimar.open(path, encoder=Hashing()) as memory:
            memory.update("d", LONG + "And an end.")
            assert (len(segments(memory, "d")) == 1) == whole
            assert memory.text("d") == LONG + "And an end."


def test_a_damaged_text_is_replaced_where_it_is_said_how(tmp_path: Path) -> None:
    path = tmp_path / "m.larimar"
    with Larimar.open(path, encoder=Hashing()) as memory:
        memory.write([LONG], ["d"], whole=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE segments SET text = 'other'")
    with Larimar.open(path, encoder=Hashing()) as memory:
        with pytest.raises(MemoryFileError, match="is damaged"):
            memory.update("d", "new")
        memory.update("d", "new", whole=True)
        assert segments(memory, "d") == [memory.text("d")] == ["new"]


def test_whole_texts_in_several_commits(hashed: Larimar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "BATCH_SEGMENTS", 2)
    names = [f"d{n}" for n in range(5)]
    hashed.write([f"{n}: {LONG}" for n in range(5)], names, whole=True)
    assert [segments(hashed, name) for name in names] == [[f"{n}: {LONG}"] for n in range(5)]


@pytest.mark.parametrize("whole", [True, False])
def test_of_one_id_given_twice_the_last_counts(hashed: Larimar, whole: bool) -> None:
    for said in ([True, 1], [1, 2], [2, 3, 3]):
        hashed.write(["same"] * len(said), ["d"] * len(said), [{"v": v} for v in said], whole=whole)
        (document,) = hashed.documents()
        assert repr(document.metadata) == repr({"v": said[-1]})
        assert segments(hashed, "d") == ["same"]
    for _ in range(4):
        hashed.write(["alpha one", "beta two"], ["d", "d"], whole=whole)
        assert segments(hashed, "d") == [s.segment.text for s in hashed.search("alpha")] == ["beta two"]


def test_a_search_finds_what_is_nearest_with_its_key(hashed: Larimar) -> None:
    said = [f"entry {n}" for n in range(60)]
    hashed.write(said, metadatas=[{"n": n} for n in range(60)], whole=True)
    hashed.write(["entry 7"], ["other"], namespace="other")
    keys, asked = Hashing().encode(said), Hashing().encode(["entry 7"], kind="question")[0]
    order = np.argsort(-(keys @ asked))
    for question in ("entry 7", asked, list(3.5 * asked)):
        found = hashed.search(question, 50, hybrid=False)  # type: ignore[arg-type]
        cosines = [candidate.cosine for candidate in found]
        np.testing.assert_allclose(cosines, np.sort(keys @ asked)[::-1][:50], atol=3e-3)
        assert found[0].segment.text == said[order[0]] == "entry 7"
        assert found[0].segment.document_id != "other"
        np.testing.assert_allclose(found[0].segment.key, asked, atol=1e-3)
        assert all(c.score == max(0.0, min(1.0, c.cosine)) for c in found)
        assert min(cosines) < 0 == found[-1].score
    assert [c.segment.metadata["n"] for c in hashed.search(asked, 9, where={"n": {"$lt": 1}})] == [0]
    assert hashed.search("entry", namespace="empty") == []


def test_a_search_by_words_as_well(hashed: Larimar) -> None:
    hashed.write([f"The code of part {n} is QX-{n:04d}." for n in range(60)], whole=True)
    found = hashed.search("Which part has QX-0041?", 60)
    best = max(found, key=lambda c: c.rank_score - c.cosine)
    assert "part 41 " in best.segment.text
    assert best.rank_score - best.cosine > 0.29
    assert [c.rank_score for c in found] == sorted((c.rank_score for c in found), reverse=True)
    for by_key in hashed.search("Which part has QX-0041?", 60, hybrid=False):
        assert by_key.rank_score == by_key.cosine


def test_the_rarest_words_are_searched_while_few_are_ranked_for_them(
    hashed: Larimar, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed.write([f"common {'half' if n % 2 else 'rare' * (n == 0)} {n}" for n in range(20)])
    found = list[int]()
    lexical = hashed.store.lexical

    def spy(*given: Any, **options: Any) -> Any:
        hits = lexical(*given, **options)
        found.append(len(hits))
        return hits

    monkeypatch.setattr(hashed.store, "lexical", spy)
    for most in (3_000, 32, 31, 12, 11, 1):
        monkeypatch.setattr(candidates, "RANKED", most)
        hashed.search("common, half, rare, absent?")
    # One holds "rare", ten "half" and all "common".
    assert found == [20, 20, 11, 11, 1, 0]


@pytest.mark.parametrize(
    ("question", "options", "message"),
    [
        (
            [1.0, 2.0],
            {},
            r"with this key\. It is of shape \(2,\), and a key of this memory is 8 finite",
        ),
        ([float("nan")] * 8, {}, "It holds NaN or infinity, and a key"),
        (["a"] * 8, {}, r"It is a list, not numbers, .* Make it with the encoder of the memory\."),
        (" ", {}, r"The question cannot be answered\. It is empty"),
        ("why?", {"k": 0}, "k=0"),
        ("why?", {"namespace": ""}, "cannot be a namespace"),
    ],
)
def test_what_cannot_be_searched_for(
    hashed: Larimar, question: Any, options: dict[str, Any], message: str
) -> None:
    hashed.write(["something"])
    with pytest.raises(InputError, match=message):
        hashed.search(question, **options)


def test_a_key_without_direction_is_like_nothing(hashed: Larimar) -> None:
    hashed.write(["one", "two"])
    assert [c.cosine for c in hashed.search(np.zeros(DIMENSION))] == [0, 0]


def test_a_search_through_slots() -> None:
    with Larimar.open(encoder=Hashing(), slots=64) as memory:
        memory.write([f"entry {n}" for n in range(20)], whole=True)
        for n in range(20):
            assert memory.search(f"entry {n}", 1, hybrid=False)[0].segment.text == f"entry {n}"
