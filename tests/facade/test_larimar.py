"""The facade: write, read, answer, update, forget, on the real models."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from larimar_memory import Larimar
from larimar_memory.decoders.prompt import NOT_IN_MEMORY
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError, LatentsUnavailableError, MemoryFileError
from larimar_memory.types import WriteProgress

FACTS = [
    "The pass key is 71432. Remember it. 71432 is the pass key.",
    "The lighthouse at Cape Ren was built by Odile Marchetti in 1887.",
    "Basalt is an igneous rock that forms when lava cools quickly at the surface.",
    "The town council meets on the second Tuesday of every month at seven in the evening.",
]


def test_what_was_written_is_read_with_its_place(memory: Larimar) -> None:
    text = (
        "Some words before it come first, as they do. " + FACTS[1] + " And some words after it follow."
    )
    (name,) = memory.write([text], metadatas=[{"source": "guide.txt"}])
    readout = memory.read("Who built the lighthouse at Cape Ren?", k=2)
    best = readout.segments[0]
    assert readout.in_scope
    assert best.document_id == name
    assert best.id == f"{name}#{best.index}"
    assert text[best.start : best.end] == best.text
    assert FACTS[1] in best.text
    assert best.metadata == {"source": "guide.txt"}
    assert 0.45 < best.score <= 1
    assert sum(s.weight for s in readout.segments) == pytest.approx(1)
    assert best.weight > 0.99
    assert {segment.latents for segment in readout.segments} == {(None,)}
    wide = memory.read("Who built the lighthouse at Cape Ren?", k=1, neighbours=1).segments[0]
    assert wide.context == text


def test_a_heading_is_read_with_what_follows(memory: Larimar) -> None:
    memory.write(
        "Visiting hours\n\nThe gate is open from ten to four.\n\nNothing else is known about it."
    )
    best = memory.read("What are the visiting hours?", k=1).segments[0]
    assert best.text == "Visiting hours\n\n"
    assert best.context == "Visiting hours\n\nThe gate is open from ten to four.\n\n"


def test_answers_come_from_memory(memory: Larimar) -> None:
    memory.write(FACTS)
    answer = memory.answer("What is the pass key?")
    assert "71432" in answer.text
    assert answer.grounding == "text"
    assert answer.sources[0].text == FACTS[0]
    assert answer.usage.prompt_tokens > 20
    assert answer.usage.completion_tokens > 3
    assert 0 < answer.timings.read < answer.timings.first_token <= answer.timings.total


def test_swapping_the_memory_swaps_the_answer(memory: Larimar) -> None:
    memory.write([FACTS[0]], ["key"])
    memory.update("key", FACTS[0].replace("71432", "20815"))
    text = memory.answer("What is the pass key?").text
    assert "20815" in text
    assert "71432" not in text
    memory.forget(ids=["key"])
    assert memory.answer("What is the pass key?").grounding == "none"


def test_what_is_not_there_is_not_in_memory(encoder: SentenceEncoder) -> None:
    with Larimar.open(encoder=encoder, decoder="no-such/decoder") as memory:
        memory.write(FACTS)
        answer = memory.answer("Who won the football world cup in 1998?")
        assert (answer.text, answer.grounding, answer.sources) == (NOT_IN_MEMORY, "none", ())
        assert answer.usage.total_tokens == 0
        assert memory.answer("Is there anything at all?", namespace="empty").grounding == "none"
        readout = memory.read("Who won the football world cup in 1998?")
        assert not readout.in_scope
        assert readout.segments == ()
        assert 0 <= readout.best_score < readout.threshold
        assert len(memory.read("Who won the cup?", k=3, threshold=0).segments) == 3


def test_the_plain_decoder_answers_where_asked_to(
    encoder: SentenceEncoder, decoder: TransformersDecoder
) -> None:
    with Larimar.open(encoder=encoder, decoder=decoder) as memory:
        memory.write(FACTS)
        answer = memory.answer("What is the capital of France?", fallback=True)
        assert answer.grounding == "none"
        assert "Paris" in answer.text


def test_streaming_is_the_answer(encoder: SentenceEncoder, decoder: TransformersDecoder) -> None:
    with Larimar.open(encoder=encoder, decoder=decoder) as memory:
        memory.write(FACTS)
        stream = memory.stream("Who built the lighthouse at Cape Ren?")
        assert stream.sources[0].text == FACTS[1]
        pieces = list(stream)
        assert len(pieces) > 2
        assert "".join(pieces).strip() == stream.result().text
        assert "Odile" in stream.result().text
        stopped = memory.answer("Who built the lighthouse at Cape Ren?", stop=["Odile"])
        assert "Odile" not in stopped.text


def test_the_token_budget_holds(encoder: SentenceEncoder, decoder: TransformersDecoder) -> None:
    with Larimar.open(encoder=encoder, decoder=decoder) as memory:
        facts = [
            f"Fact {i}: the tower number {i} has {i + 10} windows facing the sea." for i in range(9)
        ]
        memory.write(facts)
        question = "How many windows does tower number 3 have?"
        wide = memory.answer(question, k=9, max_tokens=2)
        tight = memory.answer(question, k=9, max_tokens=2, context_tokens=50)
        assert len(tight.sources) < len(wide.sources)
        assert sum(decoder.count(s.text) for s in tight.sources) <= 50
        assert tight.usage.prompt_tokens < wide.usage.prompt_tokens
        with pytest.raises(InputError, match=r"Nothing that was recalled fits into 3 tokens\."):
            memory.answer(question, context_tokens=3)


def test_writing_again_changes_nothing(memory: Larimar, monkeypatch: pytest.MonkeyPatch) -> None:
    first = memory.write(FACTS)
    stats = memory.stats()
    monkeypatch.setattr(memory.store, "write", None)
    assert memory.write(FACTS) == first
    assert memory.stats() == stats
    assert memory.write([FACTS[0], FACTS[0]]) == [first[0], first[0]]


def test_metadata_alone_can_be_updated(memory: Larimar) -> None:
    memory.write([FACTS[0]], ["key"], [{"v": 1}])
    rows = [s.row for s in memory.store.segments("default", "key")]
    memory.update("key", FACTS[0], {"v": 2})
    assert [s.row for s in memory.store.segments("default", "key")] == rows
    assert memory.read("pass key").segments[0].metadata == {"v": 2}
    memory.update("key", FACTS[1])
    assert memory.read("lighthouse").segments[0].metadata == {"v": 2}


def test_an_interrupted_write_goes_on_where_it_was(
    tmp_path: Path, encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from larimar_memory import write

    monkeypatch.setattr(write, "BATCH_SEGMENTS", 8)
    monkeypatch.setattr(write, "LAZY_BATCHES", 1)
    text = " ".join(
        f"Sentence number {i} says that item {i} is kept on shelf {i * 7}." for i in range(60)
    )
    with Larimar.open(tmp_path / "m.larimar", encoder=encoder) as memory:
        seen = list[WriteProgress]()

        def stop(progress: WriteProgress) -> None:
            seen.append(progress)
            if len(seen) == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            memory.write([text], ["d"], on_progress=stop)
        kept = memory.stats().segments
        assert 24 <= kept < 60
        rows = [s.row for s in memory.store.segments("default", "d")]
        memory.write([text], ["d"])
        assert memory.text("d") == text
        assert [s.row for s in memory.store.segments("default", "d")][:kept] == rows
        assert memory.store.document("default", "d").complete  # type: ignore[union-attr]


def test_progress_reaches_the_end(memory: Larimar) -> None:
    seen = list[WriteProgress]()
    text = "One sentence stands here and says something plain. " * 9000
    memory.write([text, FACTS[0]], on_progress=seen.append)
    assert [p.characters for p in seen] == sorted(p.characters for p in seen)
    assert seen[-1].characters == seen[-1].total_characters == len(text) + len(FACTS[0])
    assert seen[-1].tokens > 60_000
    assert seen[-1].tokens_per_second > 0
    assert len(seen) > 2


def test_opaque_identifiers_are_found_by_their_letters(memory: Larimar) -> None:
    memory.write([f"The code of part {i} is QX-{i * 7919 % 10000:04d}-ZK." for i in range(60)])
    code = f"QX-{41 * 7919 % 10000:04d}-ZK"
    assert "part 41 " in memory.read(f"Which part has {code}?", k=1).segments[0].text


def test_filters_and_namespaces(memory: Larimar) -> None:
    memory.write(
        [f"The budget of {y} was {y - 2000} million." for y in (2019, 2020, 2021)],
        metadatas=[{"year": y} for y in (2019, 2020, 2021)],
    )
    memory.write(["The budget of Mars was 9 million."], namespace="mars")
    found = memory.read("What was the budget?", k=9, where={"year": {"$gt": 2019}})
    assert sorted(s.metadata["year"] for s in found.segments) == [2020, 2021]
    assert [s.text for s in memory.read("What was the budget?", namespace="mars").segments] == [
        "The budget of Mars was 9 million."
    ]
    assert memory.forget(where={"year": 2019}) == 1
    assert memory.forget(namespace="mars") == 1
    assert memory.stats().documents == 2
    assert [d.metadata["year"] for d in memory.documents()] == [2020, 2021]
    with pytest.raises(InputError, match=r"Nothing was forgotten\. Neither ids, nor a filter"):
        memory.forget()


def test_many_threads_at_once(memory: Larimar) -> None:
    memory.write(FACTS)
    failures = list[str]()

    def work(n: int) -> None:
        try:
            memory.write([f"Thread {n} left the note number {n} under the red stone."], [f"t{n}"])
            text = memory.read(f"Where did thread {n} leave note number {n}?", k=1).segments[0].text
            if f"number {n} " not in text:
                failures.append(text)
            memory.forget(ids=[f"t{n}"], purge=False)
        except Exception as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert memory.stats().documents == len(FACTS)


def test_latents_are_not_made_unasked(memory: Larimar) -> None:
    memory.write(FACTS)
    with pytest.raises(LatentsUnavailableError, match="cannot be grounded in latents"):
        memory.answer("What is the pass key?", grounding="latent")


def test_without_an_encoder_one_can_look_and_forget(
    encoder: SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.larimar"
    with Larimar.open(path, encoder=encoder) as written:
        written.write(["The ferry leaves at nine.", "The key is blue."], ["a", "b"])
        there = written.stats()
    with monkeypatch.context() as patched:
        patched.setattr(SentenceEncoder, "load", None)
        with Larimar.open(path, encoder=None) as opened:
            now = opened.stats()
            assert (now.segments, now.encoder) == (there.segments, encoder.fingerprint)
            assert opened.text("a") == "The ferry leaves at nine."
            assert opened.health().items == 2
            for needs_keys in (lambda: opened.write("More."), lambda: opened.read("When?")):
                with pytest.raises(InputError, match=r"It was opened without an encoder\."):
                    needs_keys()
            assert opened.forget(ids="a") == 1
    assert b"ferry" not in path.read_bytes()
    with Larimar.open(path, encoder=encoder) as again:
        assert again.read("What colour is the key?", threshold=0).segments[0].document_id == "b"
    with pytest.raises(InputError, match=r"A memory in RAM cannot be opened without an encoder\."):
        Larimar.open(encoder=None)
    with pytest.raises(MemoryFileError, match=r"There is no memory at"):
        Larimar.open(tmp_path / "absent", encoder=None)
