"""What a person waits for until `larimar inspect` shows a memory of very many documents.

A browser without a window loads the page anew each time, as a person does who opens its address. The
first paint is the browser's own figure; the documents are there in the first frame that has them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.result import Bar, Figures, bar, percentile
from benchmarks.session import Session
from benchmarks.writer import DIMENSION, ENCODER, SPACE, key_of
from larimar_memory.errors import InputError, LarimarError
from larimar_memory.stores import Document, SQLiteStore, WriteBatch
from larimar_memory.types import Segment

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PACKAGES = ("playwright", "starlette", "uvicorn")

INSPECT = (sys.executable, "-m", "larimar_memory", "inspect", "--json")
_AT_ONCE = 1_000
_SEEN = """
const look = () => {
  if (document.querySelector(".row")) window.seen = performance.now();
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
_FRAME = "new Promise(requestAnimationFrame).then(() => window.seen)"
_PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: documents in memory, and loads of the page."""

    documents: int
    loads: int


FULL = Size(documents=100_000, loads=20)
QUICK = Size(documents=2_000, loads=3)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Write documents, and load the page again and again."""
    painted, seen = list[float](), list[float]()
    with tempfile.TemporaryDirectory(prefix="larimar-bench-") as folder:
        path = Path(folder) / "memory.larimar"
        session.note(f"writing {size.documents:,} documents")
        written(path, size.documents)
        with _shown(path) as address, browser() as started:
            for number in range(size.loads):
                session.note(f"loading the page, {number + 1} of {size.loads}")
                context = started.new_context()
                context.add_init_script(_SEEN)
                page = context.new_page()
                page.goto(address)
                page.locator(".row").first.wait_for()
                painted.append(round(page.evaluate(_PAINTED) / 1000, 3))
                seen.append(round(page.evaluate(_FRAME) / 1000, 3))
                context.close()
    return report(size, painted, seen)


def report(size: Size, painted: Sequence[float], seen: Sequence[float]) -> tuple[Figures, list[Bar]]:
    """Medians and nearly the slowest, which the bars are for."""
    what = {"first_paint_seconds": painted, "documents_seen_seconds": seen}
    figures: Figures = {"documents": size.documents, "loads": size.loads}
    figures |= {
        name: {"p50": percentile(values, 50), "p95": percentile(values, 95)}
        for name, values in what.items()
    }
    at = f"with {size.documents:,} documents, p95 in seconds"
    return figures, [
        bar(f"the inspector's first paint {at}", percentile(painted, 95), "<= 1"),
        bar(f"the inspector's first page of documents {at}", percentile(seen, 95), "<= 1"),
    ]


def written(path: Path, count: int) -> None:
    """Write documents of a segment each, every other one in an episode."""
    store = SQLiteStore(path, encoder=ENCODER, dimension=DIMENSION)
    keys = key_of("any").reshape(1, -1)

    def batch(number: int) -> WriteBatch:
        text = f"Locker {number} of house {number % 977} belongs to person {number}."
        episode = f"talk {number // 100}" if number % 2 else None
        document = Document(f"note/{number}", str(number), len(text), {"n": number}, episode=episode)
        return WriteBatch(document, [Segment(0, 0, len(text), text)], keys, replace=False)

    for first in range(0, count, _AT_ONCE):
        store.write(SPACE, [batch(n) for n in range(first, min(first + _AT_ONCE, count))])
    store.close()


@contextmanager
def browser(*arguments: str) -> Iterator[Browser]:
    """Chromium without a window: this machine's own, or the one that playwright installed.

    Raises:
        InputError: if there is none.
    """
    from playwright.sync_api import sync_playwright

    own = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    with sync_playwright() as running:
        if own is None and not Path(running.chromium.executable_path).exists():
            raise InputError(
                "No browser can be started.",
                "There is no Chromium.",
                "Run `apt-get install chromium`, or `python -m playwright install chromium`.",
            )
        # Chromium has no sandbox for the user who may do everything.
        everything = getattr(os, "geteuid", lambda: 1)() == 0
        given = [*arguments, *(["--no-sandbox"] if everything else [])]
        started = running.chromium.launch(executable_path=own, args=given)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def _shown(path: Path) -> Iterator[str]:
    """The page's address, while the command runs."""
    with subprocess.Popen(  # noqa: S603 - our own command, no shell
        [*INSPECT, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield _told(process)["url"]
        finally:
            process.terminate()


def _told(process: subprocess.Popen[str]) -> dict[str, Any]:
    lines = list[str]()
    for line in process.stdout or ():
        lines.append(line)
        if line == "}\n":
            return dict(json.loads("".join(lines)))
    said = process.stderr.read() if process.stderr else ""
    raise LarimarError(
        "The benchmark of the inspector could not finish.",
        f"The command said: {said.strip().rstrip('.')[:200]}.",
        "Run `larimar inspect MEMORY` by hand to see whether it serves.",
    )
