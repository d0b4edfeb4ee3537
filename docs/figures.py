"""Pictures of the concepts, from the code and the committed results: `python docs/figures.py`.

Their ground is clear and their words are of a middle grey: they can be read on white and on black.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
IMAGES, RESULTS = ROOT / "docs" / "images", ROOT / "benchmarks" / "results"
GREY, TEAL, ORANGE, PURPLE = "#808080", "#159a8c", "#e08a1e", "#8f7be8"
STYLE: Any = {
    "svg.hashsalt": "larimar",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), GREY
    ),
    "axes.prop_cycle": mpl.cycler(color=[TEAL, ORANGE, PURPLE, GREY]),
    "legend.frameon": False,
    "lines.linewidth": 2,
}
TEXT = (
    "The lighthouse at Cape Ren was built by Odile Marchetti in 1887, when the old one had burnt down. "
    "It is white. Its lamp is green, and can be seen from the harbour of Ren in any weather. "
    "The ferry passes it at a quarter past nine every morning, and on Sundays an hour later."
)


def path(figure: Figure) -> None:
    """From a text to an answer, above what is written and below what is asked."""
    figure.set_size_inches(9.4, 3.0)
    axes = figure.subplots()
    axes.set(xlim=(0, 100), ylim=(0, 32))
    axes.axis("off")
    steps = (
        (24, TEAL, ("text", "segments", "coarse keys\nand words", "memory file")),
        (4, ORANGE, ("question", "candidates\nfine keys", "rank\nscope", "readout", "answer")),
    )
    middles: dict[str, tuple[float, float]] = {}
    for y, colour, names in steps:
        for x, name in zip(
            np.linspace(9, 91, len(names)) if y < 20 else (9, 29.5, 50, 70.5), names, strict=False
        ):
            box = {"boxstyle": "round,pad=0.5", "fc": "none", "ec": colour, "lw": 1.6}
            axes.text(x, y, name, ha="center", va="center", bbox=box, linespacing=1.3)
            middles[name] = (float(x), y)
        for a, b in pairwise(names):
            _arrow(axes, middles[a], middles[b], colour)
    axes.annotate(
        "",
        (middles[steps[1][2][1]][0] + 6, 8),
        (middles["memory file"][0] - 3, 20.5),
        arrowprops={"arrowstyle": "->", "color": GREY, "lw": 1.4},
    )
    axes.text(91, 24, "written once:\nno network runs", ha="center", va="center", color=TEAL)
    axes.text(
        12,
        14,
        "asked: the encoder runs\nfor a few dozen candidates",
        ha="center",
        va="center",
        color=ORANGE,
    )


def _arrow(axes: Any, a: tuple[float, float], b: tuple[float, float], colour: str) -> None:
    gap = 7.2
    head = {"arrowstyle": "->", "color": colour, "lw": 1.6}
    axes.annotate("", (b[0] - gap, b[1]), (a[0] + gap, a[1]), arrowprops=head)


def segments(figure: Figure) -> None:
    """A text as it is cut, with the spans."""
    from larimar_memory.text.segments import segment

    width, starts = 66, [0]
    while len(TEXT) - starts[-1] > width:
        starts.append(TEXT.rfind(" ", starts[-1], starts[-1] + width) + 1)
    rows = [*zip(starts, [*starts[1:], len(TEXT)], strict=True)]
    figure.set_size_inches(6.6, 2.2)
    axes = figure.subplots()
    for n, one in enumerate(segment(TEXT)):
        colour = (TEAL, ORANGE, PURPLE)[n % 3]
        for row, (begin, end) in enumerate(rows):
            left, right = max(one.start, begin), min(one.end, end)
            if left < right:
                axes.barh(
                    row, right - left, left=left - begin, height=0.62, color=colour, alpha=0.2, lw=0
                )
            if begin <= one.start < end:
                told = f"{one.start} to {one.end}"
                axes.text(
                    left - begin + 0.2,
                    row - 0.36,
                    told,
                    color=colour,
                    size=8,
                    va="bottom",
                    weight="bold",
                )
    for row, (begin, end) in enumerate(rows):
        for column, character in enumerate(TEXT[begin:end]):
            axes.text(
                column + 0.5, row, character, family="monospace", size=11, ha="center", va="center"
            )
    axes.set(xlim=(-0.5, width + 0.5), ylim=(len(rows) - 0.5, -0.8))
    axes.axis("off")


def keys(figure: Figure) -> None:
    """What lazy keys save in writing, and what coarse ones are good for."""
    from larimar_memory.cli.demo import haystack
    from larimar_memory.encoders.sentence import SentenceEncoder
    from larimar_memory.text.segments import segment

    figure.set_size_inches(9.4, 3.4)
    rates, cosines = figure.subplots(1, 2, width_ratios=(1, 1.25))
    found = _figures("ingest")
    shown = {
        "coarse keys": found["larimar_tokens_per_second"],
        "fine keys": found["larimar_eager_tokens_per_second"],
        "LangChain,\nsame encoder": found["langchain_tokens_per_second"],
    }
    bars = rates.barh(list(shown), list(shown.values()), color=[TEAL, ORANGE, GREY], height=0.6)
    rates.bar_label(bars, [f" {value:,.0f}" for value in shown.values()])
    rates.set(xscale="log", xlim=(1e3, 4e6), title="Written, tokens a second")
    rates.invert_yaxis()

    encoder = SentenceEncoder.load()
    texts = [one.text for one in segment(haystack())]
    fine = encoder.encode(texts)
    coarse = encoder.coarse.keys(encoder.tokenize(texts).ids)
    question = encoder.encode(["What does the assert statement do?"], "question")[0]
    across, up = coarse @ question, fine @ question
    first = np.argsort(-across)[:300]
    rest = np.setdiff1d(np.arange(len(texts)), first)
    best = int(np.argmax(up))
    cosines.scatter(
        across[rest],
        up[rest],
        s=3,
        color=GREY,
        alpha=0.5,
        lw=0,
        rasterized=True,
        label=f"{len(texts):,} segments",
    )
    cosines.scatter(
        across[first], up[first], s=9, color=TEAL, lw=0, label="the 300 candidates by coarse key"
    )
    cosines.scatter(across[best], up[best], s=110, marker="*", color=ORANGE, label="best by fine key")
    cosines.set(xlabel="cosine of question and coarse key", ylabel="cosine with fine key")
    cosines.set_title("“What does the assert statement do?”")
    cosines.legend(loc="upper left", fontsize=8.5, handletextpad=0.2, borderpad=0)
    cosines.set_ylim(top=1.08)


def readouts(figure: Figure) -> None:
    """Why a segment came first, and how sharp addresses are."""
    from larimar_memory import Larimar
    from larimar_memory.slots import address
    from larimar_memory.slots.address import SLOT_ALPHA

    figure.set_size_inches(9.4, 3.6)
    why, weights = figure.subplots(1, 2)
    with Larimar.open() as memory:
        memory.write([TEXT], ["Ren"])
        first = memory.read("Who built the lighthouse at Cape Ren?", explain=True).segments[0]
    parts = sorted(((p, name) for name, _, p in first.why.told[:9]), key=lambda one: one[0])
    colours = [TEAL if part > 0 else ORANGE for part, _ in parts]
    why.barh([name.replace("_", " ") for _, name in parts], [part for part, _ in parts], color=colours)
    why.axvline(0, color=GREY, lw=0.8)
    why.set(title="Why the first segment came first", xlabel="part of its rank")

    further = np.linspace(1, 1.6, 121)
    for alpha, label in (
        (1e-3, "alpha .001: a slot a segment"),
        (1e-2, "alpha .01"),
        (SLOT_ALPHA, "alpha .1: shared slots"),
    ):
        pairs = [address(np.zeros(1), np.array([[1.0], [far]]), alpha) for far in further]
        weights.plot(100 * (further - 1), [pair[1] / pair[0] for pair in pairs], label=label)
    weights.set(
        xlabel="further from the question than the nearest, %", ylabel="weight over the nearest's"
    )
    weights.set(title="Address weights", ylim=(0, 1.03))
    weights.legend()


def slots(figure: Figure) -> None:
    """What shared slots cost."""
    figure.set_size_inches(7.4, 3.4)
    found = _figures("memory")
    axes, rows = figure.subplots(), found["curve"]["rows"]
    loads = [row["load"] for row in rows]
    axes.plot(loads, [row["question recall"] for row in rows], "s-", ms=5, color=ORANGE)
    axes.plot(loads, [row["cosine"] for row in rows], "o-", ms=6, lw=4, color=TEAL)
    axes.plot(loads, [row["theory"] for row in rows], "--", lw=1.2, color=GREY)
    axes.text(8, 1.01, "questions that find their fact", color=ORANGE, ha="right", va="bottom")
    axes.text(2.3, 0.75, "cosine of readout and latent", color=TEAL)
    axes.text(2.1, 0.5, "dashed: min(1, √(K/N))", color=GREY, ha="right")
    axes.set(ylim=(0, 1.1), xlabel=f"segments for each of {found['slots']} slots, N / K")


def scope(figure: Figure) -> None:
    """What a threshold lets through, and what it keeps back."""
    figure.set_size_inches(7.4, 3.4)
    found = _figures("scope")
    axes = figure.subplots()
    points = found["thresholds"]
    axes.plot(points, [100 * y for y in found["refused_curve"]], color=ORANGE)
    axes.plot(points, [100 * y for y in found["answered_curve"]], color=TEAL)
    axes.axvline(found["default_threshold"], color=GREY, ls=":")
    axes.text(0.15, 23, "no answer is stored,\nand the question\nis let through", color=TEAL)
    axes.text(0.74, 25, "an answer is stored,\nand the question\nis refused", color=ORANGE, ha="right")
    axes.text(0.505, 38, "default", color=GREY, va="top")
    axes.set(xlabel="threshold on the probability", ylabel="questions, %", ylim=(0, 40), xlim=(0, 1))


def _figures(name: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))["figures"]
    return figures


FIGURES: dict[str, Callable[[Figure], None]] = {
    draw.__name__: draw for draw in (path, segments, keys, readouts, slots, scope)
}
"""By the names of their files."""


def draw_all(names: list[str], images: Path = IMAGES) -> None:
    """Draw the pictures of those names, or all."""
    for name in names or FIGURES:
        with mpl.rc_context(STYLE):
            figure = Figure(layout="constrained")
            FIGURES[name](figure)
            figure.savefig(images / f"{name}.svg", metadata={"Date": None}, transparent=True, dpi=200)


if __name__ == "__main__":
    draw_all(sys.argv[1:])
