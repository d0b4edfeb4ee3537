"""Ten million tokens in one memory: whether the right text is read, how fast, and in how much RAM."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import corpora, latency, process
from benchmarks.peak import Peak
from benchmarks.probes import Probe
from benchmarks.result import Bar, Figures, bar, percentile, rate, share
from benchmarks.session import Session
from benchmarks.systems import Piece
from larimar_memory.larimar import Larimar

PACKAGES = ()

_WARM_DOCUMENTS = 8


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        lengths: tokens of each memory, ascending.
        trials: pass keys, and needles, hidden in each.
        questions: different ones, about the shortest text, that are timed in each.
        reads: times that each is read.
        answers: questions that a fresh process answers, to measure its RAM.
        passages: questions on passages that are written beside each, where the session has some.
    """

    lengths: tuple[int, ...]
    trials: int
    questions: int
    reads: int
    answers: int
    passages: int


FULL = Size((100_000, 1_000_000, 10_000_000), 20, 25, 4, 5, 500)
QUICK = Size((2_000, 10_000), 2, 4, 2, 1, 4)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """The same in memories of growing length."""
    questions = latency.ask_about(session, session.prose(size.lengths[0]), size.questions)
    rows = [_length(session, length, size, questions) for length in size.lengths]
    return report(rows)


def report(rows: list[Figures]) -> tuple[Figures, list[Bar]]:
    """The rows, and the bars of the longest beside the shortest."""
    longest = rows[-1]
    where = f"{longest['tokens']:,} tokens"
    bars = list[Bar]()
    for name in ("pass key", "needle"):
        found = longest[name]
        percent = 100 * share(found)
        bars.append(bar(f"{name}: right text read first in {where}, percent", percent, ">= 100"))
    ratio = longest["read_p95_seconds"] / rows[0]["read_p95_seconds"]
    bars.append(bar(f"read p95 at {where} over {rows[0]['tokens']:,}", ratio, "<= 2.5"))
    minutes = longest["tokens"] / longest["write_tokens_per_second"] / 60
    bars.append(bar(f"minutes in which {where} are written", minutes, "<= 2"))
    ram = max(longest["ram_beyond_models_mb"], longest["write_peak_mb"])
    bars.append(bar(f"RAM beyond the models at {where}, MB", ram, "<= 800"))
    return {"rows": rows}, bars


def _length(session: Session, length: int, size: Size, questions: list[str]) -> Figures:
    corpus = corpora.hidden(session, length, size.trials)
    texts = list(corpus.documents.values())
    with tempfile.TemporaryDirectory(prefix="larimar-bench-") as folder:
        path = Path(folder) / "memory.larimar"
        with session.open(path) as memory, Peak() as peak:
            seconds = session.write(memory, list(corpus.documents), texts)
            memory.read(questions[0], threshold=0.0)
        session.note(f"wrote {corpus.tokens:,} tokens in {seconds:.0f} s")
        with session.open(path) as memory:
            first = memory.read(questions[0], threshold=0.0).seconds
            times = [
                memory.read(question, threshold=0.0).seconds
                for _ in range(size.reads)
                for question in questions
            ]
            hits = {
                task: rate([_found(memory, corpus.documents, probe) for probe in probes])
                for task, probes in corpus.tasks.items()
            }
            held = memory.stats()
            hits |= _passages(session, memory, size.passages)
        session.note("measuring RAM in a process of its own")
        ram = process.resident(path, questions[: size.answers], texts[:_WARM_DOCUMENTS])
    return {
        "tokens": corpus.tokens,
        "segments": held.segments,
        "bytes_on_disk": held.bytes_on_disk,
        "write_tokens_per_second": corpus.tokens / seconds,
        "write_peak_mb": peak.megabytes,
        "first_read_seconds": first,
        "read_p50_seconds": statistics.median(times),
        "read_p95_seconds": percentile(times, 95),
        "ram_beyond_models_mb": ram["peak_mb"] - ram["models_mb"],
        **hits,
    }


def _found(memory: Larimar, documents: Mapping[str, str], probe: Probe) -> bool:
    """Whether the probe's text is read first while it is hidden."""
    for id, text in probe.changes.items():
        memory.update(id, str(text))
    first, _ = _read(memory, probe)
    for id in probe.changes:
        memory.update(id, documents[id])
    return first


def _passages(session: Session, memory: Larimar, count: int) -> Figures:
    """Passages written to what is there, and questions on them: the sentence that says the answer."""
    if session.questions is None:
        return {}
    corpus = corpora.passages(session, session.questions, count, count)
    session.write(memory, list(corpus.documents), list(corpus.documents.values()))
    read = [_read(memory, probe) for probe in corpus.tasks["passages"]]
    return {
        "passages": rate([first for first, _ in read]),
        "passages in five": rate([every for _, every in read]),
    }


def _read(memory: Larimar, probe: Probe) -> tuple[bool, bool]:
    """Whether the probe's text is read first, and whether it is read at all."""
    segments = memory.read(probe.question).segments
    return probe.found([Piece(segment.document_id, segment.text) for segment in segments])
