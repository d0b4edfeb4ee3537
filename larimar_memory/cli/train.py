"""The commands about latents: give them to a memory, and train a codec for a decoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from larimar_memory.cli import output
from larimar_memory.cli.options import (
    AsJson,
    DecoderName,
    LatentsFolder,
    Memory,
    Namespace,
    open_memory,
)

if TYPE_CHECKING:
    from larimar_memory.train import AdapterTrained, Trained


def add_latents(
    memory: Memory,
    namespace: Namespace = "default",
    latents: LatentsFolder = "",
    decoder: DecoderName = "",
    share: Annotated[
        float, typer.Option("--share", help="Share of its positions that a latent keeps, at most 1.")
    ] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Make latents for segments that have none, so that answers can be grounded in them."""
    from larimar_memory.stores.opening import called

    opened = open_memory(memory, "", decoder, create=False, latents=latents or True, latent_share=share)
    with opened, output.progress("latents", not as_json) as tell:
        made = opened.write_latents(namespace=namespace, on_progress=tell)
        held = opened.stats(namespace)
    result = {
        "memory": called(memory),
        "namespace": namespace,
        "made": made,
        "segments": held.segments,
        "bytes_on_disk": held.bytes_on_disk,
    }
    line = f"{made:,} of {held.segments:,} segments were given latents."
    output.print_result(result, as_json, line)


def train(
    data: Annotated[Path, typer.Argument(help="Folder of text or JSON lines.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for checkpoints, log and the bundle.")
    ],
    decoder: DecoderName = "",
    recipe: Annotated[
        str, typer.Option("--recipe", help="cpu, gpu, answers, another bundled recipe, or a JSON file.")
    ] = "cpu",
    start: Annotated[
        Path | None, typer.Option("--start", help="A bundle, or an adapter, to start from.")
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option("--rows", help="Questions on passages, to train answers from latents."),
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option("--adapter", help="The answering adapter that is on meanwhile.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes", min=0, help="Stop after this time; run again, the command continues."
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not continue from a checkpoint.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train latents for a decoder, or its answering adapter with the recipe "answers".

    Run again, the command continues from its last checkpoint.
    """
    from larimar_memory import train as training
    from larimar_memory.decoders.transformers import TransformersDecoder
    from larimar_memory.models import finding

    chosen = training.load_recipe(recipe)
    model = TransformersDecoder.load(decoder or finding.DEFAULT_DECODER)
    limit = None if minutes is None else minutes * 60
    if isinstance(chosen, training.AnswersRecipe):
        made = training.train_answers(
            chosen, model, data, out, start=start, resume=not fresh, time_limit=limit, show=not as_json
        )
        figures = {"questions": made.progress.questions}
        _print_trained(made, "adapter", made.folder, chosen.steps, "held out", figures, as_json)
        return
    trained = training.train(
        chosen,
        model,
        data,
        out,
        start=start,
        lessons=None if rows is None else training.lessons(rows, model, adapter),
        resume=not fresh,
        time_limit=limit,
        show=not as_json,
    )
    steps = sum(stage.steps for stage in chosen.stages)
    _print_trained(trained, "bundle", trained.bundle, steps, "said again", {}, as_json)


def _print_trained(
    made: Trained | AdapterTrained,
    what: str,
    folder: Path,
    steps: int,
    checked: str,
    more: dict[str, int],
    as_json: bool,
) -> None:
    """Print the outcome of a run, and of its last check."""
    at = made.progress
    result = {
        "done": made.done,
        what: str(folder),
        "steps": at.total_steps,
        "of": steps,
        **more,
        "tokens": at.tokens,
        "seconds": round(at.seconds, 1),
        "checked": at.checked,
    }
    state = "done" if made.done else "time is up; the same command goes on"
    line = f"{state}: step {at.total_steps:,} of {steps:,}, {what} in {folder}."
    said = f"\n{checked}: {json.dumps(at.checked)}" if at.checked else ""
    output.print_result(result, as_json, line + said)
