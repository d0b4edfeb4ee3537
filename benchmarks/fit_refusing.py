"""Fit how readily an answering adapter refuses: `python -m benchmarks.fit_refusing --help`.

Half of the questions are asked of their own passage, in a memory of its own; a third of these passages
lack the answer. The others are asked of a memory of many passages, in which half of theirs are. Some
more are asked of their own conversation. The decoder's odds that it refuses and the read's probability
that the answer is there are weighed against each other on one half of held-out rows, and reported on
the other; for conversations, of which the read's probability tells less, apart. Questions whose answer
the memory holds, and recall did not find, are left out: there, no answer is right, and no refusal.
Segments that are shown alone, and latents, have weights of their own, fitted with `--shown`.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import torch
import typer
from jaxtyping import Bool, Float

from benchmarks.fit_confidence import FILES, area, drawn, fit, in_half
from benchmarks.written import write
from larimar_memory.decoders.base import Conditioning, Generation
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.keywords import AnswerKeywords
from larimar_memory.larimar import Larimar
from larimar_memory.latents.adapting import adapter_for
from larimar_memory.latents.answering import Refusing, Shown, load_adapter
from larimar_memory.latents.description import describe, described
from larimar_memory.models import caches
from larimar_memory.recall.scope import log_odds
from larimar_memory.train.rows import Row, read_rows
from larimar_memory.train.shown import plain
from larimar_memory.types import Usage

NAMING = ("nq_open_gold", "squadshifts_newwiki")
"""Files whose questions name what they are about, so that they can be asked of many passages."""

TALKED = "sgd_dialogue_qa"
"""The file of conversations."""

WRONGLY = 0.08
"""The share of the questions that are wrongly refused where it is fitted."""

CONVERSATION = "conversation"

_LEAST = 1e-9

_WAYS: dict[Shown, AnswerKeywords] = {
    "around": {"threshold": 0.0},
    "alone": {"threshold": 0.0, "around": False},
    "latent": {"threshold": 0.0, "grounding": "latent"},
}

Signs = Float[np.ndarray, "n 2"]
Absent = Bool[np.ndarray, " n"]


class Odds(TransformersDecoder):
    """A decoder that, instead of answering, notes the log-odds of a refusal's first token."""

    refusal = -1
    found = 0.0

    def generate(
        self, tokens: Sequence[int], *, conditioning: Conditioning | None = None, **_: Any
    ) -> Generation:
        """Nothing; the odds are in `found`."""
        if conditioning is not None:
            inputs = torch.tensor([list(tokens)])
            with torch.inference_mode(), conditioning.attached():
                given = conditioning.inputs(inputs)
                mask, cache = given["attention_mask"], given.get("past_key_values")
                read = self.model(
                    inputs,
                    attention_mask=mask,
                    position_ids=(mask.long().cumsum(1) - 1)[:, -inputs.shape[1] :],
                    logits_to_keep=1,
                    **({} if cache is None else caches.given(self.model.model, cache)),
                )
                logits = read.logits[0, -1].float()
            share = min(max(float(logits.softmax(0)[self.refusal]), _LEAST), 1 - _LEAST)
            self.found = math.log(share / (1 - share))
        return Generation([], Usage())


class Asking:
    """Asks questions of memories, for the signs of a refusal.

    Args:
        adapter: folder of the answering adapter.
        shown: how the decoder is given what is read.
    """

    def __init__(self, adapter: Path, shown: Shown) -> None:
        loaded = TransformersDecoder.load()
        self._encoder, self._adapter, self._shown = SentenceEncoder.load(), adapter, shown
        self._decoder = Odds(loaded.model, loaded.tokenizer, name=loaded.name)
        self._decoder.refusal = load_adapter(adapter, self._decoder).refusal

    def own(self, rows: Sequence[Row]) -> tuple[Signs, Absent]:
        """Each is asked of its own passage."""
        found = list[tuple[float, float, bool | None]]()
        with typer.progressbar(rows, label="asking of one passage") as shown:
            for row in shown:
                with self._opened() as memory:
                    write(memory, row.context)
                    found.append(self._asked(memory, row))
        return _apart(found)

    def among(self, rows: Sequence[Row], passages: Sequence[str]) -> tuple[Signs, Absent]:
        """All are asked of one memory, in which the passages of some are."""
        with self._opened() as memory, typer.progressbar(rows, label="asking of many") as shown:
            memory.write(passages, [str(n) for n in range(len(passages))])
            there = set(passages)
            return _apart(self._asked(memory, row, row.context in there) for row in shown)

    def _opened(self) -> Larimar:
        return Larimar.open(
            encoder=self._encoder,
            decoder=self._decoder,
            adapter=self._adapter,
            latents=self._shown == "latent",
        )

    def _asked(self, memory: Larimar, row: Row, there: bool = True) -> tuple[float, float, bool | None]:
        answer = memory.answer(row.question, **_WAYS[self._shown])
        shown = [source.context for source in answer.sources]
        return self._decoder.found, log_odds(answer.probability or 0.0), gone(row, shown, there)


