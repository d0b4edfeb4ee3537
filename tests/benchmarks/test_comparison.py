"""What is compared with Larimar, what all of them are asked, and how that is scored."""

from __future__ import annotations

import json
import mmap
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import corpora, niah, passages, people, plots, rag, ruler, scale, scope, squad, systems
from benchmarks import probes as probes_module
from benchmarks.haystack import hide, hide_all
from benchmarks.peak import Peak
from benchmarks.probes import Outcome, Probe, pooled, run, summary
from benchmarks.session import Session
from benchmarks.systems import Piece, open_system
from benchmarks.tables import TABLES
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from tests.latents.test_latent_memory import random_codec
from tests.tiny import tiny_decoder

pytestmark = pytest.mark.model

DOCUMENTS = {
    "ferry": "The ferry to Ren leaves at nine every morning.",
    "mill": "The mill of Ren has stood beside the river for two hundred years.",
    "bread": "Bread is baked in the village before the sun is up.",
    "bell": "The bell of the school rings at six in the evening.",
    "boats": "Fishing boats are painted blue and white by their owners.",
}
FERRY = "When does the ferry to Ren leave?"


@pytest.fixture(scope="module")
def session() -> Session:
    """The real encoder, and a decoder that says something in milliseconds."""
    made = Session(0, None, lambda _: None)
    decoder = tiny_decoder(max_position_embeddings=6_000)
    vars(made).update(decoder=decoder, codec=random_codec(decoder))
    return made


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def article(passage: str, question: str, answer: str) -> dict[str, object]:
        qa = {"question": question, "answers": [{"text": answer}]}
        return {"paragraphs": [{"context": passage, "qas": [qa]}]}

    path = tmp_path_factory.mktemp("questions") / "q.json"
    data = [
        article(DOCUMENTS["ferry"], FERRY, "nine"),
        article(DOCUMENTS["bell"], "When does the bell of the school ring?", "six"),
    ]
    path.write_text(json.dumps({"data": data}))
    return path


@pytest.mark.parametrize("name", systems.NAMES)
def test_every_system_writes_reads_changes_forgets_and_answers(
    name: str, session: Session, tmp_path: Path
) -> None:
    for module in ("faiss", "langchain_chroma", "langchain_classic"):
        pytest.importorskip(module)
    system = open_system(name, session, tmp_path)
    system.write(DOCUMENTS)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert bool(files) is (name != systems.WHOLE)
    reply = system.ask(FERRY, 4)
    assert 0 < reply.first_token <= reply.seconds
    assert reply.prompt_tokens > len(FERRY)
    found = system.read(FERRY, 2)
    if name == systems.WHOLE:
        assert found is None
        longest = reply.prompt_tokens
        system.forget("ferry")
        assert system.ask(FERRY, 4).prompt_tokens == longest - len(DOCUMENTS["ferry"]) - 1
        system.close()
        return
    assert found is not None
    assert found[0] == Piece("ferry", DOCUMENTS["ferry"])
    assert len(found) == 2 if name != systems.BM25 else len(found) >= 1
    system.update("ferry", "The ferry to Ren leaves at noon every day.")
    assert system.read(FERRY, 1) == [Piece("ferry", "The ferry to Ren leaves at noon every day.")]
    system.forget("ferry")
    assert all(piece.document != "ferry" for piece in system.read(FERRY, 5) or [])
    system.close()


def test_the_whole_text_is_cut_at_its_beginning_to_fit(session: Session, tmp_path: Path) -> None:
    system = open_system(systems.WHOLE, session, tmp_path)
    system.write({str(n): f"Line {n} says nothing at all." for n in range(1_000)})
    system.write({"last": "The last line."})
    prompts = list[list[int]]()
    generate = session.decoder.generate

    def seen(tokens: list[int], **options: object) -> object:
        prompts.append(tokens)
        return generate(tokens, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session.decoder, "generate", seen)
        reply = system.ask("What is the last line?", 8)
    text = session.decoder.tokenizer.decode(prompts[0])
    assert "The last line." in text
    assert "Line 0 says" not in text
    assert session.decoder.context - 100 < reply.prompt_tokens <= session.decoder.context - 8


