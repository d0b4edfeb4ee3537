"""Importing the package costs nothing, and its names are there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import langchain_larimar

NAMES = ", ".join(langchain_larimar.__all__)
HEAVY = ("torch", "transformers", "langchain_classic", "langgraph")


@pytest.mark.parametrize(
    "statement",
    [
        "import langchain_larimar",
        f"from langchain_larimar import {', '.join(langchain_larimar.__all__)}",
    ],
)
def test_no_model_library_is_imported(statement: str) -> None:
    program = f"{statement}\nimport sys\nprint([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_names() -> None:
    assert set(langchain_larimar.__all__) <= set(dir(langchain_larimar))
    for name in langchain_larimar.__all__:
        assert getattr(langchain_larimar, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        langchain_larimar.nothing  # noqa: B018
