"""The demonstration: 465 kB of the Python language reference, one pass key, six questions."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

from larimar_memory.cli import output
from larimar_memory.larimar import Larimar
from larimar_memory.models.files import cache_folder

PASS_KEY = 71432
NEEDLE = f"The pass key is {PASS_KEY}. Remember it. {PASS_KEY} is the pass key."
DOCUMENT = "python-language-reference"
QUESTIONS = (
    "What does the assert statement do?",
    "What does the with statement do?",
    "Which exception is raised when a name is not found?",
    "What is a module?",
    "What is the pass key?",
    "Who won the football world cup in 1998?",
)


def haystack() -> str:
    """The text of `pydoc_data.topics` with the pass key at a paragraph boundary in the middle."""
    from pydoc_data.topics import topics

    paragraphs = "\n\n".join(topics[name] for name in sorted(topics)).split("\n\n")
    half = len(paragraphs) // 2
    return "\n\n".join([*paragraphs[:half], NEEDLE, *paragraphs[half:]])


def run(as_json: bool, memory_file: Path | None = None) -> None:
    """Write the text unless the memory already holds it, then ask."""
    file = memory_file or cache_folder() / "demo.larimar"
    results = list[dict[str, Any]]()
    with Larimar.open(file) as memory:
        text = haystack()
        before = memory.stats().segments
        started = time.perf_counter()
        with output.write_progress("remembering the Python reference", not as_json) as tell:
            memory.write(text, [DOCUMENT], on_progress=tell)
        seconds = time.perf_counter() - started
        stats = memory.stats()
        if not as_json:
            output.console.print(
                f"[bold]{file}[/] holds {stats.segments:,} segments of {len(text):,} characters "
                f"(written in {seconds:.1f} s).",
                soft_wrap=True,
            )
        # The decoder's one-off load would otherwise be counted as the first answer's time.
        loaded = time.perf_counter()
        _ = memory.decoder
        gc.collect()
        if not as_json:
            output.console.print(f"[dim]decoder loaded in {time.perf_counter() - loaded:.1f} s[/]")
        for question in QUESTIONS:
            answer = memory.answer(question, cite=True)
            results.append(answer.to_dict())
            if not as_json:
                output.console.print(f"\n[bold]{question}[/]")
                output.console.print(output.plain(answer.text), markup=False, soft_wrap=True)
                output.print_answer(answer)
    if as_json:
        output.print_json(
            {
                "memory": str(file),
                "new_segments": stats.segments - before,
                "write_seconds": seconds,
                "answers": results,
            }
        )
