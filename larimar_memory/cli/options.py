"""What several commands take, and the memory they open."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import platformdirs
import typer

from larimar_memory.errors import MemoryFileError
from larimar_memory.validate import exists

if TYPE_CHECKING:
    from larimar_memory.larimar import Larimar

Memory = Annotated[
    Path,
    typer.Option(
        "--memory",
        "-m",
        envvar="LARIMAR_MEMORY",
        help="The memory file.",
        default_factory=lambda: Path(platformdirs.user_data_dir("larimar-memory")) / "memory.larimar",
        show_default="in the user's data folder",
    ),
]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the documents.")]
Encoder = Annotated[
    str,
    typer.Option("--encoder", help="Sentence encoder: a folder or a hub name.", show_default="bundled"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def open_memory(
    memory: Path,
    encoder: str | None,
    decoder: str = "",
    *,
    create: bool = True,
    latents: bool | str = False,
) -> Larimar:
    """The memory in a file, with the models named, or those bundled where a name is empty.

    Args:
        encoder: None for what needs no encoder.

    Raises:
        MemoryFileError: if there is none and none is to be made.
    """
    if not create and not exists(memory):
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
        latents=latents,
    )
    gc.enable()
    return opened
