"""Training machinery: exact to resume, deterministic, measured by what is said freely."""

from __future__ import annotations

import json
import lzma
import random
from pathlib import Path

import pytest
import torch

from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.errors import InputError
from larimar_memory.latents import LatentCodec, LatentConfig, load_bundle
from larimar_memory.train import AnswersRecipe, Recipe, Stage, load_recipe, loop, recall, train
from larimar_memory.train.batches import IGNORED, after, recital
from larimar_memory.train.closed_form import Moments
from larimar_memory.train.evaluate import edit_distance, from_exact
from larimar_memory.train.importance import importance, weighted
from larimar_memory.train.loop import schedule
from larimar_memory.train.losses import cross_entropy, divergence
from larimar_memory.train.passages import read_folder
from larimar_memory.train.questions import ask
from larimar_memory.train.rare import put_in, rare_string
from larimar_memory.train.sampling import Sample, Sampler, sentences
from tests.tiny import tiny_decoder

CODEC = LatentConfig(dz=8, depth=0.5, width=16, rank=2, limit=12)
TEXT = "The quick brown fox jumps over the lazy dog. In 1924 Ada met Bob Smith near Paris, at 5:30. "


def texts(folder: Path, count: int = 120) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"text": f"Passage {n}. {TEXT}"}) for n in range(count)]
    (folder / "a.jsonl").write_text("\n".join(lines[::2]))
    with lzma.open(folder / "b.jsonl.xz", "wt") as file:
        file.write("\n".join(lines[1::2]))
    (folder / "c.md").write_text("\n\n".join([TEXT] * 60))
    return folder


def recipe(*stages: Stage, **changes: object) -> Recipe:
    every = {"codec": CODEC, "calibration": 200, "importance": 60, "batch": 24, "check_every": 100}
    every |= {"check_segments": 4, "save_every": 1e9}
    return Recipe(stages=stages, **{**every, **changes})


ALL = (
    Stage(kind="exact", steps=3, tokens=40, readouts=2),
    Stage(kind="regress", steps=3, tokens=40),
    Stage(kind="recite", steps=4, tokens=40, readouts=3, noise=0.2),
    Stage(kind="answer", steps=2, tokens=40, readouts=2, noise=0.1, shortest=8, longest=30),
)


@pytest.fixture(autouse=True)
def one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny() -> TransformersDecoder:
    return tiny_decoder(max_position_embeddings=2048)


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


def test_recitals_ask_for_what_follows(tiny: TransformersDecoder) -> None:
    rows = [[Sample(list(range(10, 22)), ""), Sample(list(range(50, 56)), "")] for _ in range(64)]
    codec = LatentCodec(tiny, CODEC)
    made = recital(codec, rows, random.Random(0))
    assert made.segments.tokens.shape == (128, 13)
    whole = 0
    for given, wanted in zip(made.inputs.tolist(), made.labels.tolist(), strict=True):
        said = [t for t in wanted if t != IGNORED]
        assert given[0] == codec.mark
        assert said[-1] == codec.anatomy.end
        assert said[:-1] in ([*range(said[0], 22)], [*range(said[0], 56)])
        first = wanted.index(said[0])
        assert given[1 : 1 + first] == list(range(said[0] - first, said[0]))
        whole += first == 0
        if first == 0:
            assert said[0] == 10
    assert 20 < whole < 45


def test_recall_counts_what_is_said(tiny: TransformersDecoder) -> None:
    codec = LatentCodec(tiny, CODEC)
    found = recall(codec, [Sample([70, 71, 72], "Hij", ("ij",)), Sample([80] * 9, "")])
    assert (found.exact, found.rare, set(found.by_length)) == (0.0, 0.0, {8, 16})
    assert found.edit > 0.5
    assert recall(codec, [Sample([70, 71], "")], from_exact).segments == 1
    assert [edit_distance([1, 2, 3], b) for b in ([1, 2, 3], [1, 3], [], [4, 1, 2, 3])] == [0, 1, 3, 1]


def test_hidden_states_after_a_prefix_do_not_see_padding(tiny: TransformersDecoder) -> None:
    codec = LatentCodec(tiny, CODEC)
    prefix = from_exact(codec, [[70, 71, 72]])
    short, long = torch.tensor([[0, 90]]), torch.tensor([[0, 90, 1, 1]])
    with torch.no_grad():
        torch.testing.assert_close(
            after(tiny.model, prefix, long)[:, :2], after(tiny.model, prefix, short)
        )


