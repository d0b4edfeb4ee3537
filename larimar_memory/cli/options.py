"""Options that several commands share, and the memory they open."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from larimar_memory.errors import InputError, MemoryFileError
from larimar_memory.system.files import user_folder
from larimar_memory.system.places import exists
from larimar_memory.types import ReadOptions

if TYPE_CHECKING:
    from larimar_memory.larimar import Larimar
    from larimar_memory.types import Where

Memory = Annotated[
    str,
    typer.Option(
        "--memory",
        "-m",
        envvar="LARIMAR_MEMORY",
        help="The memory file, or a postgresql:// address.",
        default_factory=lambda: own_memory(),
        show_default="in the user's data folder",
    ),
]
MemoryPlace = Annotated[
    str, typer.Argument(metavar="MEMORY", help="The memory file, or a postgresql:// address.")
]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the documents.")]
EncoderName = Annotated[
    str,
    typer.Option("--encoder", help="Sentence encoder: a folder or a hub name.", show_default="bundled"),
]
DecoderName = Annotated[
    str,
    typer.Option("--decoder", help="Language model: a folder or a hub name.", show_default="bundled"),
]
LatentsFolder = Annotated[
    str,
    typer.Option(
        "--latents",
        help="Latents for the decoder: a folder that training wrote.",
        show_default="bundled",
    ),
]
AdapterFolder = Annotated[
    str,
    typer.Option(
        "--adapter",
        help='Answering adapter: a folder that training wrote, or "none".',
        show_default="bundled",
    ),
]
K = Annotated[int, typer.Option("-k", help="Segments to read.")]
WhereText = Annotated[
    str, typer.Option("--where", help='Metadata filter as JSON, such as \'{"source": "a.txt"}\'.')
]
Neighbours = Annotated[int, typer.Option("--neighbours", help="Segments of context on either side.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        help="Probability under which it says 'Not in memory.': by default .5, or .05 for an answer by "
        "an adapter that can refuse.",
    ),
]
Since = Annotated[
    str, typer.Option("--since", help='Only what was said from this day or moment on: "2026-05-03".')
]
Until = Annotated[str, typer.Option("--until", help="Only what was said up to this day or moment.")]
AsOf = Annotated[str, typer.Option("--as-of", help="Read as of this day or moment.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def own_memory() -> str:
    """The memory file in the user's data folder."""
    folder = user_folder("data")
    if folder is None:
        raise InputError(
            "There is no place for a memory.",
            "None was named, and the user's home folder cannot be determined.",
            "Name the file with `--memory FILE`, or set LARIMAR_MEMORY.",
        )
    return str(folder / "memory.larimar")


def parsed(where: str) -> Where | None:
    """The filter that `--where` gives, or None.

    Raises:
        InputError: if it is not a JSON object.
    """
    if not where:
        return None
    try:
        value, why = json.loads(where), "It is no JSON object."
    except RecursionError:
        value, why = None, "It is nested too deep."
    except ValueError as error:
        value, why = None, f"It is not JSON: {error}."
    if not isinstance(value, dict):
        remedy = 'Write it like \'{"source": "a.txt"}\'.'
        raise InputError("The filter cannot be used.", why, remedy)
    return value


def reading(
    k: int,
    namespace: str,
    where: str,
    neighbours: int,
    threshold: float | None,
    since: str,
    until: str,
    as_of: str,
    explain: bool,
) -> ReadOptions:
    """The options of a read, from those of a command; an empty time means none.

    Raises:
        InputError: if the filter is not a JSON object.
    """
    return ReadOptions(
        k,
        namespace,
        parsed(where),
        neighbours,
        threshold=threshold,
        explain=explain,
        since=since or None,
        until=until or None,
        as_of=as_of or None,
    )


def open_memory(
    memory: str,
    encoder: str | None,
    decoder: str = "",
    *,
    create: bool = True,
    read_only: bool = False,
    latents: bool | str = False,
    latent_share: float = 1.0,
    adapter: str = "",
    slots: int | None = None,
) -> Larimar:
    """The memory at a place, with the models of these names, or the bundled ones for empty names.

    Args:
        encoder: None for a command that needs no encoder.
        adapter: "none" for the plain decoder.

    Raises:
        MemoryFileError: if there is no memory and `create` is False.
    """
    from larimar_memory.stores.opening import place_of

    place = place_of(memory)
    if not create and isinstance(place, Path) and not exists(place):
        raise MemoryFileError(
            f"There is no memory at {memory}.",
            "The file does not exist.",
            "Write one with `larimar ingest PATH --memory FILE`, or check the path.",
        )
    from larimar_memory.larimar import Larimar
    from larimar_memory.models import finding

    opened = Larimar.open(
        memory,
        encoder=finding.DEFAULT_ENCODER if encoder == "" else encoder,
        decoder=decoder or finding.DEFAULT_DECODER,
        create=create,
        read_only=read_only,
        latents=latents,
        latent_share=latent_share,
        adapter=adapter != "none" and (adapter or True),
        slots=slots,
    )
    # The objects made so far stay: the garbage collector need not look at them again.
    gc.freeze()
    gc.enable()
    return opened
