"""Plots of committed results: the same JSON gives the same file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.probes import pooled
from benchmarks.result import share

_STYLE: Any = {
    "svg.hashsalt": "larimar",
    "figure.figsize": (11, 3.6),
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_all(results: Path, plots: Path) -> list[Path]:
    """Draw every result that has a plot, as SVG of its name; returns the files."""
    drawn = list[Path]()
    for path in sorted(results.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["name"] in PLOTS:
            drawn.append(draw(result, plots / f"{path.stem}.svg"))
    return drawn


def draw(result: dict[str, Any], path: Path) -> Path:
    """Draw one result of a benchmark that is in `PLOTS`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(layout="constrained")
        PLOTS[result["name"]](figure, result["figures"])
        figure.savefig(path, metadata={"Date": None})
    return path


def _memory(figure: Any, figures: dict[str, Any]) -> None:
    curve, recall, forgetting = figure.subplots(1, 3)
    rows = figures["curve"]["rows"]
    loads = [row["load"] for row in rows]
    curve.plot(loads, [row["theory"] for row in rows], "--", color="0.5", label="min(1, √(K/N))")
    curve.plot(loads, [row["cosine"] for row in rows], "o-", label="asked by the written key")
    curve.plot(loads, [row["question cosine"] for row in rows], "s-", label="asked by a question")
    curve.set(xscale="log", ylim=(0, 1.05), xlabel="N / K", ylabel="cosine of readout and latent")
    curve.set_title(f"Fixed mode, K = {figures['slots']}")
    curve.legend(frameon=False)

    kinds = ("grow", "fixed", "self-keyed")
    counts = list(figures["recall"])
    for n, kind in enumerate(kinds):
        places = [i + (n - 1) * 0.26 for i in range(len(counts))]
        recall.bar(places, [figures["recall"][c][kind] for c in counts], 0.24, label=kind)
    theirs = figures["theirs"]["recall, K = 512"]
    for i, count in enumerate(counts):
        if count in theirs:
            values = theirs[count] if isinstance(theirs[count], list) else [theirs[count]]
            recall.plot([i + 0.42] * len(values), values, "k_", ms=10)
    recall.set(
        ylim=(0, 1.15), xlabel="facts written (line: the paper's)", ylabel="question finds its fact"
    )
    recall.set_xticks(range(len(counts)), [f"{int(c):,}" for c in counts])
    recall.set_title("Recall by questions")
    recall.legend(frameon=False, ncols=3)

    bars = [(c, mode) for c in figures["forget"] for mode in figures["forget"][c]]
    for n, measure in enumerate(("retained", "forgotten")):
        values = [figures["forget"][c][mode][measure] for c, mode in bars]
        forgetting.bar([i + (n - 0.5) * 0.35 for i in range(len(bars))], values, 0.33, label=measure)
    forgetting.set_xticks(range(len(bars)), [f"{mode}\nN = {int(c):,}" for c, mode in bars])
    forgetting.set(ylim=(0, 1.15), ylabel="facts still recalled")
    forgetting.set_title("After forgetting one")
    forgetting.legend(frameon=False, ncols=2)


def _needle(figure: Any, figures: dict[str, Any]) -> None:
    panels = figure.subplots(1, 2, sharey=True)
    lengths = [f"{length:,}" for length in figures["lengths"]]
    for axes, (kind, title) in zip(
        panels, (("read", "The needle read first"), ("answered", "Answered")), strict=True
    ):
        # Away from the ends of the colours, on which words are hard to read.
        axes.imshow(figures[kind], vmin=-0.5, vmax=1.5, cmap="RdYlGn", aspect="auto")
        axes.set_xticks(range(len(figures["depths"])), [f"{d:.0%}" for d in figures["depths"]])
        axes.set_yticks(range(len(lengths)), lengths)
        axes.set(xlabel="depth in the text", title=title)
        _say(axes, [["yes" if found else "no" for found in row] for row in figures[kind]], 7)
    panels[0].set_ylabel("tokens written")


