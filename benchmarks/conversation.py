"""What a turn of a conversation costs, and whether that grows with the turns there were before."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from benchmarks.result import Bar, Figures, bar
from benchmarks.session import Session
from langchain_larimar import LarimarChatMessageHistory, LarimarMemory

PACKAGES = ("langchain-core",)

_WORDS = 18
_AT_ONCE = 500
_MOST = 2.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: turns of each conversation, ascending, and how often each work is done."""

    turns: tuple[int, ...]
    times: int


FULL = Size((100, 1_000, 4_000, 16_000), 40)
QUICK = Size((20, 200), 3)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Talk in conversations of several lengths in turn, each in a file of its own with another one."""
    longest = size.turns[-1]
    lines = _lines(session, 2 * (longest + size.times))
    seconds: dict[str, list[list[float]]] = {}
    every = list[float]()
    with tempfile.TemporaryDirectory(prefix="larimar-bench-") as folder, ExitStack() as stack:
        talks = list[LarimarMemory]()
        for turns in size.turns:
            memory = stack.enter_context(session.open(Path(folder) / f"{turns}.larimar"))
            talks.append(LarimarMemory(memory, "ana"))
            _fill(talks[-1], lines, turns)
            _fill(LarimarMemory(memory, "bob"), lines, size.turns[0])
            session.note(f"a conversation of {turns:,} turns")
        for n in range(size.times):
            for place, talk in enumerate(talks):
                for name, work in _work(talk, lines[2 * (longest + n) :][:2], n).items():
                    started = time.perf_counter()
                    work()
                    held = seconds.setdefault(name, [[] for _ in talks])
                    held[place].append(time.perf_counter() - started)
        for talk in talks:
            started = time.perf_counter()
            kept = len(LarimarChatMessageHistory(talk.memory, "ana").messages)
            every.append((time.perf_counter() - started) / kept)
    return report(size, seconds, every)


def report(
    size: Size, seconds: dict[str, list[list[float]]], every: Sequence[float]
) -> tuple[Figures, list[Bar]]:
    """Medians in milliseconds, and a bar for each kind of work.

    Args:
        seconds: of each kind of work, for each length, each time; the first time is left out.
        every: seconds a message, where all are handed out, for each length.
    """
    medians = {
        name: [1000 * statistics.median(times[1:]) for times in of] for name, of in seconds.items()
    }
    ratios = {name: of[-1] / of[0] for name, of in medians.items()}
    figures: Figures = {
        "turns": list(size.turns),
        "times": size.times - 1,
        "median ms": medians,
        "ratios": ratios,
        "all messages, microseconds a message": [1e6 * each for each in every],
    }
    longer = f"at {size.turns[-1]:,} turns over {size.turns[0]:,}"
    return figures, [bar(f"{name}, {longer}", ratio, f"<= {_MOST:g}") for name, ratio in ratios.items()]


def _work(talk: LarimarMemory, said: Sequence[str], n: int) -> dict[str, Callable[[], object]]:
    """What an application does in a turn, by the name of it."""
    history = LarimarChatMessageHistory(talk.memory, "ana", limit=10)
    agent = replace(talk, window=0)
    asked, reply = said
    return {
        "the next prompt": lambda: talk.load(asked),
        "a turn saved": lambda: talk.save(asked, reply),
        "the last ten messages": lambda: history.messages,
        "before an agent's model": lambda: agent.recall(asked, but={"another"}),
        "an agent's turn saved": lambda: talk.save_once(asked, reply, key=f"k{n}", mark=f"m{n}"),
        "an agent's turn again": lambda: talk.save_once(asked, reply, key=f"k{n}", mark=f"m{n}"),
        "an agent's turn replaced": lambda: talk.save_once(asked, asked, key=f"k{n}", mark=f"r{n}"),
    }


def _fill(talk: LarimarMemory, lines: Sequence[str], turns: int) -> None:
    messages = list[BaseMessage]()
    for n in range(turns):
        messages += [HumanMessage(lines[2 * n]), AIMessage(lines[2 * n + 1])]
        if len(messages) >= 2 * _AT_ONCE or n + 1 == turns:
            talk.save_messages(messages)
            messages = []


def _lines(session: Session, count: int) -> list[str]:
    """So many different lines of real prose, of some twenty words each."""
    lines = list[str]()
    words = _words(session, 2 * _WORDS * count)
    while len(lines) < count:
        some = [word for _, word in zip(range(_WORDS), words, strict=False)]
        lines.append(" ".join([*some, f"({len(lines) + 1:,})."]))
    return lines


def _words(session: Session, tokens: int) -> Iterator[str]:
    """Words without end: where the prose is over, it begins anew."""
    paragraphs = session.prose(tokens).paragraphs
    while True:
        for paragraph in paragraphs:
            yield from paragraph.split()
