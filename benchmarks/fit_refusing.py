"""Fit how readily an answering adapter refuses: `python -m benchmarks.fit_refusing --help`.

Each question is asked of its own passage, written to a memory of its own, and a third of them of a
passage that lacks the answer. The decoder's odds that it refuses and the read's probability that the
answer is there are weighed against each other on one half of held-out rows, and reported on the other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from jaxtyping import Bool, Float

from benchmarks.fit_confidence import FILES, area, drawn, fit
from larimar_memory.decoders.base import Conditioning, Generation
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar
from larimar_memory.latents.answering import DESCRIPTION, Refusing, adapter_for, load_adapter
from larimar_memory.system.files import put_in_place
from larimar_memory.train.rows import Row
from larimar_memory.types import Usage

_LEAST = 1e-9


class Odds(TransformersDecoder):
    """A decoder that, instead of answering, notes the log-odds of a refusal's first token."""

    refusal = -1
    found = 0.0

    def generate(
        self, tokens: Sequence[int], *, conditioning: Conditioning | None = None, **_: Any
    ) -> Generation:
        """Nothing; the odds are in `found`."""
        if conditioning is not None:
            with torch.inference_mode(), conditioning.attached():
                inputs = torch.tensor([list(tokens)])
                logits = self.model(inputs, logits_to_keep=1).logits[0, -1].float()
            share = min(max(float(logits.softmax(0)[self.refusal]), _LEAST), 1 - _LEAST)
            self.found = math.log(share / (1 - share))
        return Generation([], Usage())


def main(
    qa: Annotated[Path, typer.Option(help="Folder of reading comprehension, JSON lines.")],
    rows: Annotated[int, typer.Option(help="Questions fitted on, and as many reported on.")] = 600,
    adapter: Annotated[
        Path | None, typer.Option(help="The answering adapter.", show_default="bundled")
    ] = None,
) -> None:
    """Fit it, write it into the adapter's description and say how well it tells the two apart."""
    encoder, loaded = SentenceEncoder.load(), TransformersDecoder.load()
    model = Odds(loaded.model, loaded.tokenizer, name=loaded.name)
    folder = adapter or adapter_for(model.name)
    if folder is None:
        raise typer.BadParameter(f"No adapter ships for {model.name}.")
    model.refusal = load_adapter(folder, model).refusal

    def ask(row: Row) -> tuple[float, float]:
        with Larimar.open(encoder=encoder, decoder=model, adapter=folder) as memory:
            memory.write([row.context])
            readout = memory.read(row.question, threshold=0.0)
            memory.answer(row.question, threshold=0.0)
            return model.found, Refusing(scope=1.0).lean(readout.probability)

    def asked(some: Sequence[Row]) -> tuple[Float[np.ndarray, "n 2"], Bool[np.ndarray, " n"]]:
        with typer.progressbar(some, label="asking") as shown:
            signs = np.array([ask(row) for row in shown])
        return signs, np.array([not row.answers for row in some])

    signs, absent = asked(drawn(qa, rows, fitted=True))
    (decoder, read), bias = fit(signs, absent)
    refusing = Refusing(round(bias / decoder, 4), round(read / decoder, 4))
    signs, absent = asked(drawn(qa, rows, fitted=False))
    report = {
        "alone": _told(signs[:, 0], absent),
        "leaning": _told(signs @ [1.0, refusing.scope] + refusing.bias, absent),
    }
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    description["refusing"] = {
        **asdict(refusing),
        "fitted_on": f"{rows} held-out questions of {', '.join(FILES)}",
        "held_out": report,
    }
    with put_in_place(folder / DESCRIPTION) as new:
        new.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps({**asdict(refusing), **report}))


def _told(odds: Float[np.ndarray, " n"], absent: Bool[np.ndarray, " n"]) -> dict[str, float]:
    return {
        "refused": round(float((odds[absent] > 0).mean()), 3),
        "wrongly": round(float((odds[~absent] > 0).mean()), 3),
        "area_under_roc": round(area(odds, absent), 3),
    }


if __name__ == "__main__":
    typer.run(main)
