"""Memories that the command wrote, for tests that only read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import FACTS, larimar


def written(root: Path, memory: str) -> str:
    """The memory, once the command wrote a folder to it."""
    (root / "docs" / "inner").mkdir(parents=True)
    (root / "docs" / "a.md").write_text(FACTS)
    (root / "docs" / "inner" / "b.html").write_text(
        "<p>The ferry to Ren leaves at nine every morning.</p>"
    )
    (root / "docs" / "broken.txt").write_bytes(b"\0\1\2")
    done = larimar("ingest", str(root / "docs"), "-m", memory)
    assert done.returncode == 0, done.stderr
    assert "2 files read" in done.stdout
    assert "skipped" in done.stderr
    assert "It is a binary file." in done.stderr
    return memory


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A memory in a file."""
    root = tmp_path_factory.mktemp("cli")
    return written(root, str(root / "m.larimar"))


@pytest.fixture(scope="session", params=["file", "database"])
def anywhere(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A memory in a file and in a database, for what comes from where it is held."""
    if request.param == "file":
        return str(request.getfixturevalue("ingested"))
    database = request.getfixturevalue("server").empty("larimar_commands")
    return written(tmp_path_factory.mktemp("cli"), database)
