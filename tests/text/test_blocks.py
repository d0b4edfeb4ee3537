"""Texts in blocks are cut into the same segments, and written the same."""

from __future__ import annotations

from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larimar_memory import write
from larimar_memory.errors import InputError
from larimar_memory.text import segments
from larimar_memory.text.blocks import Text
from larimar_memory.text.segments import segment
from larimar_memory.types import WriteProgress
from tests.quick import contents
from tests.text.long_texts import in_blocks, open_quick, sentences

PARTS = [
    "Hello there. ",
    "a",
    "\r\n",
    "\n\n",
    "\n",
    "\u3002",
    " ",
    "x" * 300,
    " " * 300,
    "Mr. ",
    "No! ",
]
PROSE = st.lists(st.sampled_from(PARTS), max_size=40).map("".join)


def cut(text: str, places: list[int]) -> list[str]:
    at = [0, *sorted(p % (len(text) + 1) for p in places), len(text)]
    return [text[a:b] for a, b in pairwise(at)]


@given(PROSE | st.text(), st.lists(st.integers(0, 10_000), max_size=8), st.integers(5, 500))
@settings(max_examples=300)
def test_blocks_have_no_say_in_where_a_text_is_cut(text: str, places: list[int], window: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "WINDOW_CHARS", window)
        assert list(segment(cut(text, places))) == list(segment(text))


@given(PROSE.filter(str.strip), st.integers(1, 700), st.integers(2, 5))
def test_a_text_in_blocks_is_written_as_the_whole_one(text: str, size: int, batch: int) -> None:
    with pytest.MonkeyPatch.context() as patch, open_quick() as one, open_quick() as other:
        patch.setattr(write, "BATCH_SEGMENTS", batch)
        one.write([text, "Another text."], ["d", "e"], [{"n": 1}, {}])
        other.write_each(
            [Text("d", in_blocks(text, size), {"n": 1}), Text("e", in_blocks("Another text."), {})]
        )
        assert contents(one) == contents(other)
        assert one.text("d") == text


def test_what_is_written_again_in_blocks_is_known(tmp_path: Path) -> None:
    text = sentences(50)
    with open_quick(tmp_path / "m.larimar") as memory:
        memory.write([text], ["d"])
        memory.store.write = None  # type: ignore[assignment, method-assign]
        seen = list[WriteProgress]()
        memory.write_each([Text("d", in_blocks(text), {})], on_progress=seen.append)
        assert seen[-1].characters == len(text)


def test_one_id_again_and_again_ends_with_the_last() -> None:
    texts = [sentences(3, seed) for seed in (0, 1)]
    order = [0, 1, 0, 0, 1, 1, 0, 1, 0]
    for tokens in (True, False):
        with open_quick(tokens=tokens) as memory, pytest.MonkeyPatch.context() as patch:
            patch.setattr(write, "BATCH_SEGMENTS", 2)
            for last in (0, 1):
                memory.write_each(Text("d", texts[n], {}) for n in [*order, last])
                assert memory.text("d") == texts[last]
                assert memory.stats().documents == 1


class AtOnce:
    """An executor that has done what it is given before it says so."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> AtOnce:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Any, *given: Any) -> Future[Any]:
        done = Future[Any]()
        done.set_result(work(*given))
        return done


def test_what_is_half_written_is_under_way_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "BATCH_SEGMENTS", 2)
    # Each batch is in the store before the next is read.
    monkeypatch.setattr(write, "ThreadPoolExecutor", AtOnce)
    text = sentences(5)
    with open_quick(tokens=False) as memory:
        memory.write_each(Text("d", text, {}) for _ in range(4))
        assert memory.text("d") == text
        assert memory.stats().segments == len(list(segment(text)))


def test_a_text_that_changes_while_it_is_read_is_not_kept(tmp_path: Path) -> None:
    first, later = sentences(60), sentences(60, seed=1)
    reads = iter([first, later, first, first])
    with pytest.MonkeyPatch.context() as patch, open_quick(tmp_path / "m.larimar") as memory:
        patch.setattr(write, "BATCH_SEGMENTS", 7)
        changing = Text("d", lambda: in_blocks(next(reads))(), {})
        with pytest.raises(InputError, match=r"d cannot be written\. It changed while it was being"):
            memory.write_each([Text("before", "Something else.", {}), changing])
        assert memory.text("before") == "Something else."
        assert memory.text("d") == ""
        memory.write_each([changing])
        assert memory.text("d") == first


def test_texts_before_one_that_cannot_be_written_are_written() -> None:
    bad = {
        r"d cannot be written\. It is empty\. Pass text with": Text("d", in_blocks(" \n"), {}),
        r"d cannot be written\. At character 1 it holds half of a surrogate": Text(
            "d", in_blocks("a\ud800"), {}
        ),
        r"'' cannot be a document id": Text("", "text", {}),
    }
    for message, item in bad.items():
        with open_quick() as memory:
            with pytest.raises(InputError, match=message):
                memory.write_each([Text("before", "Something.", {}), item, Text("after", "More.", {})])
            assert [d.id for d in memory.documents()] == ["before"]
