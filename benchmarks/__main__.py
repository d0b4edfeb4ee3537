"""`python -m benchmarks NAME`: measure, compare with the bars, write the result; in a checkout only."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

import benchmarks
from larimar_memory.cli import output
from larimar_memory.errors import InputError, LarimarError

ROOT = Path(__file__).parents[1]
RESULTS, PLOTS = ROOT / "benchmarks" / "results", ROOT / "benchmarks" / "plots"
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    name: Annotated[
        str, typer.Argument(help="Which one; 'list' names them, 'report' fills README and docs.")
    ],
    quick: Annotated[bool, typer.Option("--quick", help="Within a minute.")] = False,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    haystack: Annotated[
        Path | None, typer.Option("--haystack", help="Folder of texts to search in.")
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            help="Questions in SQuAD's JSON, for 'answers', 'latents', 'curve', 'passages', "
            "'postgres', 'rag', 'scale' and 'scope'.",
        ),
    ] = None,
    conversations: Annotated[
        Path | None,
        typer.Option(
            "--conversations",
            help="Folder of conversations in JSON, for 'conversations' and 'postgres'.",
        ),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(
            "--rows",
            help="Folder of reading comprehension in JSON lines, for 'answers' and 'latents_long'.",
        ),
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option("--adapter", help="An answering adapter to measure.", show_default="bundled"),
    ] = None,
    bundles: Annotated[
        list[Path] | None,
        typer.Option(
            "--latents",
            help="A trained bundle to measure; more than one for 'curve'.",
            show_default="bundled",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the JSON here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure, and compare with the bars; a missed bar is reported, and is no error."""
    if name == "list":
        for known, line in benchmarks.NAMES.items():
            output.console.print(f"{known:>13}  {line}", soft_wrap=True)
        return
    if name == "report":
        from benchmarks import plots, report

        changed = report.update(ROOT / "README.md", RESULTS)
        for name in ("benchmarks.md", "scaling.md"):
            page = ROOT / "docs" / name
            page.write_text(report.fill(page.read_text("utf-8"), RESULTS), "utf-8")
        plots.draw_all(RESULTS, PLOTS)
        report.draw_front(RESULTS, PLOTS / "front.svg")
        output.console.print(f"README.md {'updated' if changed else 'is up to date'}.")
        return
    if out is not None:
        _make_room(out)
    result = benchmarks.run(
        name,
        quick=quick,
        seed=seed,
        haystack=haystack,
        questions=questions,
        conversations=conversations,
        rows=rows,
        adapter=adapter,
        latents=bundles or (),
        on_note=lambda note: output.errors.print(note, style="dim", markup=False),
    )
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if as_json:
        output.print_json(result)
    else:
        for bar in result["bars"]:
            mark = "[green]holds[/]" if bar["holds"] else "[red]missed[/]"
            output.console.print(f"{mark}  {bar['measure']}: {bar['value']} (bar {bar['bar']})")


def _make_room(out: Path) -> None:
    """Make the result's folder, before hours of measuring, and not after them."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.is_dir():
            raise IsADirectoryError(None, "it is a folder")
    except OSError as error:
        raise InputError(
            f"The result cannot be written to {out}.",
            f"The system says: {error.strerror}.",
            "Name a file in a folder that you may write to.",
        ) from error


def main() -> None:
    """Run the command line; an error ends in one line and a non-zero exit status."""
    try:
        app(prog_name="python -m benchmarks")
    except LarimarError as error:
        output.print_error(error, "--json" in sys.argv)
        sys.exit(output.EXIT_ERROR)


if __name__ == "__main__":
    main()
