"""Segments: spans rebuild the source, whatever the source is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.errors import InputError
from larimar_memory.text.segments import MAX_CHARS, MIN_CHARS, WINDOW_CHARS, is_heading, segment

HOSTILE = {
    "no punctuation": "word " * 5000,
    "one unbroken line": "a" * 100_000,
    "cjk": "\u4eca\u65e5\u306f\u826f\u3044\u5929\u6c17\u3067\u3059\u3002" * 300,
    "cjk without stops": "\u5b57" * 10_000,
    "emoji families": "\U0001f469\u200d\U0001f469\u200d\U0001f467" * 2000,
    "accents apart": "e\u0301" * 5000,
    "crlf": "line one\r\nline two\r\n\r\n" * 500,
    "lone carriage returns": "\r" * 1000,
    "nul": "a\0b. \0" * 500,
    "blank": " \n\t" * 5000,
    "table": "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 500,
    "code": "def f(x):\n    return {'a': [x, x]}\n\n" * 300,
    "stops only": "." * 5000,
    "tiny sentences": "No. Yes. " * 3000,
    "arabic": "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645\u061f " * 400,
    "past a window": ("x" * 70 + ". ") * (WINDOW_CHARS // 36),
}


def check(text: str) -> None:
    found = list(segment(text))
    assert "".join(s.text for s in found) == text
    assert [s.index for s in found] == list(range(len(found)))
    at = 0
    for piece in found:
        assert piece.start == at
        assert piece.end > piece.start
        assert piece.end - piece.start <= MAX_CHARS
        assert text[piece.start : piece.end] == piece.text
        at = piece.end
    assert at == len(text)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_rebuilt(name: str) -> None:
    check(HOSTILE[name])


@given(st.text())
def test_any_text_is_rebuilt(text: str) -> None:
    check(text)


@given(st.lists(st.sampled_from(["Hello there. ", "a", "\r\n", "\n\n", "\u3002", " ", "x" * 300])))
def test_any_arrangement_is_rebuilt(parts: list[str]) -> None:
    check("".join(parts))


def test_one_line_of_ten_megabytes() -> None:
    check("abcdefghij" * 1_000_000)


def test_empty_text_has_no_segments() -> None:
    assert list(segment("")) == []


def test_a_sentence_is_a_segment_and_short_ones_are_joined() -> None:
    first = "The committee met in Geneva on the third of March. "
    second = "It was raining very hard on that particular day. "
    short = "Nobody came. "
    assert [s.text for s in segment(first + second + first)] == [first, second, first]
    assert [s.text for s in segment(short + first)] == [short + first]
    assert [s.text for s in segment(first + short)] == [first + short]
    assert [s.text for s in segment(first + short + "\n\n" + second)] == [
        first + short + "\n\n",
        second,
    ]
    assert [s.text for s in segment("So it is.\n\n" + second)] == ["So it is.\n\n", second]
    assert len(short) < MIN_CHARS


def test_long_sentences_are_cut_at_words() -> None:
    for piece in segment("seven letters " * 100):
        assert not piece.text.startswith("etters")
        assert piece.text.endswith(" ")


def test_accents_and_line_ends_are_not_torn_apart() -> None:
    for piece in segment(HOSTILE["accents apart"]):
        assert not piece.text.startswith("\u0301")
    for piece in segment("y" * (MAX_CHARS - 1) + "\r\n" + "z" * 100):
        assert not piece.text.startswith("\n")


def test_window_edges_do_not_cut_sentences() -> None:
    sentence = "This sentence has exactly the length that makes windows end inside it somewhere. "
    text = sentence * (2 * WINDOW_CHARS // len(sentence))
    assert {s.text for s in segment(text)} == {sentence}


def test_lengths_out_of_order_are_refused() -> None:
    with pytest.raises(InputError, match=r"min_chars=50 and max_chars=40\. The lengths must satisfy"):
        list(segment("text", min_chars=50, max_chars=40))


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        ("1. A Heading\n\n", True),
        ('The "assert" statement\n*********\n\n', True),
        ("## Notes\n\n", True),
        ("A sentence that ends.\n\n", False),
        ("the middle of something\n\n", False),
        ('target ::= primary "." name\n\n', False),
        ("Words in a paragraph\nof two lines\n\n", False),
        ("Words that go on ", False),
        (" \n", False),
    ],
)
def test_headings_are_told_from_text(text: str, heading: bool) -> None:
    assert is_heading(text) == heading
