"""How results and errors look on a terminal and as JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from larimar_memory.errors import LarimarError

if TYPE_CHECKING:
    from larimar_memory.types import Answer, OnProgress, Readout, RecalledSegment, WriteProgress

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

EXIT_ERROR = 1
_SOURCE_WIDTH = 88
_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_UNSEEN = re.compile(r"[\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Text that tells a terminal nothing: what controls it becomes a replacement character."""
    return _COMMANDS.sub("\ufffd", text)


def _shown(text: str) -> str:
    return escape(plain(text))


def _json(value: Any, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    sys.stdout.write(_json(value, indent=2))


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
def progress_bar(label: str, shown: bool) -> Iterator[OnProgress | None]:
    """A bar with characters done and tokens per second, on standard error."""
    if not shown:
        yield None
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=errors,
    ) as bar:
        task = bar.add_task(label, total=None, rate="")

        def update(now: WriteProgress) -> None:
            bar.update(
                task,
                total=now.total_characters,
                completed=now.characters,
                rate=f"{now.tokens_per_second:,.0f} tokens/s",
            )

        yield update


def print_sources(segments: tuple[RecalledSegment, ...], limit: int = 3) -> None:
    """Where an answer came from: document, character span, score, and the text's beginning."""
    for segment in segments[:limit]:
        text = " ".join(segment.text.split())
        shown = text if len(text) <= _SOURCE_WIDTH else text[: _SOURCE_WIDTH - 3] + "..."
        console.print(
            f"  [cyan]{_shown(segment.document_id)}[/] "
            f"[{segment.start:,}-{segment.end:,}] score {segment.score:.2f}  [dim]{_shown(shown)}[/]",
            soft_wrap=True,
        )


def print_answer(answer: Answer) -> None:
    """An answer's sources and times, after its text was streamed."""
    print_sources(answer.sources)
    timings = answer.timings
    console.print(
        f"  [dim]grounding {answer.grounding} | read {timings.read * 1000:.0f} ms | "
        f"first token {timings.first_token:.2f} s | whole answer {timings.total:.2f} s[/]"
    )


def print_readout(readout: Readout) -> None:
    """The segments a question addressed."""
    if not readout.in_scope:
        console.print(f"Not in memory (best score {readout.best_score:.2f} < {readout.threshold:.2f}).")
    for segment in readout.segments:
        console.print(
            f"[cyan]{_shown(segment.document_id)}[/] [{segment.start:,}-{segment.end:,}] "
            f"score {segment.score:.2f} weight {segment.weight:.2f}"
        )
        console.print(f"  {_shown(segment.context.strip())}", soft_wrap=True)


def print_values(values: dict[str, Any]) -> None:
    """Named values, one a line, those of a group under its name; what is None is left out."""
    for name, value in values.items():
        if isinstance(value, dict):
            console.print(f"{name}:")
            print_values(value)
        elif value is not None:
            shown = str(value)
            if not isinstance(value, str):
                shown = f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"
            console.print(f"{name.replace('_', ' '):>16}  {_shown(shown)}", soft_wrap=True)
