"""The notebooks run from beginning to end, at a small size, and say what they should."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

pytestmark = [pytest.mark.model, pytest.mark.slow]

FOLDER = Path(__file__).parents[2] / "notebooks"


BEGIN = """%reset -f
import gc
import os
import sys
sys.path[:0] = [] if {root!r} in sys.path else [{root!r}]
from tests import loaded
loaded.for_good()
gc.collect()
gc.freeze()
os.environ.update({variables})
del gc, loaded, os, sys
"""
"""What was loaded for a notebook stays for those that come after it, and nothing else does."""


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


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelManager]:
    """One for all notebooks, each with names of its own: torch is imported once."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(
        cwd=str(tmp_path_factory.mktemp("notebooks")),
        env={**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
    )
    yield manager
    manager.shutdown_kernel(now=True)


def run(name: str, kernel: KernelManager, **size: str) -> nbformat.NotebookNode:
    """Execute a notebook at a small size."""
    small = nbformat.read(FOLDER / name, as_version=4)
    variables = {f"LARIMAR_NOTEBOOK_{variable}": value for variable, value in size.items()}
    begin = BEGIN.format(root=str(FOLDER.parent), variables=variables)
    small.cells.insert(0, nbformat.v4.new_code_cell(begin))
    NotebookClient(small, km=kernel, timeout=600).execute()
    return small


def test_remember_and_recall(kernel: KernelManager) -> None:
    name = "01_remember_and_recall.ipynb"
    committed = nbformat.read(FOLDER / name, as_version=4)
    for notebook in (committed, run(name, kernel, CHARACTERS="12000")):
        said = printed(notebook)
        assert pictures(notebook) == 1
        assert re.search(r"What is the pass key\?\n.*71432", said)
        assert "Not in memory." in said
        assert "The ferry to Ren leaves at noon." in said
        assert "in the file: False" in said
        assert said.rstrip().endswith("The pass key is 20815.")


def test_inside_the_memory(kernel: KernelManager) -> None:
    name = "02_inside_the_memory.ipynb"
    committed = nbformat.read(FOLDER / name, as_version=4)
    for notebook in (committed, run(name, kernel, SLOTS="64")):
        assert pictures(notebook) == 5
        said = printed(notebook)
        assert "same bits as never written: True" in said
        assert "same bits as one memory: True" in said
        assert "It holds 2.0 times as many items as slots" in said


def test_against_vector_stores(kernel: KernelManager) -> None:
    for module in ("faiss", "langchain_chroma", "langchain_classic"):
        pytest.importorskip(module)
    name = "03_against_vector_stores.ipynb"
    committed = nbformat.read(FOLDER / name, as_version=4)
    # Answers are what takes long; the benchmark's own tests have them.
    small = {"TOKENS": "1000", "RULER": "0", "TRIALS": "1", "ANSWERS": "0"}
    for notebook in (committed, run(name, kernel, **small)):
        said = printed(notebook)
        assert pictures(notebook) == 2
        assert re.search(r"^\d+ tasks, \d+ runs of a system on a text$", said, re.MULTILINE)
        better = re.search(r"cases in which another system did better: (\d+)", said)
        assert better is not None
        assert len(re.findall(r"^(read first|answered), ", said, re.MULTILINE)) == int(better[1])
        assert said.count("right text read first, points above the better vector store") >= 6


def test_an_agent_with_memory(kernel: KernelManager) -> None:
    pytest.importorskip("langchain")
    pytest.importorskip("mcp")
    name = "04_an_agent_with_memory.ipynb"
    committed = nbformat.read(FOLDER / name, as_version=4)
    for notebook in (committed, run(name, kernel)):
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
        when = said.split("When does the ferry to Ren leave?\n")[1]
        assert re.match(
            r" +The ferry to Ren leaves at eight from now on\.\n.* 4 May .*\n.* at nine\.", when
        )
        assert "{'until': '2026-05-10'} ['2026-05-04: The ferry to Ren leaves at nine.']" in when
        assert "Human (18 May 2026): The ferry to Ren leaves at eight from now on." in when
        forgotten, mcp = when.split("forgotten: ")[1].split("tools: remember, recall, ")
        assert "nothing left: True\nis it of this text: True False\n" in forgotten
        assert "larimar receipts: 2 documents, nothing left: True" in forgotten
        assert ": The alarm code of the cellar is 2963.\n</recalled>\nuntrusted: True\n" in mcp
        assert mcp.endswith("in the file: The alarm code of the cellar is 2963.\n")


def test_train_latents(kernel: KernelManager) -> None:
    name = "05_train_latents.ipynb"
    committed = nbformat.read(FOLDER / name, as_version=4)
    for notebook in (committed, run(name, kernel, STEPS="1")):
        said = printed(notebook)
        assert pictures(notebook) == 1
        steps = re.search(r"done: True in (\d+) steps", said)
        assert steps is not None
        assert int(steps[1]) % 4 == 0
        assert re.search(r"^latents, shipped: .*71432", said, re.MULTILINE)
        assert re.search(r"^text: .*71432", said, re.MULTILINE)
