"""The command that looks at the installation and the machine, and says what is wrong or slow."""

from __future__ import annotations

from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from larimar_memory.cli import output
from larimar_memory.cli.options import AsJson

_COLOURS = {"wrong": "red", "slow": "yellow", "note": "cyan"}


def doctor(as_json: AsJson = False) -> None:
    """Look at this installation and this machine: what is there, what is wrong, what is slow and why.

    Nothing is changed or fetched. The status is 1 if something is wrong, otherwise 0, even if something
    is slow.
    """
    from larimar_memory.cli import checkup, remedies

    found = checkup.look()
    findings = remedies.findings(found)
    well = all(finding.kind != "wrong" for finding in findings)
    if as_json:
        output.print_json(
            {**found, "findings": [finding._asdict() for finding in findings], "well": well}
        )
    else:
        _print(found)
        for finding in findings:
            colour = _COLOURS[finding.kind]
            told = escape(f"{finding.what} {finding.why} {finding.remedy}")
            output.console.print(f"[bold {colour}]{finding.kind}[/]  {told}", soft_wrap=True)
        output.console.print(
            "[green]All that is needed is there.[/]" if well else "[red]Something is wrong.[/]"
        )
    if not well:
        raise typer.Exit(output.EXIT_ERROR)


def _print(found: dict[str, Any]) -> None:
    rows = {
        "versions": ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        "CPU": _cpu(found["cpu"]),
        "threads": _threads(found["threads"]),
        "memory": _gigabytes(found["memory"]),
        "models run on": f"{found['device']}, {found['number_format']}",
    }
    for model in found["models"]:
        rows[model["role"]] = f"{model['name']}: {model['path'] or 'not here yet'}"
    cache = found["cache"]
    rows["cache"] = f"{cache['folder']} ({cache['megabytes']:,} MB)" if cache["folder"] else "none"
    rows["own memory"] = found["memory_file"] or "none"
    there = [name for name, missing in found["extras"].items() if not missing]
    absent = [name for name, missing in found["extras"].items() if missing]
    rows["extras"] = f"{', '.join(there) or 'none'}; not installed: {', '.join(absent) or 'none'}"
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in rows.items():
        table.add_row(label, output.plain(escape(text)))
    output.console.print(table)
    output.console.print()


def _cpu(cpu: dict[str, Any]) -> str:
    has = ", ".join(name for name, there in cpu["features"].items() if there)
    return f"{cpu['name']}, {cpu['architecture']}: {has or 'no wide registers'}"


def _threads(threads: dict[str, Any]) -> str:
    return f"{threads['torch']} of torch, {threads['cores']} cores for this process"


def _gigabytes(memory: dict[str, Any]) -> str:
    if memory["total_gb"] is None:
        return "unknown"
    return f"{memory['available_gb']:.1f} of {memory['total_gb']:.1f} GB free"
