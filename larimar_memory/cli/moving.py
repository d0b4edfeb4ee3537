"""The commands that take a memory to another place, and several into one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from larimar_memory.cli import output
from larimar_memory.cli.options import AsJson

_PLACE = "A memory file, a postgresql:// address, or a folder that `larimar export` wrote."
_NEW = "A place of the same kinds, new or existing; the name of a new folder ends in /."
_MERGED = (
    "The memories to merge: files, postgresql:// addresses, or folders that `larimar export` wrote."
)
NoReceipts = Annotated[bool, typer.Option("--no-receipts", help="Leave receipts behind.")]


def copy(
    source: Annotated[str, typer.Argument(help=_PLACE)],
    target: Annotated[str, typer.Argument(help=_NEW)],
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="Copy only this namespace.", show_default="all"),
    ] = None,
    no_receipts: NoReceipts = False,
    as_json: AsJson = False,
) -> None:
    """Copy a memory between files, databases and exports, exactly; run again, it continues."""
    from larimar_memory import moving
    from larimar_memory.stores.opening import called

    with output.progress("copying", not as_json) as tell:
        done = moving.copy(
            source, target, namespace=namespace, with_receipts=not no_receipts, on_progress=tell
        )
    told = {"source": called(source), "target": called(target), **asdict(done)}
    output.print_result(told, as_json)


def merge(
    sources: Annotated[list[str], typer.Argument(help=_MERGED)],
    into: Annotated[str, typer.Option("--into", help="A memory file or address, new or existing.")],
    same: Annotated[
        str,
        typer.Option(
            "--same",
            help="Which text stays if one id has several: newer; first, in the order named, with "
            "--into before all; or refuse, which merges nothing.",
        ),
    ] = "refuse",
    no_receipts: NoReceipts = False,
    as_json: AsJson = False,
) -> None:
    """Merge several memories into one, exactly; merging again changes nothing."""
    from larimar_memory import moving
    from larimar_memory.stores.opening import called

    with output.progress("merging", not as_json) as tell:
        done = moving.merge(
            sources,
            into,
            same=same,  # type: ignore[arg-type]
            with_receipts=not no_receipts,
            on_progress=tell,
        )
    told = {"sources": ", ".join(map(called, sources)), "into": called(into), **asdict(done)}
    output.print_result(told | {"sources": [*map(called, sources)]} if as_json else told, as_json)
