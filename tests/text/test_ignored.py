"""What Git would ignore, as Git itself says it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from larimar_memory.text.files import inside
from larimar_memory.text.ignored import Ignored

TREE = [
    *("a.txt", "a.log", "keep.log", "build/x.txt", "sub/build/y.txt", "sub/keep.log", "sub/b.log"),
    *("sub/deep/c.tmp", "sub/deep/d.txt", "top.txt", "sub/top.txt", "out/z.txt", "out/keep.txt"),
    *("\u00e9 and space.txt", "sub/#hash.txt", "sub/ends .txt", "docs/one/two.md", "docs/two.md"),
]
RULES = {
    ".gitignore": "# rules\n*.log\n!keep.log\nbuild/\n/top.txt\nout/*\n!out/keep.txt\n\\#hash.txt\n",
    "sub/.gitignore": "keep.log\n*.tmp\n!/b.log\n",
    "docs/.gitignore": "**/two.md\n!/two.md\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    for name in TREE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text")
    for name, rules in RULES.items():
        (folder / name).write_text(rules)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def as_git_says(folder: Path, names: list[str]) -> set[str]:
    command = ["git", "-C", str(folder), "check-ignore", "-z", "--no-index", "--stdin"]
    said = subprocess.run(command, input="\0".join(names).encode(), capture_output=True, check=False)
    return set(said.stdout.decode().split("\0")) - {""}


def test_it_is_what_git_ignores(folder: Path) -> None:
    ignored = Ignored(folder)
    mine = {name for name in TREE if ignored(folder / name)}
    assert mine == as_git_says(folder, TREE)
    assert {"a.log", "build/x.txt", "sub/keep.log", "docs/one/two.md", "top.txt"} <= mine
    walked = {p.relative_to(folder).as_posix() for p in inside(folder, ignored) if isinstance(p, Path)}
    assert walked == {name for name in set(TREE) - mine if not name.endswith(".tmp")}


def test_rules_from_the_repository_down(folder: Path) -> None:
    ignored = Ignored(folder / "sub")
    assert ignored(folder / "sub" / "build" / "y.txt")
    assert not ignored(folder / "sub" / "b.log")
    # A folder that is ignored and was named is wanted.
    assert not Ignored(folder / "build")(folder / "build" / "x.txt")


def test_without_a_repository_rules_above_do_not_hold(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / ".gitignore").write_text("*")
    (tmp_path / "in" / ".gitignore").write_bytes(b"\xff\xfe\nb.txt\n")
    ignored = Ignored(tmp_path / "in")
    assert (ignored(tmp_path / "in" / "a.txt"), ignored(tmp_path / "in" / "b.txt")) == (False, True)
