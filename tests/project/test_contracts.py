"""docs/contracts.md tells the truth: its code runs, and its classes keep the laws."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_code_runs_and_its_classes_keep_the_laws(tmp_path: Path) -> None:
    """All blocks are one file of tests: importing it prints what the page shows."""
    assert len(BLOCKS) == 4
    (tmp_path / "test_mine.py").write_text("\n\n".join(BLOCKS), encoding="utf-8")
    # Without capturing, what is printed on import is seen.
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "test_mine.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in (
        "The ferry leaves at nine.\n",
        "[('write', 'ana', 'ferry'), ('delete', 'ana', 1)]\n",
        "The ferry leaves at nine.\n.",
    ):
        assert line in done.stdout


def test_every_law_is_named() -> None:
    from larimar_memory import testing

    for name in testing.__all__:
        assert f"larimar_memory.testing.{name}" in PAGE
