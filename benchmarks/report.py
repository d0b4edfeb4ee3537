"""Set the tables of the README and the docs from the committed results: no figure is typed by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks import front
from benchmarks.tables import TABLES
from larimar_memory.errors import InputError

BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
_DIGITS = 3
# Results of a CPU without fast bf16 stand in a folder of this name, beside those of one that has it.
_WITHOUT = "float32"


def render(folder: Path) -> str:
    """The README's table of figures, as Markdown.

    Raises:
        InputError: if `folder` holds no results.
    """
    return "\n".join(front.table(_results(folder)))


def draw_front(folder: Path, path: Path) -> Path | None:
    """The README's picture, of the results in `folder`; None where they are not all there.

    Raises:
        InputError: if it holds none.
    """
    return front.draw(_results(folder), path)


def update(readme: Path, folder: Path) -> bool:
    """Set the part of the README between the markers; returns whether it changed.

    Raises:
        InputError: if the README has no markers.
    """
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    if BEGIN not in text or END not in text:
        raise InputError(
            f"{readme} cannot be updated.",
            f"It has no part between {BEGIN} and {END}.",
            "Run this in the root of a checkout.",
        )
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    updated = f"{head}{BEGIN}\n{render(folder)}\n{END}{tail}"
    readme.write_text(updated, encoding="utf-8")
    return updated != text


def fill(page: str, folder: Path) -> str:
    """The page with each result between `<!-- NAME -->` and `<!-- /NAME -->`, and the missed bars.

    A bar holds where it holds on every CPU that it was measured on.
    """
    results, others = _results(folder), _read(folder / _WITHOUT)
    told = {name: _part(name, result, others.get(name)) for name, result in results.items()}
    told["missed"] = _bars(results, others, ("missed",))

    def part(found: re.Match[str]) -> str:
        return "\n".join([found[1], *told.get(found[2], []), found[3]])

    return re.sub(r"(<!-- ([\w-]+) -->)\n.*?(<!-- /\2 -->)", part, page, flags=re.DOTALL)


def _results(folder: Path) -> dict[str, dict[str, Any]]:
    results = _read(folder)
    if not results:
        raise InputError(
            "There is nothing to report.",
            f"{folder} holds no results.",
            "Run `python -m benchmarks NAME --out benchmarks/results/NAME.json` first.",
        )
    return results


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    return {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.json"))}


def _bars(
    results: dict[str, dict[str, Any]], others: dict[str, dict[str, Any]], shown: tuple[str, ...]
) -> list[str]:
    columns = ["value", *(["without bf16"] if others else []), "bar"]
    lines = [f"| benchmark | measure | {' | '.join(columns)} | |", "|---" * (3 + len(columns)) + "|"]
    for name, result in results.items():
        without = {bar["measure"]: bar for bar in others.get(name, {"bars": ()})["bars"]}
        for bar in result["bars"]:
            other = without.get(bar["measure"])
            holds = bar["holds"] and (other is None or other["holds"])
            if ("holds" if holds else "missed") in shown:
                values = [_shown(bar["value"])]
                if others:
                    values.append(_shown(other["value"]) if other else "")
                mark = "holds" if holds else "**missed**"
                lines.append(
                    f"| `{name}` | {bar['measure']} | {' | '.join(values)} | {bar['bar']} | {mark} |"
                )
    return lines


def _part(name: str, result: dict[str, Any], other: dict[str, Any] | None) -> list[str]:
    tables = ["", *TABLES[result["name"]](result["figures"])] if result["name"] in TABLES else []
    bars = _bars({name: result}, {name: other} if other else {}, ("holds", "missed"))
    where = [_where(name, result), *([_where(f"{name}, without bf16", other)] if other else [])]
    return [*bars, *tables, "", *where]


def _shown(value: Any) -> str:
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)


def _number_format(machine: dict[str, Any]) -> str:
    return f"{machine['number_format']}, " if "number_format" in machine else ""


def _where(name: str, result: dict[str, Any]) -> str:
    machine, versions = result["machine"], result["versions"]
    return (
        f"`{name}`: {machine['cpu']}, {machine['cores']} core{'s' * (machine['cores'] != 1)}, "
        f"{machine['memory_gb']:.0f} GB, {_number_format(machine)}torch {versions['torch']}, "
        f"seed {result['seed']}, "
        f"commit {result['commit'] or 'unknown'}.\n"
    )
