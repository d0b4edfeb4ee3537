"""Fit the weights by which an answer is judged: `python -m benchmarks.fit_judging --help`.

Held-out questions are asked of their own texts, each shown as a whole. Of the answers that the decoder
finds possible, the weights raise those that share most with the right one: what is maximised is the
token F1 to be expected where each is given as often as it looks right. They are fitted on one half of
the questions and reported on the other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmarks.fit_confidence import FILES, drawn
from benchmarks.squad import token_f1
from benchmarks.written import whole
from larimar_memory.answer import STOP
from larimar_memory.decoders.judging import SIGNS, Judge
from larimar_memory.decoders.prompt import instruction, messages
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.decoders.weighing import Weighing
from larimar_memory.latents.adapting import adapter_for
from larimar_memory.latents.answering import AnsweringAdapter, load_adapter
from larimar_memory.latents.description import describe
from larimar_memory.train.rows import Row, read_rows
from larimar_memory.types import AnswerOptions

_DECAY = 0.01
"""Weights on signs of one spread each are kept small; a third as much does as well."""

_STEPS, _TOKENS = 200, 64
_NEVER = -100.0


@dataclass(frozen=True)
class Candidates:
    """The possible answers to a question, those that are given by agreement first.

    Attributes:
        file: that the question is from.
        signs: of each answer, in the order of `SIGNS`.
        right: token F1 of each with the right answer.
    """

    file: str
    signs: Float[np.ndarray, "n s"]
    right: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Noting(Judge):
    """A judge that leaves the choice to agreement, and notes what it was asked to judge."""

    noted: list[tuple[str, dict[str, float], float]] = field(default_factory=list)

    def __call__(
        self, texts: Sequence[str], logs: Sequence[Sequence[float]], agreed: Sequence[float]
    ) -> list[float]:
        """The agreement itself."""
        self.noted[:] = zip(texts, self.signs(texts, logs, agreed), agreed, strict=True)
        return list(agreed)


def main(
    qa: Annotated[Path, typer.Option(help="Folder of reading comprehension, JSON lines.")],
    rows: Annotated[int, typer.Option(help="Questions fitted on; half as many reported on.")] = 2400,
    adapter: Annotated[
        Path | None, typer.Option(help="The answering adapter.", show_default="bundled")
    ] = None,
) -> None:
    """Fit them, write them into the adapter's description and say what they are worth."""
    decoder = TransformersDecoder.load()
    folder = adapter or adapter_for(decoder.name)
    if folder is None:
        raise typer.BadParameter("No adapter ships for the decoder.")
    answering, every = load_adapter(folder, decoder), read_rows(qa)

    def asked(rows: int, *, fitted: bool) -> list[Candidates]:
        chosen = [row for row in drawn(every, rows * 3 // 2, fitted=fitted) if row.answers]
        with typer.progressbar(chosen, label="asking") as shown:
            return [one for row in shown if (one := candidates(decoder, answering, row)) is not None]

    found = asked(rows, fitted=True)
    weights = fit(found)
    report = told(asked(rows // 2, fitted=False), weights)
    judging = {
        "weights": {name: round(float(w), 4) for name, w in zip(SIGNS, weights, strict=True)},
        "fitted_on": f"{len(found)} held-out questions of {', '.join(FILES)}",
        "held_out": report,
    }
    describe(folder, judging=judging)
    typer.echo(json.dumps(judging))


def candidates(decoder: TransformersDecoder, adapter: AnsweringAdapter, row: Row) -> Candidates | None:
    """The answers that a decoder finds possible, where it may not refuse; None if there is but one."""
    shown = whole(row.context)
    judge = Noting(row.question, shown, {})
    asking = replace(
        adapter,
        first={adapter.refusal: _NEVER},
        weighing=Weighing(AnswerOptions().beams, adapter.refusal, judge),
    )
    chat = messages(row.question, shown, instruction=instruction("brief", True))
    tokens = decoder.chat_tokens(chat)
    for _ in decoder.generate(tokens, max_tokens=_TOKENS, stop=STOP, conditioning=asking):
        pass
    if not judge.noted:
        return None
    # By agreement, the best comes first, and of equal ones the likeliest.
    best_first = sorted(judge.noted, key=lambda one: (-one[2], -one[1]["total"]))
    return Candidates(
        row.file,
        np.array([[signs[name] for name in SIGNS] for _, signs, _ in best_first]),
        np.array([token_f1(text, row.answers) for text, *_ in best_first]),
    )


def fit(found: Sequence[Candidates]) -> Float[np.ndarray, " s"]:
    """The weights of `SIGNS` for which the expected token F1 is highest, with a little decay."""
    spread = np.concatenate([one.signs for one in found]).std(axis=0)
    # A sign that never changes says nothing.
    spread = np.where(spread > 0, spread, np.inf)
    signs, right, absent = (
        pad_sequence([*map(torch.from_numpy, some)], batch_first=True, padding_value=padding)
        for some, padding in (
            ([one.signs / spread for one in found], 0.0),
            ([one.right for one in found], 0.0),
            ([np.zeros_like(one.right) for one in found], -np.inf),
        )
    )
    weights = torch.zeros(len(SIGNS), dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([weights], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        looks = signs @ weights + absent
        lost = _DECAY * weights @ weights - 2 * (looks.softmax(1) * right).sum(1).mean()
        lost.backward()
        return lost

    search.step(loss)
    return np.asarray(weights.detach().numpy() / spread)


def told(found: Sequence[Candidates], weights: Float[np.ndarray, " s"]) -> dict[str, Any]:
    """Token F1 of what is chosen by agreement, by the weights, and of the best that there is."""
    names = ("agreement", "judged", "best")
    each = [
        (one.right[0], one.right[int((one.signs @ weights).argmax())], one.right.max()) for one in found
    ]
    table, files = np.array(each), np.array([one.file for one in found])
    chosen = {"all": np.full(len(files), True), **{name: files == name for name in FILES}}
    return {
        name: dict(zip(names, table[of].mean(axis=0).round(3).tolist(), strict=True))
        | {"questions": int(of.sum())}
        for name, of in chosen.items()
        if of.any()
    }


if __name__ == "__main__":
    typer.run(main)