def test_folders_are_read_in_one_order_and_hold_some_out(tmp_path: Path) -> None:
    one, held = read_folder(texts(tmp_path / "texts"))
    two, _ = read_folder(tmp_path / "texts")
    assert [one[n] for n in range(len(one))] == [two[n] for n in range(len(two))]
    assert 0 < len(held) < len(one) / 20
    (tmp_path / "texts" / "valid.txt").write_text(TEXT * 3)
    more, held = read_folder(tmp_path / "texts")
    assert len(more) > len(one)
    assert (len(held), held[0]) == (1, TEXT * 3)
    (tmp_path / "texts" / "a.jsonl").write_text('{"no": 1}')
    with pytest.raises(
        InputError, match=r"a\.jsonl cannot be trained on\. Line 1 is not a JSON object"
    ):
        read_folder(tmp_path / "texts")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="There is nothing to train on in"):
        read_folder(tmp_path / "empty")


def test_segments_are_cut_the_same_way_for_a_seed(tmp_path: Path, tiny: TransformersDecoder) -> None:
    passages, _ = read_folder(texts(tmp_path / "texts"))
    sampler = Sampler(passages, tiny.tokenizer, rare=0.5)
    one, two = (sampler.samples(random.Random("a"), 200, 40) for _ in range(2))
    assert one == two != sampler.samples(random.Random("b"), 200, 40)
    assert all(1 <= len(s.tokens) <= 40 for s in one)
    spell = tiny.tokenizer.decode
    assert all(spell(s.tokens, clean_up_tokenization_spaces=False) == s.text for s in one)
    rare = [s for s in one if s.rare]
    assert 40 < len(rare) < 140
    assert all(string in s.text for s in rare for string in s.rare)


def test_consecutive_sentences() -> None:
    tokenizer = tiny_decoder().tokenizer
    whole = [" ".join(f"Sentence {n}.{m} ends." for m in range(12)) for n in range(9)]
    plain = Sampler(whole, tokenizer, rare=0.0)
    rng = random.Random(0)
    for count in (1, 4, 12):
        texts = [s.text for s in plain.consecutive(rng, count, 4, 60)]
        assert len(texts) == count
        assert " ".join(texts) in whole[int(texts[0].split()[1][0])]
    assert all(len(s.tokens) <= 9 for s in plain.consecutive(rng, 3, 4, 9))
    # Of a passage with too few sentences there are as many, and others beside them.
    assert len(plain.consecutive(rng, 20, 4, 60)) == 20
    rare = Sampler(whole, tokenizer, rare=1.0).consecutive(rng, 12, 4, 60)
    assert all(string in s.text for s in rare for string in s.rare)
    assert any(s.rare for s in rare)


def test_rare_strings_and_questions() -> None:
    rng = random.Random(0)
    strings = {rare_string(rng) for _ in range(500)}
    assert len(strings) > 480
    assert any("-" in s and len(s) == 36 for s in strings)
    text, put = put_in(TEXT, rng, 2)
    assert len(put) == 2
    assert all(s in text for s in put)
    asked = {ask(TEXT, ("1924",), rng) for _ in range(300)}
    assert len(asked) > 100
    for words in ("What does it say about", "Repeat the sentence", "Complete:", "____", "Who"):
        assert any(words in question for question in asked), words
    assert sentences(TEXT) == [TEXT[:44], TEXT[45:].strip()]
    for odd in ("", "x", "...", "1", "你好"):
        assert ask(odd, (), rng) is not None


def test_the_schedule_rises_and_falls() -> None:
    stage = Stage(kind="recite", steps=100, warmup=10, floor=0.1)
    rates = [schedule(stage, n) for n in range(101)]
    assert rates[0] == 0.1
    assert rates[9] == rates[10] == 1.0
    assert rates[100] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_recipes(tmp_path: Path) -> None:
    for name in ("cpu", "gpu"):
        kinds = [stage.kind for stage in load_recipe(name).stages]
        assert list(dict.fromkeys(kinds)) == ["exact", "regress", "recite", "answer"]
    assert {stage.kind for stage in load_recipe("cpu-answers").stages} == {"answer"}
    whole = load_recipe("cpu").codec
    for name, size in (("cpu-half", 2), ("cpu-quarter", 4), ("cpu-eighth", 8)):
        fewer = load_recipe(name).codec
        assert (fewer.tokens_per_key, fewer.dz) == (size, size * whole.dz)
    assert {stage.kind for stage in load_recipe("cpu-recite").stages} == {"recite"}
    assert isinstance(load_recipe("answers"), AnswersRecipe)
    every = (
        "answers, answers-again, answers-longer, answers-names, cpu, cpu-answers, cpu-eighth, "
        "cpu-ground, cpu-half, cpu-quarter, cpu-recite, gpu"
    )
    with pytest.raises(InputError, match=rf"There is no recipe 'tpu'\. .* one of {every}\."):
        load_recipe("tpu")
    (tmp_path / "r.json").write_text('{"stages": [{"kind": "exact", "steps": 0}]}')
    with pytest.raises(InputError, match=r"stages\.0\.steps: Input should be greater than or equal"):
        load_recipe(tmp_path / "r.json")
    (tmp_path / "r.json").write_text('{"stages": [{"kind": "exact", "steps": 1, "longest": 3}]}')
    with pytest.raises(InputError, match="there are no segments of 4 to 3 tokens"):
        load_recipe(tmp_path / "r.json")


