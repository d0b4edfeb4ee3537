"""The benchmarks: their haystack, their statistics, and the shape of what they return."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
import time
from importlib import import_module

import pytest

import benchmarks
from benchmarks import (
    conversation,
    decoding,
    edits,
    ingest,
    latency,
    needle,
    passkey,
    plots,
    process,
    result,
)
from benchmarks import memory as memory_bench
from benchmarks.facts import facts
from benchmarks.haystack import hide, prose, repeated, token_counter
from benchmarks.session import Session
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError, LarimarError
from larimar_memory.types import Answer, Timings, Usage
from tests.tiny import tiny_decoder

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def encoder():
    return SentenceEncoder.load()


@pytest.fixture(scope="module")
def count(encoder):
    return token_counter(encoder)


@pytest.fixture(scope="module")
def hay(count):
    return prose(5_000, count, seed=3)


@pytest.fixture(scope="module")
def session():
    return Session(0, None, lambda _: None)


def test_importing_the_package_loads_no_torch():
    code = "import sys, benchmarks as b; print(*b.NAMES, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*benchmarks.NAMES, "False"]


@pytest.mark.parametrize("name", benchmarks.NAMES)
def test_a_name_is_a_benchmark(name):
    module = import_module(f"benchmarks.{name}")
    assert callable(module.measure)
    assert type(module.QUICK) is type(module.FULL)
    assert isinstance(module.PACKAGES, tuple)


def test_haystack_has_the_length_asked_for_and_is_deterministic(hay, count):
    assert abs(hay.total - 5_000) <= 100
    assert hay == prose(5_000, count, seed=3)
    assert hay.paragraphs != prose(5_000, count, seed=4).paragraphs
    assert len(set(hay.paragraphs)) == len(hay.paragraphs)
    assert hay.distinct_tokens == hay.total


def test_a_shorter_haystack_begins_a_longer_one(hay, count):
    shorter = prose(1_000, count, seed=3)
    assert abs(shorter.total - 1_000) <= 20
    assert shorter.paragraphs[:-1] == hay.paragraphs[: len(shorter.paragraphs) - 1]


def test_counting_is_not_cut_at_the_models_length(encoder, count):
    words = "the memory keeps what it was told " * 200
    assert count(["", words]) == [0, 1400]
    assert encoder.tokenize([words]).tokens < 1400


def test_a_folder_of_texts_can_be_the_haystack_and_is_reshuffled_where_it_is_short(tmp_path, count):
    (tmp_path / "a.txt").write_text("The lake is deep. The shore is\nquiet.\n\nA boat came by at noon.")
    (tmp_path / "b.md").write_text("Nobody lives on the island.")
    with lzma.open(tmp_path / "c.jsonl.xz", "wt", encoding="utf-8") as file:
        file.write(json.dumps({"text": "The bell rings at six."}) + "\n\n")
    (tmp_path / "ignored.py").write_text("code = 1")
    found = prose(500, count, seed=0, folder=tmp_path)
    assert {
        "The lake is deep. The shore is quiet.",
        "A boat came by at noon.",
        "Nobody lives on the island.",
        "The bell rings at six.",
    } == set(found.paragraphs[:4])
    assert abs(found.total - 500) <= 10
    assert found.distinct_tokens == sum(found.tokens[:4]) < 50
    assert found == prose(500, count, seed=0, folder=tmp_path)


def test_a_folder_that_cannot_be_read_is_refused(tmp_path, count):
    with pytest.raises(InputError, match="has no file"):
        prose(100, count, seed=0, folder=tmp_path)
    (tmp_path / "a.jsonl").write_text('{"words": "no text"}\n')
    with pytest.raises(InputError, match="cannot be read as text"):
        prose(100, count, seed=0, folder=tmp_path)


def test_parts_rebuild_the_haystack(hay):
    parts = hay.parts(600)
    assert len(parts) > 5
    assert tuple(p for part in parts for p in part.paragraphs) == hay.paragraphs
    assert hay.parts(10**9)[0].text == "\n\n".join(hay.paragraphs)


@pytest.mark.parametrize("depth", [0.0, 0.1, 0.37, 0.5, 0.9, 1.0])
def test_the_needle_is_in_the_haystack_at_the_depth_asked_for(hay, count, depth):
    parts = hay.parts(600)
    part, text, real = hide(hay, parts, needle.NEEDLE, depth)
    whole = "\n\n".join(text if p is part else p.text for p in parts)
    before, after = whole.split(needle.NEEDLE)
    assert before == "" or before.endswith("\n\n")
    assert after == "" or after.startswith("\n\n")
    lengths = count([before, after])
    assert abs(lengths[0] - depth * sum(lengths)) <= max(hay.tokens)
    assert real == pytest.approx(lengths[0] / sum(lengths), abs=0.005)
    assert f"{before.strip()}\n\n{after.strip()}".strip() == "\n\n".join(hay.paragraphs)


def test_the_filler_is_one_line_around_the_needle(count):
    filler = repeated(passkey.FILLER, 1_000, count)
    assert abs(filler.total - 1_000) <= 20
    _, text, _ = hide(filler, filler.parts(), "The pass key is 7.", 0.5)
    before, found, after = text.split("\n")
    assert found == "The pass key is 7."
    assert set(before.split(passkey.FILLER)) == set(after.split(passkey.FILLER)) == {"", " "}


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(50, 50, 0.9286, 1.0), (0, 10, 0.0, 0.2775), (8, 10, 0.4902, 0.9433), (0, 0, 0.0, 1.0)],
)
def test_wilson_intervals(successes, trials, low, high):
    assert result.wilson(successes, trials) == pytest.approx((low, high), abs=1e-4)


def test_percentile_is_one_of_the_values():
    values = [float(n) for n in range(20, 0, -1)]
    assert result.percentile(values, 50) == 10.0
    assert result.percentile(values, 95) == 19.0
    assert result.percentile([4.0], 95) == 4.0


@pytest.mark.parametrize(
    ("value", "comparison", "holds"),
    [
        (4.0, ">= 4", True),
        (3.99, ">= 4", False),
        (1.2, "<= 1.2", True),
        (1.21, "<= 1.2", False),
        (0.05, "> 0.05", False),
        (0.051, "> 0.05", True),
        (float("nan"), ">= 4", False),
        (float("nan"), "<= 4", False),
    ],
)
def test_bars(value, comparison, holds):
    assert result.bar("what", value, comparison)["holds"] is holds


def test_a_bar_that_is_no_comparison_is_refused():
    with pytest.raises(InputError):
        result.bar("what", 1.0, "about 4")


def test_ingest_bars_come_from_medians():
    ours, eager, theirs = [8000.0, 90.0, 9000.0], [300.0, 200.0, 500.0], [200.0, 100.0, 300.0]
    figures, bars = ingest.report({}, ours, eager, theirs, [5e11], [8e11, 1e12])
    assert figures["ratio"] == 40.0
    assert figures["eager_ratio"] == 1.5
    assert figures["encoder_share"] == 0.5
    assert [b["holds"] for b in bars] == [True]


def test_latency_bars_come_from_medians():
    def answers(*seconds):
        return [Answer("q", "a", "text", (), Usage(10, 5), Timings(0.1, s / 2, s)) for s in seconds]

    ram = {"models_mb": 900.0, "with_memory_mb": 1000.0, "peak_mb": 1401.0}
    anew = {"first": [0.2, 0.9, 0.7], "first_token": [1.0, 1.0, 1.4], "later": [0.11, 0.13, 0.0]}
    figures, bars = latency.report(
        {"ram": ram, "start_seconds": [9.0, 4.0, 4.5], "asked_anew": anew},
        [[0.01] * 20, [0.02] * 19 + [0.5]],
        [answers(1.0, 1.0, 9.0), answers(1.1, 1.1, 0.1)],
    )
    assert figures["answer_ratio"] == 1.1
    assert figures["first_token_seconds"] == [0.5, 0.55]
    assert figures["read_p95_seconds"] == [0.01, 0.02]
    assert [(b["value"], b["holds"]) for b in bars] == [
        *((1.1, True), (501.0, False), (4.5, True)),
        *((pytest.approx(0.5), True), (pytest.approx(0.11), False)),
    ]


def test_decoding_bars_come_from_medians():
    figures, bars = decoding.report(
        {"start_seconds": [9.0, 3.0, 3.4]},
        [(0.3, 80.0), (0.9, 90.0), (0.2, 70.0)],
        [(0.6, 100.0), (0.5, 10.0), (0.7, 110.0)],
    )
    assert figures["first_token_seconds"] == [0.3, 0.6]
    assert figures["tokens_per_second"] == [80.0, 100.0]
    assert [(b["value"], b["holds"]) for b in bars] == [(0.5, True), (0.8, True), (3.4, True)]


def test_packed_weights_are_compared_with_the_models_own(decoder):
    text = decoder.plain_tokens("The harbour master rings a bell at noon, and the ferry leaves.")
    found = decoding.compared(decoder, [text])
    assert found["divergence"] < 0.01
    assert found["greedy_differs"] < 0.2
    unpacked = tiny_decoder(intermediate_size=40)
    assert decoding.compared(unpacked, [[1, 2, 3]])["packed"] is False


def test_a_question_is_read_answered_and_read_again(session, hay):
    made = []
    questions = latency.ask_about(session, hay, 2, "asked anew")
    assert set(questions).isdisjoint(latency.ask_about(session, hay, 2))
    tiny = Session(0, None, lambda _: None)
    vars(tiny).update(encoder=session.encoder, decoder=tiny_decoder(max_position_embeddings=2_000))
    with tiny.open(None) as memory:
        latency.write(tiny, memory, hay)
        before = memory.stats().keyed
        given = memory._recall.fine_keys.given
        memory._recall.fine_keys.given = lambda space, segments: (
            made.append(sum(s.key is None for s in segments)) or given(space, segments)
        )
        found = latency.asked_anew(memory, questions)
        assert memory.stats().keyed == before + sum(made)
    # Only the first read of each makes keys.
    assert [bool(count) for count in made] == [True, False, False] * 2
    assert {name: len(some) for name, some in found.items()} == {
        **{"first": 2, "first_token": 2, "later": 2}
    }
    for first_token, later in zip(found["first_token"], found["later"], strict=True):
        assert later > 0
        assert first_token > 0


def test_latency_questions_are_different_and_in_the_haystack(hay, encoder):
    session = Session(0, None, lambda _: None)
    questions = latency.ask_about(session, hay, 24)
    assert len(set(questions)) == 24
    assert all(any(q.split('"')[1] in p for p in hay.paragraphs) for q in questions)


def test_the_start_is_timed_to_the_first_byte(monkeypatch, tmp_path):
    code = "import sys,time; print(sys.argv[1][:2],flush=True); time.sleep(1); print(sys.argv[2])"
    monkeypatch.setattr(process, "ASK", (sys.executable, "-c", code, process.QUESTION, process.MEMORY))
    started = time.perf_counter()
    seconds, text = process.first_output(tmp_path / "x", "Why {not}?")
    assert 0 < seconds < time.perf_counter() - started - 0.9
    assert text == f"Wh\n{tmp_path / 'x'}"


@pytest.mark.parametrize(
    "code", ["raise SystemExit('No such command.')", "print('Not in memory.')", ""]
)
def test_a_command_that_does_not_answer_is_an_error(monkeypatch, tmp_path, code):
    monkeypatch.setattr(process, "ASK", (sys.executable, "-c", code))
    with pytest.raises(LarimarError, match=r"(?s)could not finish.*said: "):
        process.first_output(tmp_path / "x", "Why?")


def test_the_first_integer_is_scored():
    assert passkey.first_integer("The pass key is 4217. 9 is not.") == 4217
    assert passkey.first_integer("I do not know.") is None


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(InputError, match="no benchmark 'speed'"):
        benchmarks.run("speed")


def test_only_the_curve_takes_several_bundles(tmp_path):
    with pytest.raises(InputError, match="'latents' measures one bundle, and was given 2"):
        benchmarks.run("latents", latents=[tmp_path, tmp_path])


def test_missing_packages_are_named():
    with pytest.raises(InputError, match=r"no-such-package.*\[bench\]"):
        result.require(["numpy", "no-such-package"])


def _check_shape(found, name):
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["name"] == name
    assert set(found) == {
        *("name", "quick", "figures", "bars", "seed"),
        *("machine", "versions", "commit"),
    }
    assert set(found["machine"]) == {
        "cpu",
        "cores",
        "memory_gb",
        "accelerator",
        "number_format",
        "platform",
    }
    assert {"python", "sqlite", "larimar_memory", "torch", "numpy"} <= set(found["versions"])
    assert found["bars"]
    for one in found["bars"]:
        assert set(one) == {"measure", "value", "bar", "holds"}
        assert one == result.bar(one["measure"], one["value"], one["bar"])


def test_passkey_result():
    notes = []
    size = passkey.Size((600,), 300, 1)
    found = benchmarks.run("passkey", seed=7, on_note=notes.append, _size=size)
    _check_shape(found, "passkey")
    assert found["seed"] == 7
    assert notes
    prose_figures = found["figures"]["prose"]["600"]
    assert prose_figures["read"] == {
        "count": 1,
        "of": 1,
        "interval": pytest.approx([0.2065, 1], abs=1e-3),
    }
    assert len(found["bars"]) == 4


def test_batch_commits_are_compared_with_one():
    pieces = [f"Sentence {n}. " for n in range(2500)]
    batches = ingest._batches(pieces)
    assert [len(batch.segments) for batch in batches] == [1024, 1024, 452]
    assert [batch.replace for batch in batches] == [True, False, False]
    assert [batch.document.complete for batch in batches] == [False, False, True]
    assert "".join(s.text for batch in batches for s in batch.segments) == "".join(pieces)
    batched, once = ingest.commit_seconds(pieces, 2)
    assert len(batched) == len(once) == 2
    assert min(batched + once) > 0


def test_ingest_result():
    pytest.importorskip("faiss")
    found = benchmarks.run("ingest", _size=ingest.Size(400, 1))
    _check_shape(found, "ingest")
    assert found["figures"]["larimar_segments"] > found["figures"]["langchain_chunks"] > 0
    assert found["versions"]["faiss_cpu"]


def test_needles_are_drawn_by_length_and_depth(tmp_path):
    figures = {
        "lengths": [10, 20],
        "depths": [0.0, 1.0],
        "read": [[1, 1], [1, 0]],
        "answered": [[1, 0], [1, 0]],
    }
    made = {"name": "needle", "figures": figures}
    one = plots.draw(made, tmp_path / "one.svg").read_bytes()
    assert one == plots.draw(made, tmp_path / "two.svg").read_bytes()
    figures["answered"][1][1] = 1
    assert one != plots.draw(made, tmp_path / "three.svg").read_bytes()


def test_needles_are_taken_out_again(count):
    from benchmarks.trials import field

    session = Session(0, None, lambda _: None)
    with field(session, prose(600, count, seed=0)) as hay:
        texts = {d.id: hay.memory.text(d.id) for d in hay.memory.documents()}
        trial = hay.ask(needle.NEEDLE, 0.5, needle.QUESTION, holds=needle.said, right=needle.said)
        assert texts == {d.id: hay.memory.text(d.id) for d in hay.memory.documents()}
    assert trial.rank == 1


def test_facts_are_asked_for_by_what_only_they_say(session):
    found = facts(session, 60)
    assert found == facts(session, 60)
    assert len({fact.text for fact in found}) == 60
    for fact in found:
        assert fact.text.startswith(fact.question + " ")
        assert len(fact.text.split()) == len(fact.question.split()) + 2


def test_too_little_text_for_facts_is_told(tmp_path):
    (tmp_path / "a.txt").write_text("The mill of Ren has stood beside the river for years.")
    with pytest.raises(InputError, match="not enough sentences for 3 facts"):
        facts(Session(0, tmp_path, lambda _: None), 3)


def test_the_memory_is_measured_on_what_it_holds(session, tmp_path):
    size = memory_bench.Size(
        slots=32,
        capacities=(16,),
        loads=(0.5, 2),
        edited=edits.Size(counts=(6,), asked=6, stored=50, timed=3),
        forgotten=2,
        shards=8,
    )
    figures, bars = memory_bench.measure(session, size)
    assert figures["recall"]["16"]["grow"] == 1.0
    assert figures["merge"]["same bits"]
    assert figures["edits"]["6"] == {
        **figures["edits"]["6"],
        "retained": 1.0,
        "old facts read first": 0.0,
    }
    assert figures["edit_seconds"]["last edit is read"]
    half, double = figures["curve"]["rows"]
    assert half["cosine"] > 0.999
    assert double["cosine"] == pytest.approx(0.707, abs=0.05)
    for row in (half, double):
        assert row["expected cosine"] == pytest.approx(row["cosine"], abs=0.02)
    for modes in figures["forget"].values():
        assert [mode["forgotten"] for mode in modes.values()] == [0, 0]
    assert {bar["holds"] for bar in bars if "merged" in bar["measure"]} == {True}
    made = result.assemble("memory", figures, bars, seed=0, quick=False, packages=())
    one = plots.draw(json.loads(json.dumps(made)), tmp_path / "one.svg").read_bytes()
    assert one == plots.draw(made, tmp_path / "two.svg").read_bytes()
    half["cosine"] = 0.1
    assert one != plots.draw(made, tmp_path / "three.svg").read_bytes()


def test_a_turn_is_timed_in_conversations_of_several_lengths(session, tmp_path):
    figures, bars = conversation.measure(session, conversation.Size((4, 12), 2))
    assert figures["turns"] == [4, 12]
    assert {len(medians) for medians in figures["median ms"].values()} == {2}
    assert len(bars) == len(figures["ratios"]) == 7
    assert bars[0]["measure"] == "the next prompt, at 12 turns over 4"
    made = result.assemble("conversation", figures, bars, seed=0, quick=False, packages=())
    assert plots.draw(json.loads(json.dumps(made)), tmp_path / "one.svg").stat().st_size > 0
    figures, bars = conversation.report(
        conversation.Size((1, 9), 3), {"a": [[9, 1, 2], [9, 3, 4]], "b": [[9, 1, 1], [9, 1, 1]]}, [1, 1]
    )
    assert figures["median ms"] == {"a": [1500.0, 3500.0], "b": [1000.0, 1000.0]}
    assert [bar["holds"] for bar in bars] == [False, True]
