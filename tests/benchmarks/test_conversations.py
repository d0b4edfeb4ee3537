"""Conversations with evidence: how they are read, what is asked of whom, and how that is scored."""

from __future__ import annotations

import json
import lzma
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bm25, conversations, previous, talks
from benchmarks.conversations import Outcome, Part, Size
from benchmarks.rankings import Found, System
from benchmarks.session import Session
from benchmarks.tables import TABLES
from benchmarks.talks import Asked
from larimar_memory.errors import InputError
from tests.tiny import tiny_decoder

SAID = [
    ("The ferry to Ren leaves at nine every morning.", "Then I shall be up at seven."),
    ("My sister Ines bakes bread in the village.", "Fresh bread is the best there is."),
    ("The bell of the school rings at six in the evening.", "I can hear it from the harbour."),
    ("Our boat is painted blue and white.", "Blue is what the fishermen here prefer."),
    ("The mill has stood beside the river for two hundred years.", "Is it still in use?"),
    ("Grandfather kept seventeen goats on the hill.", "Goats eat everything."),
]


def talk(id: str, said: list[tuple[str, str]] = SAID) -> dict[str, Any]:
    """A conversation of one session a pair; a question on its first, one on two, one on nothing."""
    sessions = [
        {
            "id": f"s{n}",
            "date": None if n else "2024-03-01",
            "turns": [
                {"id": f"s{n}:{place}", "speaker": who, "text": text}
                for place, (who, text) in enumerate(zip(("ana", "bob"), pair, strict=True))
            ],
        }
        for n, pair in enumerate(said)
    ]

    def asked(question: str, category: str, *evidence: str) -> dict[str, Any]:
        answerable = category != "unknown"
        return {
            **{"question": question, "category": category, "answerable": answerable},
            **{"evidence": list(evidence), "rubric": "passed over"},
        }

    return {
        "id": id,
        "sessions": sessions,
        "questions": [
            asked("When does the ferry to Ren leave?", "one turn", "s0:0"),
            asked("Who bakes bread, and what is best?", "two turns", "s1:0", "s1:1"),
            asked("Which gene causes cystic fibrosis?", "unknown"),
            asked("Summarise it all.", "whole"),
        ],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file of which some is for fitting, packed, and one of which nothing is."""
    place = tmp_path / "talks"
    place.mkdir()
    with lzma.open(place / "beam_100k.json.xz", "wt") as file:
        json.dump({"conversations": [talk(f"b{n}") for n in range(12)]}, file)
    (place / "sgd_multisession.json").write_text(json.dumps({"conversations": [talk("s")]}))
    return place


def test_conversations_are_read(folder: Path) -> None:
    held = talks.read(folder)
    assert {name: len(some) for name, some in held.items()} == {
        **{"sgd_multisession": 1, "beam_100k": 12}
    }
    one = held["beam_100k"][11]
    assert (one.id, len(one.turns), len(one.questions)) == ("b11", 12, 4)
    assert one.turns[0] == talks.Turn("s0:0", SAID[0][0], "ana", "s0", "2024-03-01")
    assert (one.turns[3].session, one.turns[3].date) == ("s1", "")
    assert one.questions[1].evidence == {"s1:0", "s1:1"}


def test_the_beginning_keeps_what_can_be_answered_from_it(folder: Path) -> None:
    short = talks.read(folder)["sgd_multisession"][0].beginning(3)
    assert [turn.id for turn in short.turns] == ["s0:0", "s0:1", "s1:0"]
    assert [q.category for q in short.questions] == ["one turn", "unknown", "whole"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "KeyError"),
        ("[1]", "TypeError"),
        ("not json", "JSONDecodeError"),
        (json.dumps({"conversations": [talk("a", SAID[:1])]}), "names one unknown"),
        (
            json.dumps({"conversations": [{**talk("a"), "sessions": [*talk("a")["sessions"]] * 2}]}),
            "id",
        ),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=rf"x\.json cannot be used\. The reader said: .*{said}"):
        talks.read(tmp_path)


def test_without_conversations_it_says_what_to_name(tmp_path: Path) -> None:
    for folder in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"cannot be run\. .* with --conversations\."):
            talks.read(folder)
    (tmp_path / "broken.json.xz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"broken\.json\.xz cannot be used"):
        talks.read(tmp_path)


def test_words_are_looked_up_whatever_the_question_holds() -> None:
    with closing(bm25.index(["a red boat", "a blue boat", "nothing"])) as index:
        assert bm25.best(index, 'the "blue" boat?', 5) == [1, 0]
        assert bm25.best(index, "boat", 1) == [0]
        assert bm25.best(index, "AND (zebra) * -", 5) == []


@pytest.mark.parametrize(
    ("turns", "recall", "reciprocal"),
    [
        (["a", "x", "b"], (0.5, 1.0, 1.0), 1.0),
        (["x", "y", "z", "b"], (0.0, 0.5, 0.5), 0.25),
        ([*"uvwxyz", "a", "b"], (0.0, 0.0, 1.0), 1 / 7),
        ([*"0123456789", "a"], (0.0, 0.0, 0.0), 0.0),
        ([], (0.0, 0.0, 0.0), 0.0),
    ],
)
def test_evidence_counts_by_its_share_and_its_first_rank(
    turns: list[str], recall: tuple[float, ...], reciprocal: float
) -> None:
    asked = Asked("?", "c", True, frozenset("ab"))
    found = conversations.outcome(asked, Found(turns, list), 7, 0.5)
    assert found == Outcome("c", recall, reciprocal, 7, 0.5)


def test_means_have_intervals_that_hold_them() -> None:
    found = conversations.mean([0.0, 1.0] * 50, seed=3)
    low, high = found["interval"]
    assert (found["mean"], found["of"]) == (0.5, 100)
    assert 0.38 < low < 0.45
    assert 0.55 < high < 0.62
    assert found == conversations.mean([0.0, 1.0] * 50, seed=3)
    assert conversations.mean([1.0], seed=0)["interval"] == [1.0, 1.0]
    assert conversations.mean([], seed=0) == {"mean": 0.0, "of": 0, "interval": [0.0, 0.0]}


def test_the_lead_is_taken_question_by_question_and_held_to_bars() -> None:
    hit, miss = Outcome("c", (1.0, 1.0, 1.0), 1.0, 100, 0.01), Outcome("c", (0.0,) * 3, 0.0, 300, 0.03)
    near = Outcome("c", (0.9, 0.9, 0.925), 0.9375, 100, 0.01)
    part = Part(
        {
            "Larimar": [hit, hit],
            "the previous ranking": [near, near],
            "words alone": [hit, hit],
            "BM25": [hit, miss],
        },
        {"Larimar": 2.0, "the previous ranking": 3.0, "words alone": 0.0, "BM25": 0.5},
        {True: [False, False, True], False: [True] * 9 + [False]},
    )
    figures = conversations.summary(part, [], seed=0)
    assert figures["lead"]["BM25"]["MRR"]["mean"] == 0.5
    assert figures["systems"]["BM25"]["prompt_tokens"] == 200
    assert figures["systems"]["BM25"]["categories"]["c"]["recall"]["10"]["mean"] == 0.5
    sets = {
        "beam_100k": {"fit": figures, "held out": figures},
        "sgd_multisession": {"held out": figures},
    }
    assert [(b["measure"], b["bar"], b["holds"]) for b in conversations.bars(sets)] == [
        ("recall at 10 over the previous ranking, beam_100k, held out", ">= 0.08", False),
        ("MRR over the previous ranking, beam_100k, held out", ">= 0.06", True),
        ("recall at 10 over BM25, beam_100k, held out", "> 0.05", True),
        ("MRR over BM25, beam_100k, held out", "> 0.05", True),
        ("to be refused, and refused, sgd_multisession", ">= 0.8", True),
        ("wrongly refused, sgd_multisession", "<= 0.08", False),
    ]
    (kind,) = figures["systems"]["Larimar"]["categories"].values()
    figures["systems"]["Larimar"]["categories"]["dated"] = kind
    timed = conversations.bars({"sgd_multisession": {"held out": figures}})[2:]
    assert [(b["measure"], b["bar"], b["holds"]) for b in timed] == [
        ("evidence in the first five, dated, sgd_multisession, held out", ">= 0.746", True)
    ]
    assert conversations.bars({"another": {"held out": figures}}) == []
    assert conversations.bars({"beam_100k": {"fit": figures}}) == []


@pytest.mark.model
def test_the_previous_ranking_adds_words_and_phrases_to_the_cosine() -> None:
    session = Session(0, None, lambda _: None)
    vars(session)["decoder"] = tiny_decoder()
    texts = {
        "phrase": "A story: the dog bit the man.",
        "words": "A story: the man bit the dog.",
        "far": "The dog is fond of the village.",
        "other": "Bread is baked before the sun is up.",
    }
    with session.open(None, keys="eager") as memory:
        assert not memory.store.lazy
        memory.write(list(texts.values()), list(texts))
        found = previous.search(memory, "The dog bit the man", 9)
        assert [segment.document_id for segment in found] == list(texts)
        best = previous.search(memory, "The dog bit the man", 2)
        assert [segment.row for segment in best] == [segment.row for segment in found[:2]]
        key = memory.encoder.encode(["the man bit the dog"], "question")[0]
        again = previous.search(memory, "the man bit the dog", 9)
        # All of the words, and all of the question word for word, outweigh any cosine here.
        assert again[0].document_id == "words"
        assert again[1].best_key @ key > again[2].best_key @ key
        assert previous.search(memory, "zebra", 9, "nowhere") == []


@pytest.mark.model
def test_every_system_is_asked_and_what_was_fitted_on_stands_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    pytest.importorskip("langchain_huggingface")
    pytest.importorskip("langmem")
    session = Session(0, None, lambda _: None, conversations=folder)
    vars(session)["decoder"] = tiny_decoder()

    def nothing(*_: object) -> System:
        return lambda talk: lambda question: Found([], list)

    monkeypatch.setitem(conversations.SYSTEMS, "nothing", nothing)
    figures, bars = conversations.measure(session, replace(conversations.FULL, conversations=1))
    sets = figures["sets"]
    assert {name: list(parts) for name, parts in sets.items()} == {
        **{"beam_100k": ["fit", "held out"], "sgd_multisession": ["fit"]}
    }
    for parts in sets.values():
        for of in parts.values():
            assert (of["conversations"], of["turns"], of["questions"]) == (1, 12, 2)
            assert of["scope"]["refused"]["count"] == of["scope"]["refused"]["of"] == 1
            assert of["scope"]["wrongly_refused"]["of"] == 3
            assert list(of["systems"]) == list(conversations.SYSTEMS)
            for name, found in of["systems"].items():
                if name == "nothing":
                    assert found["recall"]["10"]["mean"] == found["mrr"]["mean"] == 0
                    continue
                assert found["recall"]["10"]["mean"] > 0.7
                assert found["categories"]["one turn"]["recall"]["1"]["mean"] == 1
                assert found["prompt_tokens"] > 100
                assert found["read_p50_seconds"] > 0
    assert len(bars) == 2 * 6 + 2
    lines = TABLES["conversations"](figures)
    assert len(lines) == 2 + 3 * 8
    assert lines[2].startswith("| beam_100k, fit, 2 | Larimar | ")
    assert conversations.measure(session, Size(1, 2))[0]["sets"]["beam_100k"]["fit"]["questions"] == 1