def test_the_closed_form_is_the_best_linear_code() -> None:
    """Against gradient-free references: full rank is ridge regression, and no random code is better."""
    torch.manual_seed(0)
    x = torch.randn(500, 12) @ torch.randn(12, 12) + 3
    y = x @ torch.randn(12, 30) * torch.rand(30) + torch.randn(500, 30) + 5
    moments = Moments(12, 30, torch.device("cpu"))
    for part in range(0, 500, 100):
        moments.add(x[part : part + 100], y[part : part + 100])
    torch.testing.assert_close(moments.mean(), y.mean(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(moments.deviation(), y.std(0, correction=0), atol=1e-3, rtol=1e-3)
    wanted = (y - y.mean(0)) / y.std(0, correction=0)
    full = moments.fit(12, ridge=0.0)
    solved = torch.linalg.lstsq(x - x.mean(0), wanted).solution
    found = (x @ full.encode + full.shift) @ full.decode
    torch.testing.assert_close(found, (x - x.mean(0)) @ solved, atol=2e-2, rtol=1e-2)
    code = moments.fit(3, ridge=0.0)
    z = x @ code.encode + code.shift
    torch.testing.assert_close(z.mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(3), atol=1e-2, rtol=0)
    best = (wanted - z @ code.decode).square().mean()
    for _ in range(50):
        other = (x - x.mean(0)) @ torch.randn(12, 3)
        fitted = other @ torch.linalg.lstsq(other, wanted).solution
        assert (wanted - fitted).square().mean() > best


def test_the_weighted_code_errs_least_where_it_matters() -> None:
    torch.manual_seed(0)
    x, noise = torch.randn(600, 12), torch.randn(600, 8)
    y = x @ torch.randn(12, 8) + 0.3 * noise
    half = torch.randn(2, 4, 4)
    root = half @ half.transpose(1, 2) + 0.1 * torch.eye(4)
    moments = Moments(12, 8, torch.device("cpu"))
    moments.add(x, y)
    unit = (y - y.mean(0)) / y.std(0, unbiased=False)

    def error(importance: torch.Tensor | None, judge: torch.Tensor) -> float:
        code = moments.fit(2, importance, ridge=1e-6)
        left = (x @ code.encode + code.shift) @ code.decode - unit
        return float(torch.einsum("nbc,bcd->nbd", left.reshape(-1, 2, 4), judge).square().mean())

    plain = torch.eye(4).expand(2, 4, 4)
    assert error(root, root) < error(None, root)
    assert error(None, plain) < error(root, plain)
    torch.testing.assert_close(error(None, plain), error(plain.contiguous(), plain))


def test_importance_is_that_of_the_decoders_loss(tiny: TransformersDecoder, tmp_path: Path) -> None:
    """To second order, what an error adds to the loss grows with its weighted square."""
    torch.manual_seed(0)
    codec = LatentCodec(tiny, CODEC)
    rows = [[Sample([10 + n, 20 + n, 30 + n, 40 + n], "")] for n in range(64)]
    roots = importance(codec, [recital(codec, rows, random.Random(0))])
    assert roots.shape == (2 * 2 * 2, 8, 8)
    torch.testing.assert_close(roots, roots.transpose(1, 2), atol=1e-5, rtol=1e-4)
    mean = torch.einsum("nij,nij->n", roots, roots).mean() / 8
    assert 1.0 < float(mean) < 1.03
    unit = torch.randn(3, 2, 2, 2, 8)
    flat = unit.reshape(3, 8, 8)
    torch.testing.assert_close(weighted(unit, roots), torch.einsum("pnc,ncd->pnd", flat, roots))
