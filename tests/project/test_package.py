"""The package as a whole: its table of contents, its weight, and what it never does."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import larimar_memory
from larimar_memory import errors

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("larimar_memory/**/*.py"), *ROOT.glob("integrations/**/*.py")])


def test_the_table_of_contents() -> None:
    """The memory, what it takes and gives, all errors and the three contracts."""
    assert larimar_memory.__all__ == sorted(larimar_memory.__all__)
    values = {"Answer", "AnswerOptions", "ReadOptions", "Readout", "RecalledSegment", "Receipt"}
    contracts = {"Decoder", "Encoder", "Store"}
    family = {
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, errors.LarimarError)
    }
    assert set(larimar_memory.__all__) == {"Larimar", "__version__"} | values | contracts | family
    for name in larimar_memory.__all__:
        assert getattr(larimar_memory, name) is not None
        assert name in dir(larimar_memory)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = larimar_memory.Nothing


def test_errors_can_be_imported_without_the_model_libraries() -> None:
    script = (
        "import sys, larimar_memory, larimar_memory.errors, benchmarks;"
        "from larimar_memory import ModelError, InputError;"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_memory_without_models_does_not_wait_for_their_libraries() -> None:
    script = (
        "import sys\nfrom larimar_memory import Larimar\nfrom tests.quick import QuickEncoder\n"
        "with Larimar.open(encoder=QuickEncoder(), decoder='none') as memory:\n"
        "    memory.write(['A text.'])\n    memory.read('A text?')\n    memory.forget(ids=['a'])\n"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_no_file_is_too_long() -> None:
    assert {p.name: n for p in SOURCES if (n := len(p.read_text().splitlines())) > 400} == {}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_unsafe_is_called(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in (
            [ast.alias(node.module or "")] if isinstance(node, ast.ImportFrom) else node.names
        )
    }
    assert not imported & {"pickle", "shelve", "marshal", "dill", "cloudpickle"}
    calls = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"eval", "exec", "__import__"}
    trusting = [
        keyword
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "trust_remote_code" and getattr(keyword.value, "value", True)
    ]
    assert trusting == []
    if ROOT / "larimar_memory" / "testing" in path.parents:
        return  # its laws are tests, and assert as tests do
    asserted = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert asserted == []


def test_the_library_never_imports_langchain() -> None:
    for path in ROOT.glob("larimar_memory/**/*.py"):
        assert "import langchain" not in path.read_text()
        assert "from langchain" not in path.read_text()


def test_rooms_import_only_what_is_below_them() -> None:
    """The contracts in pyproject.toml, which `make lint` holds as well: they take a moment."""
    program = Path(sys.executable).parent / "lint-imports"
    if not program.exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run(
        [program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