def _rag(figure: Any, figures: dict[str, Any]) -> None:
    figure.set_size_inches(11, 7.6)
    (recall, answers), (tokens, seconds) = figure.subplots(2, 2)
    names, tasks, rows = list(figures["totals"]), figures["tasks"], figures["rows"]
    for axes, rate, title in (
        (recall, "read_first", "Right text read first, share of trials"),
        (answers, "answered", "Answered right, share of trials"),
    ):
        table = [[_share(rows, name, task, rate) for task in tasks] for name in names]
        axes.imshow(table, vmin=0, vmax=1, cmap="RdYlGn", aspect="auto")
        axes.set_xticks(range(len(tasks)), tasks, rotation=60, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.set_title(title)
        _say(axes, [[f"{value:.1f}" if value == value else "" for value in line] for line in table], 6)
    for axes, measure, title in (
        (tokens, "prompt_tokens", "Prompt, tokens (pass key)"),
        (seconds, "seconds", "Whole answer, seconds (pass key)"),
    ):
        for name in names:
            points = [
                (row["tokens"], row["tasks"]["pass key"][measure])
                for row in rows
                if row["system"] == name and measure in row["tasks"].get("pass key", {})
            ]
            axes.plot([x for x, _ in points], [y for _, y in points], "o-", ms=4, label=name)
        axes.set(xlabel="tokens written", title=title)
        # Of nothing there is no logarithm.
        if any(len(line.get_xdata()) for line in axes.lines):
            axes.set(xscale="log", yscale="log")
    tokens.legend(frameon=False, fontsize=7)


def _say(axes: Any, words: list[list[str]], size: int) -> None:
    """Words in the cells of a heat map; nothing where there are none."""
    for y, line in enumerate(words):
        for x, word in enumerate(line):
            if word:
                axes.text(x, y, word, ha="center", va="center", fontsize=size)


def _share(rows: list[dict[str, Any]], name: str, task: str, kind: str) -> float:
    """Successes over trials of a system in a task, all lengths together; NaN if not tried."""
    found = pooled(rows, name, task, kind)
    return share(found) if found["of"] else float("nan")


def _ruler(figure: Any, figures: dict[str, Any]) -> None:
    tasks, averages = figure.subplots(1, 2)
    lengths = figures["lengths"]
    width = 0.8 / len(lengths)
    for n, (length, found) in enumerate(lengths.items()):
        names = list(found["tasks"])
        places = [i + (n - (len(lengths) - 1) / 2) * width for i in range(len(names))]
        said = [100 * found["tasks"][task]["said"] for task in names]
        read = [100 * share(found["tasks"][task]["read"]) for task in names]
        tasks.bar(places, said, 0.9 * width, label=f"answered, {int(length):,} tokens")
        tasks.plot(places, read, "k_", ms=10, label="all needles read" if not n else None)
    tasks.set_xticks(range(len(names)), [name.removeprefix("RULER ") for name in names], rotation=30)
    tasks.set(ylim=(0, 119), ylabel="percent")
    tasks.legend(frameon=False, ncols=3, fontsize=7)
    own = [int(length) for length in lengths]
    for measure, label in (("read", "Larimar, read"), ("answered", "Larimar, answered")):
        averages.plot(own, [found[measure] for found in lengths.values()], "o-", label=label)
    theirs = figures["theirs"]
    for name in (name for name in theirs if name != "lengths"):
        averages.plot(theirs["lengths"], theirs[name], "s--", color="0.6", label=f"{name} (all tasks)")
    averages.set(xscale="log", ylim=(0, 105), xlabel="tokens", ylabel="average, percent")
    averages.legend(frameon=False)


def _scale(figure: Any, figures: dict[str, Any]) -> None:
    rows = figures["rows"]
    lengths = [row["tokens"] for row in rows]
    read, ram, speed = figure.subplots(1, 3)
    for name, label in (("read_p50_seconds", "median"), ("read_p95_seconds", "95th percentile")):
        read.plot(lengths, [1000 * row[name] for row in rows], "o-", label=label)
    read.legend(frameon=False)
    for name, label in (
        ("ram_beyond_models_mb", "RAM, asking"),
        ("write_peak_mb", "RAM, writing"),
        ("bytes_on_disk", "file"),
    ):
        scale = 1e-6 if name == "bytes_on_disk" else 1
        ram.plot(lengths, [scale * row[name] for row in rows], "o-", label=label)
    ram.set(yscale="log")
    ram.legend(frameon=False)
    speed.plot(lengths, [row["write_tokens_per_second"] for row in rows], "o-")
    titles = ("A read, milliseconds", "Megabytes", "Written, tokens per second")
    for axes, title in zip((read, ram, speed), titles, strict=True):
        axes.set(xscale="log", xlabel="tokens written", title=title)
        axes.set_ylim(bottom=None if axes is ram else 0)


def _scope(figure: Any, figures: dict[str, Any]) -> None:
    axes = figure.subplots()
    points = figures["thresholds"]
    axes.plot(points, figures["refused_curve"], label="held, but refused")
    axes.plot(points, figures["answered_curve"], label="not held, but answered")
    axes.axvline(figures["default_threshold"], color="0.5", ls=":", label="default threshold")
    axes.plot(figures["equal_error_threshold"], figures["equal_error_rate"], "ko", label="equal errors")
    axes.set(xlabel="threshold on the probability", ylabel="share of questions", ylim=(0, 1.02))
    axes.legend(frameon=False)


def _curve(figure: Any, figures: dict[str, Any]) -> None:
    rows = figures["rows"]
    said, answered = figure.subplots(1, 2)
    sizes = list(dict.fromkeys((row["tokens_per_position"], row["dz"]) for row in rows))
    for tokens, dz in sizes:
        mine = [row for row in rows if (row["tokens_per_position"], row["dz"]) == (tokens, dz)]
        mine.sort(key=lambda row: row["bytes_per_token"])
        taken = [row["bytes_per_token"] for row in mine]
        label = f"{tokens} tokens a position, {dz} numbers"
        said.plot(taken, [100 * share(row["exact"]) for row in mine], "o-", ms=4, label=label)
        answered.plot(taken, [row["ratio"] for row in mine], "o-", ms=4, label=label)
    said.set(ylim=(0, 105), title="Said again exactly, percent")
    answered.set(title="Token F1 of answers, latents over text")
    answered.set_ylim(bottom=0)
    for axes in (said, answered):
        axes.set(xlabel="bytes a token")
    said.legend(frameon=False)


def _conversation(figure: Any, figures: dict[str, Any]) -> None:
    axes = figure.subplots()
    for name, medians in figures["median ms"].items():
        axes.plot(figures["turns"], medians, "o-", label=name)
    axes.set(xscale="log", xlabel="turns before it", ylabel="milliseconds, median")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, bbox_to_anchor=(1, 1))


