"""Gather what `larimar doctor` reports: versions, CPU, threads, models, cache, extras."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from larimar_memory import __version__
from larimar_memory.cli.models import describe
from larimar_memory.cli.options import own_memory
from larimar_memory.errors import InputError, ModelError, said_by
from larimar_memory.models import finding
from larimar_memory.models.files import cache_folder
from larimar_memory.system.cores import cores

DISTRIBUTION = "larimar-memory"
_SHOWN = ("torch", "transformers", "tokenizers", "numpy", "langchain-core", "langgraph", "mcp")
_FOR_DEVELOPERS = {"bench", "dev", "docs", "notebooks"}
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")
_FEATURES = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512_f",),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "bf16": ("avx512_bf16", "amx_bf16", "bf16"),
    "AMX": ("amx_tile",),
    "NEON": ("neon",),
    "SVE": ("sve",),
}


def look() -> dict[str, Any]:
    """The state of the installation and the machine, as JSON values; it takes a few seconds.

    Most of the time is the import of torch.

    Raises:
        ModelError: if torch cannot be imported, for example because a part of it is missing.
    """
    try:
        import torch
    except (ImportError, OSError) as error:
        raise ModelError(
            "PyTorch cannot be loaded.",
            f"Its import ended with {type(error).__name__}: {said_by(error)}.",
            "Run `pip install --force-reinstall torch`; see pytorch.org for the build of this machine.",
        ) from error

    from larimar_memory.models.device import best_device, best_dtype

    device = best_device()
    extras, wanting = _requirements()
    return {
        "versions": _versions(),
        "wanting": wanting,
        "cpu": _cpu(),
        "threads": {
            "torch": torch.get_num_threads(),
            "cores": cores(),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        },
        "memory": _memory(),
        "device": device.type,
        "number_format": str(best_dtype(device)).removeprefix("torch."),
        "models": [describe(name) for name in finding.WHEELS],
        "cache": _cache(),
        "memory_file": _memory_file(),
        "full_text_search": _has_fts5(),
        "extras": extras,
    }


def _versions() -> dict[str, str]:
    versions = {
        DISTRIBUTION: __version__,
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
    }
    for name in _SHOWN:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _requirements() -> tuple[dict[str, list[str]], list[str]]:
    """For each extra, the packages that are not installed; and those that the package itself lacks."""
    from packaging.requirements import Requirement

    try:
        told = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return {}, []
    extras, wanting = dict[str, list[str]](), list[str]()
    for line in told:
        wanted = Requirement(line)
        extra = _EXTRA.search(line)
        if extra and extra[1] in _FOR_DEVELOPERS:
            continue
        missing = extras.setdefault(extra[1], []) if extra else wanting
        if wanted.marker and not wanted.marker.evaluate({"extra": extra[1] if extra else ""}):
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            missing.append(f"{wanted.name}{wanted.specifier}")
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            missing.append(f"{wanted.name}{wanted.specifier} (there is {version})")
    return extras, wanting


def _cpu() -> dict[str, Any]:
    import torch

    can = torch.cpu.get_capabilities()
    return {
        "name": str(can.get("cpu_name") or platform.processor() or "unknown"),
        "architecture": platform.machine(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "features": {
            name: any(can.get(part) for part in parts)
            for name, parts in _FEATURES.items()
            if any(part in can for part in parts)
        },
    }


def _memory() -> dict[str, float | None]:
    """Gigabytes of RAM, if the system reports them as Linux does."""
    told = dict[str, float]()
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            name, value = line.split(":")
            told[name] = int(value.split()[0]) / 1e6
    return {"total_gb": told.get("MemTotal"), "available_gb": told.get("MemAvailable")}


def _cache() -> dict[str, Any]:
    try:
        folder = cache_folder()
    except ModelError:
        return {"folder": None, "megabytes": 0, "writable": False, "free_gb": None}
    held = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # another process may be at work there
            held += path.stat().st_size if path.is_file() else 0
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return {
        "folder": str(folder),
        "megabytes": round(held / 1e6),
        "writable": os.access(there, os.W_OK | os.X_OK) and there.is_dir(),
        "free_gb": round(shutil.disk_usage(there).free / 1e9, 1),
    }


def _memory_file() -> str | None:
    try:
        return own_memory()
    except InputError:
        return None


def _has_fts5() -> bool:
    db = sqlite3.connect(":memory:")
    try:
        db.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
    except sqlite3.OperationalError:
        return False
    finally:
        db.close()
    return True
