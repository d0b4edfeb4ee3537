"""`larimar demo`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.model


@pytest.mark.slow
def test_the_demo_remembers_and_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a quarter of its text; `make demo` has all of it."""
    from pydoc_data.topics import topics

    from larimar_memory.cli import demo

    assert len(demo.haystack()) > 400_000
    for name in [name for name, text in topics.items() if len(text) > 8_000]:
        monkeypatch.delitem(topics, name)
    text = demo.haystack()
    assert 50_000 < len(text) < 150_000
    at = text.index(demo.NEEDLE)
    assert 0.4 < at / len(text) < 0.6
    demo.run(as_json=True, memory_file=tmp_path / "demo.larimar")
    first = json.loads(capsys.readouterr().out)
    by_question = {a["question"]: a for a in first["answers"]}
    assert len(by_question) == 6
    key = by_question["What is the pass key?"]
    assert str(demo.PASS_KEY) in key["text"]
    assert key["sources"][0]["start"] <= at < key["sources"][0]["end"]
    assert by_question["Who won the football world cup in 1998?"]["text"] == "Not in memory."
    assert sum(a["grounding"] == "text" for a in first["answers"]) == 5
    assert "NameError" in by_question["Which exception is raised when a name is not found?"]["text"]
    assert "context manager" in by_question["What does the with statement do?"]["text"]
    demo.run(as_json=True, memory_file=tmp_path / "demo.larimar")
    second = json.loads(capsys.readouterr().out)
    assert first["new_segments"] > 500
    assert second["new_segments"] == 0
    assert [a["text"] for a in second["answers"]] == [a["text"] for a in first["answers"]]
