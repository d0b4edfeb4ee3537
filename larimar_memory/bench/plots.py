"""Plots of committed results: the same JSON gives the same file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STYLE: Any = {
    "svg.hashsalt": "larimar",
    "figure.figsize": (11, 3.6),
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw_all(folder: Path) -> list[Path]:
    """Draw every result in a folder that has a plot, as SVG beside its JSON; returns the files."""
    drawn = list[Path]()
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["name"] in PLOTS:
            drawn.append(draw(result, path.with_suffix(".svg")))
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


PLOTS: dict[str, Callable[[Any, dict[str, Any]], None]] = {"memory": _memory}
"""Benchmarks that have a plot, and what draws it."""
