"""Edits on real sentences: how many hold, and how long one takes."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks.facts import Fact
from benchmarks.result import Bar, Figures, bar, percentile
from benchmarks.session import Session
from larimar_memory.larimar import Larimar
from larimar_memory.recall import Recall
from larimar_memory.stores import Document, WriteBatch
from larimar_memory.types import DEFAULT_NAMESPACE, ReadOptions, Segment

_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        counts: sequential edits after which retention is measured, ascending.
        asked: most facts asked for then, evenly chosen.
        stored: segments in the file in which single edits are timed.
        timed: single edits.
    """

    counts: tuple[int, ...]
    asked: int
    stored: int
    timed: int


def retention(session: Session, pool: list[Fact], size: Size) -> tuple[Figures, list[Bar]]:
    """Replace one sentence after another by another, in one file, then ask for all of them."""
    figures: Figures = {}
    bars = list[Bar]()
    total = size.counts[-1]
    before, after = pool[:total], pool[total : 2 * total]
    with tempfile.TemporaryDirectory() as folder, session.open(Path(folder) / "m.larimar") as memory:
        session.write(memory, [str(n) for n in range(total)], [fact.text for fact in before])
        done = 0
        for count in size.counts:
            started = time.perf_counter()
            for n in range(done, count):
                memory.update(str(n), after[n].text)
                if n % 500 == 0:
                    session.note(f"edit {n:,} of {total:,}")
            seconds, edited = time.perf_counter() - started, count - done
            done = count
            asked = range(0, count, max(1, count // size.asked))
            questions = [(f[n], f is after) for n in asked for f in (before, after)]
            keys = session.encoder.encode([fact.question for fact, _ in questions], kind="question")
            said, old = list[bool](), list[bool]()
            for (fact, new), key in zip(questions, keys, strict=True):
                (said if new else old).append(first(memory, fact.question, key) == fact.text)
            figures[str(count)] = {
                "asked": len(said),
                "retained": sum(said) / len(said),
                "old facts read first": sum(old) / len(old),
                "seconds per edit": seconds / edited,
            }
            value = figures[str(count)]["retained"]
            bars.append(bar(f"facts retained after {count:,} edits", value, ">= 0.99"))
    return figures, bars


def seconds(session: Session, pool: list[Fact], size: Size) -> tuple[Figures, list[Bar]]:
    """Time single edits of a fact, encoding and commit included, in a file that is full already."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.larimar"
        with session.open(path) as memory:
            _fill(session, memory, pool, size.stored)
        times = list[float]()
        with session.open(path) as memory:
            started = time.perf_counter()
            memory.write(["The pass key of the shed is 71432."], ["fact"])
            first = time.perf_counter() - started
            for n in range(size.timed):
                started = time.perf_counter()
                memory.update("fact", f"The pass key of the shed is {20_000 + n}.")
                times.append(time.perf_counter() - started)
            said = memory.read("What is the pass key of the shed?", k=1).segments[0].text
    median = 1000 * statistics.median(times)
    figures: Figures = {
        "segments": size.stored,
        "edits": size.timed,
        "median ms": median,
        "p95 ms": 1000 * percentile(times, 95),
        "first write after opening ms": 1000 * first,
        "last edit is read": said.endswith(f" {20_000 + size.timed - 1}."),
    }
    return figures, [bar(f"one edit at {size.stored:,} segments, milliseconds", median, "<= 50")]


def first(memory: Larimar, question: str, key: Float[np.ndarray, " d"], *, hybrid: bool = True) -> str:
    """The text that a question reads first, its key known already; "" where there is nothing."""
    probe = None if memory.slots is None else memory.slots.read(DEFAULT_NAMESPACE, key).key
    recall = Recall(memory.store, memory.encoder, "en")
    found = recall.ask(question, key, ReadOptions(k=1, hybrid=hybrid), probe).candidates
    return found[0].segment.text if found else ""


def _fill(session: Session, memory: Larimar, pool: list[Fact], count: int) -> None:
    """Segments with keys drawn at random: that they are many is all that matters."""
    session.note(f"filling a file with {count:,} segments")
    draw = np.random.default_rng(session.seed)
    for start in range(0, count, _ROWS):
        numbers = range(start, min(start + _ROWS, count))
        keys = draw.standard_normal((len(numbers), session.encoder.dimension))
        keys /= np.linalg.norm(keys, axis=1, keepdims=True)
        batches = list[WriteBatch]()
        for n, key in zip(numbers, keys.astype(np.float32), strict=True):
            text = f"{n}: {pool[n % len(pool)].text}"
            document = Document(f"filling {n}", str(n), len(text))
            pieces = [Segment(0, 0, len(text), text)]
            batches.append(WriteBatch(document, pieces, key[None], replace=True))
        memory.store.write("default", batches)
