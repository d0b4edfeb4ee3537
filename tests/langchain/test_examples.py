"""The examples run as they stand, offline, and show what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "integrations" / "examples"
SHOWN = {
    "agent_over_mcp": [
        "the server's tools: remember, recall, answer, update, forget, list, stats",
        "The alarm code of the office is 4711.\n</recalled>",
        "It is 4711.",
        "in the file: The alarm code of the office is 4711.",
    ],
    "agent_with_memory": [
        "--- the agent tells ana: I have noted it.",
        "<recalled>\nHuman (4 May 2026): Please remember that the alarm code of the office is 4711.",
        "--- the agent tells ana: It is 4711.",
        "Human (4 May 2026): Please remember that the alarm code of the office is 4711.",
        "--- the agent tells ana: It was 4711.",
        "--- the model reads:\nWhat is the alarm code of the office?\n--- the agent tells bob:",
        "--- forgotten: 8 lines, nothing left: True",
        "--- receipts, none changed: 1",
    ],
    "agent_with_tools": [
        "Remembered under the id note-",
        "3 May 2026: The alarm code of the office is 4711.\n</recalled>",
        "It is 4711.",
        "Not in memory.",
        "Before Sunday you had not told me.",
        "Not in memory.",
    ],
}


def test_all_examples_are_run() -> None:
    assert sorted(SHOWN) == sorted(path.stem for path in FOLDER.glob("*.py"))


# A server in a process of its own loads the model again.
SLOW = {"agent_over_mcp": pytest.mark.slow}
EACH = [pytest.param(name, marks=SLOW.get(name, ())) for name in SHOWN]


@pytest.mark.model
@pytest.mark.parametrize("name", EACH)
def test_an_example(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    # A server that it starts needs a standard error that is a file.
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    shown, at = capfd.readouterr().out, 0
    for text in SHOWN[name]:
        at = shown.find(text, at)
        assert at >= 0, text
        at += len(text)
    assert "init_chat_model(" in (FOLDER / f"{name}.py").read_text()
