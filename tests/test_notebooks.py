"""The notebooks run from beginning to end, at a small size, and say what they should."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"


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


def test_inside_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    committed = nbformat.read(FOLDER / "02_inside_the_memory.ipynb", as_version=4)
    assert pictures(committed) == 5
    monkeypatch.setenv("LARIMAR_NOTEBOOK_SLOTS", "64")
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    small = nbformat.read(FOLDER / "02_inside_the_memory.ipynb", as_version=4)
    NotebookClient(small, timeout=300, kernel_name="python3").execute()
    assert pictures(small) == 5
    for notebook in (committed, small):
        said = printed(notebook)
        assert "same bits as never written: True" in said
        assert "same bits as one memory: True" in said
        assert "It holds 2.0 times as many items as slots" in said
