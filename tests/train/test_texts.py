"""What a run is trained on: folders, segments, recitals, rare strings, questions; and recipes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.errors import InputError
from larimar_memory.latents import LatentCodec
from larimar_memory.train import AnswersRecipe, Stage, load_recipe, recall
from larimar_memory.train.batches import IGNORED, after, recital
from larimar_memory.train.evaluate import edit_distance, from_exact
from larimar_memory.train.loop import schedule
from larimar_memory.train.passages import read_folder
from larimar_memory.train.questions import ask
from larimar_memory.train.rare import put_in, rare_string
from larimar_memory.train.sampling import Sample, Sampler, sentences
from tests.tiny import tiny_decoder
from tests.train.tiny_runs import CODEC, TEXT, texts


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
