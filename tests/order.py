"""Which files of tests come first, and which ones one process runs: no worker is to idle at the end."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

SLOWEST = tuple(
    f"tests/{name}.py"
    for name in (
        "project/test_notebooks",
        "distributed/test_ingest",
        "distributed/test_latents",
        "distributed/test_command",
        "distributed/test_refusals",
        "benchmarks/test_comparison",
        "facade/test_forked_models",
        "benchmarks/test_latent_benchmarks",
        "models/test_cache",
        "cli/test_commands",
        "cli/test_failures",
        "project/test_docs",
        "project/test_readme",
        "langchain/test_chat_model",
        "langchain/test_chat_model_calls",
        "langchain/test_chat_model_suites",
        "benchmarks/test_long_texts",
        "benchmarks/test_benchmarks",
        "cli/test_demo",
        "benchmarks/test_mcp",
        "latents/test_overfit",
        "stores/test_kills",
        "langchain/test_graph_store_laws",
        "langchain/test_examples",
        "project/test_langchain_pages",
        "project/test_site",
    )
)
"""Files of tests that take longest, the longest first; all others follow in their usual order."""

TOGETHER = {"tests/distributed/": "a cluster of Ray"}
"""By how their names begin, files that share what is started once for each process."""


def first_the_slowest(items: list[Any]) -> None:
    """Order tests by their files, those of a file as they were."""
    place = {name: number for number, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: place.get(file_of(item.nodeid), len(place)))


def file_of(nodeid: str) -> str:
    """The file of a test."""
    return PurePath(nodeid.split("::", 1)[0]).as_posix()


def group_of(file: str) -> str:
    """What a worker takes as a whole: a file, or those that share something."""
    return next((group for name, group in TOGETHER.items() if file.startswith(name)), file)
