"""A conversation costs the same however long it is, and is the same as if all of it were looked at."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_larimar import LarimarChatMessageHistory, LarimarMemory
from langchain_larimar.convert import Line
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from larimar_memory.stores import SQLiteStore
from tests.quick import QuickEncoder

# A search brings back up to 300 segments: both have more.
SHORT, LONG = 200, 2000


@contextmanager
def opened(path: Path | None = None) -> Iterator[Larimar]:
    with Larimar.open(path, encoder=QuickEncoder()) as memory:
        yield memory


def fill(memory: Larimar, session: str, turns: int, first: int = 1) -> None:
    """Turns, each with words of its own, as releases before this one wrote them."""
    for start in range(first, first + turns, 500):
        numbers = range(start, min(start + 500, first + turns))
        both = [(n, role) for n in numbers for role in ("Human", "AI")]
        memory.write(
            [f"{role}{n} likes{n} word{n}." for n, role in both],
            [f"key{n}-{role}" for n, role in both],
            [{"turn": n, "role": role, "key": f"key{n}", "mark": f"mark{n}"} for n, role in both],
            namespace=f"conversation:{session}",
        )


def steps(memory: Larimar, work: Callable[[int], object], times: int = 5) -> float:
    """Steps of SQLite's machine that some work takes, in the median."""
    assert isinstance(memory.store, SQLiteStore)
    counts = list[int]()
    for n in range(times):
        done = [0]

        def more(done: list[int] = done) -> int:
            done[0] += 1
            return 0

        with memory.store._db.reading() as db:
            db.set_progress_handler(more, 10)
        work(n)
        with memory.store._db.reading() as db:
            db.set_progress_handler(None, 0)
        counts.append(done[0])
    return statistics.median(counts)


def just_said(memory: Larimar, n: int) -> None:
    turns = LarimarMemory(memory, "ana", window=0, score_threshold=0.0)
    turns.save(f"Said{n} now{n}.", "Yes.")
    assert f"Said{n} now{n}." in [line.text for line in turns.recall(f"Said{n} now{n}.")[0]]


WORK: dict[str, Callable[[Larimar], Callable[[int], object]]] = {
    "save": lambda m: lambda n: LarimarMemory(m, "ana").save(f"New {n}.", "Noted."),
    "load": lambda m: lambda n: LarimarMemory(m, "ana").load(f"Likes{n + 3} word{n + 3}?"),
    "load what is far back": lambda m: (
        lambda n: LarimarMemory(m, "ana", score_threshold=0.0, k=4).load("Human9 likes9 word9.")
    ),
    "load_text": lambda m: lambda n: LarimarMemory(m, "ana").load_text("Likes7 word7?"),
    "last ten": lambda m: lambda n: LarimarChatMessageHistory(m, "ana", limit=10).messages,
    "last tokens": lambda m: lambda n: LarimarChatMessageHistory(m, "ana", max_tokens=100).messages,
    "add_messages": lambda m: (
        lambda n: LarimarChatMessageHistory(m, "ana").add_messages(
            [HumanMessage(f"More {n}."), AIMessage("Yes.")]
        )
    ),
    "save_once": lambda m: (
        lambda n: LarimarMemory(m, "ana").save_once(f"Once {n}.", "Good.", key=f"k{n}", mark=f"m{n}")
    ),
    "save_once again": lambda m: (
        lambda n: LarimarMemory(m, "ana").save_once(
            "Human9 likes9 word9.", "Again.", key="other", mark="mark9"
        )
    ),
    "save_once anew": lambda m: (
        lambda n: LarimarMemory(m, "ana").save_once(
            "Human9 likes9 word9.", f"Anew {n}.", key="key9", mark=f"anew{n}"
        )
    ),
    "what was just said": lambda m: lambda n: just_said(m, n),
    "what was said first": lambda m: (
        lambda n: LarimarMemory(m, "ana", window=0, score_threshold=0.0).recall("Human1 likes1 word1.")
    ),
    "before a model": lambda m: (
        lambda n: LarimarMemory(m, "ana", window=0, score_threshold=0.0).recall(
            "Human9 likes9 word9.", but={"mark1", "mark2"}
        )
    ),
}


