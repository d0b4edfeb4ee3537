"""What is compared with Larimar: each system, and the bars that are held against the better store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import plots, rag, systems
from benchmarks.probes import pooled
from benchmarks.session import Session
from benchmarks.systems import Piece, open_system
from benchmarks.tables import TABLES

from .conftest import DOCUMENTS, FERRY

pytestmark = pytest.mark.model


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
