"""Importing the package costs nothing, and its names are there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import langchain_larimar

# These extend classes of langchain and langgraph.
OF_AGENTS = ("LarimarMiddleware", "LarimarStore")
LIGHT = ", ".join(name for name in langchain_larimar.__all__ if name not in OF_AGENTS)
HEAVY = ("torch", "transformers", "langchain_classic", "langgraph")


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import langchain_larimar", HEAVY),
        (f"from langchain_larimar import {LIGHT}", HEAVY),
        (f"from langchain_larimar import {', '.join(OF_AGENTS)}", HEAVY[:-1]),
    ],
)
def test_no_model_library_is_imported(statement: str, heavy: tuple[str, ...]) -> None:
    program = f"{statement}\nimport sys\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


LANGCHAIN = ", ".join(
    f"langchain_core.{part}"
    for part in ("language_models", "output_parsers", "prompts", "retrievers", "tools", "vectorstores")
)
OURS = {"Stemmer", "filelock", "jaxtyping", "numpy", "psutil", "regex", "sentencex", "stop_words"}
# What LangChain's classes bring when they are extended.
THEIRS = {"langchain_protocol", "platformdirs", "yaml"}


@pytest.mark.parametrize(
    ("before", "statement", "brought"),
    [
        ("sys", "import langchain_larimar", set()),
        (LANGCHAIN, f"from langchain_larimar import {LIGHT}", OURS | THEIRS),
        (
            "langchain.agents, langgraph.store.base",
            "from langchain_larimar import LarimarStore",
            OURS | THEIRS,
        ),
        (
            f"{LANGCHAIN}, langchain.agents.middleware",
            "from langchain_larimar import LarimarMiddleware",
            OURS | THEIRS,
        ),
    ],
)
def test_an_import_brings_few_packages_beyond_those_of_langchain(
    before: str, statement: str, brought: set[str]
) -> None:
    program = (
        "import sys\n"
        "def there():\n"
        "    files = [(n, getattr(sys.modules[n], '__file__', None)) for n in list(sys.modules)]\n"
        "    return {n.split('.')[0] for n, file in files if 'site-packages' in (file or '')}\n"
        f"import {before}\nbefore = there()\n{statement}\nprint(*there() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert set(done.stdout.split()) <= brought


def test_agents_need_langchain_and_nothing_else_does() -> None:
    program = (
        "import sys; sys.modules['langchain'] = sys.modules['langgraph'] = None\n"
        f"from langchain_larimar import {LIGHT}\n"
        f"import langchain_larimar\nfor name in {OF_AGENTS}:\n"
        "    try:\n        getattr(langchain_larimar, name)\n"
        "    except Exception as error:\n        print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines() == [
        "InputError LarimarMiddleware cannot be used. The package langchain, 1.2 or later, whose "
        'agents it is for, is not installed. Install it with `pip install "larimar-memory[agents]"`.',
        "InputError LarimarStore cannot be used. The package langgraph-checkpoint, 4.3 or later, whose "
        "stores it is one of, is not installed. "
        'Install it with `pip install "larimar-memory[agents]"`.',
    ]


def test_names() -> None:
    assert set(langchain_larimar.__all__) <= set(dir(langchain_larimar))
    for name in langchain_larimar.__all__:
        assert getattr(langchain_larimar, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        langchain_larimar.nothing  # noqa: B018
