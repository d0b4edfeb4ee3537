"""What a benchmark reports: figures, bars, and the machine, packages and commit they belong to."""

from __future__ import annotations

import importlib.util
import math
import operator
import platform
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

from larimar_memory.errors import InputError

Figures: TypeAlias = dict[str, Any]
"""Nested plain numbers, texts and lists."""

Bar: TypeAlias = dict[str, Any]
"""`measure`, `value`, `bar` (a comparison such as ">= 4" or "> 4") and whether it `holds`."""

PACKAGES = ("larimar-memory", "torch", "transformers", "numpy", "psutil")
"""Distributions that every benchmark depends on."""

_MODULES = {"faiss-cpu": "faiss"}
_COMPARISON = re.compile(r"(>=|<=|>)\s*(-?\d+(?:\.\d+)?)")
_HOLDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt}


def bar(measure: str, value: float, comparison: str) -> Bar:
    """Hold a value against a comparison such as ">= 4" or "<= 1.2"; not a number never holds.

    Raises:
        InputError: if the comparison is not of that form.
    """
    found = _COMPARISON.fullmatch(comparison)
    if found is None:
        raise InputError(
            f"The bar {comparison!r} cannot be used.",
            "It is not a comparison with a number.",
            "Write it like '>= 4' or '<= 1.2'.",
        )
    holds = _HOLDS[found[1]](value, float(found[2]))
    return {"measure": measure, "value": value, "bar": comparison, "holds": bool(holds)}


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a rate, 95% by default; (0, 1) where nothing was tried."""
    if trials == 0:
        return 0.0, 1.0
    rate, squared = successes / trials, z * z
    centre = (rate + squared / (2 * trials)) / (1 + squared / trials)
    spread = math.sqrt(rate * (1 - rate) / trials + squared / (4 * trials * trials))
    half = z * spread / (1 + squared / trials)
    # At 0 and at 1 the ends are exact, and rounding must not take them out of [0, 1].
    low = 0.0 if successes == 0 else centre - half
    return low, 1.0 if successes == trials else centre + half


def rate(outcomes: Sequence[bool]) -> Figures:
    """How many of the outcomes are true, with the 95% interval of the rate."""
    good = sum(outcomes)
    return {"count": good, "of": len(outcomes), "interval": list(wilson(good, len(outcomes)))}


def share(rate: Figures) -> float:
    """What a rate comes to, in [0, 1]; 0 of nothing."""
    return float(rate["count"] / max(1, rate["of"]))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def require(packages: Sequence[str]) -> None:
    """Raise InputError unless all of these distributions are there."""
    modules = {name: _MODULES.get(name, name.replace("-", "_")) for name in packages}
    missing = [name for name, module in modules.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(
            "The benchmark cannot be run.",
            f"It needs {', '.join(missing)}, which is not installed.",
            "Run `make test` once, or `pip install -e '.[bench]'`, in the checkout.",
        )


def assemble(
    name: str, figures: Figures, bars: list[Bar], *, seed: int, quick: bool, packages: Sequence[str]
) -> dict[str, Any]:
    """The result of a benchmark as one JSON-serialisable object."""
    return {
        "name": name,
        "quick": quick,
        "figures": figures,
        "bars": bars,
        "seed": seed,
        "machine": machine(),
        "versions": versions(packages),
        "commit": commit(),
    }


def machine() -> dict[str, Any]:
    """CPU model, cores this process may use, memory in GB (1e9 bytes), accelerator, platform, and the
    number format in which models are run here: some CPUs are many times as fast in bf16, others slower.
    """
    import psutil
    import torch

    from larimar_memory.models.device import best_device, best_dtype
    from larimar_memory.system.cores import cores

    return {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "platform": platform.platform(),
        "number_format": str(best_dtype(best_device())).removeprefix("torch."),
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of Python, SQLite and these distributions; "" for one without metadata."""
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for name in packages:
        try:
            found[name.replace("-", "_")] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name.replace("-", "_")] = ""
    return found


def commit() -> str:
    """Short git hash of the checkout this package runs from, with "-dirty" if changed; else ""."""
    # A virtual environment may lie inside the checkout of something else.
    if not _git("ls-files", "benchmarks/result.py"):
        return ""
    revision = _git("rev-parse", "--short", "HEAD")
    return f"{revision}-dirty" if revision and _git("status", "--porcelain") else revision


def _git(*arguments: str) -> str:
    program = shutil.which("git")
    if program is None:
        return ""
    done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [program, *arguments],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu() -> str:
    """The CPU's name, with family and model where Linux tells: vendors give many CPUs one name."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        first = info.read_text(encoding="utf-8").split("\n\n", 1)[0]
        found = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.+)$", first, re.MULTILINE))
        if "model name" in found:
            said = {"model name": "", "cpu family": "family ", "model": "model "}
            return ", ".join(word + found[key].strip() for key, word in said.items() if key in found)
    return platform.processor() or platform.machine()
