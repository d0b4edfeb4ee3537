"""Answers learnt from latents, with the decoder's answering adapter on."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from larimar_memory.decoders.prompt import passages
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.errors import InputError
from larimar_memory.latents import LatentCodec, LatentConfig
from larimar_memory.latents.answering import new_adapters, save_adapter
from larimar_memory.latents.latent_memory import in_windows
from larimar_memory.text.segments import segment
from larimar_memory.train import Lessons, Recipe, Sampler, Stage, lessons, train
from larimar_memory.train.batches import IGNORED
from larimar_memory.train.grounded import Grounded, Reading
from larimar_memory.train.losses import unexplained
from larimar_memory.train.rows import Row
from larimar_memory.train.shown import Shown
from tests.tiny import tiny_decoder

PROSE = (
    "The lighthouse at Cape Orin was built in 1871 by Marta Holm. Its lamp burnt whale oil until 1902. "
    "A storm broke the gallery in the winter of 1911. Today it houses a small museum of knots."
)
ROWS = [
    Row("wiki", PROSE, "Who built the lighthouse?", ("Marta Holm",)),
    Row("wiki", PROSE, "When did a storm come?", ("in the winter of 1911",)),
    Row("wiki", PROSE, "Who painted it?", ()),
    Row(
        "wiki",
        "A mill stood by the river. It burnt down in 1804.",
        "When did it burn?",
        ("1804",),
        True,
    ),
]
STAGE = Stage(kind="ground", steps=3, tokens=60, recite_share=0.3, longest=20, warmup=1)
RECIPE = Recipe(
    codec=LatentConfig(dz=8, depth=0.5, width=16, rank=2, limit=12),
    stages=(STAGE,),
    check_every=3,
    check_segments=2,
    check_questions=2,
    save_every=1e9,
    balance=0,
)


@pytest.fixture
def tiny() -> TransformersDecoder:
    return tiny_decoder(max_position_embeddings=4096)


@pytest.fixture
def adapter(tmp_path: Path, tiny: TransformersDecoder) -> Path:
    made = new_adapters(tiny, 2)
    for up in made.up:
        torch.nn.init.normal_(up, std=0.1)
    save_adapter(made, tiny, tmp_path / "adapter", {})
    return tmp_path / "adapter"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    lines = [
        {
            "context": r.context,
            "question": r.question,
            "answers": r.answers,
            "answerable": bool(r.answers),
        }
        | {"split": "val" if r.held_out else "train"}
        for r in ROWS
    ]
    (folder / "wiki.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture
def learner(tiny: TransformersDecoder, rows: Path, adapter: Path) -> Grounded:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = LatentCodec(tiny, RECIPE.codec)
        torch.nn.init.normal_(codec.head.leave.weight, std=0.1)
    sampler = Sampler([PROSE] * 3, tiny.tokenizer)
    return Grounded(codec, STAGE, RECIPE, sampler, lessons(rows, tiny, adapter))


def reading(learner: Grounded, shown: Shown | None = None) -> Reading:
    if shown is not None:
        learner._among = lambda *_: shown  # type: ignore[method-assign]
    rng = random.Random(1)
    return next(made for _ in range(20) if (made := learner._reading(rng)) is not None)


def test_what_is_learnt_from_is_what_a_memory_reads(learner: Grounded) -> None:
    """The prefix is that of the latents which are stored for these passages."""
    shown = Shown((PROSE, "A mill burnt down in 1804. Nobody was hurt."), ("", ""))
    made = learner._prefix(reading(learner, shown))
    texts = [[s.text.strip() for s in segment(text)] for text in passages(shown.texts)]
    latents = [
        [z for window in learner.codec.encode_windows(in_windows(text)) for z in window]
        for text in texts
    ]
    kept = learner.codec.readout(latents)
    for name in ("keys", "values"):
        ours, theirs = getattr(made, name)[:, :1], getattr(kept._prefix, name)
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_labels_are_the_answers(learner: Grounded, tiny: TransformersDecoder) -> None:
    made = reading(learner)
    said = [tiny.tokenizer.decode([int(t) for t in row if t != IGNORED]) for row in made.labels]
    assert set(said) <= {"Marta Holm", "in the winter of 1911", "Not in memory."}
    ends = [prompt[-length:] for prompt, length in zip(made.prompts, made.lengths, strict=True)]
    assert [tiny.tokenizer.decode(end) for end in ends] == said
    assert made.size == int((made.labels != IGNORED).sum())


def test_the_teacher_has_read_what_is_read_after_the_latents(learner: Grounded) -> None:
    """Of every input that the prompt ends with: there, what it makes of its own text."""
    made = reading(learner)
    taught, model = learner._teach(made), learner.codec.decoder.model
    layers = [list[torch.Tensor]() for _ in taught.layers]
    for n, prompt in enumerate(made.prompts):
        count = int(taught.read[n].sum())
        inputs = made.inputs[n][taught.read[n]].tolist()
        assert inputs == prompt[-1 - count : -1]
        # At least the question and the answer.
        assert count > made.lengths[n] + 10
        with torch.no_grad(), learner._adapter.attached():
            found = model.model(torch.tensor([prompt]), output_hidden_states=True).hidden_states[1:]
        for layer, states in zip(layers, found, strict=True):
            layer.append(states[0, -1 - count : -1])
    for layer, theirs in zip(layers, taught.layers, strict=True):
        torch.testing.assert_close(torch.cat(layer), theirs, atol=1e-4, rtol=1e-4)


def test_states_that_come_nearer_lower_the_loss(learner: Grounded) -> None:
    made, stage = reading(learner), learner.stage
    far = float(learner.loss(made))
    learner.stage = stage.model_copy(update={"near": 2.0})
    before = float(learner.loss(made))
    assert before > far
    learning = [*learner.codec.encoder.parameters(), *learner.codec.head.parameters()]
    learner.stage = stage.model_copy(update={"near": 1e6})
    learner.loss(made).backward()
    with torch.no_grad():
        for weight in learning:
            weight -= 1e-3 * weight.grad.sign() if weight.grad is not None else 0.0
    learner.stage = stage.model_copy(update={"near": 2.0})
    nearer = float(learner.loss(made)) - _without(learner, stage, made)
    assert nearer < before - far


def _without(learner: Grounded, stage: Stage, made: Reading) -> float:
    learner.stage = stage
    return float(learner.loss(made))


def test_what_is_unexplained() -> None:
    wanted = torch.randn(50, 8) * 3 + 100
    assert float(unexplained(wanted, wanted)) == 0
    assert float(unexplained(wanted.mean(0).expand_as(wanted), wanted)) == pytest.approx(1)


def test_the_codec_learns_and_the_answering_adapter_stays(learner: Grounded) -> None:
    before = {name: x.clone() for name, x in learner._adapter.adapters.state_dict().items()}
    loss = learner.loss(reading(learner))
    loss.backward()
    for part in (learner.codec.encoder, learner.codec.head, learner.codec.adapters):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert all(p.grad is None for p in learner._adapter.adapters.parameters())
    for name, x in learner._adapter.adapters.state_dict().items():
        assert torch.equal(x, before[name])


def test_a_stage_is_trained_resumed_and_checked(
    tmp_path: Path, tiny: TransformersDecoder, rows: Path, adapter: Path
) -> None:
    taught = lessons(rows, tiny, adapter)
    source = Sampler([PROSE] * 3, tiny.tokenizer)
    data = (source, source)
    whole = train(RECIPE, tiny, data, tmp_path / "whole", lessons=taught)
    assert whole.done
    log = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert any("divergence" in line for line in log)
    saved = RECIPE.model_copy(update={"save_every": 0.0})
    for _ in range(4):
        part = train(saved, tiny, data, tmp_path / "parts", lessons=taught, time_limit=0.0)
    assert part.done
    for name, tensor in whole.codec.state_dict().items():
        assert torch.equal(part.codec.state_dict()[name], tensor), name


def test_without_questions_or_an_adapter_there_is_nothing_to_learn(
    tmp_path: Path, tiny: TransformersDecoder, rows: Path
) -> None:
    source = Sampler([PROSE] * 3, tiny.tokenizer)
    with pytest.raises(InputError, match=r"Name a folder of rows \(--rows\)"):
        train(RECIPE, tiny, (source, source), tmp_path / "out")
    with pytest.raises(InputError, match="No answering adapter ships for the decoder 'tiny'"):
        lessons(rows, tiny)


@pytest.mark.parametrize("held_out", [True, False])
def test_a_mix_without_rows_of_a_kind_is_told_before_the_first_step(
    tmp_path: Path, tiny: TransformersDecoder, rows: Path, adapter: Path, held_out: bool
) -> None:
    source, taught = Sampler([PROSE] * 3, tiny.tokenizer), lessons(rows, tiny, adapter)
    kept = Lessons([row for row in taught.rows if row.held_out is not held_out], taught.adapter)
    kind = "held out" if held_out else "learnt from"
    with pytest.raises(InputError, match=rf"no row is {kind}\. Give rows of those files"):
        train(RECIPE, tiny, (source, source), tmp_path / "out", lessons=kept)


def test_rows_that_are_held_out_are_not_learnt(learner: Grounded) -> None:
    assert all(row.held_out is False for row in ROWS if row.context in learner._texts)
    assert isinstance(learner._lessons, Lessons)
    held_out = Grounded(learner.codec, STAGE, RECIPE, learner.source, learner._lessons, held_out=True)
    assert held_out._texts == [ROWS[-1].context]
