"""The notebooks run from beginning to end, at a small size, and say what they should."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(
        output.text
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.get("name") == "stdout"
    )


def pictures(notebook: nbformat.NotebookNode) -> int:
    return sum(
        "image/png" in output.get("data", {})
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


def test_the_index_names_every_notebook() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in FOLDER.glob("*.ipynb"):
        assert f"({path.name})" in index


def run(name: str, monkeypatch: pytest.MonkeyPatch, **size: str) -> nbformat.NotebookNode:
    """Execute a notebook at a small size."""
    for variable, value in size.items():
        monkeypatch.setenv(f"LARIMAR_NOTEBOOK_{variable}", value)
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    small = nbformat.read(FOLDER / name, as_version=4)
    NotebookClient(small, timeout=600, kernel_name="python3").execute()
    return small


def test_remember_and_recall(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "01_remember_and_recall.ipynb"
    committed = nbformat.read(FOLDER / name, as_version=4)
    for notebook in (committed, run(name, monkeypatch, CHARACTERS="12000")):
        said = printed(notebook)
        assert pictures(notebook) == 1
        assert re.search(r"What is the pass key\?\n.*71432", said)
        assert "Not in memory." in said
        assert "The ferry to Ren leaves at noon." in said
        assert "in the file: False" in said
        assert said.rstrip().endswith("The pass key is 20815.")


def test_inside_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "02_inside_the_memory.ipynb"
    committed = nbformat.read(FOLDER / name, as_version=4)
    for notebook in (committed, run(name, monkeypatch, SLOTS="64")):
        assert pictures(notebook) == 5
        said = printed(notebook)
        assert "same bits as never written: True" in said
        assert "same bits as one memory: True" in said
        assert "It holds 2.0 times as many items as slots" in said


def test_against_vector_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("faiss", "langchain_chroma", "langchain_classic"):
        pytest.importorskip(module)
    name = "03_against_vector_stores.ipynb"
    committed = nbformat.read(FOLDER / name, as_version=4)
    # Answers are what takes long; the benchmark's own tests have them.
    small = {"TOKENS": "1000", "RULER": "0", "TRIALS": "1", "ANSWERS": "0"}
    for notebook in (committed, run(name, monkeypatch, **small)):
        said = printed(notebook)
        assert pictures(notebook) == 2
        assert re.search(r"^\d+ tasks, \d+ runs of a system on a text$", said, re.MULTILINE)
        better = re.search(r"cases in which another system did better: (\d+)", said)
        assert better is not None
        assert len(re.findall(r"^(read first|answered), ", said, re.MULTILINE)) == int(better[1])
        assert said.count("right text read first, points above the better vector store") >= 6


def test_an_agent_with_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("langchain")
    name = "04_an_agent_with_memory.ipynb"
    committed = nbformat.read(FOLDER / name, as_version=4)
    for notebook in (committed, run(name, monkeypatch)):
        said = printed(notebook)
        tuesday, bob = said.split("ana, tuesday: ")[1].split("bob, tuesday: ")
        assert "The alarm code of the office is 4711" in tuesday.replace("that the", "The")
        assert "4711" not in bob.split("ana, wednesday: ")[0]
        wednesday, thursday = said.split("ana, wednesday: ")[1].split("ana, thursday: ")
        assert "is 4711" in wednesday
        assert "4711" not in thursday.split("in the file: ")[0]
        assert "in the file: False" in said
        assert "messages in the agent's state: ['human', 'ai']" in said
        assert "My sister Ines moved to Coimbra." in said


def test_train_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "05_train_latents.ipynb"
    committed = nbformat.read(FOLDER / name, as_version=4)
    for notebook in (committed, run(name, monkeypatch, STEPS="1")):
        said = printed(notebook)
        assert pictures(notebook) == 1
        steps = re.search(r"done: True in (\d+) steps", said)
        assert steps is not None
        assert int(steps[1]) % 4 == 0
        assert re.search(r"^latents, shipped: .*71432", said, re.MULTILINE)
        assert re.search(r"^text: .*71432", said, re.MULTILINE)
