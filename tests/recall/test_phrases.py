"""Runs of words that a question shares with a text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from larimar_memory import Larimar
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.recall import phrases
from larimar_memory.recall.phrases import MOST, SHORTEST
from larimar_memory.text.words import words


def shared_phrases(question: str, texts: list[str]) -> list[float]:
    """Of texts as they are written."""
    return phrases.shared_phrases(words(question), [*map(words, texts)])


WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=8)


@given(WORDS, WORDS)
def test_the_share_is_that_of_the_longest_common_run(asked: list[str], told: list[str]) -> None:
    runs = [
        n
        for n in range(1, len(asked) + 1)
        for i in range(len(asked) - n + 1)
        for j in range(len(told) - n + 1)
        if asked[i : i + n] == told[j : j + n]
    ]
    longest = max(runs, default=0)
    expected = longest / len(asked) if longest >= SHORTEST else 0.0
    assert shared_phrases(" ".join(asked), [" ".join(told)]) == [expected]


def test_case_accents_and_punctuation_do_not_matter() -> None:
    assert shared_phrases("Où est le café d'Été?", ["OU EST, le cafe d'ete"]) == [1.0]


def test_long_texts_of_frequent_words_are_searched_too() -> None:
    text = "and so on " * 200 + "what the old man said"
    assert shared_phrases("what the old man said", [text]) == [1.0]


def test_the_first_words_of_a_long_question_count() -> None:
    question = "what the old man said " + "and so on " * 30_000 + "where the sea begins"
    told = ["he wrote what the old man said", "it is where the sea begins", "and so on " * 20_000]
    first, last, most = shared_phrases(question, told)
    assert (first, last) == (5 / MOST, 0.0)
    assert most == (MOST - 5) / MOST


def test_a_long_question_that_is_the_text_shares_all_of_it() -> None:
    text = "It was the best of times, it was the worst of times. " * 1_000
    assert shared_phrases(text, [text, "of times it was the best of times"]) == [1.0, 8 / MOST]


def test_a_question_without_words_shares_nothing() -> None:
    assert shared_phrases("?!", ["anything at all"]) == [0.0]


def test_the_order_of_words_decides_where_the_words_do_not(encoder: SentenceEncoder) -> None:
    told = "It was the best of times for us, and for the others there."
    shuffled = [
        "It was for the best; times change.",
        "For the best of it, times was kind.",
        "The best times of it was for me.",
        "It was the times; for the best of us.",
    ]
    with Larimar.open(encoder=encoder, threshold=0.0) as memory:
        memory.write([told, *shuffled])
        assert memory.read("it was the best of times for").segments[0].text == told
