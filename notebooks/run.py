"""Execute the notebooks in place, at full size, and keep what they show: `python notebooks/run.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

SECONDS = 1800


def run(path: Path) -> None:
    """Execute one notebook; times and warnings, which differ from run to run, are left out."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3").execute()
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    nbformat.write(notebook, path)


if __name__ == "__main__":
    here = Path(__file__).parent
    for name in sys.argv[1:] or sorted(p.name for p in here.glob("*.ipynb")):
        run(here / name)