@pytest.fixture(scope="module")
def short_and_long() -> Iterator[tuple[Larimar, Larimar]]:
    with opened() as short, opened() as long:
        for memory, turns in ((short, SHORT), (long, LONG)):
            fill(memory, "ana", turns)
            # Others have spoken since: theirs must not be looked at either.
            fill(memory, "bob", turns)
            # A conversation of an earlier release is looked through once.
            LarimarMemory(memory, "ana").save_once("Begin.", "Yes.", key="begin", mark="begin")
        yield short, long


@pytest.mark.parametrize("name", WORK)
def test_the_cost_is_that_of_a_short_conversation(
    name: str, short_and_long: tuple[Larimar, Larimar]
) -> None:
    short, long = (steps(memory, WORK[name](memory)) for memory in short_and_long)
    assert long <= 2 * short


def test_the_same_in_a_file(tmp_path: Path) -> None:
    with opened(tmp_path / "m.larimar") as memory:
        fill(memory, "ana", SHORT)
        short = steps(memory, WORK["last ten"](memory))
        fill(memory, "ana", LONG, SHORT + 1)
        fill(memory, "bob", LONG)
        assert steps(memory, WORK["last ten"](memory)) <= 2 * short


class Naive:
    """What a conversation is, made by looking at all of it."""

    def __init__(self) -> None:
        self.lines = list[tuple[int, str, str]]()
        self.keyed = dict[str, int]()
        self.marks = dict[str, str]()

    @property
    def last(self) -> int:
        return max((turn for turn, *_ in self.lines), default=0)

    def save(self, lines: list[tuple[str, str]]) -> None:
        turn = self.last
        for role, text in lines:
            turn += role == "Human" or turn == 0
            self.lines.append((turn, role, text))

    def once(self, said: str, reply: str, key: str, mark: str) -> None:
        if mark in self.marks.values():
            return
        turn = self.keyed.setdefault(key, self.last + 1)
        self.marks[key] = mark
        kept = [(turn, role, text) for role, text in (("Human", said), ("AI", reply)) if text]
        self.lines = [line for line in self.lines if line[0] != turn] + kept
        self.lines.sort(key=lambda line: line[0])

    def in_order(self) -> list[Line]:
        return [Line(*line) for line in sorted(self.lines, key=lambda line: line[0])]


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_same_as_if_all_were_looked_at(seed: int) -> None:
    draw, naive = random.Random(seed), Naive()
    with opened() as memory:
        turns = LarimarMemory(memory, "ana", window=3, window_tokens=10_000)
        for n in range(120):
            what = draw.randrange(4)
            if what == 0:
                turns.save(f"Said {n}.", f"Replied {n}.")
                naive.save([("Human", f"Said {n}."), ("AI", f"Replied {n}.")])
            elif what == 1:
                turns.save_messages([HumanMessage(f"Alone {n}.")])
                naive.save([("Human", f"Alone {n}.")])
            else:
                # What was said comes first alone, and its reply late, if at all.
                key = str(draw.randrange(n + 1)) if what == 2 else str(n)
                reply = draw.choice(["", f"Late {n}."])
                given = f"Key {key}.", reply, f"k{key}", f"m{key}{reply}"
                turns.save_once(*given[:2], key=given[2], mark=given[3])
                naive.once(*given)
            if n % 10 == 9:
                expected = naive.in_order()
                assert turns.all_lines() == expected
                for limit in (0, 1, 7, 30, 999):
                    history = LarimarChatMessageHistory(memory, "ana", limit=limit)
                    texts = [line.text for line in expected[max(len(expected) - limit, 0) :]]
                    assert [message.text for message in history.messages] == texts
                for window in (1, 3, 20):
                    _, recent = replace(turns, window=window).recall("")
                    latest = sorted({line.turn for line in expected})[-window:]
                    assert recent == [line for line in expected if line.turn in latest]


