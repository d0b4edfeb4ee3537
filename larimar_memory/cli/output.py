"""How results and errors look on a terminal and as JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from larimar_memory.decoders.prompt import said_by
from larimar_memory.errors import LarimarError

if TYPE_CHECKING:
    from larimar_memory.types import Answer, Citation, OnProgress, Readout, RecalledSegment, Why

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

EXIT_ERROR = 1
_SOURCE_WIDTH = 88
_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_UNSEEN = re.compile(r"[\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")

_shown_bars: list[bool] = []


def plain(text: str) -> str:
    """Text that cannot control a terminal: control characters become replacement characters."""
    return _COMMANDS.sub("\ufffd", text)


def _shown(text: str) -> str:
    return escape(plain(text))


def _json(value: Any, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    sys.stdout.write(_json(value, indent=2))


def print_result(result: dict[str, Any], as_json: bool, text: str = "") -> None:
    """The result of a command: as a JSON object, or in words, or else as values, one a line."""
    if as_json:
        print_json(result)
    elif text:
        console.print(plain(text), markup=False, soft_wrap=True)
    else:
        print_values(result)


def print_note(note: str) -> None:
    """A line on standard error."""
    errors.print(plain(note), style="yellow", markup=False, soft_wrap=True)


def print_error(error: LarimarError, as_json: bool) -> None:
    """An error on standard error: one line, or one JSON object."""
    if as_json:
        body = {
            "type": type(error).__name__,
            "what": error.what,
            "why": error.why,
            "remedy": error.remedy,
        }
        sys.stderr.write(_json({"error": body}))
    else:
        errors.print(f"[bold red]Error:[/] {_shown(' '.join(str(error).split()))}", soft_wrap=True)


@contextmanager
def _counted(shown: bool) -> Iterator[None]:
    # rich shows one bar at a time.
    _shown_bars.extend([True] * shown)
    try:
        yield
    finally:
        del _shown_bars[:shown]


@contextmanager
def progress(label: str, shown: bool) -> Iterator[Callable[..., None]]:
    """A progress bar on standard error; call it with what is done, the total, and perhaps a note."""
    columns = ("{task.description}", "{task.percentage:>3.0f}%", "{task.fields[note]}")
    described, share, noted = (TextColumn(column) for column in columns)
    shape = (described, BarColumn(), share, noted, TimeRemainingColumn())
    with Progress(*shape, console=errors, disable=not shown) as bar, _counted(shown):
        task = bar.add_task(label, total=None, note="")

        def tell(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note or f"{done:,}/{total:,}")

        yield tell


@contextmanager
def announced(sentence: str, word: str) -> Iterator[Callable[[int, int], None]]:
    """A line on standard error about what takes long, and a bar unless one is shown already."""
    print_note(sentence)
    with progress(word, not _shown_bars) as tell:
        yield tell


@contextmanager
def write_progress(label: str, shown: bool) -> Iterator[OnProgress]:
    """A bar with characters done and tokens per second."""
    with progress(label, shown) as tell:
        yield lambda now: tell(
            now.characters, now.total_characters, f"{now.tokens_per_second:,.0f} tokens/s"
        )


def _place(segment: RecalledSegment) -> str:
    """Document, character span and score; who said it, and when, if known."""
    span, by = f"[{segment.start:,}-{segment.end:,}]", said_by(segment.metadata)
    said = f" {_shown(by)}" if by else ""
    return f"[cyan]{_shown(segment.document_id)}[/] {span} score {segment.score:.2f}{said}"


def _why_not(found: Readout | Answer) -> str:
    """A sentence that says why nothing was read; "" if something was."""
    if found.reason == "below the threshold":
        probability, threshold = _unequal(found.probability or 0.0, found.threshold or 0.0)
        return f"Below the threshold: p = {probability} < {threshold}."
    said = {"nothing stored": "Nothing is stored there.", "nothing near": "Nothing near."}
    return said.get(found.reason or "", "")


def _share(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.{digits}f}"


def _unequal(less: float, more: float) -> tuple[str, str]:
    """Two shares, with as many digits as are needed to tell them apart."""
    for digits in range(2, 17):
        shown = _share(less, digits), _share(more, digits)
        if shown[0] != shown[1]:
            break
    return shown


def _mark(number: int) -> str:
    return f"[{number}]"


def print_answer(answer: Answer, sources: int = 3) -> None:
    """Where an answer came from and how long it took, after its text was streamed."""
    if answer.reason:
        console.print(f"  [dim]{_why_not(answer)}[/]")
    cited = {citation.source: citation for citation in reversed(answer.citations)}
    for number, segment in enumerate(answer.sources, 1):
        if number in cited or number <= sources:
            segment = _cited(segment, cited.get(number))
            text = " ".join(segment.text.split())
            shown = text if len(text) <= _SOURCE_WIDTH else text[: _SOURCE_WIDTH - 3] + "..."
            mark = f"[bold]{_mark(number)}[/] " if number in cited else " " * len(_mark(number) + " ")
            place = f"{mark if cited else ''}{_place(segment)}"
            console.print(f"  {place}  [dim]{_shown(shown)}[/]", soft_wrap=True)
    timings = answer.timings
    sure = "" if answer.confidence is None else f"confidence {_share(answer.confidence)} | "
    console.print(
        f"  [dim]{sure}grounding {answer.grounding} | read {timings.read * 1000:.0f} ms | "
        f"first token {timings.first_token:.2f} s | whole answer {timings.total:.2f} s[/]",
        soft_wrap=True,
    )
    if answer.choice:
        console.print(f"  [dim]{_shown(answer.choice)}[/]", soft_wrap=True)


def _cited(segment: RecalledSegment, citation: Citation | None) -> RecalledSegment:
    """A source as it is cited: the segment, or a sentence of what is around it."""
    if citation is None:
        return segment
    # Imported late: commands that show no answer do without the stores.
    from larimar_memory.recall.contexts import context_start

    start, end, at = citation.document_start, citation.document_end, context_start(segment)
    return replace(segment, text=segment.context[start - at : end - at], start=start, end=end)


def print_readout(readout: Readout) -> None:
    """The segments a question addressed."""
    if readout.reason:
        console.print(_why_not(readout))
    for segment in readout.segments:
        console.print(f"{_place(segment)} weight {segment.weight:.2f}")
        console.print(f"  {_shown(segment.context.strip())}", soft_wrap=True)
        if segment.why is not None:
            _print_why(segment.why, readout.question)
    if readout.signs and readout.reason != "nothing stored":
        _print_scope(readout)


def _print_why(why: Why, question: str) -> None:
    """A segment's features, the largest parts of its rank first, and how it became a candidate."""
    ways = [("key", why.by_key), ("words", why.by_words)]
    found = ", ".join(f"by {way} at place {place}" for way, place in ways if place is not None)
    part = "" if why.asked == question else f', for the part "{_shown(why.asked)}"'
    console.print(f"  [dim]found {found}{part}[/]", soft_wrap=True)
    table = Table("feature", box=SIMPLE_HEAD, show_footer=True)
    table.columns[0].footer = "rank"
    table.add_column("value", justify="right")
    table.add_column("part", f"{why.rank_score:+.3f}", justify="right")
    for name, value, own in why.told:
        table.add_row(name, f"{value:.3f}", f"{own:+.3f}")
    console.print(table)


def _print_scope(readout: Readout) -> None:
    """The probability that the answer is there, and what it follows from."""
    sides = f"threshold {readout.threshold:.3f}, margin {readout.margin:+.3f}"
    console.print(f"probability {readout.probability:.3f}, {sides}")
    table = Table("sign", box=SIMPLE_HEAD)
    table.add_column("value", justify="right")
    for name, value in readout.signs.items():
        table.add_row(name, f"{value:.3f}")
    console.print(table)


def print_values(values: dict[str, Any]) -> None:
    """Named values, one a line, grouped ones below the name of their group; None is left out."""
    for name, value in values.items():
        if isinstance(value, dict):
            console.print(f"{name}:")
            print_values(value)
        elif value is not None:
            shown = str(value)
            if not isinstance(value, str):
                shown = f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"
            console.print(f"{name.replace('_', ' '):>16}  {_shown(shown)}", soft_wrap=True)
