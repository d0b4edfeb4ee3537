"""The way from a question to its segments: ranks and what they are made of, parts, turns, reasons."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar
from larimar_memory.recall.features import FEATURES
from larimar_memory.types import Readout

CODES = {"red": 4471, "blue": 9032, "green": 1187, "yellow": 6650}
PLANTS = ["roses", "tulips", "ferns", "lilies", "beans", "herbs", "vines", "palms"]
NOTES = [
    *(f"The code of the {colour} door is {code}." for colour, code in CODES.items()),
    *(f"On day {n} the gardener watered the {PLANTS[n % 8]} beside the fence." for n in range(40)),
]
QUESTIONS = [
    "What is the code of the green door?",
    "What did the gardener water on day 7?",
    "What are the codes of the red, blue and yellow door?",
    "Who opened the fence?",
    "Where are the tulips, and what is the code of the blue door?",
]


@pytest.fixture
def notes(encoder: SentenceEncoder) -> Iterator[Larimar]:
    with Larimar.open(encoder=encoder) as memory:
        memory.write(NOTES)
        yield memory


def texts(readout: Readout) -> list[str]:
    return [segment.text for segment in readout.segments]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_rank_is_the_sum_of_its_parts(notes: Larimar, question: str) -> None:
    found = notes.search(question, 10, explain=True)
    assert len(found) == 10
    for candidate in found:
        assert candidate.why is not None
        assert tuple(candidate.why.features) == FEATURES
        parts = [part for _, part in candidate.why.features.values()]
        assert sum(parts) == candidate.why.rank_score
        assert candidate.why.rank_score == pytest.approx(candidate.rank_score, abs=1e-5)
        assert all(part == 0 for value, part in candidate.why.features.values() if value == 0)
        assert candidate.why.by_key or candidate.why.by_words


def test_the_places_of_candidates_are_those_of_the_searches(notes: Larimar) -> None:
    found = notes.search("What is the code of the green door?", 44, explain=True)
    whys = [candidate.why for candidate in found if candidate.why is not None]
    assert len(whys) == len(found) == 44
    by_key, by_words = [w.by_key for w in whys], [w.by_words for w in whys if w.by_words]
    assert sorted(filter(None, by_key)) == list(range(1, 45))
    assert sorted(by_words) == list(range(1, len(by_words) + 1))
    assert whys[0].by_words == 1


@pytest.mark.parametrize("question", QUESTIONS)
def test_to_explain_changes_nothing(notes: Larimar, question: str) -> None:
    plain, told = notes.read(question), notes.read(question, explain=True)
    assert plain.segments == told.segments
    assert (plain.probability, plain.reason) == (told.probability, told.reason)
    assert (plain.signs, [s.why for s in plain.segments]) == ({}, [None] * len(plain.segments))


def test_one_part_is_not_asked_for_in_parts(notes: Larimar) -> None:
    readout = notes.read(QUESTIONS[0], explain=True)
    assert {s.why and s.why.asked for s in readout.segments} == {QUESTIONS[0]}


def test_what_was_read_before_changes_nothing(encoder: SentenceEncoder) -> None:
    answers = list[dict[str, list[str]]]()
    for order in (QUESTIONS, QUESTIONS[::-1], [*QUESTIONS[2:], *QUESTIONS[:2]]):
        with Larimar.open(encoder=encoder) as memory:
            memory.write(NOTES)
            assert memory.stats().keyed == 0
            first = {question: texts(memory.read(question, 8, threshold=0)) for question in order}
            again = {question: texts(memory.read(question, 8, threshold=0)) for question in order}
            assert first == again
            answers.append(first)
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("colours", [*itertools.permutations(CODES, 3), tuple(CODES)])
def test_a_list_brings_all_its_parts(notes: Larimar, colours: tuple[str, ...]) -> None:
    *most, last = colours
    asked = f"What are the codes of the {', '.join(most)} and {last} door?"
    readout = notes.read(asked, len(colours))
    for colour in colours:
        assert any(str(CODES[colour]) in text for text in texts(readout))


@pytest.mark.parametrize("first", [True, False])
def test_clauses_bring_each_its_own(notes: Larimar, first: bool) -> None:
    clauses = ["what is the code of the blue door", "where are the tulips"]
    readout = notes.read(" and ".join(clauses[:: 1 if first else -1]) + "?", 3, explain=True)
    assert any("9032" in text for text in texts(readout))
    assert any("tulips" in text for text in texts(readout))
    assert len(readout.segments) == 3
    assert len({s.id for s in readout.segments}) == 3


@pytest.fixture
def talk(encoder: SentenceEncoder) -> Iterator[Larimar]:
    said = [
        ("Anna", "I like the sea and long walks."),
        ("Bob", "I like the mountains and long walks."),
        ("Anna", "I live in Lisbon now."),
        ("Bob", "The weather is fine today."),
        ("Anna", "I live in Oslo now."),
        ("Bob", "Let us have tea."),
        ("Anna", "I live in Porto now."),
    ]
    with Larimar.open(encoder=encoder) as memory:
        memory.write(
            [text for _, text in said],
            [str(n) for n in range(len(said))],
            [{"speaker": who, "said_at": f"2024-0{n + 1}-01"} for n, (who, _) in enumerate(said)],
            episode="talk",
        )
        yield memory


@pytest.mark.parametrize("name", ["Anna", "Bob"])
def test_who_is_named_comes_first(talk: Larimar, name: str) -> None:
    readout = talk.read(f"Which long walks does {name} like?", 2, threshold=0, explain=True)
    first, second = readout.segments
    assert (first.metadata["speaker"], second.metadata["speaker"] != name) == (name, True)
    assert first.why is not None
    value, part = first.why.features["named"]
    assert value == 1
    assert part > 0


def test_when_something_was_said_counts(talk: Larimar) -> None:
    for month, city in (("January", "sea"), ("March", "Lisbon"), ("May", "Oslo"), ("July", "Porto")):
        readout = talk.read(f"What did Anna say on 1 {month} 2024?", 1, threshold=0)
        assert city in readout.segments[0].text


@pytest.mark.parametrize("question", ["Where do I live currently?", "Where did I live most recently?"])
def test_the_latest_comes_first_where_it_is_asked_for(talk: Larimar, question: str) -> None:
    assert "Porto" in talk.read(question, 1, threshold=0).segments[0].text


def test_the_earliest_comes_first_where_it_is_asked_for(talk: Larimar) -> None:
    assert "Lisbon" in talk.read("Where did I live first?", 1, threshold=0).segments[0].text


@pytest.mark.parametrize("question", QUESTIONS)
def test_without_words_it_goes_by_cosine(notes: Larimar, question: str) -> None:
    readout = notes.read(question, 44, hybrid=False, threshold=0, explain=True)
    key = notes.encoder.encode([question], kind="question")[0]
    cosines = [float(key @ own) for own in notes.encoder.encode(texts(readout), kind="segment")]
    assert cosines == pytest.approx(sorted(cosines, reverse=True), abs=2e-3)
    scores = [segment.score for segment in readout.segments]
    assert scores == sorted(scores, reverse=True)
    assert readout.best_score == scores[0] == readout.probability
    assert readout.signs == {}
    assert all(segment.why is None for segment in readout.segments)
