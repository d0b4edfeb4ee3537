"""`python -m benchmarks`: what it lists, writes, prints and refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import benchmarks
from benchmarks import __main__ as command
from benchmarks import result
from larimar_memory.cli import main as larimar

FOUND = {
    "name": "needle",
    "bars": [result.bar("right, percent", 91.5, ">= 90"), result.bar("s", 2, "<= 1")],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `benchmarks.run` is called with; it measures nothing."""
    calls = list[dict[str, Any]]()

    def run(name: str, **options: Any) -> dict[str, Any]:
        calls.append({"name": name, **options})
        return FOUND

    monkeypatch.setattr(benchmarks, "run", run)
    return calls


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit status of the command."""
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    with pytest.raises(SystemExit) as done:
        command.main()
    return int(done.value.code or 0)


def test_it_lists_every_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(None, 1) for line in lines] == [[*pair] for pair in benchmarks.NAMES.items()]


def test_every_benchmark_has_its_part_of_the_page() -> None:
    page = (command.ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    parts = re.findall(r"^<!-- (\w+) -->$", page, re.MULTILINE)
    assert sorted(parts) == sorted([*benchmarks.NAMES, "missed"])
    for name in benchmarks.NAMES:
        _, _, part = page.partition(f"\n## {name}\n")
        assert f"\n<!-- {name} -->\n" in part.partition("\n## ")[0], name


def test_make_runs_every_benchmark(tmp_path: Path) -> None:
    calls, python = tmp_path / "calls", tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "if sys.argv[1] == '-c':\n    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
        f"print(*sys.argv[1:], sep='\\t', file=open({str(calls)!r}, 'a'))\n"
    )
    python.chmod(0o755)
    # What make looks for before it installs anything.
    for mark in (".installed", ".installed-all"):
        (tmp_path / mark).touch()
    given = {"QUESTIONS": "q.json", "CONVERSATIONS": "talks", "ROWS": "rows"}

    def make(**given: str) -> subprocess.CompletedProcess[str]:
        said = [f"{name}={value}" for name, value in given.items()]
        return subprocess.run(
            ["make", "bench", f"VENV={tmp_path}", *said],
            cwd=command.ROOT,
            capture_output=True,
            text=True,
        )

    assert make(**given).returncode == 0
    options = ["--questions", "q.json", "--conversations", "talks", "--rows", "rows", "--out"]
    wanted = [[name, *options, f"benchmarks/results/{name}.json"] for name in benchmarks.NAMES]
    told = [line.split("\t") for line in calls.read_text().splitlines()]
    assert told == [["-m", "benchmarks", *one] for one in [*wanted, ["report"]]]
    calls.unlink()
    assert make(QUESTIONS="q.json", CONVERSATIONS="talks").returncode != 0
    assert not calls.exists()


def test_bars_are_printed_and_the_result_is_written(
    asked: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    out = tmp_path / "new" / "needle.json"
    assert run(monkeypatch, "needle", "--quick", "--seed", "3", "--out", str(out)) == 0
    assert (asked[0]["name"], asked[0]["quick"], asked[0]["seed"]) == ("needle", True, 3)
    assert json.loads(out.read_text()) == FOUND
    shown = capsys.readouterr().out
    assert "holds  right, percent: 91.5 (bar >= 90)" in shown
    assert "missed  s: 2 (bar <= 1)" in shown


def test_as_json_it_prints_one_object(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "needle", "--json") == 0
    assert json.loads(capsys.readouterr().out) == FOUND


def test_a_place_for_the_result_that_cannot_be_used_is_told_before_measuring(
    asked: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path, tmp_path / "file" / "needle.json"):
        assert run(monkeypatch, "needle", "--out", str(out)) == 1
        assert "The result cannot be written to" in capsys.readouterr().err
    assert asked == []


def test_an_unknown_name_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "nothing") == 1
    assert "There is no benchmark 'nothing'. Those there are: ingest," in capsys.readouterr().err


def test_a_report_outside_a_checkout_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert run(monkeypatch, "report") == 1
    assert "Run this in the root of a checkout." in capsys.readouterr().err


@pytest.mark.parametrize("rest", [[], ["rag", "--questions", "q.json"], ["list", "--json"]])
def test_the_installed_command_says_where_benchmarks_went(
    rest: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["larimar", "bench", *rest])
    with pytest.raises(SystemExit) as done:
        larimar()
    assert done.value.code == 1
    assert "python -m benchmarks" in capsys.readouterr().err
