"""Runs that train an answering adapter, and answers that it is attached to."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from larimar_memory import Larimar
from larimar_memory.decoders.prompt import NOT_IN_MEMORY
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError, ModelError
from larimar_memory.latents.adapting import DecoderAdapter
from larimar_memory.latents.answering import load_adapter, new_adapters, save_adapter
from larimar_memory.latents.description import TENSORS, describe
from larimar_memory.train import AnswersRecipe, train_answers
from larimar_memory.types import AnswerOptions
from tests.tiny import tiny_decoder
from tests.train.tiny_rows import PROSE, ROWS, as_line, write


@pytest.fixture(scope="module")
def decoder() -> Any:
    return tiny_decoder(max_position_embeddings=2048)


RECIPE = AnswersRecipe(
    kind="answers", steps=6, packs=2, rank=2, warmup=1, check_every=6, check_packs=2, save_every=1e9
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    learnt = [as_line(row) | {"split": "train"} for row in ROWS]
    write(folder, "wiki.jsonl", [*learnt[:3], as_line(ROWS[0]) | {"split": "val"}])
    write(folder, "talk.jsonl.xz", learnt[3:])
    return folder


def test_training_resumes_to_the_same_weights(tmp_path: Path, data: Path, decoder: Any) -> None:
    before = {name: x.clone() for name, x in decoder.model.state_dict().items()}
    at_once = train_answers(RECIPE, decoder, data, tmp_path / "a")
    assert at_once.done
    assert at_once.progress.total_steps == 6
    assert set(at_once.progress.checked) == {"held_out_loss", "exact", "refused"}
    parts = 0
    while not (part := train_answers(RECIPE, decoder, data, tmp_path / "b", time_limit=0.0)).done:
        parts += 1
    assert parts >= 4
    one, other = (load_adapter(made.folder, decoder).adapters.state_dict() for made in (at_once, part))
    assert all(torch.equal(x, other[name]) for name, x in one.items())
    assert any(x.abs().sum() > 0 for name, x in one.items() if name.startswith("up"))
    after = decoder.model.state_dict()
    assert all(torch.equal(x, after[name]) for name, x in before.items())
    lines = (tmp_path / "a" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6, 6]


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path, data: Path, decoder: Any) -> None:
    train_answers(RECIPE, decoder, data, tmp_path / "a", time_limit=0.0)
    other = RECIPE.model_copy(update={"seed": 1})
    with pytest.raises(InputError, match=r"The checkpoint was made by another recipe\."):
        train_answers(other, decoder, data, tmp_path / "a")
    assert train_answers(other, decoder, data, tmp_path / "a", resume=False).done


def test_training_goes_on_from_an_adapter_of_its_rank(tmp_path: Path, data: Path, decoder: Any) -> None:
    first = train_answers(RECIPE, decoder, data, tmp_path / "a")
    still = RECIPE.model_copy(update={"steps": 1, "down_rate": 1e-12, "up_rate": 1e-12, "decay": 0})
    on = train_answers(still, decoder, data, tmp_path / "b", start=first.folder)
    before, after = (load_adapter(made.folder, decoder) for made in (first, on))
    for name, x in before.adapters.state_dict().items():
        torch.testing.assert_close(after.adapters.state_dict()[name], x, atol=1e-3, rtol=1e-2)
    assert after.figures["before"] == before.figures
    other = RECIPE.model_copy(update={"rank": 4})
    with pytest.raises(InputError, match=r"has rank 2, and the recipe 4\."):
        train_answers(other, decoder, data, tmp_path / "c", start=first.folder)


def test_what_is_exported_is_a_mean_with_what_it_started_from(
    tmp_path: Path, data: Path, decoder: Any
) -> None:
    first = train_answers(RECIPE, decoder, data, tmp_path / "a")
    more = RECIPE.model_copy(update={"steps": 2, "seed": 5})
    trained = train_answers(more, decoder, data, tmp_path / "b", start=first.folder)
    kept = more.model_copy(update={"keep": 0.25})
    mean = train_answers(kept, decoder, data, tmp_path / "c", start=first.folder)
    before, after, found = (
        load_adapter(made.folder, decoder).adapters.state_dict() for made in (first, trained, mean)
    )
    for name, x in found.items():
        expected = 0.25 * before[name] + 0.75 * after[name]
        torch.testing.assert_close(x, expected, atol=1e-3, rtol=1e-2)
    assert any(not torch.equal(x, after[name]) for name, x in found.items())
    again = train_answers(kept, decoder, data, tmp_path / "c", start=first.folder)
    assert load_file(again.folder / TENSORS).keys() == load_file(mean.folder / TENSORS).keys()
    for name, x in load_adapter(again.folder, decoder).adapters.state_dict().items():
        assert torch.equal(x, found[name])
    alone = r"keeps 0\.25 of the adapter that it starts from, and none is given\."
    with pytest.raises(InputError, match=alone):
        train_answers(kept, decoder, data, tmp_path / "d")


def test_texts_that_are_all_too_long_are_an_error(tmp_path: Path, data: Path, decoder: Any) -> None:
    short = RECIPE.model_copy(update={"longest": 5})
    with pytest.raises(InputError, match=r"or their texts are over 5 tokens\."):
        train_answers(short, decoder, data, tmp_path / "a")


def test_a_memorised_answer_is_given_through_the_memory(tmp_path: Path, decoder: Any) -> None:
    """End to end on a tiny decoder: what was learnt is said only where memory grounds the answer."""
    folder = tmp_path / "rows"
    folder.mkdir()
    write(folder, "wiki.jsonl", [as_line(ROWS[0]) | {"split": "train"}])
    recipe = AnswersRecipe(
        kind="answers", steps=60, packs=2, rank=8, warmup=2, down_rate=1e-2, up_rate=1e-2,
        mix={"wiki": 1.0}, check_every=60, check_packs=1,
    )  # fmt: skip
    made = train_answers(recipe, decoder, folder, tmp_path / "out")
    ids = torch.tensor([decoder.plain_tokens("What is plain?")])
    plain = decoder.model(ids).logits
    with Larimar.open(decoder=decoder, adapter=made.folder, threshold=0) as memory:
        memory.write(PROSE)
        answer = memory.answer("Who built the lighthouse?", 1)
    with Larimar.open(decoder=decoder, threshold=0) as memory:
        memory.write(PROSE)
        other = memory.answer("Who built the lighthouse?", 1)
    assert answer.text
    assert answer.text != other.text
    assert torch.equal(decoder.model(ids).logits, plain)


def test_memories_with_one_decoder_share_an_adapter(tmp_path: Path, decoder: Any) -> None:
    save_adapter(new_adapters(decoder, 2), decoder, tmp_path / "a", {})
    save_adapter(new_adapters(decoder, 2), decoder, tmp_path / "b", {})
    first, again, other = (
        DecoderAdapter(lambda: decoder, tmp_path / name, decoder.name)() for name in ("a", "a", "b")
    )
    assert first is again
    assert other is not first
    save_adapter(new_adapters(decoder, 2), decoder, tmp_path / "a", {"trained": "again"})
    anew = DecoderAdapter(lambda: decoder, tmp_path / "a", decoder.name)()
    assert anew.figures == {"trained": "again"}
    held = ref(DecoderAdapter(lambda: tiny_decoder(), tmp_path / "b", "tiny")())
    gc.collect()
    assert held() is None


@pytest.mark.parametrize("steps", [True, False])
def test_a_refusal_leans_on_what_was_read(
    tmp_path: Path, decoder: Any, monkeypatch: pytest.MonkeyPatch, steps: bool
) -> None:
    """It is the odds of the first token that change, by what the read says, and nothing after it."""
    if not steps:
        monkeypatch.setattr(decoder.packing, "fits", lambda model: False)
    save_adapter(new_adapters(decoder, 2), decoder, tmp_path, {})
    described = json.loads((tmp_path / "adapter.json").read_text())
    ids, begun = decoder.plain_tokens("Who built it?"), decoder.plain_tokens(NOT_IN_MEMORY)[0]

    def first(probability: float) -> float:
        given = load_adapter(tmp_path, decoder).after_read(probability)
        generation = decoder.generate(ids, max_tokens=1, conditioning=given)
        list(generation)
        return float(np.exp(generation.log_probabilities[0]))

    even = first(0.5)
    assert first(0.0) == first(1.0) == even
    said = described | {"refusing": {"bias": 60.0, "scope": -10.0, "fitted_on": "rows"}}
    (tmp_path / "adapter.json").write_text(json.dumps(said))
    assert first(0.5) > 0.999 >= even
    assert first(0.999) == pytest.approx(even, abs=1e-3)
    leaning = load_adapter(tmp_path, decoder).after_read(0.5)
    assert leaning.first == {begun: 60.0}
    twice = decoder.generate(ids, max_tokens=2, conditioning=leaning)
    assert "".join(twice)
    assert twice.log_probabilities[1] < -0.01


@pytest.mark.parametrize(
    "metadata", [{}, {"speaker": "Ada"}, {"said_at": "2026-05-03"}, {"speaker": ""}]
)
def test_a_conversation_is_refused_by_weights_of_its_own(
    tmp_path: Path,
    decoder: Any,
    encoder: SentenceEncoder,
    monkeypatch: pytest.MonkeyPatch,
    metadata: dict[str, str],
) -> None:
    save_adapter(new_adapters(decoder, 2), decoder, tmp_path, {})
    described = json.loads((tmp_path / "adapter.json").read_text())
    refusing = {"bias": 1.0, "scope": 0.0, "talked": {"bias": 2.0, "scope": 0.0, "talked": None}}
    (tmp_path / "adapter.json").write_text(json.dumps(described | {"refusing": refusing}))
    given, generate = list[Any](), type(decoder).generate

    def spy(self: Any, tokens: list[int], **options: Any) -> Any:
        given.append(options["conditioning"].first)
        return generate(self, tokens, **options)

    monkeypatch.setattr(type(decoder), "generate", spy)
    with Larimar.open(None, encoder=encoder, decoder=decoder, adapter=tmp_path) as memory:
        memory.write([PROSE], metadatas=[metadata])
        memory.answer("Who built it?", threshold=0.0, max_tokens=2)
    talked = any(metadata.values())
    assert given == [{decoder.plain_tokens(NOT_IN_MEMORY)[0]: 2.0 if talked else 1.0}]


def test_a_brief_answer_is_judged_by_the_question_and_what_was_read(
    tmp_path: Path, decoder: Any, encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_adapter(new_adapters(decoder, 2), decoder, tmp_path / "plain", {})
    save_adapter(new_adapters(decoder, 2), decoder, tmp_path / "judging", {})
    describe(tmp_path / "judging", judging={"weights": {"near": 2.0}, "fitted_on": "rows"})
    given, generate = list[Any](), type(decoder).generate

    def spy(self: Any, tokens: list[int], **options: Any) -> Any:
        given.append(options["conditioning"].weighing)
        return generate(self, tokens, **options)

    monkeypatch.setattr(type(decoder), "generate", spy)
    for name in ("plain", "judging"):
        opened = Larimar.open(None, encoder=encoder, decoder=decoder, adapter=tmp_path / name)
        with opened as memory:
            memory.write([PROSE])
            for how in ({}, {"beams": 1}, {"begin": "It"}, {"style": "full"}):
                memory.answer("Who built it?", threshold=0.0, max_tokens=2, **how)
    plain, *others = given[:4]
    assert (plain.beams, plain.judge) == (AnswerOptions().beams, None)
    judged, *more = given[4:]
    assert judged.judge.weights == {"near": 2.0}
    assert judged.judge.question == "Who built it?"
    assert judged.judge.passages
    assert all(passage in PROSE for passage in judged.judge.passages)
    assert others == more == [None] * 3


def test_what_is_fitted_is_put_beside_what_is_described(tmp_path: Path, decoder: Any) -> None:
    with pytest.raises(ModelError, match="There is no answering adapter in"):
        describe(tmp_path, judging={})
    save_adapter(new_adapters(decoder, 2), decoder, tmp_path, {"steps": 3})
    describe(tmp_path, refusing={"bias": 1.0, "scope": 0.5})
    describe(tmp_path, judging={"weights": {"near": 2.0}})
    describe(tmp_path, refusing={"bias": 2.0, "scope": 0.5})
    loaded = load_adapter(tmp_path, decoder)
    assert loaded.figures == {"steps": 3}
    assert loaded.judging == {"near": 2.0}
    assert loaded.after_read(0.5).first == {decoder.plain_tokens(NOT_IN_MEMORY)[0]: 2.0}


def test_a_folder_without_an_adapter_or_for_another_decoder_is_named(
    tmp_path: Path, decoder: Any
) -> None:
    with pytest.raises(ModelError, match="There is no answering adapter in"):
        load_adapter(tmp_path, decoder)
    save_adapter(new_adapters(decoder, 2), decoder, tmp_path, {})
    described = json.loads((tmp_path / "adapter.json").read_text())
    for change, said in (
        ({"decoder": "0" * 32}, "does not fit the decoder"),
        ({"rank": 3}, "does not have the tensors"),
        ({"format": 9}, "It has format 9, and this version reads 1"),
        ({"refusing": {"bias": 1}}, "what it says of .refusing. is no bias and scope: 'scope'"),
        ({"refusing": [1, 0]}, "what it says of .refusing. is no bias and scope: 'list' object"),
        (
            {"refusing": {"bias": 1, "scope": 0, "talked": {"bias": "x"}}},
            "what it says of .refusing. is no bias and scope: could not convert",
        ),
        (
            {"refusing": {"bias": 1, "scope": 0, "latent": {"bias": 1}}},
            "what it says of .refusing. is no bias and scope: 'scope'",
        ),
        ({"judging": {"total": 1}}, "what it says of .judging. is no weights: 'weights'"),
        (
            {"judging": {"weights": {"total": "x"}}},
            "what it says of .judging. is no weights: could not",
        ),
        ({"judging": {"weights": {"luck": 1}}}, "judging. weighs 'luck', which is no sign"),
    ):
        (tmp_path / "adapter.json").write_text(json.dumps(described | change))
        with pytest.raises(ModelError, match=said):
            load_adapter(tmp_path, decoder)
    (tmp_path / "adapter.json").write_text("{")
    with pytest.raises(ModelError, match="It is damaged: JSONDecodeError"):
        load_adapter(tmp_path, decoder)
