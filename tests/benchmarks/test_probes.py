"""What systems are asked, and how that is scored."""

from __future__ import annotations

import mmap
import re
import time
from pathlib import Path

import pytest

from benchmarks import corpora, niah, people, systems
from benchmarks import probes as probes_module
from benchmarks.haystack import hide, hide_all
from benchmarks.peak import Peak
from benchmarks.probes import Outcome, Probe, run, summary
from benchmarks.session import Session
from benchmarks.systems import Piece

pytestmark = pytest.mark.model


def test_several_needles_stand_where_one_alone_would(session: Session) -> None:
    hay = session.prose(3_000)
    parts = hay.parts(1_000)
    part, text, _ = hide(hay, parts, "A needle.", 0.4)
    assert hide_all(hay, parts, [("A needle.", 0.4)]) == {part.id: text}
    depths = [("Last.", 0.99), ("First.", 0.0), ("Third.", 0.3), ("Second.", 0.3)]
    changed = hide_all(hay, parts, depths)
    whole = "\n\n".join(changed.get(p.id, p.text) for p in parts)
    assert re.findall(r"^(First|Second|Third|Last)\.$", whole, re.MULTILINE) == [
        *("First", "Third", "Second", "Last")
    ]
    for name, _ in depths:
        whole = whole.replace(f"{name}\n\n", "", 1)
    assert whole.removesuffix("\n\nLast.") == "\n\n".join(hay.paragraphs)


def test_what_counts_as_read() -> None:
    here, there = Piece("a", "It is\nnine o'clock."), Piece("b", "It is nine o'clock. And ten.")
    one = Probe("?", ("It is nine",), lambda _: 1.0)
    assert one.found([here]) == (True, True)
    assert one.found([Piece("c", "noise"), there]) == (False, True)
    assert one.found([]) == (False, False)
    placed = Probe("?", ("It is nine",), lambda _: 1.0, document="b")
    assert placed.found([here, there]) == (False, True)
    assert placed.found([here]) == (False, False)
    assert [placed.document_first(read) for read in ([here, there], [there, here], [])] == [
        *(False, True, False)
    ]
    assert one.document_first([here]) is None
    several = Probe("?", ("nine", "ten"), lambda _: 1.0)
    assert several.found([here]) == (True, False)
    assert several.found([here, there]) == (True, True)
    gone = Probe("?", (), lambda _: 1.0, gone=("And ten",))
    assert gone.found([here]) == (True, True)
    assert gone.found([here, there]) == (False, False)


