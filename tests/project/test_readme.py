"""The README tells the truth: its commands run, its code runs, its figures are the committed ones."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

import benchmarks
from benchmarks import front, report
from larimar_memory.errors import InputError
from larimar_memory.models.finding import WHEELS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for kind, body in BLOCKS if kind == "bash" for line in body.splitlines() if line]
PYTHON = [body for kind, body in BLOCKS if kind == "python"]
REPOSITORY = "https://github.com/larimar-memory/larimar-memory/blob/main/"
RAW = "https://raw.githubusercontent.com/larimar-memory/larimar-memory/main/"
LINKS = re.findall(r"\]\(([^)\s]+)\)", README)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("readme")
    (place / "README.md").write_text(README, encoding="utf-8")
    return place


def test_the_readme_shows_what_it_should() -> None:
    """Within what one reads: the ten lines are ten, as are those for LangChain."""
    assert len(README.splitlines()) <= 180
    assert COMMANDS[0] == "pip install larimar-memory"
    assert [c for c in COMMANDS if c.startswith("make ")] == ["make demo", "make test"]
    memory, langchain = PYTHON
    assert len([line for line in memory.splitlines() if line]) == 10
    assert len([line for line in langchain.splitlines() if line]) == 10


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
    assert others == [
        "pip install larimar-memory",
        'pip install "larimar-memory[langchain]"',
        'pip install "larimar-memory[mcp]"',
        "claude mcp add larimar -- larimar serve --mcp",
    ]
    project = (ROOT / "pyproject.toml").read_text()
    for extra in re.findall(r"larimar-memory\[(\w+)\]", " ".join(others)):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE)


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
        ["Odile Marchetti | lighthouse 0 64", "Not in memory."],
        ["nine", "The ferry to Ren leaves at nine every morning. [0."],
    )
    for words in expected[number]:
        assert words in out


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


def test_a_bar_missed_without_bf16_is_missed(tmp_path: Path) -> None:
    held = {"measure": "exact", "value": 0.98, "bar": ">= 0.97", "holds": True}
    missed = {**held, "value": 0.9375, "holds": False}
    result = json.loads((RESULTS / "needle.json").read_text(encoding="utf-8"))
    (tmp_path / "float32").mkdir()
    for place, bar in (("needle.json", held), ("float32/needle.json", missed)):
        (tmp_path / place).write_text(json.dumps({**result, "bars": [bar]}), encoding="utf-8")
    page = report.fill(
        "<!-- missed -->\n<!-- /missed -->\n<!-- needle -->\n<!-- /needle -->\n", tmp_path
    )
    line = "| `needle` | exact | 0.98 | 0.938 | >= 0.97 | **missed** |"
    assert page.count(line) == 2
    assert "`needle, without bf16`: " in page


def test_every_link_leads_somewhere() -> None:
    """Links are absolute: PyPI shows this page as well, and has no files beside it."""
    assert [place for place in LINKS if not place.startswith("https://")] == []
    ours = [place.split(root)[1] for place in LINKS for root in (REPOSITORY, RAW) if root in place]
    assert any(place.endswith(".svg") for place in ours)
    for place in ours:
        path, _, anchor = place.partition("#")
        assert (ROOT / path).is_file(), place
        if anchor:
            heads = re.findall(r"^#+ (.+)$", (ROOT / path).read_text("utf-8"), re.MULTILINE)
            assert anchor in {head.lower().replace(" ", "-") for head in heads}, place


def test_the_badges_are_true() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert 'requires-python = ">=3.10"' in project
    assert 'license = "Apache-2.0"' in project
    badges = re.findall(r"img\.shields\.io/badge/([\w.-]+)", README)
    assert badges == ["licence-Apache--2.0-159a8c", "python-3.10_or_later-159a8c"]


def test_the_size_of_the_models_is_that_of_their_wheels() -> None:
    (told,) = re.findall(r"two small models \((\d+) MB\)", README)
    assert int(told) == sum(wheel.megabytes for wheel in WHEELS.values())


def test_the_picture_is_of_the_committed_results(tmp_path: Path) -> None:
    assert f"{RAW}benchmarks/plots/front.svg" in LINKS
    drawn = report.draw_front(RESULTS, tmp_path / "front.svg")
    assert drawn is not None
    if f"matplotlib=={matplotlib.__version__} " in (ROOT / "constraints.txt").read_text("utf-8"):
        committed = ROOT / "benchmarks" / "plots" / "front.svg"
        assert drawn.read_bytes() == committed.read_bytes(), "python -m benchmarks report"


def test_a_figure_without_its_result_is_left_out(tmp_path: Path) -> None:
    results = {"ingest": json.loads((RESULTS / "ingest.json").read_text("utf-8"))}
    assert front.draw(results, tmp_path / "front.svg") is None
    assert len(front.table(results)) == 3
    assert len(front.FIGURES) == 6


def test_there_are_committed_results() -> None:
    assert {path.stem for path in RESULTS.glob("*.json")} == set(benchmarks.NAMES)


@pytest.mark.parametrize(
    "path", sorted(RESULTS.rglob("*.json")), ids=lambda p: str(p.relative_to(RESULTS))
)
def test_committed_results_are_whole(path: Path) -> None:
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["name"] == path.stem
    assert path.parent == RESULTS or result["machine"]["number_format"] == path.parent.name
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
