"""Sixteen that write to a database and sixteen that read it, all to one namespace; is anything lost?

`python -m benchmarks.postgres_crowd ADDRESS NAME WRITERS READERS SECONDS` is one of their processes. It
loads no model: keys follow from the text. At its end it writes what it did as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.writer import DIMENSION, ENCODER, PIECES, SPACE, batch, key_of, pieces
from larimar_memory.stores.postgres.store import PostgresStore

if TYPE_CHECKING:
    from benchmarks.result import Bar, Figures
    from benchmarks.session import Session

PROCESSES = 4
"""Of which each has a share of the threads, and connections of its own."""

THREADS = 16
_HITS = 9


@dataclass(frozen=True, slots=True)
class Size:
    """How many seconds they go on."""

    seconds: float


FULL = Size(60.0)
QUICK = Size(5.0)


def measure(session: Session, size: Size, address: str) -> tuple[Figures, list[Bar]]:
    """Let them all begin at once, and look for what each was told was written."""
    session.note(f"{THREADS} write and {THREADS} read for {size.seconds:.0f} s")
    # The tables are made by the first to open it.
    _opened(address).close()
    each = str(THREADS // PROCESSES)
    command = [sys.executable, "-m", "benchmarks.postgres_crowd", address]
    running = [
        subprocess.Popen(  # noqa: S603 - fixed arguments, no shell
            [*command, f"p{n}", each, each, str(size.seconds)], stdout=subprocess.PIPE, text=True
        )
        for n in range(PROCESSES)
    ]
    outputs = [process.communicate()[0] for process in running]
    died: dict[str, Any] = {"errors": ["a process died"], "written": {}}
    told: list[dict[str, Any]] = [json.loads(said) if said else died for said in outputs]
    written = {name: n for one in told for name, n in one["written"].items()}
    store = _opened(address)
    try:
        lost = _lost(store, written)
    finally:
        store.close()
    times = {
        kind: [seconds for one in told for seconds in one.get(kind, ())] for kind in ("write", "read")
    }
    return report(size.seconds, lost, [error for one in told for error in one["errors"]], times)


def report(
    seconds: float, lost: int, errors: list[str], times: dict[str, list[float]]
) -> tuple[Figures, list[Bar]]:
    """How often, how long, and the bars.

    Args:
        lost: documents that are not as who wrote them was told.
        times: seconds of each "write" and "read".
    """
    from benchmarks.result import bar, percentile

    figures: Figures = {
        "writers": THREADS,
        "readers": THREADS,
        "seconds": seconds,
        "errors": errors[:9],
    }
    for kind, some in times.items():
        figures[kind] = {
            "count": len(some),
            "a_second": len(some) / seconds,
            "p50_seconds": percentile(some, 50) if some else 0.0,
            "p99_seconds": percentile(some, 99) if some else 0.0,
        }
    who = f"{THREADS} writers and {THREADS} readers, {seconds:.0f} s"
    return figures, [
        bar(f"documents lost, {who}", lost, "<= 0"),
        bar(f"errors, {who}", len(errors), "<= 0"),
        bar(f"documents written, {who}", len(times["write"]), "> 0"),
        bar(f"reads, {who}", len(times["read"]), "> 0"),
    ]


def _lost(store: PostgresStore, written: dict[str, int]) -> int:
    """How many documents do not hold the version that was written last, whole."""
    lost = 0
    for name, version in written.items():
        held = [segment.text for segment in store.segments(SPACE, name)]
        lost += held != pieces(name, version)
    # Nor may there be one that nobody wrote.
    there = {document.id for document in store.documents(SPACE)}
    return lost + len(there ^ written.keys())


def _opened(address: str) -> PostgresStore:
    return PostgresStore(address, encoder=ENCODER, dimension=DIMENSION, lazy=False)


def work(address: str, name: str, writers: int, readers: int, seconds: float) -> dict[str, Any]:
    """Write and read in threads for so long.

    Returns:
        the last version "written" of each document, seconds of each "write" and "read", "errors".
    """
    store, until = _opened(address), time.monotonic() + seconds
    written, errors = dict[str, int](), list[str]()
    times: dict[str, list[float]] = {"write": [], "read": []}

    def write(me: str, n: int) -> None:
        # New documents, and now and then another version of one that is there.
        document = f"{me}-{n - 3 if n % 4 == 3 else n}"
        store.write(SPACE, [batch(document, n)])
        written[document] = n

    def read(me: str, n: int) -> None:
        hits = store.nearest(SPACE, key_of(f"{me} {n}"), _HITS)
        hits += store.lexical(SPACE, ["says", f"p{n % PROCESSES}w0"], _HITS)
        for segment in store.fetch(SPACE, [hit.row for hit in hits]):
            said = pieces(segment.document_id, segment.metadata["version"])
            if len(said) != PIECES or segment.text != said[segment.index]:
                raise ValueError(f"{segment.document_id} holds {segment.text!r}")

    def repeat(step: Callable[[str, int], None], kind: str, me: str) -> None:
        n = 0
        try:
            while time.monotonic() < until:
                started = time.perf_counter()
                step(me, n)
                times[kind].append(time.perf_counter() - started)
                n += 1
        except Exception as error:
            errors.append(f"{me}: {type(error).__name__}: {error}")

    threads = [
        *(
            threading.Thread(target=repeat, args=(write, "write", f"{name}w{n}"))
            for n in range(writers)
        ),
        *(threading.Thread(target=repeat, args=(read, "read", f"{name}r{n}")) for n in range(readers)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    return {"written": written, **times, "errors": errors}


if __name__ == "__main__":
    _, place, who, many, others, long = sys.argv
    print(json.dumps(work(place, who, int(many), int(others), float(long))))