def _latents_long(figure: Any, figures: dict[str, Any]) -> None:
    quality, time = figure.subplots(1, 2)
    found = figures["together"]
    linked = [name for name in found if "linked" in name]
    stored = [name for name in found if name.startswith("keys and values") and name not in linked]
    latents = [name for name in found if name.startswith("latents")]
    for names, mark, label in (
        (stored, "s-", "keys and values"),
        (linked, "D", "keys and values, linked"),
        (["text"], "^", "text"),
        (latents, "o-", "latents, all positions or fewer"),
    ):
        points = sorted((found[n]["bytes_per_token"], found[n]["token_f1"]) for n in names)
        quality.plot([x for x, _ in points], [y for _, y in points], mark, ms=5, label=label)
    quality.set(xscale="log", xlabel="bytes a token", title="Token F1 of answers")
    quality.set_ylim(bottom=0)
    quality.legend(frameon=False, fontsize=7)
    rows = figures["rows"]
    # What was read at all lengths.
    for name in (n for n in rows[0]["ways"] if all(n in row["ways"] for row in rows)):
        seconds = [row["ways"][name]["first_token_seconds"] for row in rows]
        time.plot([row["recalled"] for row in rows], seconds, "o-", ms=4, label=name)
    time.set(xscale="log", yscale="log", xlabel="tokens read", title="Seconds to the first token")
    lengths = [row["tokens"] for row in rows]
    time.set_xticks(lengths, [f"{length:,}" for length in lengths])
    time.minorticks_off()
    time.legend(frameon=False, fontsize=7)


PLOTS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "conversation": _conversation,
    "curve": _curve,
    "latents_long": _latents_long,
    "memory": _memory,
    "needle": _needle,
    "rag": _rag,
    "ruler": _ruler,
    "scale": _scale,
    "scope": _scope,
}
"""Benchmarks that have a plot, and what draws it."""
