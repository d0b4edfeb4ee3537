"""Fit the weights of `larimar_memory.form.confidence`: `python -m benchmarks.fit_confidence --help`.

Each question is answered from its own passage, written to a memory of its own, and a third of them from
a passage that lacks the answer. All are rows that no adapter was trained on; the weights are fitted on
one half of them, and the error of calibration is that of the other half.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jaxtyping import Bool, Float

from benchmarks.squad import holds, token_f1
from benchmarks.written import write
from larimar_memory.decoders.prompt import NOT_IN_MEMORY
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.form.confidence import SIGNS, WEIGHTS
from larimar_memory.larimar import Larimar
from larimar_memory.train.rows import Row, read_rows

UNANSWERABLE = 1 / 3
"""Share of the questions whose answer is not in the passage."""

RIGHT_F1 = 0.5
"""Token F1 with a reference from which an answer is right; one that holds a reference is right too."""

BINS = 10
_DECAY, _STEPS = 0.005, 50

HELD_OUT = ("fairytaleqa", "nq_open_gold", "sgd_dialogue_qa")
"""Files whose held-out rows are asked, here and where answers are measured."""

FILES = (*HELD_OUT, "squadshifts_newwiki")
"""Those whose held-out rows are asked, each as often."""

Ask = Callable[[Row], tuple[np.ndarray, bool]]


def main(
    qa: Annotated[Path, typer.Option(help="Folder of reading comprehension, JSON lines.")],
    rows: Annotated[int, typer.Option(help="Questions fitted on, and as many reported on.")] = 600,
    decoder: Annotated[str, typer.Option(help="The decoder that answers.")] = "",
    adapter: Annotated[
        Path | None, typer.Option(help="Its answering adapter.", show_default="bundled")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = 64,
    out: Annotated[Path, typer.Option(help="Where the weights are written.")] = WEIGHTS,
) -> None:
    """Fit the confidence, write its weights and say how well it is calibrated on other questions."""
    encoder = SentenceEncoder.load()
    model = TransformersDecoder.load(decoder) if decoder else TransformersDecoder.load()

    def ask(row: Row) -> tuple[np.ndarray, bool]:
        with Larimar.open(encoder=encoder, decoder=model, adapter=adapter or True) as memory:
            write(memory, row.context)
            stream = memory.stream(row.question, threshold=0.0, max_tokens=max_tokens)
            return _signs(stream.result().text, stream.signs[0], row)

    every = read_rows(qa)
    fitted, other = (_answered(drawn(every, rows, fitted=half), ask) for half in (True, False))
    weights, bias = fit(*fitted)
    likely = _likely(other[0], weights, bias)
    report = {
        "questions": len(likely),
        "right": round(float(other[1].mean()), 3),
        "calibration_error": round(calibration_error(likely, other[1]), 3),
        "area_under_roc": round(area(likely, other[1]), 3),
    }
    values = {
        "version": 1,
        "fitted_on": f"{len(fitted[1])} held-out questions of {', '.join(FILES)}",
        "decoder": model.name,
        "held_out": report,
        "weights": {name: round(value, 4) for name, value in zip(SIGNS, weights.tolist(), strict=True)},
        "bias": round(bias, 4),
    }
    out.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps(report))


def drawn(every: Sequence[Row], rows: int, *, fitted: bool) -> list[Row]:
    """Held-out questions of all files, a third of them without an answer, in an order by chance.

    Args:
        every: what they are drawn from.
        fitted: whether they are those that weights are fitted on, or those that are reported on.
    """
    held_out = [
        row for row in every if row.held_out and row.file in FILES and in_half(row.question) is fitted
    ]
    draw, found = random.Random(0), list[Row]()  # noqa: S311 - nothing secret
    draw.shuffle(held_out)
    for n, file in enumerate(FILES):
        count = (rows + n) // len(FILES)
        without = round(count * UNANSWERABLE)
        for answerable, wanted in ((True, count - without), (False, without)):
            of_kind = (row for row in held_out if row.file == file and bool(row.answers) is answerable)
            found += islice(of_kind, wanted)
    draw.shuffle(found)
    return found


def fit(
    signs: Float[np.ndarray, "n s"], right: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " s"], float]:
    """Weights and bias of a logistic regression with a little decay, by Newton's method."""
    mean, spread = signs.mean(axis=0), signs.std(axis=0)
    # A sign that never changes says nothing.
    spread = np.where(spread > 0, spread, np.inf)
    table = np.column_stack([(signs - mean) / spread, np.ones(len(signs))])
    decay = np.full(table.shape[1], _DECAY * len(table))
    decay[-1] = 0
    weights = np.zeros(table.shape[1])
    for _ in range(_STEPS):
        likely = _likely(table, weights, 0.0)
        slope = table.T @ (likely - right) + decay * weights
        curve = (table * (likely * (1 - likely))[:, None]).T @ table + np.diag(decay)
        weights -= np.linalg.solve(curve + 1e-9 * np.eye(len(weights)), slope)
    own = weights[:-1] / spread
    return own, float(weights[-1] - mean @ own)


def calibration_error(likely: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float:
    """Expected calibration error (Guo et al. 2017, arXiv 1706.04599), bins of as many answers each."""
    order = np.argsort(likely, kind="stable")
    bins = [some for some in np.array_split(order, BINS) if len(some)]
    gaps = [len(some) * abs(likely[some].mean() - right[some].mean()) for some in bins]
    return float(sum(gaps) / len(likely))


def area(likely: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float:
    """How often a right answer has more confidence than a wrong one; .5 where there is but one kind."""
    if right.all() or not right.any():
        return 0.5
    gaps = likely[right][:, None] - likely[~right][None, :]
    return float(((gaps > 0) + 0.5 * (gaps == 0)).mean())


def _likely(
    signs: Float[np.ndarray, "n s"], weights: Float[np.ndarray, " s"], bias: float
) -> Float[np.ndarray, " n"]:
    return np.asarray(1 / (1 + np.exp(-np.clip(signs @ weights + bias, -50, 50))))


def _answered(rows: Sequence[Row], ask: Ask) -> tuple[np.ndarray, np.ndarray]:
    found = list[tuple[np.ndarray, bool]]()
    with typer.progressbar(rows, label="answering") as shown:
        found.extend(map(ask, shown))
    return np.array([signs for signs, _ in found]), np.array([right for _, right in found])


def _signs(said: str, signs: np.ndarray | None, row: Row) -> tuple[np.ndarray, bool]:
    if signs is None:
        raise typer.BadParameter("The decoder tells no log-probabilities: nothing can be fitted.")
    if not row.answers:
        return signs, said == NOT_IN_MEMORY
    return signs, holds(said, row.answers) or token_f1(said, row.answers) >= RIGHT_F1


def in_half(question: str) -> bool:
    """Whether a question is of the first half: both of its rows are of the same."""
    return hashlib.blake2b(question.encode(), digest_size=1).digest()[0] < 128


if __name__ == "__main__":
    typer.run(main)
