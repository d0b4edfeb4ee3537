"""The commands that look after a memory file: check, repair, backup, export, import."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from larimar_memory.cli import output
from larimar_memory.cli.options import AsJson, EncoderName, MemoryPlace
from larimar_memory.errors import InputError

if TYPE_CHECKING:
    from larimar_memory.stores.sqlite.integrity import Report


def check(memory: MemoryPlace, as_json: AsJson = False) -> None:
    """Check every row and index of a memory file; exit with status 0 if it is sound, else with 1."""
    from larimar_memory.stores.opening import file_of
    from larimar_memory.stores.sqlite import integrity

    file = file_of(memory, "Nothing was checked.")
    with output.progress("checking", not as_json) as tell:
        report = integrity.check(file, lambda _, done, total: tell(done, total))
    if as_json:
        output.print_json(report.to_dict())
    else:
        _print_report(report)
    if not report.sound:
        raise typer.Exit(output.EXIT_ERROR)


def repair(
    memory: MemoryPlace,
    no_backup: Annotated[bool, typer.Option("--no-backup", help="Do not copy the file first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Keep every row that passes its checksum, rebuild indexes, set the rest aside."""
    from larimar_memory.stores.opening import file_of
    from larimar_memory.stores.sqlite import repair as repairing

    file = file_of(memory, "Nothing was repaired.")
    with output.progress("checking", not as_json) as tell:
        done = repairing.repair(
            file, backup=not no_backup, on_progress=lambda _, seen, total: tell(seen, total)
        )
    if as_json or done.after is None:
        sound = f"{memory} is sound; nothing was changed."
        output.print_result(done.to_dict(), as_json, sound)
        return
    _print_report(done.before)
    if done.keys_made:
        output.console.print(f"made again  {done.keys_made:,} keys")
    for kind, count in done.lost.items():
        output.console.print(f"[red]lost[/]  {count:,} {kind}")
    if not done.lost:
        output.console.print("Nothing was lost.")
    for namespace, ids in done.incomplete.items():
        named = ", ".join(ids)
        output.console.print(
            f"[yellow]write again[/]  in namespace {escape(namespace)}: {escape(named)}", soft_wrap=True
        )
    for label, path in (("as it was", done.backup), ("set aside", done.set_aside)):
        if path is not None:
            output.console.print(f"{label}: {escape(path)}", soft_wrap=True)
    output.console.print(f"{memory} is {'sound' if done.after.sound else 'still damaged'} now.")


def backup(
    memory: MemoryPlace,
    out: Annotated[Path, typer.Argument(help="The copy; nothing may be there yet.")],
    as_json: AsJson = False,
) -> None:
    """Copy a memory file as it is at this moment, even while others write to it."""
    from larimar_memory.stores.opening import file_of
    from larimar_memory.stores.sqlite import opening

    file = file_of(memory, "Nothing was copied.")
    with output.progress("copying", not as_json) as tell:
        opening.backup(file, out, tell)
    result = {"memory": str(memory), "backup": str(out), "bytes": out.stat().st_size}
    output.print_result(result, as_json, f"{memory} copied to {out}.")


def export(
    memory: MemoryPlace,
    out: Annotated[Path, typer.Argument(help="A new folder for the export.")],
    as_json: AsJson = False,
) -> None:
    """Write a memory as JSON lines and safetensors, for other programs and for `larimar import`."""
    from larimar_memory import exchange
    from larimar_memory.stores.opening import called, open_as_written

    progress = output.progress("exporting", not as_json)
    with open_as_written(memory, read_only=True) as store, progress as tell:
        moved = exchange.export(
            store, out, encoder=store.encoder, dimension=store.dimension, on_progress=tell
        )
    output.print_result({"memory": called(memory), "export": str(out), **asdict(moved)}, as_json)


def import_(
    memory: MemoryPlace,
    folder: Annotated[Path, typer.Argument(help="A folder that `larimar export` wrote.")],
    namespaces: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", help="Rename a namespace, as OLD=NEW; may be repeated."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let documents replace those with the same ids.")
    ] = False,
    reencode: Annotated[
        bool,
        typer.Option("--reencode", help="Make keys again if they are another encoder's or lacking."),
    ] = False,
    encoder: EncoderName = "",
    as_json: AsJson = False,
) -> None:
    """Write an export to a memory, new or existing, exactly as it was."""
    from larimar_memory import exchange
    from larimar_memory.stores.exported import look
    from larimar_memory.stores.opening import called, open_as_written

    found, model, coarse = look(folder), None, None
    new, lazy = (found.encoder, found.dimension), found.lazy
    if reencode:
        from larimar_memory.encoders.sentence import SentenceEncoder
        from larimar_memory.models import finding

        model = SentenceEncoder.load(encoder or finding.DEFAULT_ENCODER)
        new, coarse = (model.fingerprint, model.dimension), exchange.coarse_keys(model)
        lazy = lazy and coarse is not None
    progress = output.progress("importing", not as_json)
    with open_as_written(memory, new=new, lazy=lazy) as store, progress as tell:
        if model is not None and model.fingerprint != store.encoder:
            raise InputError(
                f"The export {folder} cannot be imported.",
                "The memory's keys are neither the export's encoder's nor those of the one named.",
                "Name the memory's own encoder with `--encoder`.",
            )
        moved = exchange.import_into(
            store,
            found,
            encoder=store.encoder,
            dimension=store.dimension,
            reencode=model,
            coarse=coarse,
            namespaces=_names(namespaces or []),
            replace_documents=replace,
            on_progress=tell,
        )
    output.print_result({"memory": called(memory), "import": str(folder), **asdict(moved)}, as_json)


def _names(given: list[str]) -> dict[str, str]:
    names = dict[str, str]()
    for pair in given:
        old, found, new = pair.partition("=")
        if not (old and found and new):
            raise InputError(
                f"The namespace {pair!r} cannot be used.",
                "It does not say what it is to be called.",
                "Write OLD=NEW.",
            )
        names[old] = new
    return names


def _print_report(report: Report) -> None:
    if report.findings:
        table = Table("part", "what", "count", "for example")
        for finding in report.findings:
            style = "yellow" if finding.harmless else "red"
            examples = escape("; ".join(finding.examples))
            table.add_row(finding.part, finding.what, f"{finding.count:,}", examples, style=style)
        output.console.print(table)
    fine = f", {report.fine_keys:,} fine keys" if report.fine_keys else ""
    output.console.print(
        f"{report.path}: {report.documents:,} documents, {report.segments:,} segments, "
        f"{report.latents:,} latents{fine} "
        f"in {report.namespaces:,} namespaces, format {report.version}.",
        soft_wrap=True,
    )
    if report.sound:
        output.console.print("[green]It is sound.[/]")
    elif report.damaged:
        output.console.print("[red]It is damaged;[/] see `larimar repair`.")
    else:
        output.console.print(
            "[yellow]Nothing is lost, but what was forgotten may be left in it or beside it;[/] "
            "`larimar repair` erases it, and so does a program that opens the memory to write and "
            "closes it."
        )
