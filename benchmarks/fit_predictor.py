"""Fit how a bundle's latents are stored: `python -m benchmarks.fit_predictor --help`.

Training does so at its end. This does it for a bundle that was trained before, and shows what the
latents of held-out text take.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Annotated

import typer

from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.latents import load_bundle, save_bundle
from larimar_memory.latents.bundle import figures_of, latents_for, reads_of, save_reads
from larimar_memory.latents.codec import LatentCodec
from larimar_memory.train.passages import read_folder
from larimar_memory.train.predicting import predict, window
from larimar_memory.train.sampling import Sampler

_WINDOWS = 60


def main(
    texts: Annotated[Path, typer.Argument(help="Folder of text, as training reads it.")],
    positions: Annotated[int, typer.Option(help="Positions it is fitted on.")] = 32_768,
    bundle: Annotated[
        Path | None, typer.Option("--latents", help="The bundle.", show_default="bundled")
    ] = None,
) -> None:
    """Fit it, write it into the bundle and say what a token takes, before and after."""
    decoder = TransformersDecoder.load()
    folder = bundle or latents_for(decoder.name)
    if folder is None:
        raise typer.BadParameter(f"No latents ship for {decoder.name}; name a bundle.")
    codec, reads, figures = load_bundle(folder, decoder), reads_of(folder), figures_of(folder)
    learnt, held_out = read_folder(texts, seed=0, limit_mb=16)
    before = taken(codec, Sampler(held_out, decoder.tokenizer, rare=0))
    predict(codec, Sampler(learnt, decoder.tokenizer), random.Random(0), positions)  # noqa: S311
    save_bundle(codec, folder, figures)
    save_reads(folder, reads)
    after = taken(load_bundle(folder, decoder), Sampler(held_out, decoder.tokenizer, rare=0))
    typer.echo(json.dumps({"bytes_per_token": {"before": before, "after": after}}))


def taken(codec: LatentCodec, source: Sampler) -> float:
    """Bytes that the latents of a text's segments take for each of its tokens."""
    rng, nbytes, tokens = random.Random(1), 0, 0  # noqa: S311 - nothing secret
    for _ in range(_WINDOWS):
        latents, count = window(codec, source, rng)
        nbytes += sum(codec.stored_form.pack(z).nbytes for z in latents)
        tokens += count
    return round(nbytes / tokens, 2)


if __name__ == "__main__":
    typer.run(main)
