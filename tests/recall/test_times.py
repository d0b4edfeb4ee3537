"""The times that questions name, as days, and what is read for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from larimar_memory.recall.timely import Timed
from larimar_memory.recall.times import LONGEST, spans_on, times_in
from larimar_memory.system.moments import day_of, moment_of, shown_day
from larimar_memory.types import RecalledSegment

WEDNESDAY = date(2026, 5, 20)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("yesterday", "2026-05-19", "2026-05-19"),
        ("last night", "2026-05-19", "2026-05-19"),
        ("the day before yesterday", "2026-05-18", "2026-05-18"),
        ("this morning", "2026-05-20", "2026-05-20"),
        ("last week", "2026-05-11", "2026-05-17"),
        ("this week", "2026-05-18", "2026-05-24"),
        ("last month", "2026-04-01", "2026-04-30"),
        ("last year", "2025-01-01", "2025-12-31"),
        ("three days ago", "2026-05-17", "2026-05-17"),
        ("a few days ago", "2026-05-15", "2026-05-19"),
        ("two weeks ago", "2026-05-03", "2026-05-09"),
        ("a couple of weeks ago", "2026-05-03", "2026-05-09"),
        ("two months ago", "2026-03-05", "2026-04-04"),
        ("in the last two weeks", "2026-05-06", "2026-05-20"),
        ("over the past month", "2026-04-20", "2026-05-20"),
        ("on Monday", "2026-05-18", "2026-05-18"),
        ("last Wednesday", "2026-05-13", "2026-05-13"),
        ("last weekend", "2026-05-16", "2026-05-17"),
        ("last winter", "2025-12-01", "2026-02-28"),
        ("last spring", "2025-03-01", "2025-05-31"),
        ("in May", "2026-05-01", "2026-05-31"),
        ("in june", "2025-06-01", "2025-06-30"),
        ("last May", "2025-05-01", "2025-05-31"),
        ("on 3 May", "2026-05-03", "2026-05-03"),
        ("on the 21st of May", "2025-05-21", "2025-05-21"),
        ("May 3rd, 2024", "2024-05-03", "2024-05-03"),
        ("Feb 29", "2024-02-29", "2024-02-29"),
        ("on 2023-01-23: what", "2023-01-23", "2023-01-23"),
        ("in 2024", "2024-01-01", "2024-12-31"),
        ("between 3 May and 10 May", "2026-05-03", "2026-05-10"),
        ("from March to May", "2026-03-01", "2026-05-31"),
        ("since April", "2026-04-01", "2026-05-20"),
        ("before 2024", "0001-01-01", "2023-12-31"),
    ],
)
def test_a_time_is_days(text: str, first: str, last: str) -> None:
    question = f"What did we do {text}?"
    (span,) = spans_on(question, times_in(question), WEDNESDAY)
    assert (str(span.first), str(span.last)) == (first, last)


@pytest.mark.parametrize(
    "text",
    [
        *("you may go", "we march on", "in a second", "an hour ago", "how many cats now", "May I?"),
        *("the last one", "April said so", "99999 days ago", "version 2024", "a mayor", ""),
    ],
)
def test_what_is_no_time(text: str) -> None:
    assert times_in(text) == []


@pytest.mark.parametrize("text", ["on 30 February", "2023-13-45", "9999 years ago", "May 99"])
def test_what_the_calendar_has_not_is_passed_over(text: str) -> None:
    assert spans_on(text, times_in(text), WEDNESDAY) == []


@given(st.text(max_size=80), st.dates(date(1, 1, 1), date(9999, 12, 31)))
def test_anything_can_be_asked_on_any_day(text: str, today: date) -> None:
    for lead in (
        "",
        "last week and ",
        "two months ago, ",
        "on 29 February ",
        "in May ",
        "last winter ",
    ):
        spans_on(lead + text, times_in(lead + text), today)
        Timed.of(lead + text)
    assert times_in("yesterday" * LONGEST) == []


def test_what_asks_for_the_last_and_when() -> None:
    timed = Timed.of("Thinking of the most recent time Ana talked about a flight: where did it leave?")
    assert timed is not None
    assert (timed.last, timed.core, timed.subject) == (True, "where did it leave?", "a flight")
    timed = Timed.of("On what date did Ana talk to Bob about the weather?")
    assert timed is not None
    assert (timed.asks_when, timed.subject, timed.last) == (True, "the weather", None)
    timed = Timed.of("When did I last mention the dentist?")
    assert timed is not None
    assert (timed.asks_when, timed.subject, timed.last) == (True, "the dentist", True)
    for question in ("What is the door code?", "When does the ferry leave?", "Where do I live now?"):
        assert Timed.of(question) is None


@pytest.mark.parametrize(
    ("written", "day", "moment"),
    [
        ("2026-05-03", "2026-05-03", "2026-05-03T00:00:00+00:00"),
        ("2026-05-03T23:30-05:00", "2026-05-03", "2026-05-04T04:30:00+00:00"),
        ("2026-05-03 09:30:00.5Z", "2026-05-03", "2026-05-03T09:30:00.500000+00:00"),
        ("2026-05-03T09", "2026-05-03", None),
        ("2026-02-30", None, None),
        ("2026-05-031", None, None),
        ("soon", None, None),
        (20260503, None, None),
        (None, None, None),
    ],
)
def test_days_and_moments(written: Any, day: str | None, moment: str | None) -> None:
    assert day_of(written) == (None if day is None else date.fromisoformat(day))
    assert moment_of(written) == (None if moment is None else datetime.fromisoformat(moment))
    assert shown_day(written) == ("" if day is None else "3 May 2026")


SAID = {
    "2026-03-02T10:00:00Z": ("Ana", "I live in Lisbon, near the river."),
    "2026-04-07T23:30:00-05:00": ("Bob", "I bought a red kite at the market."),
    "2026-04-28": ("Ana", "I live in Oslo, near the river."),
    "2026-05-12T18:00": ("Bob", "I bought a blue kite at the market."),
    "2026-05-19T09:30:00+02:00": ("Ana", "I live in Porto, near the river."),
    "once": ("Bob", "I bought a green kite at the market."),
}


@pytest.fixture
def talk(encoder: SentenceEncoder) -> Iterator[Larimar]:
    with Larimar.open(encoder=encoder, threshold=0.0) as memory:
        lines = [{"speaker": who, "said_at": at} for at, (who, _) in SAID.items()]
        memory.write([text for _, text in SAID.values()], [*map(str, range(6))], lines, episode="t")
        yield memory


def words(memory: Larimar, question: str, *among: str, **how: Any) -> list[str]:
    read: tuple[RecalledSegment, ...] = memory.read(question, 6, **how).segments
    return [word for one in read for word in among if word in one.text]


KITES, HOMES = ("red", "blue", "green"), ("Lisbon", "Oslo", "Porto")


@pytest.mark.parametrize(
    ("when", "first"),
    [
        *(("last week", "blue"), ("last month", "red"), ("in April", "red"), ("on 12 May", "blue")),
        *(("on 7 April 2026", "red"), ("six weeks ago", "red"), ("2026-05-12", "blue")),
    ],
)
def test_what_was_said_then_comes_first(talk: Larimar, when: str, first: str) -> None:
    found = words(talk, f"Which kite did I buy {when}?", *KITES, as_of="2026-05-20")
    assert found[0] == first
    assert len(found) == 3


def test_a_time_is_counted_from_now_or_from_what_was_said_last(encoder: SentenceEncoder) -> None:
    now = datetime.now(timezone.utc)
    for newest in (now, now - timedelta(900)):
        said = {"red": newest - timedelta(1), "blue": newest, "green": newest - timedelta(9)}
        with Larimar.open(encoder=encoder, threshold=0.0) as memory:
            memory.write(
                [f"I bought a {colour} kite." for colour in said],
                metadatas=[{"speaker": "Ana", "said_at": at.isoformat()} for at in said.values()],
            )
            assert words(memory, "Which kite did I buy yesterday?", *KITES)[0] == "red"


@pytest.mark.parametrize(
    "question",
    ["What was the last time I said where I live?", "What is the latest place where I live?"],
)
def test_what_was_corrected_comes_after_its_correction(talk: Larimar, question: str) -> None:
    assert words(talk, question, *HOMES)[:2] == ["Porto", "Oslo"]
    assert words(talk, question, *HOMES, as_of="2026-05-01")[:2] == ["Oslo", "Lisbon"]


@pytest.mark.parametrize(
    ("times", "left"),
    [
        ({"since": "2026-04-07"}, ["red", "blue"]),
        ({"since": date(2026, 4, 8)}, ["blue"]),
        ({"since": "2026-04-08T04:30Z"}, ["red", "blue"]),
        ({"since": datetime(2026, 4, 8, 4, 31, tzinfo=timezone.utc)}, ["blue"]),
        ({"until": "2026-05-12"}, ["red", "blue"]),
        ({"until": "2026-05-12T17:59"}, ["red"]),
        ({"as_of": "2026-05-01"}, ["red", "green"]),
        ({"as_of": "2026-05-01", "since": "2026-01-01"}, ["red"]),
        ({"since": "2027-01-01"}, []),
        ({"since": "2026-04-08", "where": {"$and": [{"speaker": "Bob"}]}}, ["blue"]),
        ({"since": "2026-04-08", "where": {"speaker": "Ana"}}, []),
    ],
)
@pytest.mark.parametrize("hybrid", [True, False])
def test_bounds_are_exact(talk: Larimar, times: dict[str, Any], left: list[str], hybrid: bool) -> None:
    found = words(talk, "Which kite did I buy?", *KITES, hybrid=hybrid, **times)
    assert sorted(found) == sorted(left)


@pytest.mark.parametrize("name", ["since", "until", "as_of"])
@pytest.mark.parametrize("value", ["soon", "", "2026-02-30", 5, "2026-05-03T09", "3 May 2026"])
def test_what_is_no_time_is_refused(talk: Larimar, name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"read with {name}=.* in ISO 8601\. Use such as"):
        talk.read("Which kite?", **{name: value})


def test_without_a_word_of_time_nothing_more_is_searched(
    talk: Larimar, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = "Where does Ana live, and near what?"
    before = talk.read(question, 6, explain=True)
    monkeypatch.setattr("larimar_memory.recall.search.Timed.of", lambda text: None)
    plain = talk.read(question, 6, explain=True)
    assert plain.segments == before.segments
    assert [one.why for one in plain.segments] == [one.why for one in before.segments]
    assert plain.probability == before.probability


def test_a_memory_without_times_is_read_as_before(
    encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Larimar.open(encoder=encoder, threshold=0.0) as memory:
        memory.write([text for _, text in SAID.values()])
        question = "Which kite did I buy on 12 May, most recently?"
        before = memory.read(question, 6)
        monkeypatch.setattr("larimar_memory.recall.search.Timed.of", lambda text: None)
        assert memory.read(question, 6).segments == before.segments


def test_the_calendar_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from larimar_memory.recall.search import Timed; "
        "Timed.of('What is the code?'); print([n for n in sys.modules if n.startswith('dateutil')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_of_too_many_nothing_more_is_searched(talk: Larimar, monkeypatch: pytest.MonkeyPatch) -> None:
    question = "Which kite did I buy last week?"
    assert words(talk, question, *KITES, as_of="2026-05-20")[0] == "blue"
    monkeypatch.setattr("larimar_memory.recall.search.SEARCHED", 5)
    assert len(words(talk, question, *KITES, as_of="2026-05-20")) == 3
    assert words(talk, "Which kite?", *KITES, since="2026-05-01") == ["blue"]
