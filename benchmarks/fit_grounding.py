"""Put what long reads came to into a bundle's description, by which grounding="auto" chooses.

`python -m benchmarks.fit_grounding` after `python -m benchmarks latents_long --out RESULT`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from larimar_memory.latents.bundle import latents_for, save_reads
from larimar_memory.latents.reads import Read, Reads
from larimar_memory.models.finding import DEFAULT_DECODER

_RESULT = Path(__file__).parent / "results" / "latents_long.json"
_DIGITS = 3


def reads_of(result: dict[str, Any]) -> Reads:
    """What a result of the benchmark of long reads says of latents, as a memory reads them."""
    rows = list[Read]()
    for row in result["figures"]["rows"]:
        latent, text = (row["ways"][name] for name in ("latents", "text"))
        figures = (latent["token_f1"], text["token_f1"], latent["first_over_text"])
        rows.append(Read(row["tokens"], row["questions"], *(round(x, _DIGITS) for x in figures)))
    device = "cuda" if result["machine"]["accelerator"] else "cpu"
    return Reads(tuple(sorted(rows, key=lambda row: row.tokens)), device)


def main(
    result: Annotated[Path, typer.Option("--result", help="Of the benchmark of long reads.")] = _RESULT,
    bundle: Annotated[
        Path | None, typer.Option("--latents", help="The bundle it is of.", show_default="bundled")
    ] = None,
) -> None:
    """Put a result's table into the bundle's description."""
    folder = bundle or latents_for(DEFAULT_DECODER)
    if folder is None:
        raise typer.BadParameter(f"No latents ship for {DEFAULT_DECODER}; name a bundle.")
    reads = reads_of(json.loads(result.read_text(encoding="utf-8")))
    save_reads(folder, reads)
    typer.echo(f"Latents are better from {reads.least} tokens on.")


if __name__ == "__main__":
    typer.run(main)
