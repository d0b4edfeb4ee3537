"""docs/receipts.md tells the truth: its code runs, and prints what it should."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "receipts.md").read_text(encoding="utf-8")


@pytest.mark.model
def test_the_code_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(block, {})
    erased, known, count = capsys.readouterr().out.splitlines()
    assert erased.startswith("['door', 'likes'] True {'notes.larimar': ")
    assert (known, count) == ("True", "1")
