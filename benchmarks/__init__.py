"""Benchmarks that anyone can run again: each returns figures, the bars they are held to, and where.

No model is loaded, and torch is not imported, before `run` is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from larimar_memory.errors import InputError

NAMES: dict[str, str] = {
    "ingest": "Tokens written to disk per second, against LangChain's documented pipeline.",
    "passkey": "Pass keys found and answered at random depths of up to a million tokens.",
    "needle": "One sentence at ten depths of up to a million tokens: read first, answered right.",
    "memory": "The associative memory on real sentences: capacity, edits, forgetting, merging.",
    "latents": "Readouts that control the decoder: said again, answered from, their time and size.",
    "latents_long": "Long reads: text, latents, or the decoder's own keys and values in few bits.",
    "codes": "Bytes a token's latent takes, against what is said again exactly from it.",
    "curve": "Trained latents side by side: what is said and answered, against bytes and positions.",
    "reliability": "Kills, damage, many processes at once, forgetting: what a memory file keeps.",
    "ray": "Two workers of Ray beside one process, and the same memory after kills of both kinds.",
    "answers": "Answers from text: right, brief, and refused where they are not there.",
    "rag": "Larimar against RetrievalQA over FAISS and Chroma, BM25, and a long context.",
    "ruler": "The eight needle tasks of RULER, at 128 thousand and at a million tokens.",
    "scale": "Ten million tokens: whether the right text is read, how fast, in how much RAM.",
    "scope": "Whether the memory knows what it does not hold: the threshold, and its errors.",
    "passages": "Questions on passages: the right sentence, and passage, with no threshold.",
    "languages": "Notes in Chinese, Japanese, Korean and Thai: whether the right one is found.",
    "conversation": "A turn of a conversation, at a hundred turns and at sixteen thousand.",
    "conversations": "Long conversations: whether the turns that answer a question are found.",
    "decoding": "Tokens a second beside llama.cpp with the same file, and the start of a process.",
    "merge": "Two files merged, and a file copied to a database and back: exact, and how fast.",
    "postgres": "PostgreSQL beside a file and PGVector: recall, reads, writes, many at once.",
    "mcp": "Recall over MCP beside the library's own call: standard input and output, and HTTP.",
    "inspector": "The inspector's first paint, with a hundred thousand documents.",
    "latency": "Time and RAM of an answer, at ten thousand and at a million tokens.",
}
"""What can be measured, each with a line that says what it is."""


def run(
    name: str,
    *,
    quick: bool = False,
    seed: int = 0,
    haystack: Path | None = None,
    questions: Path | None = None,
    conversations: Path | None = None,
    rows: Path | None = None,
    adapter: Path | None = None,
    latents: Sequence[Path] = (),
    on_note: Callable[[str], None] | None = None,
    _size: Any = None,
) -> dict[str, Any]:
    """Run one benchmark and return its result as JSON-serialisable values.

    A missed bar is reported, not raised.

    Args:
        name: one of `NAMES`.
        quick: a small size that ends within a minute, to see that it works; not for reporting.
        seed: of the haystack's order, the depths and the keys.
        haystack: folder of texts to search in; by default, prose that comes with Python.
        questions: a file of questions on passages, in SQuAD's JSON, for benchmarks that need some.
        conversations: a folder of them in JSON, with questions, for the benchmark of that name.
        rows: a folder of reading comprehension in JSON lines, for "answers" and
            "latents_long".
        adapter: an answering adapter in place of the one that ships.
        latents: trained bundles for the default decoder: the first in place of the one that ships, the
            others for "curve" to compare it with.
        on_note: called with a short line of progress now and then, maybe from another thread.

    Raises:
        InputError: if there is no such benchmark, it needs packages that are not installed, or it is
            given more bundles than it measures.
        ModelError: if a model cannot be loaded.
    """
    if name not in NAMES:
        raise InputError(
            f"There is no benchmark {name!r}.",
            f"Those there are: {', '.join(NAMES)}.",
            "Choose one of them.",
        )
    if len(latents) > 1 and name != "curve":
        raise InputError(
            f"The benchmark {name!r} measures one bundle, and was given {len(latents)}.",
            "Only 'curve' compares bundles with one another.",
            "Name one bundle, or run 'curve'.",
        )
    from benchmarks import result
    from benchmarks.session import Session

    benchmark = import_module(f"benchmarks.{name}")
    packages = (*result.PACKAGES, *benchmark.PACKAGES)
    result.require(packages)
    note = on_note or (lambda _: None)
    given = (questions, latents, conversations, rows, adapter or True)
    session = Session(seed, haystack, note, *given)
    size = _size or (benchmark.QUICK if quick else benchmark.FULL)
    figures, bars = benchmark.measure(session, size)
    return result.assemble(name, figures, bars, seed=seed, quick=quick, packages=packages)
