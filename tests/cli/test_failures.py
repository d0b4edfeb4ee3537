"""What the command says where it cannot: one line, an exit status, and no trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from larimar_memory.cli import output
from tests.cli.command import larimar
from tests.loaded import anew

pytestmark = pytest.mark.model


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask", "why?", "-m", "absent"], "There is no memory at absent. The file does not exist."),
        (
            ["ingest", "absent", "-m", "m"],
            "absent cannot be ingested. There is no such file or folder.",
        ),
        (
            ["read", "why?", "-m", "notes.txt"],
            "The file notes.txt cannot be opened. It is not a Larimar",
        ),
        (["forget", "-m", "notes.txt"], "The file notes.txt cannot be opened."),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("only some notes")
    done = larimar(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"Error: {message}")
    assert done.stderr.count("\n") == 1
    failed = json.loads(larimar(*arguments, "--json").stderr)["error"]
    assert set(failed) == {"type", "what", "why", "remedy"}


def test_bad_options(ingested: str) -> None:
    done = larimar("ask", "why?", "-m", ingested, "--where", "{oops")
    assert done.returncode == 1
    assert "Error: The filter cannot be used. It is not JSON" in done.stderr
    done = larimar("ask", "why?", "-k", "0", "-m", ingested)
    assert "Error: Memory cannot be read with k=0." in done.stderr
    assert larimar("ask").returncode == 2
    assert larimar("--version").stdout.strip() == "0.2.0"


def test_unexpected_failures_show_no_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from larimar_memory.cli import app

    def fail() -> None:
        raise RuntimeError("something deep inside")

    monkeypatch.setattr(app, "app", fail)
    with pytest.raises(SystemExit, match="1"):
        app.main()
    assert capsys.readouterr().err == (
        "Error: The command failed. RuntimeError: something deep inside. "
        "Set LARIMAR_DEBUG=1 to see where, and report it.\n"
    )


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME", "LARIMAR_CACHE"])
def test_reading_needs_no_cache(ingested: str, tmp_path: Path, variable: str) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    where = {"LARIMAR_CACHE": "", "XDG_CACHE_HOME": "", variable: str(file)}
    with anew():
        done = larimar("read", "What is on top of the lighthouse?", "-m", ingested, **where)
    assert (done.returncode, done.stderr) == (0, "")
    done = larimar("ask", "What is on top of the lighthouse?", "-m", ingested, **where)
    assert done.returncode == 1
    folder = {"HOME": "/.cache/larimar-memory", "XDG_CACHE_HOME": "/larimar-memory"}.get(variable, "")
    assert done.stderr == (
        "Error: The model SmolLM2-135M-Instruct.Q4_1.gguf could not be converted. "
        f"Writing to {file}{folder}/models failed: Not a directory. "
        "Free some space there, or set LARIMAR_CACHE to a folder that can be written.\n"
    )


def test_there_may_be_no_place_for_a_memory_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LARIMAR_MEMORY", raising=False)
    monkeypatch.setattr("larimar_memory.cli.options.user_folder", lambda kind: None)
    done = larimar("stats")
    assert done.stderr == (
        "Error: There is no place for a memory. None was named, and the user's home folder cannot be "
        "determined. Name the file with `--memory FILE`, or set LARIMAR_MEMORY.\n"
    )


def test_the_first_answer_says_one_line_and_shows_one_bar(
    ingested: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from larimar_memory.models import conversion, finding, loading

    made = finding.resolve(finding.DEFAULT_DECODER)

    def convert(gguf: Path, folder: Path) -> None:
        with loading.announce("The decoder is converted once.", "converting") as tell:
            tell(3, 3)
            for file in set(made.iterdir()) - {made / "manifest.json"}:
                (folder / file.name).write_bytes(file.read_bytes())

    monkeypatch.setattr(conversion, "_convert", convert)
    question = ("ask", "What is on top of the lighthouse?", "-m", ingested, "--max-tokens", "4")
    with anew():
        done = larimar(*question, LARIMAR_CACHE=str(tmp_path / "a"))
    assert done.returncode == 0
    line, bar = done.stderr.splitlines()
    assert line == "The decoder is converted once."
    assert bar.startswith("converting ")
    assert "100% 3/3" in bar
    assert larimar(*question, LARIMAR_CACHE=str(tmp_path / "a")).stderr == ""
    done = larimar(*question, "--json", LARIMAR_CACHE=str(tmp_path / "b"))
    assert done.stderr == ""
    assert json.loads(done.stdout)["grounding"] == "text"


def test_a_bar_inside_a_bar_is_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        with output.progress("outer", True), output.announced("It takes long.", "inner") as tell:
            tell(1, 2)
    said = capfd.readouterr().err
    assert said.count("It takes long.") == 2
    assert "inner" not in said
