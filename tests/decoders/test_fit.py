"""Fitting a budget: the longest prefix that fits, and passages none of which stands in another."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.decoders.budget import fit
from larimar_memory.decoders.prompt import passage, passages

SIZES = st.lists(st.integers(0, 9), max_size=70)


@given(SIZES, st.integers(-1, 300))
def test_the_longest_prefix_fits(sizes: list[int], budget: int) -> None:
    counts = [count for count in range(len(sizes) + 1) if sum(sizes[:count]) <= budget]
    assert fit(sizes, lambda some: sum(some) <= budget) == max(counts, default=0)


@given(st.lists(st.booleans(), max_size=40))
def test_what_fits_fits_whatever_is_asked_and_one_more_does_not(answers: list[bool]) -> None:
    def fits(some: Sequence[bool]) -> bool:
        return some[-1]

    count = fit(answers, fits)
    assert count == 0 or fits(answers[:count])
    assert count == len(answers) or not fits(answers[: count + 1])


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_few_prefixes_are_tried_and_none_much_longer_than_what_fits(items: int, room: int) -> None:
    tried = list[int]()

    def fits(some: Sequence[int]) -> bool:
        tried.append(len(some))
        return len(some) <= room

    count = fit(range(items), fits)
    assert count == min(items, room)
    assert len(tried) <= 2 * log2(count + 1) + 2
    assert max(tried, default=0) <= max(2 * count, 1)


def test_text_is_cut_by_characters() -> None:
    assert fit("abcdef", lambda some: len(some) <= 4) == 4
    assert fit("", lambda _: True) == 0


@given(st.lists(st.text("ab <\n", max_size=6), max_size=12))
def test_no_passage_stands_in_another_and_none_is_lost(texts: list[str]) -> None:
    kept = passages(texts)
    assert all(kept)
    assert not any(one in other for one in kept for other in kept if one is not other)
    assert all(any(passage(text) in one for one in kept) for text in texts if passage(text))
    assert [text for text in dict.fromkeys(map(passage, texts)) if text in kept] == kept