def test_replies_that_all_come_late_stand_with_what_they_are_to() -> None:
    with opened() as memory:
        turns = LarimarMemory(memory, "ana", window=2, score_threshold=0.0, k=1)
        for reply in ("", "Reply"):
            for n in range(1, 101):
                text = f"{reply} {n}." if reply else ""
                turns.save_once(f"Said {n}.", text, key=f"k{n}", mark=f"m{n}{reply}")
        both = [(f"Said {n}.", f"Reply {n}.") for n in range(1, 101)]
        assert [line.text for line in turns.all_lines()] == [text for pair in both for text in pair]
        recalled, recent = turns.recall("Reply 5.")
        assert [line.text for line in recent] == [text for pair in both[-2:] for text in pair]
        assert [line.text for line in recalled] == ["Said 5.", "Reply 5."]
        # Late replies to the first turns do not make the next one the second.
        turns.save_once("Said 1.", "Reply 1, again.", key="k1", mark="again")
        turns.save("And now?", "Now.")
        assert turns.all_lines()[-1].turn == 101


def test_a_turn_is_recalled_whole_however_it_was_saved() -> None:
    with opened() as memory:
        turns = LarimarMemory(memory, "ana", window=1, score_threshold=0.0, k=1, recall_tokens=9000)
        turns.save("First.", "One.")
        turns.save_messages([HumanMessage("A question of its own.")])
        for n in range(30):
            turns.save_messages([AIMessage(f"Part {n} of the reply.")])
        for n in range(40):
            turns.save(f"Later {n}.", "Yes.")
        for asked in ("A question of its own.", "Part 14 of the reply.", "Part 29 of the reply."):
            recalled, _ = turns.recall(asked)
            assert [line.text for line in recalled] == [
                "A question of its own.",
                *(f"Part {n} of the reply." for n in range(30)),
            ]


def test_a_conversation_of_an_earlier_release_goes_on() -> None:
    with opened() as memory:
        fill(memory, "ana", 50)
        turns, before = LarimarMemory(memory, "ana"), memory.stats("conversation:ana").segments
        turns.save_once("Something else.", "Yes.", key="new", mark="mark7")
        assert memory.stats("conversation:ana").segments == before
        turns.save_once("Said anew.", "", key="key7", mark="anew")
        lines = turns.all_lines()
        assert [line.text for line in lines if line.turn == 7] == ["Said anew."]
        turns.save("And then?", "Then this.")
        assert turns.all_lines()[-2:] == [Line(51, "Human", "And then?"), Line(51, "AI", "Then this.")]
        # What is replaced is no longer kept.
        turns.save_once("The Human said it again.", "Yes.", key="new", mark="mark7")
        assert turns.all_lines()[-1] == Line(52, "AI", "Yes.")


def test_what_is_forgotten_is_kept_when_it_is_said_again() -> None:
    with opened() as memory:
        turns = LarimarMemory(memory, "ana")
        for forget in (
            lambda: turns.clear(),
            lambda: memory.forget(ids=["k-Human", "k-AI"], namespace=turns.namespace),
            lambda: memory.forget(namespace=turns.namespace),
        ):
            turns.save_once("Hello.", "Hello!", key="k", mark="m")
            assert len(turns.all_lines()) == 2
            forget()
            assert turns.all_lines() == []
        assert memory.stats().namespaces == 0