def main(
    qa: Annotated[Path, typer.Option(help="Folder of reading comprehension, JSON lines.")],
    rows: Annotated[int, typer.Option(help="Questions fitted on, and as many reported on.")] = 600,
    adapter: Annotated[
        Path | None, typer.Option(help="The answering adapter.", show_default="bundled")
    ] = None,
    shown: Annotated[Shown, typer.Option(help="How the decoder is given what is read.")] = "around",
) -> None:
    """Fit it, write it into the adapter's description and say how well it tells the two apart."""
    folder = adapter or adapter_for(TransformersDecoder.load().name)
    if folder is None:
        raise typer.BadParameter("No adapter ships for the decoder.")
    asking = Asking(folder, shown)
    every = read_rows(qa)
    passages = written(every)

    prose = [row for row in every if row.file != TALKED]
    talks = [row for row in every if row.file == TALKED]

    def asked(*, fitted: bool) -> dict[str, tuple[Signs, Absent]]:
        return {
            # What is drawn is shared out among four files, of which these are three.
            "one_passage": asking.own(drawn(prose, rows * 2 // 3, fitted=fitted)),
            "many_passages": asking.among(naming(every, passages, rows // 2, fitted=fitted), passages),
            CONVERSATION: asking.own(drawn(talks, rows * len(FILES), fitted=fitted)),
        }

    found = asked(fitted=True)
    of_talks = found.pop(CONVERSATION)
    signs, absent = (np.concatenate(some) for some in zip(*found.values(), strict=True))
    of_prose, of_talk = weighed(signs, absent), weighed(*of_talks)
    refusing = replace(of_prose, talked=of_talk)
    report = {
        name: {
            "alone": _told(signs[:, 0], absent),
            "leaning": _told(_leaning(signs, of_talk if name == CONVERSATION else of_prose), absent),
        }
        for name, (signs, absent) in asked(fitted=False).items()
    }
    fitted_on = f"{2 * rows} held-out questions of {', '.join(FILES)}"
    found_now = {**_weights(refusing), "fitted_on": fitted_on, "held_out": report}
    describe(folder, refusing=beside(described(folder).get("refusing") or {}, shown, found_now))
    typer.echo(json.dumps({**_weights(refusing), **report}))


def beside(known: dict[str, Any], shown: Shown, found: dict[str, Any]) -> dict[str, Any]:
    """What a description said of refusing, with what was found for one way in place of what it said."""
    if shown != "around":
        return {**known, shown: found}
    return {**found, **{name: known[name] for name in get_args(Shown) if name in known}}


def gone(row: Row, shown: Sequence[str], there: bool) -> bool | None:
    """Whether a question is to be refused; None if its answer is there, and was not recalled.

    An answer that is worded unlike its passage was recalled if a text of the passage was.

    Args:
        shown: the texts that were recalled.
        there: whether its passage is in the memory.
    """
    if not row.answers or not there:
        return True
    texts, passage = [plain(text) for text in shown], plain(row.context)
    said = [answer for answer in map(plain, row.answers) if answer in passage]
    found = any(any(answer in text for answer in said) if said else text in passage for text in texts)
    return False if found else None


def _apart(asked: Iterable[tuple[float, float, bool | None]]) -> tuple[Signs, Absent]:
    told = [(signs, absent) for *signs, absent in asked if absent is not None]
    return np.array([signs for signs, _ in told]), np.array([absent for _, absent in told])


def written(every: Sequence[Row]) -> list[str]:
    """Half of the held-out passages whose questions name what they are about."""
    naming = (row.context for row in every if row.held_out and row.file in NAMING)
    return list(dict.fromkeys(naming))[::2]


def naming(every: Sequence[Row], passages: Sequence[str], rows: int, *, fitted: bool) -> list[Row]:
    """Answerable questions, half of them on the passages, in an order by chance."""
    there = set(passages)
    answerable = [
        row
        for row in every
        if row.held_out and row.file in NAMING and row.answers and in_half(row.question) is fitted
    ]
    draw = random.Random(0)  # noqa: S311 - nothing secret
    draw.shuffle(answerable)
    kinds = ([row for row in answerable if (row.context in there) is held] for held in (True, False))
    found = [row for of_kind in kinds for row in of_kind[: rows // 2]]
    draw.shuffle(found)
    return found


def weighed(signs: Signs, absent: Absent) -> Refusing:
    """The odds of the decoder count as they are, and those of the read as much as is found.

    A surer read never makes a refusal likelier. So many are refused that of the questions whose answer
    is there, a share of `WRONGLY` is.
    """
    (decoder, read), _ = fit(signs, absent)
    scope = round(min(read / decoder, 0.0), 4)
    odds = _leaning(signs[~absent], Refusing(scope=scope))
    return Refusing(round(-float(np.quantile(odds, 1 - WRONGLY)), 4), scope)


def _weights(of: Refusing) -> dict[str, Any]:
    apart = {} if of.talked is None else {"talked": _weights(of.talked)}
    return {"bias": of.bias, "scope": of.scope, **apart}


def _leaning(signs: Signs, by: Refusing) -> Float[np.ndarray, " n"]:
    return signs @ [1.0, by.scope] + by.bias


def _told(odds: Float[np.ndarray, " n"], absent: Absent) -> dict[str, float]:
    return {
        "refused": round(float((odds[absent] > 0).mean()), 3),
        "wrongly": round(float((odds[~absent] > 0).mean()), 3),
        "area_under_roc": round(area(odds, absent), 3),
    }


if __name__ == "__main__":
    typer.run(main)