def test_equal_chunks_are_embedded_once_and_the_time_is_remembered(session: Session) -> None:
    pytest.importorskip("langchain_huggingface")
    embeddings = session.langchain_embeddings
    before = session.spared_seconds
    first = embeddings.embed_documents(["a chunk of its own", "another chunk"])
    assert session.spared_seconds == before
    assert embeddings.embed_documents(["another chunk", "a chunk of its own"]) == first[::-1]
    assert session.spared_seconds > before
    embeddings.clear()
    assert embeddings.embed_documents(["another chunk"])[0] == pytest.approx(first[1], abs=1e-5)


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


_TRIED = {systems.WHOLE: 0, systems.LATENT: 1}


@pytest.fixture(scope="module")
def compared(session: Session, questions: Path) -> Iterator[tuple[dict, list]]:
    for module in ("faiss", "langchain_chroma", "langchain_classic"):
        pytest.importorskip(module)
    size = rag.Size(
        lengths=(600,),
        trials=1,
        ruler=0,
        ruler_trials=0,
        passages=2,
        others=10,
        facts=(6,),
        turns=6,
        asked=1,
        answers=1,
        passage_answers=1,
        whole_answers=1,
    )
    session.questions = questions
    yield rag.measure(session, size)
    session.questions = None


@pytest.mark.slow
def test_every_task_is_put_to_every_system(compared: tuple[dict, list]) -> None:
    figures, bars = compared
    json.dumps(figures, allow_nan=False)
    assert figures["tasks"] == [
        *("pass key", "needle", "passages"),
        *("6 facts", "6 facts, edited", "6 facts, one forgotten", "6 turns"),
    ]
    for name in systems.NAMES:
        for task in figures["tasks"]:
            assert pooled(figures["rows"], name, task, "answered")["of"] == 1
            tried = pooled(figures["rows"], name, task, "read_first")["of"]
            assert tried == _TRIED.get(name, 2 if task == "passages" else 1)
        of_documents = {
            task: pooled(figures["rows"], name, task, "document_first") for task in figures["tasks"]
        }
        assert {task for task, rate in of_documents.items() if rate["of"]} == (
            set() if name in (systems.WHOLE,) else {"passages"}
        )
        assert of_documents["passages"]["count"] == of_documents["passages"]["of"]
    assert len(bars) == len(figures["tasks"]) + 5
    (bar,) = [bar for bar in bars if "right document" in bar["measure"]]
    assert (bar["value"], bar["holds"]) == (0.0, True)
    ours = figures["totals"][systems.OURS]
    assert ours["read_first"]["count"] >= 7


@pytest.mark.slow
def test_comparisons_are_shown_and_drawn(compared: tuple[dict, list], tmp_path: Path) -> None:
    figures, _ = compared
    lines = TABLES["rag"](figures)
    assert sum(line.startswith("| passages: right document | 100 (") for line in lines) == 1
    assert sum(line.startswith("| Larimar |") for line in lines) == 1
    assert sum(line.startswith("| pass key | 100 (21 to 100)") for line in lines) == 1
    made = {"name": "rag", "figures": figures}
    one = plots.draw(made, tmp_path / "one.svg").read_bytes()
    again = plots.draw(json.loads(json.dumps(made)), tmp_path / "two.svg").read_bytes()
    assert one == again


def _row(system: str, first: int, seconds: float, speed: float) -> dict:
    rate = {"count": first, "of": 10, "interval": [0.0, 1.0]}
    tasks = {"pass key": {"read_first": rate, "seconds": seconds}}
    return {
        "system": system,
        "text": "prose",
        "tokens": 100,
        "write_tokens_per_second": speed,
        "bytes_on_disk": 0,
        "ram_mb": 0.0,
        "tasks": tasks,
    }


def test_the_bars_are_held_against_the_better_store() -> None:
    rows = [
        _row(systems.OURS, 8, 1.0, 400.0),
        _row(systems.FAISS, 9, 2.0, 90.0),
        _row(systems.CHROMA, 7, 0.8, 110.0),
        _row(systems.LATENT, 8, 0.6, 80.0),
    ]
    _, (task, speed, seconds, from_latents) = rag.report(rows)
    assert (task["value"], task["holds"]) == (pytest.approx(-10.0), False)
    assert (speed["value"], speed["holds"]) == (pytest.approx(400 / 110), False)
    assert (seconds["value"], seconds["holds"]) == (1.25, False)
    assert "from latents" in from_latents["measure"]
    assert (from_latents["value"], from_latents["holds"]) == (pytest.approx(0.75), False)


