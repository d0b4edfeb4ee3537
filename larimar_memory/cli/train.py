"""The commands about latents: give them to a memory, and train a codec for a decoder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from larimar_memory.cli import output
from larimar_memory.cli.options import open_memory

CodecFolder = Annotated[
    str,
    typer.Option(
        "--latents",
        help="Latents for the decoder: a folder that training wrote.",
        show_default="bundled",
    ),
]


def add_latents(
    memory: Annotated[Path, typer.Option("--memory", "-m", help="The memory file.")],
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Namespace of the documents.")
    ] = "default",
    codec: CodecFolder = "",
    decoder: Annotated[
        str,
        typer.Option("--decoder", help="Language model the latents are for.", show_default="bundled"),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make latents for segments that have none, so that answers can be grounded in them."""
    opened = open_memory(memory, "", decoder, create=False, latents=codec or True)
    with opened, _counter("latents", not as_json) as report:
        made = opened.write_latents(namespace=namespace, on_progress=report)
        held = opened.stats(namespace)
    result = {
        "memory": str(memory),
        "namespace": namespace,
        "made": made,
        "segments": held.segments,
        "bytes_on_disk": held.bytes_on_disk,
    }
    if as_json:
        output.print_json(result)
    else:
        output.console.print(f"{made:,} of {held.segments:,} segments were given latents.")


def train(
    data: Annotated[Path, typer.Argument(help="Folder of text or JSON lines.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for checkpoints, log and the bundle.")
    ],
    decoder: Annotated[
        str,
        typer.Option("--decoder", help="Language model: a folder or hub name.", show_default="bundled"),
    ] = "",
    recipe: Annotated[
        str, typer.Option("--recipe", help="cpu, gpu, another that ships, or a JSON file.")
    ] = "cpu",
    start: Annotated[
        Path | None, typer.Option("--start", help="A bundle to go on from with the recipe's stages.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=0, help="Stop after so long; the same command goes on."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not go on from a checkpoint.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train latents for a decoder. Started again, it goes on where its last checkpoint is."""
    from larimar_memory.decoders.transformers import TransformersDecoder
    from larimar_memory.models import finding
    from larimar_memory.train import load_recipe
    from larimar_memory.train import train as run

    chosen = load_recipe(recipe)
    trained = run(
        chosen,
        TransformersDecoder.load(decoder or finding.DEFAULT_DECODER),
        data,
        out,
        start=start,
        resume=not fresh,
        time_limit=None if minutes is None else minutes * 60,
        show=not as_json,
    )
    at = trained.progress
    result = {
        "done": trained.done,
        "bundle": str(trained.bundle),
        "steps": at.total_steps,
        "of": sum(stage.steps for stage in chosen.stages),
        "tokens": at.tokens,
        "seconds": round(at.seconds, 1),
        "checked": at.checked,
    }
    if as_json:
        output.print_json(result)
        return
    state = "done" if trained.done else "time is up; the same command goes on"
    output.console.print(
        f"{state}: step {at.total_steps:,} of {result['of']:,}, bundle in {trained.bundle}.",
        soft_wrap=True,
    )
    if at.checked is not None:
        output.console.print(f"said again: {json.dumps(at.checked)}", markup=False, soft_wrap=True)


@contextmanager
def _counter(label: str, shown: bool) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=output.errors, disable=not shown) as bar:
        task = bar.add_task(label, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update
