"""Importing the package costs nothing, and its names are there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import langchain_larimar

NAMES = ", ".join(langchain_larimar.__all__)
HEAVY = ("torch", "transformers", "langchain_classic")


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import langchain_larimar", (*HEAVY, "langgraph")),
        (f"from langchain_larimar import {NAMES}", (*HEAVY, "langgraph.graph", "langchain.agents")),
    ],
)
def test_no_model_library_is_imported(statement: str, absent: tuple[str, ...]) -> None:
    program = f"{statement}\nimport sys\nprint([name for name in {absent} if name in sys.modules])"
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