def test_tasks_of_many_trials_count_no_more_than_others() -> None:
    rows = [_row(name, 9, 1.0, 400.0) for name in systems.NAMES]
    many = {"read_first": {"count": 100, "of": 1_000, "interval": [0.0, 1.0]}}
    rows[0]["tasks"] = {**rows[0]["tasks"], "passages": many}
    lines = TABLES["rag"](rag.report(rows)[0])
    assert [line.split(" | ")[1] for line in lines if line.startswith("| Larimar |")] == ["50"]


def test_with_more_text_it_is_compared_where_it_was_tried() -> None:
    longer = [
        {**_row(name, first, 1.0, 400.0), "tokens": 200}
        for name, first in ((systems.OURS, 9), (systems.FAISS, 10), (systems.CHROMA, 10))
    ]
    rows = [
        _row(systems.OURS, 8, 1.0, 400.0),
        _row(systems.WIDE, 9, 1.0, 400.0),
        _row(systems.FAISS, 7, 2.0, 90.0),
        _row(systems.CHROMA, 6, 0.8, 110.0),
    ]
    _, (task, wide, *_) = rag.report([*rows, *longer])
    assert (task["value"], task["holds"]) == (pytest.approx(0.0), True)
    assert "widened" in wide["measure"]
    assert (wide["value"], wide["holds"]) == (pytest.approx(20.0), True)


def test_ruler_is_measured_task_by_task(session: Session, tmp_path: Path) -> None:
    figures, bars = ruler.measure(session, ruler.Size((600,), 1, 1))
    found = figures["lengths"]["600"]
    assert len(found["tasks"]) == 8
    assert ruler.averages(found["tasks"]) == (found["read"], found["answered"])
    assert [bar["value"] for bar in bars] == [found["read"], found["answered"]]
    assert found["read"] >= 75
    assert len(TABLES["ruler"](figures)) == 10
    assert plots.draw({"name": "ruler", "figures": figures}, tmp_path / "r.svg").stat().st_size > 5_000
    rate = {"count": 1, "of": 4}
    assert ruler.averages({"a": {"read": rate, "said": 0.5}, "b": {"read": rate, "said": 1.0}}) == (
        *(25.0, 75.0),
    )


