"""The examples run as they stand, offline, and show what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "integrations" / "examples"
SHOWN = {
    "agent_with_memory": [
        "--- the agent tells ana: I have noted the alarm code.",
        "<recalled>\nHuman: Please remember that the alarm code of the office is 4711.",
        "--- the agent tells ana: It is 4711.",
        "--- the model reads:\nWhat is the alarm code of the office?\n--- the agent tells bob:",
    ],
    "agent_with_tools": [
        "Remembered under the id note-",
        ": The alarm code of the office is 4711.\n</recalled>",
        "It is 4711.",
        "Not in memory.",
    ],
}


def test_all_examples_are_run() -> None:
    assert sorted(SHOWN) == sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", SHOWN)
def test_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    shown = capsys.readouterr().out
    places = [shown.find(text) for text in SHOWN[name]]
    assert -1 not in places
    assert places == sorted(places)
    assert "init_chat_model(" in (FOLDER / f"{name}.py").read_text()
