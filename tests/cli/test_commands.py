"""The command line, as a user meets it: what it answers, reads and counts, in words and as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from larimar_memory.cli import output
from larimar_memory.types import Readout
from tests.cli.command import FACTS, larimar

pytestmark = pytest.mark.model


def test_ask_answers_with_sources(anywhere: str) -> None:
    done = larimar("ask", "Who built the lighthouse at Cape Ren?", "-m", anywhere, "--json")
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


def test_a_citation_shows_the_sentence_that_says_it(tmp_path: Path) -> None:
    text = (
        "The Tarn Valley Railway was opened in 1887 to carry slate to the harbour of Merrow. "
        "It was built by the engineer Josiah Pell, who had worked on bridges in Argentina."
    )
    (tmp_path / "t.txt").write_text(text)
    memory = str(tmp_path / "m.larimar")
    assert larimar("ingest", str(tmp_path / "t.txt"), "-m", memory).returncode == 0
    asked = ["ask", "Who built the Tarn Valley Railway?", "-m", memory, "-k", "1", "--cite"]
    told = json.loads(larimar(*asked, "--json").stdout)
    (cited,) = told["citations"]
    span = (cited["document_start"], cited["document_end"])
    assert text[slice(*span)] == text[text.index("It was") :]
    shown = larimar(*asked).stdout
    assert re.search(
        rf"^  \[1\] .*t\.txt \[{span[0]}-{span[1]}\] score .* It was built by", shown, re.M
    )


def test_read_shows_segments(anywhere: str) -> None:
    done = larimar("read", "When does the ferry leave?", "-k", "1", "-m", anywhere, "--json")
    readout = json.loads(done.stdout)
    assert readout["in_scope"]
    assert [s["text"] for s in readout["segments"]] == [
        "The ferry to Ren leaves at nine every morning."
    ]
    shown = larimar("read", "When does the ferry leave?", "-k", "1", "-m", anywhere)
    assert "b.html [0-46] score 0." in shown.stdout


ASKED = "Who built the [old] lighthouse, and when does the ferry [leave]?"


def test_read_explains(anywhere: str) -> None:
    read = ["read", ASKED, "-m", anywhere, "-k", "2", "--explain"]
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


def test_times_bound_what_is_read(anywhere: str) -> None:
    # What was anywhere does not say when it was said.
    found = {}
    for option in ("--since", "--until", "--as-of"):
        done = larimar(
            *("read", "What is it?", "--memory", anywhere, "--threshold", "0"),
            *("--json", option, "2026-05-03"),
        )
        found[option] = json.loads(done.stdout)["segments"]
    assert found["--since"] == found["--until"] == []
    assert found["--as-of"]
    refused = larimar("read", "What is it?", "--memory", anywhere, "--since", "soon")
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
    anywhere: str, question: str, namespace: str, reason: str, said: str
) -> None:
    of = [question, "-m", anywhere, "-n", namespace]
    assert re.fullmatch(said + "\n", larimar("read", *of).stdout)
    # By itself, an adapter is asked from .05 on, and refuses as well.
    assert larimar("ask", *of, "--plain").stdout == "Not in memory.\n"
    of += ["--threshold", "0.5"]
    answered = larimar("ask", *of).stdout
    assert re.match(rf"Not in memory\.\n *{said}\n", answered)
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


def test_stats_count(anywhere: str) -> None:
    stats = json.loads(larimar("stats", "-m", anywhere, "--json").stdout)
    assert (stats["documents"], stats["namespaces"]) == (2, 1)
    assert stats["bytes_on_disk"] > 0
    assert "documents  2" in larimar("stats", "-m", anywhere).stdout


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


def test_a_long_question_and_a_large_k_are_read(anywhere: str) -> None:
    question = "When does the ferry to Ren leave? " + "It rained. " * 9_000
    options = ("-k", "5000", "--threshold", "0", "-m", anywhere, "--json")
    done = larimar("read", question, *options)
    found = json.loads(done.stdout)["segments"]
    assert len(found) == 2
    assert "ferry" in found[0]["text"]
    refused = larimar("ask", question, "-m", anywhere)
    assert "characters, and 20,000 is the most. Write the long text" in refused.stderr
    blank = larimar("read", " ", "--where", '{"source": "a"}', "-m", anywhere)
    assert "Error: The question cannot be answered. It is empty." in blank.stderr
