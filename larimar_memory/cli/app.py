"""The commands. Each opens a memory, calls the facade and prints; errors are one line, no trace."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
import threading
from dataclasses import asdict
from typing import Annotated

import typer

from larimar_memory import __version__
from larimar_memory.cli import care, forgetting, keys, output, train
from larimar_memory.cli.doctor import doctor
from larimar_memory.cli.ingest import ingest
from larimar_memory.cli.inspect import inspect
from larimar_memory.cli.models import models
from larimar_memory.cli.moving import copy, merge
from larimar_memory.cli.options import (
    AdapterFolder,
    AsJson,
    AsOf,
    DecoderName,
    EncoderName,
    K,
    LatentsFolder,
    Memory,
    Namespace,
    Neighbours,
    Since,
    Threshold,
    Until,
    WhereText,
    open_memory,
    reading,
)
from larimar_memory.cli.serve import serve
from larimar_memory.errors import InputError, LarimarError
from larimar_memory.models import loading
from larimar_memory.system.places import exists
from larimar_memory.types import AnswerOptions

app = typer.Typer(
    name="larimar",
    help="A local, erasable memory for small language models: write documents, ask questions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.command()(ingest)
app.command()(serve)
app.command()(inspect)


# "answer" is what the facade calls it.
@app.command("answer", hidden=True)
@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    memory: Memory,
    k: K = 5,
    namespace: Namespace = "default",
    where: WhereText = "",
    neighbours: Neighbours = 0,
    threshold: Threshold = None,
    since: Since = "",
    until: Until = "",
    as_of: AsOf = "",
    grounding: Annotated[str, typer.Option("--grounding", help="text, latent or auto.")] = "text",
    latents: LatentsFolder = "",
    max_tokens: Annotated[int, typer.Option("--max-tokens", help="Longest answer, in tokens.")] = 64,
    begin: Annotated[str, typer.Option("--begin", help="Words that the answer begins with.")] = "",
    style: Annotated[
        str, typer.Option("--style", help="brief, or full for whole sentences.")
    ] = "brief",
    cite: Annotated[
        bool, typer.Option("--cite", help="Mark which source each sentence is from.")
    ] = False,
    beams: Annotated[
        int, typer.Option("--beams", help="How many brief answers to choose among.")
    ] = AnswerOptions().beams,
    around: Annotated[
        bool, typer.Option(help="Show an adapter what is around the best segment, too.")
    ] = True,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also say why --grounding auto chose as it did.")
    ] = False,
    encoder: EncoderName = "",
    decoder: DecoderName = "",
    adapter: AdapterFolder = "",
    plain: Annotated[bool, typer.Option("--plain", help="Print the answer's text only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Answer a question from memory, with its sources."""
    if exists(memory) and not decoder:
        _check_ahead()
    with open_memory(
        memory, encoder, decoder, create=False, latents=latents or False, adapter=adapter
    ) as opened:
        stream = opened.stream(
            question,
            reading=reading(k, namespace, where, neighbours, threshold, since, until, as_of, explain),
            options=AnswerOptions(
                grounding,  # type: ignore[arg-type]
                max_tokens=max_tokens,
                begin=begin,
                style=style,  # type: ignore[arg-type]
                cite=cite,
                beams=beams,
                around=around,
            ),
        )
        if not as_json:
            for piece in stream:
                sys.stdout.write(output.plain(piece))
                sys.stdout.flush()
            sys.stdout.write("\n")
        answer = stream.result()
    if as_json:
        output.print_json(answer.to_dict())
    elif not plain:
        output.print_answer(answer)


@app.command()
def read(
    question: Annotated[str, typer.Argument(help="The question.")],
    memory: Memory,
    k: K = 5,
    namespace: Namespace = "default",
    where: WhereText = "",
    neighbours: Neighbours = 0,
    threshold: Threshold = None,
    since: Since = "",
    until: Until = "",
    as_of: AsOf = "",
    encoder: EncoderName = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Also say why: features, and the probability's signs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the segments a question addresses, without answering."""
    with open_memory(memory, encoder, create=False) as opened:
        options = reading(k, namespace, where, neighbours, threshold, since, until, as_of, explain)
        readout = opened.read(question, options=options)
    if as_json:
        output.print_json(readout.to_dict())
    else:
        output.print_readout(readout)


@app.command()
def stats(
    memory: Memory,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Only this one.")] = None,
    health: Annotated[
        bool, typer.Option("--health", help="Also show how sharp it is; reads every key.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a memory holds."""
    with open_memory(memory, None, create=False) as opened:
        values = asdict(opened.stats(namespace))
        if health:
            values["health"] = opened.health(namespace or "default").to_dict()
    output.print_result(values, as_json)


@app.command()
def demo(as_json: AsJson = False) -> None:
    """Remember the Python language reference with a pass key hidden inside, and answer from it."""
    from larimar_memory.cli.demo import run

    run(as_json)


@app.command(hidden=True, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def bench() -> None:
    """Gone: benchmarks run as `python -m benchmarks` in a checkout of the repository."""
    raise InputError(
        "There is no `larimar bench` any more.",
        "Benchmarks are no part of the installed package.",
        "Run `python -m benchmarks list` in a checkout of https://github.com/larimar-memory/larimar-memory.",
    )


_COMMANDS = (
    models,
    doctor,
    forgetting.forget,
    forgetting.receipts,
    keys.index,
    train.add_latents,
    train.train,
    keys.train_keys,
)
for _command in (*_COMMANDS, care.check, care.repair, care.backup, care.export, copy, merge):
    app.command()(_command)
app.command("import")(care.import_)


def _version(wanted: bool) -> None:
    if wanted:
        output.console.print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; every failure ends in one line and a non-zero exit status."""
    # Importing the model libraries makes millions of objects that stay: collecting them is a waste.
    gc.disable()
    as_json = "--json" in sys.argv
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding cannot show is written as an escape, and raises no error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    announce = loading.announce if as_json else output.announced
    try:
        with loading.announced_by(announce):
            app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if not isinstance(error, LarimarError):
            if os.environ.get("LARIMAR_DEBUG"):
                raise
            error = LarimarError(
                "The command failed.",
                f"{type(error).__name__}: {str(error) or 'no message'}.",
                "Set LARIMAR_DEBUG=1 to see where, and report it.",
            )
        output.print_error(error, as_json)
        sys.exit(output.EXIT_ERROR)


def _check_ahead() -> None:
    """Check the bundled decoder's files while the model libraries are imported: a third of a second."""
    from larimar_memory.models import finding

    def check() -> None:
        # Loading the model reports whatever is wrong.
        with contextlib.suppress(LarimarError):
            finding.check_ahead(finding.DEFAULT_DECODER)

    threading.Thread(target=check, daemon=True).start()
