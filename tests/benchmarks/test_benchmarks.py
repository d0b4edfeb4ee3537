"""The benchmarks: what each measures at a small size, and the shape of what they return."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib import import_module

import pytest

import benchmarks
from benchmarks import conversation, decoding, edits, ingest, latency, passkey, plots, process, result
from benchmarks import memory as memory_bench
from benchmarks.session import Session
from larimar_memory.errors import InputError, LarimarError
from tests.tiny import tiny_decoder

pytestmark = pytest.mark.model


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


def test_packed_weights_are_compared_with_the_models_own(decoder):
    text = decoder.plain_tokens("The harbour master rings a bell at noon, and the ferry leaves.")
    found = decoding.compared(decoder, [text])
    assert found["divergence"] < 0.01
    assert found["greedy_differs"] < 0.2
    unpacked = tiny_decoder(intermediate_size=40)
    assert decoding.compared(unpacked, [[1, 2, 3]])["packed"] is False


def test_a_question_is_read_answered_and_read_again(real_session, hay):
    made = []
    questions = latency.ask_about(real_session, hay, 2, "asked anew")
    assert set(questions).isdisjoint(latency.ask_about(real_session, hay, 2))
    tiny = Session(0, None, lambda _: None)
    vars(tiny).update(encoder=real_session.encoder, decoder=tiny_decoder(max_position_embeddings=2_000))
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


def test_latency_questions_are_different_and_in_the_haystack(hay, real_session):
    questions = latency.ask_about(real_session, hay, 24)
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


def test_the_memory_is_measured_on_what_it_holds(real_session, tmp_path):
    size = memory_bench.Size(
        slots=32,
        capacities=(16,),
        loads=(0.5, 2),
        edited=edits.Size(counts=(6,), asked=6, stored=50, timed=3),
        forgotten=2,
        shards=8,
    )
    figures, bars = memory_bench.measure(real_session, size)
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


def test_a_turn_is_timed_in_conversations_of_several_lengths(real_session, tmp_path):
    figures, bars = conversation.measure(real_session, conversation.Size((4, 12), 2))
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
