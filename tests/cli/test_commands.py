"""The command line, as a user meets it: output, JSON, exit statuses, one-line errors."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from larimar_memory.cli import main, output
from larimar_memory.types import Readout

pytestmark = pytest.mark.model

FACTS = "The lighthouse at Cape Ren was built by Odile Marchetti in 1887. It has a green lamp on top.\n"


def larimar(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in this process; the README's commands run in processes of their own."""
    out, err = io.StringIO(), io.StringIO()
    output.console.width = output.errors.width = 200
    with (
        patch.dict(os.environ, environment),
        patch.object(sys, "argv", ["larimar", *arguments]),
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            status: Any = 0
        except SystemExit as stop:
            status = stop.code or 0
        finally:
            # The command keeps what it loaded from being looked through; here, others come after it.
            gc.unfreeze()
            gc.enable()
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module", params=["file", "database"])
def ingested(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A memory that the command wrote from a folder, in a file and in a database."""
    root = tmp_path_factory.mktemp("cli")
    (root / "docs" / "inner").mkdir(parents=True)
    (root / "docs" / "a.md").write_text(FACTS)
    (root / "docs" / "inner" / "b.html").write_text(
        "<p>The ferry to Ren leaves at nine every morning.</p>"
    )
    (root / "docs" / "broken.txt").write_bytes(b"\0\1\2")
    memory = str(root / "m.larimar")
    if request.param == "database":
        memory = request.getfixturevalue("server").empty("larimar_commands")
    done = larimar("ingest", str(root / "docs"), "-m", memory)
    assert done.returncode == 0, done.stderr
    assert "2 files read" in done.stdout
    assert "skipped" in done.stderr
    assert "It is a binary file." in done.stderr
    return memory


def test_ask_answers_with_sources(ingested: str) -> None:
    done = larimar("ask", "Who built the lighthouse at Cape Ren?", "-m", ingested, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert "Odile Marchetti" in answer["text"]
    assert answer["grounding"] == "text"
    source = answer["sources"][0]
    assert source["document_id"].endswith("docs/a.md")
    assert FACTS[source["start"] : source["end"]] == source["text"]
    assert answer["usage"]["prompt_tokens"] > 0


def test_ask_streams_text(ingested: str) -> None:
    asked = ["ask", "Who built the lighthouse at Cape Ren?", "-m", ingested]
    plain = larimar(*asked, "--plain", "--begin", "Its builder was")
    assert plain.stdout.startswith("Its builder was Odile")
    assert "score" not in plain.stdout
    assert plain.stderr == ""
    full = larimar("ask", "Who won the football world cup in 1998?", LARIMAR_MEMORY=ingested)
    assert full.stdout.startswith("Not in memory.\n")
    assert "grounding none" in full.stdout


def test_answers_cite_and_say_how_sure_they_are(ingested: str) -> None:
    asked = ["answer", "Who built the lighthouse at Cape Ren?", "-m", ingested, "--cite"]
    told = json.loads(larimar(*asked, "--json").stdout)
    assert told["citations"][0]["source"] == 1
    assert told["text"].endswith(" [1]")
    assert 0 < told["confidence"] < 1
    shown = larimar(*asked).stdout
    assert told["text"] in shown
    assert re.search(r"^  \[1\] .*a\.md \[0-\d+\] score", shown, re.M)
    assert f"confidence .{round(100 * told['confidence']):02}" in shown
    unmarked = larimar(*asked[:-1], "--style", "full").stdout
    assert "[1]" not in unmarked
    assert "confidence ." in unmarked
    wrong = larimar(*asked, "--style", "long")
    assert wrong.returncode == 1
    assert "An answer cannot have style='long'." in wrong.stderr


def test_read_shows_segments(ingested: str) -> None:
    done = larimar("read", "When does the ferry leave?", "-k", "1", "-m", ingested, "--json")
    readout = json.loads(done.stdout)
    assert readout["in_scope"]
    assert [s["text"] for s in readout["segments"]] == [
        "The ferry to Ren leaves at nine every morning."
    ]
    shown = larimar("read", "When does the ferry leave?", "-k", "1", "-m", ingested)
    assert "b.html [0-46] score 0." in shown.stdout


ASKED = "Who built the [old] lighthouse, and when does the ferry [leave]?"


def test_read_explains(ingested: str) -> None:
    read = ["read", ASKED, "-m", ingested, "-k", "2", "--explain"]
    told = json.loads(larimar(*read, "--json").stdout)
    assert told["margin"] == pytest.approx(told["probability"] - told["threshold"])
    shown = larimar(*read).stdout
    assert f"probability {told['probability']:.3f}, threshold 0.500, margin +" in shown
    for name, value in told["signs"].items():
        assert re.search(rf"^ *{name} +{value:.3f} *$", shown, re.M)
    asked = [segment["why"]["asked"] for segment in told["segments"]]
    assert asked[0] == ASKED
    assert asked[1] in ("Who built the [old] lighthouse", "when does the ferry [leave]?")
    assert f'for the part "{asked[1]}"' in shown
    assert shown.count("for the part") == 1
    for segment in told["segments"]:
        why = segment["why"]
        parts = [part for _, part in why["features"].values()]
        assert [abs(part) for part in parts] == sorted(map(abs, parts), reverse=True)
        assert sum(parts) == pytest.approx(why["rank_score"])
        assert f"found by key at place {why['by_key']}, by words at place {why['by_words']}" in shown
        rows = [rf" *{n} +{v:.3f} +\{p:+.3f} *\n" for n, (v, p) in why["features"].items()]
        assert re.search("".join(rows), shown)
        assert re.search(rf"rank +\{why['rank_score']:+.3f}", shown)


def test_times_bound_what_is_read(ingested: str) -> None:
    # What was ingested does not say when it was said.
    found = {}
    for option in ("--since", "--until", "--as-of"):
        done = larimar(
            *("read", "What is it?", "--memory", ingested, "--threshold", "0"),
            *("--json", option, "2026-05-03"),
        )
        found[option] = json.loads(done.stdout)["segments"]
    assert found["--since"] == found["--until"] == []
    assert found["--as-of"]
    refused = larimar("read", "What is it?", "--memory", ingested, "--since", "soon")
    assert refused.returncode == 1
    assert "read with since='soon'" in refused.stderr


def test_what_is_not_explained_is_not_shown(ingested: str) -> None:
    read = ["read", "Who built the lighthouse?", "-m", ingested]
    told = json.loads(larimar(*read, "--json").stdout)
    assert "signs" not in told
    assert all("why" not in segment for segment in told["segments"])
    shown = larimar(*read).stdout
    assert not {"cosine", "margin", "found", "probability"} & set(shown.split())


@pytest.mark.parametrize(
    ("question", "namespace", "reason", "said"),
    [
        ("Who built the lighthouse?", "empty", "nothing stored", r"Nothing is stored there\."),
        ("Who won the football world cup in 1998?", "default", "nothing near", r"Nothing near\."),
        (
            "What colour is the door of the lighthouse keeper's cousin?",
            "default",
            "below the threshold",
            r"Below the threshold: p = \.\d\d < \.50\.",
        ),
    ],
)
def test_reasons_are_told_apart(
    ingested: str, question: str, namespace: str, reason: str, said: str
) -> None:
    of = [question, "-m", ingested, "-n", namespace]
    assert re.fullmatch(said + "\n", larimar("read", *of).stdout)
    answered = larimar("ask", *of).stdout
    assert re.match(rf"Not in memory\.\n *{said}\n", answered)
    assert larimar("ask", *of, "--plain").stdout == "Not in memory.\n"
    for command in ("read", "ask"):
        told = json.loads(larimar(command, *of, "--json").stdout)
        assert told["reason"] == reason
        assert told["probability"] < told["threshold"] == 0.5
    explained = larimar("read", *of, "--explain").stdout
    assert ("margin -" in explained) is (reason != "nothing stored")


@pytest.mark.parametrize(
    ("probability", "threshold", "said"),
    [
        (0.31, 0.5, "p = .31 < .50."),
        (0.4996, 0.5, "p = .4996 < .5000."),
        (0.0, 0.5, "p = .00 < .50."),
        (0.999, 1.0, "p = .999 < 1.000."),
        (0.7, 1.0, "p = .70 < 1.00."),
    ],
)
def test_a_probability_below_the_threshold_is_shown_below_it(
    capsys: pytest.CaptureFixture[str], probability: float, threshold: float, said: str
) -> None:
    output.print_readout(
        Readout(
            *("q", "default", (), False, 0.4, threshold, 0.0),
            probability=probability,
            reason="below the threshold",
        )
    )
    assert capsys.readouterr().out == f"Below the threshold: {said}\n"


def test_stats_count(ingested: str) -> None:
    stats = json.loads(larimar("stats", "-m", ingested, "--json").stdout)
    assert (stats["documents"], stats["namespaces"]) == (2, 1)
    assert stats["bytes_on_disk"] > 0
    assert "documents  2" in larimar("stats", "-m", ingested).stdout


def test_standard_input_and_forgetting(tmp_path: Path) -> None:
    memory = str(tmp_path / "m.larimar")
    done = larimar("ingest", "-", "-m", memory, "--json", stdin=FACTS)
    assert json.loads(done.stdout)["files"] == ["standard input"]
    assert (
        json.loads(larimar("ingest", "-", "-m", memory, "--json", stdin=FACTS).stdout)["new_segments"]
        == 0
    )
    where = '{"source": "standard input"}'
    assert json.loads(larimar("forget", "--where", where, "-m", memory, "--json").stdout) == {
        "forgotten": 1
    }
    assert b"Marchetti" not in Path(memory).read_bytes()


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


def test_a_long_question_and_a_large_k_are_read(ingested: str) -> None:
    question = "When does the ferry to Ren leave? " + "It rained. " * 9_000
    options = ("-k", "5000", "--threshold", "0", "-m", ingested, "--json")
    started = time.perf_counter()
    done = larimar("read", question, *options)
    assert time.perf_counter() - started < 10
    found = json.loads(done.stdout)["segments"]
    assert len(found) == 2
    assert "ferry" in found[0]["text"]
    refused = larimar("ask", question, "-m", ingested)
    assert "characters, and 20,000 is the most. Write the long text" in refused.stderr
    blank = larimar("read", " ", "--where", '{"source": "a"}', "-m", ingested)
    assert "Error: The question cannot be answered. It is empty." in blank.stderr


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
