"""What a client of MCP waits until something is recalled, beside a call of the library.

The official client asks over standard input and output and over HTTP, each of a server in a process of
its own; this process reads the same file. All have the same questions in turn.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mcp import Client, StdioServerParameters

from benchmarks.latency import ask_about
from benchmarks.result import Bar, Figures, bar, percentile
from benchmarks.session import Session
from larimar_memory.errors import LarimarError
from larimar_memory.larimar import Larimar

PACKAGES = ("mcp",)

SERVE = (sys.executable, "-m", "larimar_memory", "serve", "--mcp", "--memory")
WAYS = ("library", "stdio", "http")
TIMES = ("first", "again")
"""Each question is asked, of all three, and later asked again: its key is then known."""

Timed: TypeAlias = dict[str, dict[str, list[float]]]
"""Seconds of each call, by when and by way."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: tokens in memory, and questions."""

    tokens: int
    questions: int


FULL = Size(tokens=100_000, questions=200)
QUICK = Size(tokens=2_000, questions=6)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Write prose, make all keys, and ask about it in three ways."""
    haystack = session.prose(size.tokens)
    questions = ask_about(session, haystack, size.questions, "mcp")
    with tempfile.TemporaryDirectory(prefix="larimar-bench-") as folder:
        path = Path(folder) / "memory.larimar"
        with Larimar.open(path, encoder=session.encoder) as memory:
            parts = haystack.parts()
            session.write(memory, [part.id for part in parts], [part.text for part in parts])
            # Or whoever is asked first would make keys for the others.
            memory.index()
            with _http(path) as url:
                timed, up = asyncio.run(_asked(session, memory, path, url, questions))
    figures: Figures = {"tokens": haystack.total, "questions": len(questions), "up_seconds": up}
    return report(figures, timed)


def report(what: Figures, timed: Timed) -> tuple[Figures, list[Bar]]:
    """Medians, and over the library's the bars."""
    p50 = {at: {way: percentile(timed[at][way], 50) for way in WAYS} for at in TIMES}
    p95 = {at: {way: percentile(timed[at][way], 95) for way in WAYS} for at in TIMES}
    names = {"stdio": "standard input and output", "http": "HTTP"}
    over = {way: p50["first"][way] / p50["first"]["library"] for way in names}
    bars = [
        bar(f"recall over {name}, p50 over that of the library's own call", over[way], "<= 1.3")
        for way, name in names.items()
    ]
    return {**what, "recall_p50_seconds": p50, "recall_p95_seconds": p95}, bars


async def _asked(
    session: Session, memory: Larimar, path: Path, url: str, questions: Sequence[str]
) -> tuple[Timed, float]:
    """Seconds of every call, and of the start of a server until it lists its tools."""
    timed: Timed = {at: {way: [] for way in WAYS} for at in TIMES}
    started = time.perf_counter()
    command, *arguments = (*SERVE, str(path))
    async with Client(StdioServerParameters(command=command, args=arguments)) as stdio:
        await stdio.list_tools()
        up = time.perf_counter() - started
        async with Client(url) as http:
            clients = {"stdio": stdio, "http": http}
            for client in clients.values():
                # Loads the encoder.
                await client.call_tool("recall", {"question": "What is this?"})
            memory.read("What is this?")
            for at in TIMES:
                session.note(f"asking {len(questions)} questions, {at}")
                for number, question in enumerate(questions):
                    for way in (*WAYS[number % 3 :], *WAYS[: number % 3]):
                        begun = time.perf_counter()
                        if way == "library":
                            memory.read(question)
                        else:
                            done = await clients[way].call_tool("recall", {"question": question})
                            _check(done.is_error, str(done.content))
                        timed[at][way].append(time.perf_counter() - begun)
    return timed, up


@contextmanager
def _http(path: Path) -> Iterator[str]:
    """A server over HTTP, by its address."""
    with subprocess.Popen(  # noqa: S603 - our own command, no shell
        [*SERVE, str(path), "--http", "0"], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stderr.readline() if process.stderr else ""
            found = re.search(r"http://\S+", line)
            _check(found is None, line)
            yield found[0] if found else ""
        finally:
            process.terminate()


def _check(failed: bool, said: str) -> None:
    if failed:
        raise LarimarError(
            "The benchmark of MCP could not finish.",
            f"The server said: {said.strip().rstrip('.')[:200]}.",
            "Run `larimar serve --mcp --http 8000` by hand to see whether it serves.",
        )
