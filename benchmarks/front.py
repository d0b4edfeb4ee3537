"""The README's table of six figures, and its picture, from the committed results."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.probes import pooled
from benchmarks.result import share

PAGE = "https://github.com/larimar-memory/larimar-memory/blob/main/docs/benchmarks.md#"
GREY, TEAL, PALE = "#808080", "#159a8c", "#74bdb4"
OWN = "Larimar"
_OF_OURS = ("the previous ranking", "keys alone", "words alone")
"""Rows of `conversations` that are parts of this memory, or what it was."""

_Results = dict[str, dict[str, Any]]


def table(results: _Results) -> list[str]:
    """Six figures as a table, each of a benchmark that is linked; one without a result is left out."""
    lines = ["| measured | Larimar | beside it |", "|---|---|---|"]
    for name, tell in FIGURES.items():
        if name in results:
            what, figure, beside = tell(results[name]["figures"])
            lines.append(f"| [{what}]({PAGE}{name}) | {figure} | {beside} |")
    return lines


def draw(results: _Results, path: Path) -> Path | None:
    """The README's picture as SVG: what is found, and how fast is written, against the field.

    It is clear behind grey words, and can be read on white and on black. None, and no file, where one
    of its three results is not there.
    """
    if not {"rag", "conversations", "ingest"} <= {*results}:
        return None
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    style: Any = {
        "svg.hashsalt": "larimar",
        "font.size": 11,
        "axes.titlesize": 12,
        **dict.fromkeys(("axes.spines.top", "axes.spines.right", "axes.spines.bottom"), False),
        **dict.fromkeys(names, GREY),
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(11, 2.7), layout="constrained")
        engine: Any = figure.get_layout_engine()
        engine.set(wspace=0.06)
        found, turns, written = figure.subplots(1, 3)
        _bars(found, "Right text read first, %", _found(results["rag"]["figures"]), _whole)
        conversations = _turns(results["conversations"]["figures"])
        _bars(turns, "Turns that answer, in ten read, %", conversations, _whole)
        _bars(written, "Tokens written a second", _written(results["ingest"]["figures"]), _thousands)
        figure.savefig(path, metadata={"Date": None}, transparent=True)
    return path


def _bars(
    axes: Any, title: str, rows: Sequence[tuple[str, float]], shown: Callable[[float], str]
) -> None:
    """Rows of bars, the longest on top, with their values beside them."""
    ordered = sorted(rows, key=lambda row: row[1])
    colours = [TEAL if name == OWN else PALE if name.startswith(OWN) else GREY for name, _ in ordered]
    places = range(len(ordered))
    axes.barh(places, [value for _, value in ordered], 0.62, color=colours)
    axes.set_yticks(places, [name for name, _ in ordered])
    axes.tick_params(length=0)
    axes.set_xticks([])
    for place, (name, value) in zip(places, ordered, strict=True):
        weight = "bold" if name == OWN else "normal"
        axes.annotate(
            shown(value), (value, place), (5, 0), textcoords="offset points", va="center", weight=weight
        )
    axes.set_xlim(0, 1.18 * ordered[-1][1])
    axes.set_title(title, loc="left")


def _found(figures: dict[str, Any]) -> list[tuple[str, float]]:
    """For each system, the mean of its tasks, each counting alike, in percent."""
    means = list[tuple[str, float]]()
    for name in figures["totals"]:
        if name.startswith(f"{OWN},"):
            continue
        rates = [pooled(figures["rows"], name, task, "read_first") for task in figures["tasks"]]
        shares = [share(rate) for rate in rates if rate["of"]]
        # What retrieves nothing, such as the whole text in the prompt, reads nothing first.
        if shares:
            means.append((name.removeprefix("RetrievalQA, "), 100 * statistics.mean(shares)))
    return means


def _turns(figures: dict[str, Any]) -> list[tuple[str, float]]:
    systems = figures["sets"]["beam_100k"]["held out"]["systems"]
    return [
        (name.partition(",")[0], 100 * found["recall"]["10"]["mean"])
        for name, found in systems.items()
        if name not in _OF_OURS
    ]


def _written(figures: dict[str, Any]) -> list[tuple[str, float]]:
    return [
        (OWN, figures["larimar_tokens_per_second"]),
        (f"{OWN}, all\nkeys at once", figures["larimar_eager_tokens_per_second"]),
        ("LangChain,\nFAISS", figures["langchain_tokens_per_second"]),
    ]


def _whole(value: float) -> str:
    return f"{value:.0f}"


def _thousands(value: float) -> str:
    return f"{value:,.0f}"


def _passkey(figures: dict[str, Any]) -> tuple[str, str, str]:
    found = figures["prose"]["1000000"]["answered"]
    return (
        "Pass keys answered from a million tokens of prose",
        f"{found['count']} of {found['of']}",
        "",
    )


def _ruler(figures: dict[str, Any]) -> tuple[str, str, str]:
    found = figures["lengths"]["1000000"]
    return (
        "RULER's eight needle tasks at a million tokens: read; answered",
        f"{found['read']:.0f}%; {found['answered']:.0f}%",
        "",
    )


def _conversations(figures: dict[str, Any]) -> tuple[str, str, str]:
    systems = figures["sets"]["beam_100k"]["held out"]["systems"]
    told = {name: _interval(found["recall"]["10"]) for name, found in systems.items()}
    others = [
        f"{name.partition(',')[0]} {said}"
        for name, said in told.items()
        if name != OWN and name not in _OF_OURS
    ]
    return "Turns that answer, among ten read: BEAM, held out", told[OWN], "; ".join(others)


def _answers(figures: dict[str, Any]) -> tuple[str, str, str]:
    exact = figures["among"]["exact"]
    return (
        "Questions among XQuAD's passages: answered exactly; token F1",
        f"{100 * share(exact):.0f}%; {figures['among']['token_f1']:.2f}",
        f"the plain decoder, given the passage: {figures['given']['plain']['token_f1']:.2f}",
    )


def _ingest(figures: dict[str, Any]) -> tuple[str, str, str]:
    return (
        "Tokens written a second, on the disk",
        _thousands(figures["larimar_tokens_per_second"]),
        f"LangChain with FAISS {_thousands(figures['langchain_tokens_per_second'])}",
    )


def _reliability(figures: dict[str, Any]) -> tuple[str, str, str]:
    kills, gone = figures["kills"], figures["forgotten"]
    return (
        "Acknowledged writes lost; forgotten texts left in the files",
        f"{kills['lost']} in {kills['kills']} kills; {gone['there after']} of {gone['looked for']}",
        "",
    )


def _interval(mean: dict[str, Any]) -> str:
    low, high = (round(100 * end) for end in mean["interval"])
    return f"{100 * mean['mean']:.0f}% ({low} to {high})"


FIGURES: dict[str, Callable[[dict[str, Any]], tuple[str, str, str]]] = {
    "passkey": _passkey,
    "ruler": _ruler,
    "conversations": _conversations,
    "answers": _answers,
    "ingest": _ingest,
    "reliability": _reliability,
}
"""What the README shows: the benchmark, and what tells of it what was measured, by us and beside us."""
