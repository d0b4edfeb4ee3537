"""docs/episodes.md tells the truth: its code runs, and prints what it should."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "episodes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.model
def test_the_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(BLOCKS) == 3
    exec("\n".join(BLOCKS), {})
    assert capsys.readouterr().out.splitlines() == [
        *("chat with Bob 1 Anna", "chat with Bob 2 Bob", "chat with Bob 3 Anna"),
        "{'1': 'chat with Bob', '2': 'questions', '3': 'chat with Bob'}",
        "I adopted a dog in March. 2026-03-04T09:30:00+00:00",
    ]