def test_scale_is_measured_at_each_length(
    session: Session, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ram = {"models_mb": 500.0, "with_memory_mb": 510.0, "peak_mb": 540.0}
    monkeypatch.setattr(scale.process, "resident", lambda *_: ram)
    monkeypatch.setattr(session, "questions", questions)
    figures, bars = scale.measure(session, scale.Size((600, 1_500), 2, 3, 2, 1, 2))
    for row in figures["rows"]:
        assert [(row[what]["count"], row[what]["of"]) for what in ("passages", "passages in five")] == [
            *((2, 2), (2, 2))
        ]
    assert [row["ram_beyond_models_mb"] for row in figures["rows"]] == [40.0, 40.0]
    assert [bar["value"] for bar in bars[:2]] == [100.0, 100.0]
    assert len(TABLES["scale"](figures)) == 4
    assert plots.draw({"name": "scale", "figures": figures}, tmp_path / "s.svg").stat().st_size > 5_000
    first, last = figures["rows"]
    first["read_p95_seconds"], last["read_p95_seconds"], last["write_peak_mb"] = 0.01, 0.04, 2_000.0
    last["tokens"], last["write_tokens_per_second"] = 12_000, 50.0
    assert [(b["value"], b["holds"]) for b in scale.report([first, last])[1][2:]] == [
        *((4.0, False), (4.0, False), (2_000.0, False))
    ]


def test_questions_on_passages_are_asked_beside_prose(
    session: Session, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "questions", None)
    with pytest.raises(InputError, match=r"cannot be run\. It needs questions .* with --questions"):
        passages.measure(session, passages.QUICK)
    monkeypatch.setattr(session, "questions", questions)
    opened, opens = [], session.open

    def noted(path: Path | None, **how: Any) -> Larimar:
        opened.append(opens(path, **how))
        return opened[-1]

    monkeypatch.setattr(session, "open", noted)
    figures, bars = passages.measure(session, passages.Size(9, 8, 600, 1))
    assert [memory.store.lazy for memory in opened] == [True, True, False]
    among = figures["prose"]
    assert figures["passages"]["passages"] == 8
    assert 600 < among["tokens"] < 700
    assert among["lazy"]["segments"] == among["eager"]["segments"]
    for found, asked in ((figures["passages"], 2), (among["lazy"], 1), (among["eager"], 1)):
        rates = [found[name] for name in ("first", "in five", "passage first")]
        assert [(rate["count"], rate["of"]) for rate in rates] == [(asked, asked)] * 3
    assert [(bar["value"], bar["holds"]) for bar in bars] == [
        *((1.0, True), (1.0, True), (1.0, True), (0.0, True))
    ]
    assert len(TABLES["passages"](figures)) == 2 + 3
    json.dumps(figures, allow_nan=False)


def test_lazy_keys_may_lose_half_a_point() -> None:
    def rates(first: int) -> dict[str, Any]:
        rate = {"count": first, "of": 1_000}
        return {"first": rate, "in five": {"count": 964, "of": 1_000}, "passage first": rate}

    few = {"passages": 1_000, **rates(800)}
    for lazy, holds in ((736, True), (730, False)):
        prose = {"tokens": 1_200, "lazy": rates(lazy), "eager": rates(740)}
        _, bars = passages.report(few, prose)
        assert [bar["holds"] for bar in bars] == [True, False, False, holds]
    assert bars[-1]["value"] == pytest.approx(1.0)


def test_equal_errors() -> None:
    assert scope.equal_error([0.5, 0.6, 0.7, 0.8], [0.1, 0.2, 0.3, 0.4]) == (0.0, 0.5)
    level, threshold = scope.equal_error([0.3, 0.6, 0.7, 0.8], [0.1, 0.2, 0.4, 0.65])
    assert (level, threshold) == (0.25, 0.6)
    figures, bars = scope.report([0.3, 0.6, 0.7, 0.8], [0.1, 0.2, 0.4, 0.65])
    assert figures["refused_though_held"]["count"] == 1
    assert figures["answered_though_not_held"]["count"] == 1
    assert figures["refused_curve"][0] == 0.0
    assert figures["answered_curve"][-1] == 0.0
    assert figures["default_threshold"] == 0.5
    assert [(bar["bar"], bar["holds"]) for bar in bars] == [("<= 4", False), ("<= 0.1", True)]
    _, bars = scope.report([0.65, 0.7, 0.8], [0.1, 0.2, 0.3])
    assert [(bar["value"], bar["holds"]) for bar in bars] == [
        *((0.0, True), (pytest.approx(0.15), False))
    ]


def test_the_scope_is_asked_about_both_halves(
    session: Session, questions: Path, tmp_path: Path
) -> None:
    session.questions = questions
    figures, _ = scope.measure(session, scope.FULL)
    session.questions = None
    assert (figures["in_scope"], figures["out_of_scope"]) == (2, 2)
    assert figures["equal_error_rate"] == 0.0
    assert plots.draw({"name": "scope", "figures": figures}, tmp_path / "s.svg").stat().st_size > 5_000
    assert [len(article) for article in squad.articles(questions)] == [1, 1]


def test_the_scope_is_the_probability_of_an_answer(
    session: Session, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "questions", questions)
    monkeypatch.setattr(scope, "report", lambda *found: found)
    inside, outside = scope.measure(session, scope.FULL)
    with session.open(None) as memory:
        memory.write([DOCUMENTS["ferry"]])
        of_ferry = memory.read(FERRY).probability
        of_bell = memory.read("When does the bell of the school ring?").probability
    assert inside[0] == pytest.approx(of_ferry)
    assert outside[0] == pytest.approx(of_bell)
    assert min(inside) > 0.5 > max(outside)


def test_the_scope_needs_questions_on_two_articles(session: Session, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be run\. It needs questions .* with --questions"):
        scope.measure(session, scope.QUICK)
    path = tmp_path / "one.json"
    qa = {"question": "Who?", "answers": [{"text": "Ada"}]}
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": "Ada came.", "qas": [qa]}]}]}))
    session.questions = path
    with pytest.raises(InputError, match=r"fewer than two articles\. Give a file with more"):
        scope.measure(session, scope.QUICK)
    session.questions = None
