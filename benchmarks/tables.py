"""Markdown tables of results in which several systems, tasks or lengths stand side by side."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import scaling_tables
from benchmarks.markdown import table
from benchmarks.probes import pooled
from benchmarks.result import share


def rag(figures: dict[str, Any]) -> list[str]:
    """Larimar and the others: over all tasks, then right text read first by task."""
    rows = figures["rows"]
    totals = []
    for name, total in figures["totals"].items():
        mine = [row for row in rows if row["system"] == name]
        asked = [task for row in mine for task in row["tasks"].values() if "seconds" in task]
        longest = max(mine, key=lambda row: row["tokens"])
        totals.append(
            [
                name,
                *(
                    _mean(rows, name, figures["tasks"], kind)
                    for kind in ("read_first", "read", "answered")
                ),
                *(_median(asked, measure) for measure in ("prompt_tokens", "first_token", "seconds")),
                f"{longest['write_tokens_per_second']:,.0f}",
                f"{longest['bytes_on_disk'] / 1e6:,.1f}",
                f"{longest['ram_mb']:,.0f}",
                f"{longest['tokens']:,}",
                _rate(total["left_in_files"]),
            ]
        )
    head = (
        "mean of all tasks",
        *("read first, %", "all read in 5, %", "answered, %", "prompt tokens", "first token, s"),
        *(
            "answer, s",
            "written, tokens/s",
            "MB on disk",
            "MB of RAM",
            "at tokens",
            "forgotten but in the files, %",
        ),
    )
    names = list(figures["totals"])
    tasks = [
        [label, *(_rate(pooled(rows, name, task, kind)) for name in names)]
        for task in figures["tasks"]
        for kind, label in (("read_first", task), ("document_first", f"{task}: right document"))
        if any(pooled(rows, name, task, kind)["of"] for name in names)
    ]
    said = [
        [task, *(_rate(pooled(rows, name, task, "answered")) for name in names)]
        for task in figures["tasks"]
    ]
    return [
        *table(head, totals),
        "",
        *table(("right text read first, %", *names), tasks),
        "",
        *table(("answered, %", *names), said),
    ]


def ruler(figures: dict[str, Any]) -> list[str]:
    """Each task at each length: all needles read, and answered."""
    lengths = figures["lengths"]
    tasks = list(next(iter(lengths.values()))["tasks"])
    head = ["task", *(f"{w}, {int(n):,} tokens, %" for n in lengths for w in ("read", "answered"))]
    rows = [
        [
            task.removeprefix("RULER "),
            *(
                cell
                for found in lengths.values()
                for cell in (
                    _rate(found["tasks"][task]["read"]),
                    f"{100 * found['tasks'][task]['said']:.0f}",
                )
            ),
        ]
        for task in tasks
    ]
    return table(head, rows)


def scale(figures: dict[str, Any]) -> list[str]:
    """One line for each length."""
    head = (
        *("tokens", "pass key read first, %", "needle read first, %"),
        *("sentence asked for read first, %", "in five, %", "read p50, ms", "read p95, ms"),
        *("written, tokens/s", "MB on disk", "RAM asking, MB", "RAM writing, MB"),
    )
    rows = [
        [
            f"{row['tokens']:,}",
            _rate(row["pass key"]),
            _rate(row["needle"]),
            _rate(row["passages"]) if "passages" in row else "",
            _rate(row["passages in five"]) if "passages" in row else "",
            f"{1000 * row['read_p50_seconds']:.1f}",
            f"{1000 * row['read_p95_seconds']:.1f}",
            f"{row['write_tokens_per_second']:,.0f}",
            f"{row['bytes_on_disk'] / 1e6:,.0f}",
            f"{row['ram_beyond_models_mb']:,.0f}",
            f"{row['write_peak_mb']:,.0f}",
        ]
        for row in figures["rows"]
    ]
    return table(head, rows)


def passages(figures: dict[str, Any]) -> list[str]:
    """One line for passages alone, and one for either kind of keys among prose."""
    few, prose = figures["passages"], figures["prose"]
    rows = {
        f"{few['passages']:,} passages": few,
        f"{prose['tokens']:,} tokens, lazy keys": prose["lazy"],
        f"{prose['tokens']:,} tokens, eager keys": prose["eager"],
    }
    kinds = ("first", "in five", "passage first")
    return table(
        ("among", "right sentence first, %", "in five, %", "right passage first, %"),
        [[name, *(_rate(found[kind]) for kind in kinds)] for name, found in rows.items()],
    )


def latents(figures: dict[str, Any]) -> list[str]:
    """Segments said again by length; answers by what they are from; pass keys and needles by length."""
    by_tokens = figures["said_again"]["mixed"]["by_tokens"]
    lines = table(
        ("tokens of a segment", *by_tokens),
        [["said again exactly, %", *map(_rate, by_tokens.values())]],
    )
    if "answers" in figures:
        answers, alone = figures["answers"], figures["answers"]["one_by_one"]
        head = ("answers from", "token F1", "the answer said, %", "positions", "whole, s")
        ways = {
            "the text": answers["text"],
            "latents": answers["latent"],
            "neither": answers["none"],
            "the text, token by token": alone["text"],
            "latents alone, token by token": alone["latent"],
        }
        rows = [
            [
                label,
                f"{told['token_f1']:.3f}",
                _rate(told["answer_said"]),
                f"{told['positions']:.0f}",
                f"{told['seconds']:.2f}",
            ]
            for label, told in ways.items()
        ]
        lines += ["", *table(head, rows)]
    lengths = [
        [
            f"{row['tokens']:,}",
            _rate(row["pass_keys"]),
            _rate(row["needles"]),
            _rate(row["needles_chosen_among_several"]),
            f"{row['megabytes_per_million_tokens']:.0f}",
        ]
        for row in figures["reach"].values()
    ]
    measures = (
        "tokens, through latents only",
        "pass keys, %",
        "needles, %",
        "needles, chosen by the text too, %",
        "MB per million tokens",
    )
    return [*lines, "", *table(measures, lengths)]


def latents_long(figures: dict[str, Any]) -> list[str]:
    """One line for each way of reading, its figures by the tokens recalled."""
    rows = figures["rows"]
    names = dict.fromkeys(name for row in rows for name in row["ways"])
    lengths = [f"{row['tokens']:,} tokens, {row['questions']} questions" for row in rows]
    lines = [
        [
            name,
            *(_both(row["ways"].get(name)) for row in rows),
            f"{next(row['ways'][name] for row in rows if name in row['ways'])['bytes_per_token']:,.0f}",
        ]
        for name in names
    ]
    positions = [
        [f"positions, {name}", *(f"{row['ways'][name]['positions']:,.0f}" for row in rows), ""]
        for name in names
        if name.startswith(("text", "latents"))
    ]
    head = ("token F1; time to first token over text's", *lengths, "bytes a token")
    return table(head, [*lines, *positions])


def _both(found: dict[str, Any] | None) -> str:
    return "" if found is None else f"{found['token_f1']:.2f}; {found['first_over_text']:.2f}"


def codes(figures: dict[str, Any]) -> list[str]:
    """One line for each linear code."""
    head = (
        *("numbers a token", "step", "depth, % of the layers", "bytes a token"),
        *("said again exactly, %", "edit distance, %"),
    )
    rows = (
        [
            str(row["dz"]),
            f"{row['step']:g}",
            f"{100 * row['depth']:.0f}",
            f"{row['bytes_per_token']:.0f}",
            _rate(row["exact"]),
            f"{100 * row['edit_distance']:.1f}",
        ]
        for row in figures["rows"]
    )
    return table(head, rows)


def curve(figures: dict[str, Any]) -> list[str]:
    """One line for each trained codec at each step."""
    head = (
        *("tokens a position", "numbers a position", "step", "bytes a token", "trained on labels"),
        *("said again exactly, %", "edit distance, %", "token F1 over that of text"),
        *("the answer said, %", "prompt positions over text"),
    )
    rows = []
    for row in figures["rows"]:
        low, high = row["ratio_interval"]
        rows.append(
            [
                str(row["tokens_per_position"]),
                str(row["dz"]),
                f"{row['step']:g}",
                f"{row['bytes_per_token']:.0f}",
                "" if row["labels"] is None else f"{row['labels']:,}",
                _rate(row["exact"]),
                f"{100 * row['edit_distance']:.1f}",
                f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})",
                _rate(row["latent"]["answer_said"]),
                f"{row['latent']['positions'] / row['text']['positions']:.2f}",
            ]
        )
    return table(head, rows)


def conversations(figures: dict[str, Any]) -> list[str]:
    """One line for each system in each part of each set."""
    rows = [
        [
            f"{name}, {part}, {of['questions']}",
            system,
            *(_percent(found["recall"][cut]) for cut in ("1", "5", "10")),
            _percent(found["mrr"]),
            f"{found['prompt_tokens']:,.0f}",
            f"{1000 * found['read_p50_seconds']:.1f}",
        ]
        for name, parts in figures["sets"].items()
        for part, of in parts.items()
        for system, found in of["systems"].items()
    ]
    head = (
        *("conversations, questions", "system"),
        *(f"evidence in the first {n}, %" for n in ("turn", "5", "10")),
        *("MRR, %", "prompt tokens", "read p50, ms"),
    )
    return table(head, rows)


def _percent(mean: dict[str, Any]) -> str:
    """Percent, with its 95% interval."""
    low, high = (round(100 * end) for end in mean["interval"])
    return f"{100 * mean['mean']:.0f} ({low} to {high})"


def _mean(rows: Sequence[dict[str, Any]], name: str, tasks: Sequence[str], kind: str) -> str:
    """Of a system's rates in the tasks it was tried in, each counting alike, in percent."""
    rates = [rate for task in tasks if (rate := pooled(rows, name, task, kind))["of"]]
    return f"{statistics.mean(100 * share(rate) for rate in rates):.0f}" if rates else ""


def _median(tasks: Sequence[dict[str, Any]], measure: str) -> str:
    """Of the tasks that were answered; nothing where none was."""
    values = [task[measure] for task in tasks if measure in task]
    if not values:
        return ""
    value = statistics.median(values)
    return f"{value:,.0f}" if measure == "prompt_tokens" else f"{value:.2f}"


def _rate(rate: dict[str, Any]) -> str:
    """Percent, with its 95% interval; nothing for what was not tried."""
    if not rate["of"]:
        return ""
    low, high = (round(100 * end) for end in rate["interval"])
    return f"{100 * share(rate):.0f} ({low} to {high})"


TABLES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "codes": codes,
    "conversations": conversations,
    "curve": curve,
    "latents": latents,
    "latents_long": latents_long,
    "passages": passages,
    "postgres": scaling_tables.postgres,
    "rag": rag,
    "ray": scaling_tables.ray,
    "ruler": ruler,
    "scale": scale,
}
"""Benchmarks whose figures are shown beside their bars."""
