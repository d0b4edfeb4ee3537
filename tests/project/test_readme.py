"""The README tells the truth: its commands run, its code runs, its figures are the committed ones."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks import report
from larimar_memory.errors import InputError

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for kind, body in BLOCKS if kind == "bash" for line in body.splitlines() if line]
PYTHON = [body for kind, body in BLOCKS if kind == "python"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("readme")
    (place / "README.md").write_text(README, encoding="utf-8")
    return place


def test_the_readme_shows_what_it_should() -> None:
    assert COMMANDS[:2] == ["make demo", "make test"]
    assert len(PYTHON) == 9


EACH_BY_ITSELF = """
import contextlib, io, json, os, sys, traceback
done = []
for folder, code in json.load(sys.stdin):
    os.chdir(folder)
    error = ""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
        except Exception:
            error = traceback.format_exc()
    done.append((out.getvalue(), error))
print(json.dumps(done))
"""
"""Runs blocks of code as they stand, each in a folder and with names of its own."""


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_commands_are_there(command: str) -> None:
    done = subprocess.run(
        [*shlex.split(command), "-n"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"make demo": "larimar demo", "make test": "-m pytest"}[command] in done.stdout


IN_THE_CHECKOUT = "python -m benchmarks "
TO_RUN = [c for c in COMMANDS if c.startswith(("larimar ", IN_THE_CHECKOUT))]


@pytest.mark.model
@pytest.mark.parametrize("command", TO_RUN)
def test_commands_run(command: str, folder: Path) -> None:
    words = shlex.split(command)
    module = words[1:] if words[0] == "python" else ["-m", "larimar_memory", *words[1:]]
    done = subprocess.run(
        [sys.executable, *module],
        cwd=ROOT if command.startswith(IN_THE_CHECKOUT) else folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_other_command_is_an_installation_of_this_package() -> None:
    others = [c for c in COMMANDS if c not in TO_RUN and not c.startswith("make ")]
    assert others == ['pip install "larimar-memory[langchain]"']
    extras = re.findall(
        r"^(\w+) = \[$|^(\w+) = \[\"", (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert "langchain" in {a or b for a, b in extras}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """What each block printed, and its error; one process for all, since each would import torch."""
    folders = [str(tmp_path_factory.mktemp(f"block{number}")) for number in range(len(PYTHON))]
    done = subprocess.run(
        [sys.executable, "-c", EACH_BY_ITSELF],
        input=json.dumps(list(zip(folders, PYTHON, strict=True))),
        capture_output=True,
        text=True,
        check=True,
    )
    return [(out, error) for out, error in json.loads(done.stdout)]


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_the_code_runs(number: int, runs: list[tuple[str, str]]) -> None:
    out, error = runs[number]
    assert not error
    expected = (
        ["Odile Marchetti", "Not in memory."],
        ["Every item has a key of its own.", "forgotten 1"],
        ["71432", "places in front of the prompt, and no recalled text in it"],
        ["nine", "Pixel", "timetable"],
        ["The ferry to Ren leaves at nine.", "Pixel"],
        ["At nine.", "The ferry to Ren leaves at nine every morning."],
        ["At nine. The ferry to Ren leaves at nine every morning. 0.", "|n|i|n|e|.|", "Not in memory."],
        ["It is 4711.", "Please remember that the alarm code is 4711."],
        ["Remembered under the id note-", ": The alarm code of the office is 4711."],
    )
    for words in expected[number]:
        assert words in out


def test_both_answer_the_same_question() -> None:
    (classic,) = [body for body in PYTHON if "RetrievalQA(" in body or "import RetrievalQA\n" in body]
    ours = PYTHON[PYTHON.index(classic) + 1]
    assert "LarimarRetrievalQA.from_chain_type(" in ours
    for line in ('FakeListChatModel(responses=["At nine."])', "When does the ferry to Ren leave?"):
        assert line in classic
        assert line in ours


def test_what_the_table_of_retrieval_qa_names_is_there() -> None:
    """Fields and arguments of both classes, in the columns that say so."""
    from langchain_classic.chains import RetrievalQA

    from langchain_larimar import LarimarRetrievalQA, LarimarRetriever

    table = README.split("| what you had | what you write |")[1].split("\n\n")[0]
    had, ours = zip(*(row.split("|")[1:3] for row in table.splitlines()[2:]), strict=True)
    fields = {*LarimarRetrievalQA.model_fields, *LarimarRetriever.model_fields}
    for name in re.findall(r"(\w+)=", " ".join(ours)):
        assert name in fields
    same = {"callbacks", "tags", "metadata", "verbose", "input_key", "output_key"}
    assert same <= set(re.findall(r"\w+", " ".join(had)))
    assert same <= set(RetrievalQA.model_fields) & set(LarimarRetrievalQA.model_fields)
    for name in ("from_llm", "from_chain_type", "stream", "astream", "ainvoke", "abatch"):
        assert name in table
        assert hasattr(LarimarRetrievalQA, name)


def test_the_figures_are_the_committed_ones() -> None:
    shown = README.split(report.BEGIN)[1].split(report.END)[0].strip()
    assert shown == report.render(RESULTS).strip()


def test_the_page_of_benchmarks_has_the_committed_ones() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert page == report.fill(page, RESULTS)
    assert {*re.findall(r"^<!-- ([\w-]+) -->$", page, re.MULTILINE)} == {
        *(path.stem for path in RESULTS.glob("*.json")),
        "missed",
    }
    assert report.fill("<!-- missed -->\nstale\n<!-- /missed -->\n", RESULTS).count("missed") > 3


def test_every_picture_is_there() -> None:
    shown = [place for place in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in place]
    assert any(place.startswith("benchmarks/plots/") for place in shown)
    assert [place for place in shown if not (ROOT / place).exists()] == []


def test_there_are_committed_results() -> None:
    measured = {path.stem.split("-")[0] for path in RESULTS.glob("*.json")}
    assert measured == set(benchmarks.NAMES)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda p: p.stem)
def test_committed_results_are_whole(path: Path) -> None:
    result = json.loads(path.read_text(encoding="utf-8"))
    # After the name, the machine, where the benchmark was run on several.
    assert result["name"] == path.stem.split("-")[0]
    assert not result["quick"]
    assert result["commit"]
    assert not result["commit"].endswith("-dirty")
    for bar in result["bars"]:
        assert set(bar) == {"measure", "value", "bar", "holds"}


def test_a_report_needs_results_and_a_readme(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is nothing to report\. .* holds no results"):
        report.render(tmp_path)
    with pytest.raises(InputError, match=r"cannot be updated\. It has no part between"):
        report.update(tmp_path / "README.md", tmp_path)