def test_processes_that_save_at_once_keep_all_turns(tmp_path: Path) -> None:
    path = tmp_path / "m.larimar"
    with opened(path) as one, opened(path) as other:
        both = [LarimarMemory(memory, "ana", window=99) for memory in (one, other)]
        for n in range(20):
            both[n % 2].save(f"Said {n}.", f"Replied {n}.")
        texts = [text for n in range(20) for text in (f"Said {n}.", f"Replied {n}.")]
        for turns in both:
            assert [line.text for line in turns.all_lines()] == texts
            assert [line.text for line in turns.recall("")[1]] == texts

        def talk(turns: LarimarMemory, name: str) -> None:
            for n in range(8):
                turns.save(f"{name} says {n}.", f"{name} hears {n}.")

        threads = [Thread(target=talk, args=pair) for pair in zip(both, "xy", strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        said = [line.text for line in both[0].all_lines()[40:]]
        for name in "xy":
            own = [text for n in range(8) for text in (f"{name} says {n}.", f"{name} hears {n}.")]
            assert [text for text in said if text.startswith(name)] == own
        assert [line.text for line in both[1].recall("")[1]][40:] == said
        both[0].save_once("Said.", "Yes.", key="k", mark="m")
        both[1].save_once("Said.", "Yes.", key="k2", mark="m")
        assert len(both[0].all_lines()) == 40 + 32 + 2


@pytest.mark.parametrize("when_full", ["evict", "blend"])
def test_a_bounded_memory_keeps_turns_once(when_full: Any) -> None:
    with Larimar.open(encoder=QuickEncoder(), slots=16, when_full=when_full) as memory:
        turns = LarimarMemory(memory, "ana")
        for n in range(40):
            for _ in range(2):
                turns.save_once(f"Said {n}.", f"Replied {n}.", key=f"k{n}", mark=f"m{n}")
        assert len(turns.all_lines()) == (16 if when_full == "evict" else 80)
        if when_full == "evict":
            assert memory.stats(turns.namespace).documents == 16


@pytest.mark.parametrize("limit", [-1, 2.5, "10", True])
def test_a_limit_is_a_number(limit: Any) -> None:
    with opened() as memory, pytest.raises(InputError, match=r"It was given limit=.*whole number"):
        LarimarChatMessageHistory(memory, "ana", limit=limit)


def test_what_others_wrote_to_the_namespace_is_no_turn() -> None:
    with opened() as memory:
        turns = LarimarMemory(memory, "ana", score_threshold=0.0, window=1)
        fill(memory, "ana", 3)
        notes = [{}, {"turn": 9}, {"turn": "9", "role": "Human"}, {"turn": 9, "role": "Cat"}]
        memory.write([f"Note {n}." for n in range(4)], metadatas=notes, namespace=turns.namespace)
        recalled, recent = turns.recall("Note 0.")
        assert {line.turn for line in recalled} == {1, 2}
        assert {line.turn for line in recent} == {3}
        turns.save_once("Next.", "Yes.", key="k", mark="m")
        assert turns.all_lines()[-1].turn == 4
        assert len(turns.all_lines()) == 8
        # More of them than are looked at to begin with.
        memory.write([f"Further note {n}." for n in range(70)], namespace=turns.namespace)
        turns.save("And now?", "Now.")
        assert turns.all_lines()[-2:] == [Line(5, "Human", "And now?"), Line(5, "AI", "Now.")]
        assert [line.turn for line in turns.recall("")[1]] == [5, 5]


@pytest.mark.parametrize("late", [1, 17, 25, 70])
@pytest.mark.parametrize("earlier", [True, False])
def test_what_is_said_after_many_late_replies_is_last(late: int, earlier: bool) -> None:
    with opened() as memory:
        turns = LarimarMemory(memory, "ana", window=1)
        for n in range(80):
            turns.save_once(f"Said {n}.", "", key=f"k{n}", mark=f"m{n}")
        for n in range(late):
            turns.save_once(f"Said {n}.", f"Reply {n}.", key=f"k{n}", mark=f"n{n}")
        if earlier:
            # Releases before did not say how many turns there were.
            for document in memory.documents(namespace=turns.namespace):
                kept = {name: v for name, v in document.metadata.items() if name != "last"}
                memory.store.set_metadata(turns.namespace, document.id, kept)
        assert turns.recall("")[1] == [Line(80, "Human", "Said 79.")]
        history = LarimarChatMessageHistory(memory, "ana", limit=3)
        assert [message.text for message in history.messages] == ["Said 77.", "Said 78.", "Said 79."]
        turns.save("And now?", "Now.")
        assert turns.recall("")[1] == [Line(81, "Human", "And now?"), Line(81, "AI", "Now.")]


def test_replies_alone_are_turns_as_well() -> None:
    with opened() as memory:
        turns = LarimarMemory(memory, "ana", window=2)
        for n in range(40):
            turns.save_once("", f"Reply {n}.", key=f"k{n}", mark=f"m{n}")
        assert turns.recall("")[1] == [Line(39, "AI", "Reply 38."), Line(40, "AI", "Reply 39.")]
