"""The pages of docs/ tell the truth: their code prints what they show, their commands are ones.

A block of text right below one of Python is what that prints, "..." standing for anything. The blocks
of a page are one program.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import benchmarks
from larimar_memory.cli.app import app
from tests.cli.command import larimar

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TESTED_ELSEWHERE = {"contracts.md", "episodes.md", "receipts.md", "watch.md"}
NEEDS_A_SERVER = {"scaling.md"}
NOT_INSTALLED_HERE = {"mem0"}
"""What a page shows beside us, and needs other releases of what we are tested with."""
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.DOTALL | re.MULTILINE)
PAGES = {str(page.relative_to(DOCS)): page.read_text("utf-8") for page in sorted(DOCS.rglob("*.md"))}
TO_RUN = [
    name
    for name, page in PAGES.items()
    if BLOCK.search(page) and name not in TESTED_ELSEWHERE | NEEDS_A_SERVER
]
COMMANDS = [
    (name, line)
    for name, page in PAGES.items()
    for block in re.findall(r"^```bash\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip() and not line.startswith("#")
]
RUN_IN_ORDER = ("guides/commands.md",)
"""Pages whose commands are run, too, one after the other in one folder."""
OTHERS = {"claude", "createdb", "export", "cd", "git", "python"}


@pytest.mark.model
@pytest.mark.parametrize("name", TO_RUN)
def test_the_code_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for found in BLOCK.finditer(PAGES[name]):
        line = PAGES[name].count("\n", 0, found.start()) + 1
        foreign = (
            set(re.findall(r"^(?:from|import) (\w+)", found[1], re.MULTILINE)) & NOT_INSTALLED_HERE
        )
        if not all(map(find_spec, foreign)):
            continue
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile("\n" * line + found[1], f"docs/{name}", "exec"), names)
        if found[2] is not None:
            options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            same = doctest.OutputChecker().check_output(found[2], out.getvalue(), options)
            assert same, f"docs/{name}:{line} prints\n{out.getvalue()}"


def test_what_prints_is_shown() -> None:
    """Of the pages whose blocks are run here."""
    silent = [
        (name, found[1])
        for name in TO_RUN
        for found in BLOCK.finditer(PAGES[name])
        if "print(" in found[1] and found[2] is None
    ]
    assert silent == []


@pytest.mark.parametrize(("name", "line"), COMMANDS, ids=lambda told: told.split("/")[-1])
def test_commands_are_ones(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line, comments=True)
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    if words[0] == "larimar":
        commands = get_command(app).commands  # type: ignore[attr-defined]
        assert words[1] in commands
        for word in words[2:]:  # folders that are to be there
            if re.fullmatch(r"[\w-]+/?", word):
                (tmp_path / word).mkdir(exist_ok=True)
        commands[words[1]].make_context(words[1], words[2:])
    elif words[0] in ("pip", "uv"):
        for extras in re.findall(r"larimar-memory\[([\w,]+)\]", line):
            assert all(f"\n{extra} = [" in project for extra in extras.split(","))
    elif words[0] == "make":
        assert all(
            f"\n{word}:" in (ROOT / "Makefile").read_text("utf-8")
            for word in words[1:]
            if "=" not in word
        )
    elif words[:3] == ["python", "-m", "benchmarks"]:
        assert words[3] in {*benchmarks.NAMES, "list", "report"}
    else:
        assert words[0].split("/")[-1] in OTHERS


@pytest.mark.model
@pytest.mark.parametrize("page", RUN_IN_ORDER)
def test_commands_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "ferry.md").write_text("The ferry to Ren leaves at nine every morning.\n")
    for name, line in COMMANDS:
        if name == page and line.startswith("larimar "):
            done = larimar(*shlex.split(line, comments=True)[1:])
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            assert done.stdout.strip(), line
