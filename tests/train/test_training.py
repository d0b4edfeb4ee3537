"""Training machinery: exact to resume, deterministic, measured by what is said freely."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.errors import InputError
from larimar_memory.latents import load_bundle
from larimar_memory.train import Stage, loop, train
from larimar_memory.train.losses import cross_entropy, divergence
from tests.train.tiny_runs import CODEC, recipe, texts

ALL = (
    Stage(kind="exact", steps=3, tokens=40, readouts=2),
    Stage(kind="regress", steps=3, tokens=40),
    Stage(kind="recite", steps=4, tokens=40, readouts=3, noise=0.2),
    Stage(kind="answer", steps=2, tokens=40, readouts=2, noise=0.1, shortest=8, longest=30),
)


def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, tiny: TransformersDecoder) -> None:
    data = texts(tmp_path / "texts")
    whole = train(recipe(*ALL), tiny, data, tmp_path / "whole")
    assert whole.done
    runs = 0
    while True:
        part = train(recipe(*ALL, save_every=0.0), tiny, data, tmp_path / "parts", time_limit=0.15)
        runs += 1
        if part.done:
            break
    assert runs > 1
    assert part.progress.total_steps == whole.progress.total_steps == 12
    assert part.progress.tokens == whole.progress.tokens
    for name, tensor in whole.codec.state_dict().items():
        assert torch.equal(part.codec.state_dict()[name], tensor), name


@pytest.mark.parametrize("kind", range(4))
def test_every_stage_can_be_cut_in_the_middle(
    tmp_path: Path, tiny: TransformersDecoder, kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed inside a stage, with the optimizer's moments and the schedule half way."""
    data, every = texts(tmp_path / "texts"), recipe(ALL[kind], save_every=0.0)
    whole = train(every, tiny, data, tmp_path / "whole")
    step, steps = loop._Run._step, list[int]()

    def killed(run: loop._Run, *rest: object) -> object:
        if steps:
            raise KeyboardInterrupt
        steps.append(1)
        return step(run, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "_step", killed)
        with pytest.raises(KeyboardInterrupt):
            train(every, tiny, data, tmp_path / "cut")
    assert json.loads((tmp_path / "cut" / "checkpoint.json").read_text())["step"] == 1
    again = train(every, tiny, data, tmp_path / "cut")
    assert again.done
    for name, tensor in whole.codec.state_dict().items():
        assert torch.equal(again.codec.state_dict()[name], tensor), name


def test_a_run_can_start_from_a_bundle(tmp_path: Path, tiny: TransformersDecoder) -> None:
    data = texts(tmp_path / "texts")
    first = train(recipe(*ALL[:2]), tiny, data, tmp_path / "first")
    begun = load_bundle(first.bundle, tiny).state_dict()
    still = Stage(kind="answer", steps=1, tokens=20, codec_rate=0.0, adapter_rate=1e-9, shortest=8)
    gone_on = train(recipe(still, balance=0), tiny, data, tmp_path / "second", start=first.bundle)
    for name, tensor in gone_on.codec.state_dict().items():
        torch.testing.assert_close(tensor, begun[name].float(), rtol=0, atol=1e-6)
    described = json.loads((gone_on.bundle / "latents.json").read_text())["figures"]
    assert [stage["kind"] for stage in described["recipe"]["stages"]] == ["answer"]
    assert described["before"] == json.loads((first.bundle / "latents.json").read_text())["figures"]
    on = still.model_copy(update={"codec_rate": 0.01, "adapter_rate": 0.01})
    learnt, mixed = (
        train(recipe(on, balance=0, keep=keep), tiny, data, tmp_path / f"{keep}", start=first.bundle)
        for keep in (0.0, 0.5)
    )
    for name, tensor in mixed.codec.state_dict().items():
        half_way = (learnt.codec.state_dict()[name] + begun[name].float()) / 2
        torch.testing.assert_close(tensor, half_way, rtol=0, atol=1e-5)
    assert not torch.equal(learnt.codec.adapters.state_dict()[name.removeprefix("adapters.")], tensor)
    with pytest.raises(InputError, match=r"begin from nothing\. The recipe keeps a share of 0\.5 of"):
        train(recipe(on, keep=0.5), tiny, data, tmp_path / "nothing")
    half = recipe(still, codec=CODEC.model_copy(update={"ratio": 2, "dz": 4}))
    narrow = train(half, tiny, data, tmp_path / "third", start=first.bundle).codec.adapters
    for name, tensor in narrow.state_dict().items():
        torch.testing.assert_close(tensor, begun[f"adapters.{name}"].float(), rtol=0, atol=1e-6)
    thin = recipe(still, codec=CODEC.model_copy(update={"rank": 1}))
    with pytest.raises(
        InputError, match=r"cannot start from .*bundle\. Its adapters are of rank 2, .* of rank 1\."
    ):
        train(thin, tiny, data, tmp_path / "fourth", start=first.bundle)