class _Careless:
    """Keeps every text it was ever given in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, documents: dict[str, str]) -> None:
        for id, text in documents.items():
            (self._folder / id).write_text(text)

    def update(self, id: str, text: str) -> None:
        self.write({id: text})

    def forget(self, id: str) -> None:
        (self._folder / id).rename(self._folder / "bin")

    def read(self, question: str, k: int) -> list[Piece]:
        return []

    def close(self) -> None:
        pass


def test_what_a_system_leaves_in_its_files_is_seen(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes_module, "open_system", lambda _, __, folder: _Careless(folder))
    tasks = run(session, "careless", corpora.facts(session, 12, 3), 0)["tasks"]
    assert tasks["12 facts, one forgotten"]["left_in_files"]["count"] == 3
    assert tasks["12 facts, one forgotten"]["read"]["count"] == 3
    assert tasks["12 facts"]["read"]["count"] == 0
    assert "left_in_files" not in tasks["12 facts, edited"]


def test_ram_is_watched() -> None:
    # Pages of its own: what the process freed before would be used again, and is not seen.
    with Peak() as peak, mmap.mmap(-1, 80_000_000) as held:
        held.write(bytes(len(held)))
        time.sleep(0.3)
    assert 60 < peak.megabytes < 400


def test_a_summary_tells_what_was_not_tried() -> None:
    read = Outcome(True, False, 0.1)
    answered = Outcome(True, True, 0.3, 0.5, "half", 10, 0.2, 0.4)
    figures = summary([read, answered])
    assert (figures["read_first"]["count"], figures["read"]["count"]) == (2, 1)
    assert figures["answered"] == {
        "count": 0,
        "of": 1,
        "interval": [0.0, pytest.approx(0.793, abs=0.01)],
    }
    assert (figures["said"], figures["wrong"], figures["seconds"]) == (0.5, ["half"], 0.4)
    assert "answered" not in summary([read])
    assert "read" not in summary([Outcome(None, None, 0.0, 1.0)])


def test_the_needle_tasks_are_rulers() -> None:
    kinds = niah.KINDS
    assert niah.needle(kinds["single 3"], "old-mill", "7-a") == (
        "One of the special magic uuids for old-mill is: 7-a."
    )
    assert niah.question(kinds["multikey 1"], ["old-mill"]) == (
        "What is the special magic number for old-mill mentioned in the provided text?"
    )
    assert niah.question(kinds["multivalue"], ["old-mill"]) == (
        "What are all the special magic numbers for old-mill mentioned in the provided text?"
    )
    assert niah.question(kinds["multiquery"], ["a", "b", "c", "d"]) == (
        "What are all the special magic numbers for a, b, c, and d mentioned in the provided text?"
    )
    assert niah.begin(kinds["single 3"], ["old-mill"]) == (
        "The special magic uuid for old-mill mentioned in the provided text is"
    )
    assert niah.begin(kinds["multiquery"], ["a", "b", "c", "d"]) == (
        "The special magic numbers for a, b, c, and d mentioned in the provided text are"
    )
    assert niah.intro(kinds["single 1"]).startswith("A special magic number is hidden within")
    assert niah.intro(kinds["multivalue"]).startswith("Some special magic numbers are hidden within")
    assert niah.share("They are 17 and 4.", ["17", "23"]) == 0.5


def test_each_needle_task_hides_what_it_asks_for(session: Session) -> None:
    made = niah.corpora(session, 2_000, 3)
    assert [corpus.kind for corpus in made] == [
        *("RULER noise", "RULER prose", "RULER needles, words", "RULER needles, uuids")
    ]
    tasks = {task: probes for corpus in made for task, probes in corpus.tasks.items()}
    assert list(tasks) != sorted(tasks)
    assert set(tasks) == {f"RULER {task}" for task in niah.KINDS}
    for corpus in made:
        assert 1_900 < corpus.tokens < 2_100
        for task, probes in corpus.tasks.items():
            kind = niah.KINDS[task.removeprefix("RULER ")]
            assert len({probe.question for probe in probes}) == 3
            for probe in probes:
                assert len(probe.evidence) == kind.each * kind.asked
                written = "\n".join(str(text) for text in probe.changes.values())
                assert all(written.count(line) == 1 for line in probe.evidence)
                assert not any(
                    line in text for line in probe.evidence for text in corpus.documents.values()
                )
                assert set(probe.changes) <= set(corpus.documents)
                assert probe.right(written) == 1.0
                assert str(probe.changes["part-0000"]).startswith(niah.intro(kind))
                hidden = len(re.findall("One of the special magic", written))
                if kind.text != "needles":
                    assert hidden == kind.hidden * kind.each


def test_facts_are_told_apart_and_edited() -> None:
    draw = Session(0, None, lambda _: None).draw("x")
    facts = people.about_people(draw, people.MOST_FACTS)
    assert len({fact.question for fact in facts}) == people.MOST_FACTS
    for fact in [*facts, *people.said_in_passing(draw, people.MOST_SAID)]:
        assert fact.answer in fact.text
        assert fact.edited_answer in fact.edited
        assert fact.answer != fact.edited_answer


def test_facts_are_asked_as_they_are_edited_and_forgotten(session: Session) -> None:
    corpus = corpora.facts(session, 12, 3)
    assert list(corpus.tasks) == ["12 facts", "12 facts, edited", "12 facts, one forgotten"]
    figures = run(session, systems.OURS, corpus, 0)
    assert figures["write_tokens_per_second"] > 0
    assert figures["bytes_on_disk"] > 1_000
    assert figures["tasks"]["12 facts, one forgotten"]["left_in_files"]["count"] == 0
    for task in figures["tasks"].values():
        assert task["read_first"]["count"] == task["read"]["count"] == 3
        assert "answered" not in task
    plain, edited, forgotten = corpus.tasks.values()
    for before, after, gone in zip(plain, edited, forgotten, strict=True):
        assert before.right(before.evidence[0]) == after.right(after.evidence[0]) == 1.0
        assert gone.right(before.evidence[0]) == 0.0
        assert gone.right("Not in memory.") == 1.0


def test_what_is_said_in_a_conversation_is_found(session: Session) -> None:
    corpus = corpora.conversation(session, 30, 4)
    assert len(corpus.documents) == 30
    (probes,) = corpus.tasks.values()
    turns = "\n".join(corpus.documents.values())
    assert all(turns.count(probe.evidence[0]) == 1 for probe in probes)
    (task,) = run(session, systems.OURS, corpus, 0)["tasks"].values()
    assert task["read"]["count"] >= 3
