"""The commands about keys: make those that a memory lacks, and train a table of coarse ones."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from larimar_memory.cli import output
from larimar_memory.cli.options import AsJson, EncoderName, MemoryPlace, open_memory

_WATCH_SECONDS = 5.0


def index(
    memory: MemoryPlace,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Only this one.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Continue with what others write, until Ctrl-C.")
    ] = False,
    encoder: EncoderName = "",
    as_json: AsJson = False,
) -> None:
    """Make the fine keys that a lazy memory lacks, so that reading need not make them.

    If it is interrupted, it keeps the keys that were made; run again, it continues from there.
    """
    from larimar_memory import index as keys
    from larimar_memory.stores.opening import called

    opened = open_memory(memory, encoder, create=False)
    with opened, output.progress("keys", not as_json) as tell:
        make = partial(opened.index, namespace, on_progress=tell)
        made = keys.watch(make, threading.Event(), _WATCH_SECONDS) if watch else make()
        held = opened.stats(namespace)
    result = {
        "memory": called(memory),
        "namespace": namespace,
        "made": made,
        "keyed": held.keyed,
        "segments": held.segments,
    }
    line = f"{made:,} keys were made; {held.keyed:,} of {held.segments:,} segments have one."
    output.print_result(result, as_json, line)


def train_keys(
    encoder: Annotated[str, typer.Argument(help="Sentence encoder: a folder or a hub name.")],
    folder: Annotated[Path, typer.Argument(help="Texts of the kinds that `larimar ingest` reads.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The table's file.", show_default="in the user's data folder"),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Number of passes over the texts.")] = 4,
    minutes: Annotated[
        float, typer.Option(min=0, help="Longest time in which the encoder makes keys to learn from.")
    ] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Train a table of coarse keys, with which this encoder's memories are written many times as fast.

    New memories are lazy if the table is in the user's data folder, or in the encoder's own folder
    under the name coarse_keys.safetensors.
    """
    from larimar_memory.encoders.coarse import place_for
    from larimar_memory.encoders.sentence import SentenceEncoder
    from larimar_memory.errors import InputError
    from larimar_memory.text.files import Files
    from larimar_memory.train import coarse

    texts, model = Files([str(folder)]), SentenceEncoder.load(encoder)
    path = out or place_for(model.fingerprint)
    with output.progress("training", not as_json) as tell:
        table = coarse.train_keys(model, texts, epochs=epochs, minutes=minutes, on_progress=tell)
    try:
        table.save(path)
    except OSError as error:
        raise InputError(
            f"The table cannot be written to {path}.",
            f"The system says: {error.strerror or error}.",
            "Name a file in a folder that can be written with `--out`.",
        ) from error
    result = {"table": str(path), "encoder": table.fingerprint, **table.about}
    line = (
        f"{path}: trained on {table.about['texts']:,} texts; cosine {table.about['cosine']:.3f} with "
        f"the encoder's keys of {table.about['held_out']:,} that were held out."
    )
    output.print_result(result, as_json, line)
