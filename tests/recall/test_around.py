"""What is around a segment: text of its document or its conversation, as much as fits, and no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.larimar import Larimar
from larimar_memory.recall.around import (
    SENTENCES,
    TOKEN_CHARS,
    TURNS,
    Surrounded,
    _reach,
    _short,
    stands_alone,
)
from larimar_memory.recall.question import Asked
from larimar_memory.stores.base import Document
from larimar_memory.types import Metadata, ReadOptions, RecalledSegment
from tests.quick import QuickCoarse

SENTENCE = "The lamp number {} is lit by keeper {}. "
LOTS = 10_000


@pytest.fixture(scope="module")
def memory() -> Iterator[Larimar]:
    with Larimar.open(encoder=QuickCoarse()) as opened:
        yield opened


def words(text: str) -> int:
    return len(text.split())


def best(memory: Larimar, question: str, **how: Any) -> RecalledSegment:
    return memory.read(question, 1, threshold=0.0, **how).segments[0]


def around(
    memory: Larimar, one: RecalledSegment, most: int = LOTS, question: str = "q", **how: Any
) -> Surrounded:
    return memory._recall.surroundings(ReadOptions(**how), question).of(one, size, most)


def size(text: str, metadata: Metadata) -> int:
    """One for each word and for the end, and for each letter of a long name."""
    name = str(metadata.get("speaker", ""))
    return words(text) + 1 + len(name[3:])


def lamps(count: int) -> str:
    return "".join(SENTENCE.format(n, "abcdefghij"[n % 10]) for n in range(count))


@given(count=st.integers(1, 12), at=st.integers(0, 11), most=st.integers(0, 120))
def test_of_prose_it_is_one_piece_of_the_document(
    memory: Larimar, count: int, at: int, most: int
) -> None:
    space, text = f"prose {count}", lamps(count)
    memory.write([text], ["lamps"], namespace=space)
    held = memory.store.segments(space, "lamps")
    at %= len(held)
    one = replace(
        best(memory, "lamp", namespace=space),
        id=f"lamps#{at}",
        index=at,
        text=held[at].text,
        start=held[at].start,
        end=held[at].end,
    )
    stretch = around(memory, one, most, namespace=space)
    found = stretch.best
    assert stretch.whole == (found,)
    assert (found.id, found.text, found.score) == (one.id, one.text, one.score)
    assert found.context == text[found.start - len(found.before) : found.end + len(found.after)]
    pieces = [held[n].text for n in range(max(at - SENTENCES, 0), min(at + SENTENCES + 1, len(held)))]
    assert found.context in "".join(pieces)
    if found.context != found.text:
        assert words(found.context) <= most
    if most >= 120:
        assert found.context == "".join(pieces)


@pytest.mark.parametrize(
    ("text", "question", "alone"),
    [
        ("The mill at Merrow was built in 1887.", "When was the mill of Merrow built?", True),
        ("The MILLS at Merrow were built by bakers.", "Who built a mill at Merrow?", True),
        ("The mill was built in 1887.", "When was the mill of Merrow built?", False),
        ("It was built at Merrow, that mill.", "When was the mill of Merrow built?", False),
        ("Merrow!", "Who is it?", False),
        ("The mill of Merrow was built.", "When was the mill of Merrow built?", False),
        ("When was the old mill of Merrow built?\n\n", "When was the mill of Merrow built?", False),
        ("The Mill of Merrow, Built of Brick\n\n", "When was the mill of Merrow built?", False),
        ("", "When was the mill built?", False),
    ],
)
def test_a_text_with_every_word_of_a_question_stands_alone(
    text: str, question: str, alone: bool
) -> None:
    assert stands_alone(text, Asked(question)) is alone
    assert not stands_alone(text, Asked(question, "de"))


def test_what_stands_alone_is_given_alone_but_in_a_conversation(memory: Larimar) -> None:
    text, question = lamps(5), "Which keeper has lit lamp number 2?"
    memory.write([text], ["lamps"], namespace="alone")
    one = best(memory, "lamp number 2", namespace="alone")
    assert around(memory, one, namespace="alone").best.context == text
    assert around(memory, one, question=question, namespace="alone").whole == (one,)
    turns = [{"speaker": "Ann"}, {"speaker": "Bo"}]
    memory.write([one.text, "Thanks!"], ["a", "b"], turns, namespace="spoken", episode="talk")
    turn = best(memory, "lamp number 2", namespace="spoken", where={"speaker": "Ann"})
    assert ids(around(memory, turn, question=question, namespace="spoken").whole) == ["a", "b"]


def said(count: int, **changes: Any) -> list[dict[str, Any]]:
    every = [
        {"speaker": "Ann" if n % 2 else "Bo", "said_at": f"2026-05-{n + 1:02}"} for n in range(count)
    ]
    return [{**one, **changes} for one in every]


def talk(memory: Larimar, space: str, count: int = 20, episode: str | None = "talk") -> None:
    texts = [f"Lamp {n} is lit." for n in range(count)]
    memory.write(texts, [str(n) for n in range(count)], said(count), namespace=space, episode=episode)


def ids(some: Sequence[RecalledSegment]) -> list[str]:
    return [one.document_id for one in some]


def test_of_a_conversation_it_is_the_turns_on_both_sides(memory: Larimar) -> None:
    talk(memory, "talk")
    one = best(memory, "Lamp 9", namespace="talk", where={"said_at": "2026-05-10"})
    stretch = around(memory, one, namespace="talk")
    assert ids(stretch.whole) == [str(n) for n in range(9 - TURNS, 9 + TURNS + 1)]
    assert [turn.metadata["speaker"] for turn in stretch.before[-2:]] == ["Ann", "Bo"]
    assert {turn.weight for turn in (*stretch.before, *stretch.after)} == {0.0}
    assert {turn.score for turn in (*stretch.before, *stretch.after)} == {0.0}
    # Four words and one for the end of each.
    assert ids(around(memory, one, 15, namespace="talk").whole) == ["8", "9", "10"]
    assert ids(around(memory, one, 14, namespace="talk").whole) == ["9", "10"]
    assert ids(around(memory, one, 9, namespace="talk").whole) == ["9"]


def test_the_names_of_those_who_speak_count(memory: Larimar) -> None:
    by = [{"speaker": "Ann" if n % 2 else f"Bo{'x' * 20}"} for n in range(9)]
    texts = [f"Lamp {n} is lit." for n in range(9)]
    memory.write(texts, list("012345678"), by, namespace="named", episode="talk")
    one = best(memory, "Lamp 5", namespace="named", where={"speaker": "Ann"})
    one = replace(one, id="5#0", document_id="5", text="Lamp 5 is lit.")
    for most, shown in (
        (28, "5"),
        (29, "56"),
        (52, "567"),
        (53, "456"),
        (63, "34567"),
        (10_000, "012345678"),
    ):
        assert "".join(ids(around(memory, one, most, namespace="named").whole)) == shown


@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=13), at=st.integers(0, 12))
def test_a_long_turn_ends_what_is_read(sizes: list[int], at: int) -> None:
    at %= len(sizes)
    turns = [Document(str(n), "", chars) for n, chars in enumerate(sizes)]
    short = _short(turns, str(at), 2)
    assert str(at) in [turn.id for turn in short]
    assert all(turn.characters <= 2 * TOKEN_CHARS for turn in short if turn.id != str(at))
    left, right = int(short[0].id), int(short[-1].id)
    assert [turn.id for turn in short] == [str(n) for n in range(left, right + 1)]
    for n in {left - 1, right + 1} & {*range(len(sizes))}:
        assert sizes[n] > 2 * TOKEN_CHARS


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=13),
    at=st.integers(0, 12),
    most=st.integers(1, 200),
)
def test_a_long_turn_hides_nothing_on_the_other_side(sizes: list[int], at: int, most: int) -> None:
    at %= len(sizes)
    back, on = _reach(sizes, at, TURNS, most)
    if back or on:
        assert sum(sizes[max(at - back, 0) : at + on + 1]) <= most
    else:
        assert all(sum(sizes[max(a, 0) : b]) > most for a, b in ((at, at + 2), (at - 1, at + 1)))


def test_what_the_filter_of_the_read_leaves_out_is_not_shown(memory: Larimar) -> None:
    talk(memory, "filtered")
    one = best(memory, "Lamp 9", namespace="filtered", where={"said_at": "2026-05-10"})
    by_ann = around(memory, one, namespace="filtered", where={"speaker": "Ann"})
    assert {turn.metadata["speaker"] for turn in by_ann.whole} == {"Ann"}
    until = around(memory, one, namespace="filtered", as_of="2026-05-11")
    assert ids(until.after) == ["10"]
    since = around(memory, one, namespace="filtered", since="2026-05-08")
    assert ids(since.before) == ["7", "8"]


def test_of_no_conversation_and_of_no_speaker_there_are_no_turns(memory: Larimar) -> None:
    talk(memory, "apart", episode=None)
    assert len(around(memory, best(memory, "Lamp 9", namespace="apart"), namespace="apart").whole) == 1
    memory.write(
        ["One lamp.", "Two lamps.", "Three lamps."], list("abc"), namespace="chapters", episode="e"
    )
    one = best(memory, "Two lamps", namespace="chapters")
    assert len(around(memory, one, namespace="chapters").whole) == 1


def test_a_segment_that_was_replaced_or_forgotten_stands_alone(memory: Larimar) -> None:
    memory.write([lamps(5)], ["lamps"], namespace="changed")
    one = best(memory, "lamp number 2", namespace="changed")
    memory.update("lamps", "Nothing is lit now. " + lamps(5), namespace="changed")
    assert around(memory, one, namespace="changed").best.context == one.text
    memory.forget(ids=["lamps"], namespace="changed")
    assert around(memory, one, namespace="changed").best.context == one.text


def test_of_a_long_turn_only_what_is_near_is_shown(memory: Larimar) -> None:
    memory.write([lamps(30), "Thanks!"], ["long", "short"], said(2), namespace="long", episode="talk")
    one = best(memory, "lamp number 15", namespace="long", where={"speaker": "Bo"})
    whole = around(memory, one, namespace="long")
    assert ids(whole.whole) == ["long", "short"]
    most = words(one.text) + 30
    assert words(whole.best.context) > most
    assert words(around(memory, one, most, namespace="long").best.context) <= most