def test_answers_are_compared_with_the_teachers_on_text_that_was_held_out(
    tmp_path: Path, tiny: TransformersDecoder
) -> None:
    every = recipe(ALL[3], check_every=1, check_questions=8)
    train(every, tiny, texts(tmp_path / "texts"), tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    found = [x["divergence"] for x in lines if "divergence" in x]
    assert len(found) == 2
    assert all(0 < x < 5 for x in found)


def test_what_a_run_leaves_behind(tmp_path: Path, tiny: TransformersDecoder) -> None:
    done = train(recipe(*ALL), tiny, texts(tmp_path / "texts"), tmp_path / "out")
    assert tiny.model.config._attn_implementation == "sdpa"
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [x["stage"] for x in lines if "loss" in x] == [s.kind for s in ALL for _ in range(s.steps)]
    assert all(x["tokens_per_second"] > 0 for x in lines if "loss" in x)
    assert {"exact", "edit", "by_length"} <= set(lines[-1])
    assert sorted(p.name.split("-")[0] for p in (tmp_path / "out").iterdir()) == [
        "bundle",
        "checkpoint",
        "checkpoint.json",
        "log.jsonl",
    ]
    loaded = load_bundle(done.bundle, tiny)
    assert loaded.config == CODEC
    with pytest.raises(
        InputError, match=r"cannot be resumed\. The checkpoint was made by another recipe"
    ):
        train(recipe(ALL[0]), tiny, tmp_path / "texts", tmp_path / "out")
    (tensors,) = (tmp_path / "out").glob("*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"checkpoint in .* cannot be used\. It is damaged"):
        train(recipe(*ALL), tiny, tmp_path / "texts", tmp_path / "out")


def test_a_step_does_not_depend_on_how_it_is_cut(tiny: TransformersDecoder) -> None:
    torch.manual_seed(0)
    weight, hidden = torch.randn(50, 8), torch.randn(300, 8, requires_grad=True)
    labels = torch.randint(0, 50, (300,))
    expected = torch.nn.functional.cross_entropy(hidden @ weight.T, labels, reduction="sum")
    (gradient,) = torch.autograd.grad(expected, hidden)
    found = cross_entropy(hidden, weight, labels)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found * 2, hidden)[0], gradient * 2)


def test_divergence_is_the_textbooks_over_the_likeliest_tokens_and_all_others_as_one() -> None:
    torch.manual_seed(0)
    weight, hidden = torch.randn(50, 8), torch.randn(300, 8, requires_grad=True)
    teacher = (2 * torch.randn(300, 50)).log_softmax(-1)
    scores, tokens = teacher.topk(6)

    def merged(log_chances: torch.Tensor) -> torch.Tensor:
        named = log_chances.exp().gather(1, tokens)
        return torch.cat([named, 1 - named.sum(1, keepdim=True)], 1).log()

    expected = torch.nn.functional.kl_div(
        merged((hidden @ weight.T).log_softmax(-1)), merged(teacher), reduction="sum", log_target=True
    )
    found = divergence(hidden, weight, tokens, scores)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, hidden)[0],
        torch.autograd.grad(expected, hidden)[0],
        rtol=1e-4,
        atol=1e-4,
    )


def test_a_student_that_equals_its_teacher_is_not_corrected() -> None:
    torch.manual_seed(0)
    weight, hidden = torch.randn(50, 8), torch.randn(300, 8, requires_grad=True)
    scores, tokens = (hidden @ weight.T).detach().log_softmax(-1).topk(6)
    found = divergence(hidden, weight, tokens, scores)
    assert abs(found.item()) < 1e-3
    assert torch.autograd.grad(found, hidden)[0].abs().max() < 1e-4
