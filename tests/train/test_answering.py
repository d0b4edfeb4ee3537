"""The answering adapter: rows, packs, training, and answers that it is attached to."""

from __future__ import annotations

import gc
import json
import lzma
import random
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from larimar_memory import Larimar
from larimar_memory.decoders.prompt import INSTRUCTIONS, NOT_IN_MEMORY, chat_tokens, messages, passages
from larimar_memory.errors import InputError, ModelError
from larimar_memory.latents.adapting import DecoderAdapter
from larimar_memory.latents.answering import TENSORS, load_adapter, new_adapters, save_adapter
from larimar_memory.train import AnswersRecipe, train_answers
from larimar_memory.train.answering import answer_losses
from larimar_memory.train.facts import draw_facts, several, with_many
from larimar_memory.train.packs import Asked, Pack, Packs, pack
from larimar_memory.train.rows import Row, read_rows
from larimar_memory.train.shown import Shown, recalled, units_of, whole
from larimar_memory.train.side_by_side import attention_within_packs
from tests.tiny import tiny_decoder

PROSE = (
    "The lighthouse at Cape Orin was built in 1871 by Marta Holm. Its lamp burnt whale oil until 1902. "
    "A storm broke the gallery in the winter of 1911. Today it houses a small museum of knots."
)
TALK = (
    "[2024-05-02]\nUser: Book a table for four, please.\nAssistant: At which restaurant?\n"
    "User: The Copper Kettle.\nAssistant: It is booked for 7 pm."
)
ROWS = [
    Row("wiki", PROSE, "Who built the lighthouse?", ("Marta Holm",)),
    Row("wiki", PROSE, "When did a storm break the gallery?", ("in the winter of 1911", "1911")),
    Row("wiki", PROSE, "Who painted the lighthouse?", ()),
    Row("talk", TALK, "Where was a table booked?", ("The Copper Kettle",)),
]


def write(folder: Path, name: str, lines: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path = folder / name
    path.write_bytes(lzma.compress(text.encode()) if name.endswith(".xz") else text.encode())


def as_line(row: Row) -> dict[str, Any]:
    asked = {"context": row.context, "question": row.question, "answers": list(row.answers)}
    return {**asked, "answerable": bool(row.answers)}


def test_rows_are_read_packed_or_not_and_a_split_is_held_out(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl.xz", [as_line(row) | {"split": "test"} for row in ROWS[:1]])
    write(tmp_path, "b.jsonl", [as_line(row) | {"split": "train"} for row in ROWS[1:3]])
    rows = read_rows(tmp_path)
    assert [(row.file, row.held_out) for row in rows] == [("a", True), ("b", False), ("b", False)]
    assert rows[2].answers == ()
    assert [row.file for row in read_rows(tmp_path, without=("a",))] == ["b", "b"]


def test_without_splits_all_questions_on_a_text_are_held_out_or_none(tmp_path: Path) -> None:
    texts = [f"Text number {n} says little." for n in range(120)]
    lines = [{"context": t, "question": q, "answers": ["x"]} for t in texts for q in ("A?", "B?")]
    write(tmp_path, "c.jsonl", lines)
    rows = read_rows(tmp_path)
    held = {row.context for row in rows if row.held_out}
    assert 8 < len(held) < 40
    assert held.isdisjoint({row.context for row in rows if not row.held_out})


def test_what_is_no_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is nothing to train on\."):
        read_rows(tmp_path)
    write(tmp_path, "a.jsonl", [as_line(ROWS[0]), {"question": "Who?"}])
    with pytest.raises(InputError, match=r"Line 2 of a\.jsonl cannot be used\. .*KeyError: 'context'"):
        read_rows(tmp_path)


def test_a_conversation_is_cut_into_turns_and_prose_into_sentences() -> None:
    talk, prose = units_of(TALK), units_of(PROSE)
    assert talk.by == ("User (2 May 2024)", "Assistant (2 May 2024)") * 2
    assert talk.texts[2] == "The Copper Kettle."
    assert "".join(prose.texts) == PROSE
    assert not prose.talked
    assert prose.holding("marta holm") == [0]
    assert prose.holding("Marta") == [0]
    assert prose.holding("mart") == []


@given(st.integers(0, 10**6), st.sampled_from([PROSE, TALK]), st.booleans())
def test_what_is_recalled_holds_its_best_and_only_pieces(seed: int, text: str, best: bool) -> None:
    units, rng = units_of(text), random.Random(seed)
    shown = recalled(
        units,
        2 if best else None,
        [units_of("Elsewhere it rains. It rains a lot.")],
        "Where does it rain?",
        rng,
    )
    assert shown.texts
    assert len(shown.texts) == len(shown.by)
    if best:
        assert any(units.texts[2] in passage for passage in shown.texts)
    known = text + "Elsewhere it rains. It rains a lot."
    assert all(passage in known for passage in shown.texts)
    assert sorted("".join(whole(units, rng).texts)) == sorted("".join(units.texts))


@given(st.integers(0, 10**6), st.integers(2, 8))
def test_made_up_facts_say_their_values_and_differ(seed: int, count: int) -> None:
    rng = random.Random(seed)
    facts = draw_facts(rng, count)
    assert len({(fact.holder, fact.thing) for fact in facts}) == count
    for fact in facts:
        assert fact.value in fact.said(rng)
        assert fact.holder.lower() in fact.asked(rng).lower()
        assert fact.value not in fact.asked(rng)
    listed = several(facts)
    if listed is not None:
        assert listed[1].count("\n") == count - 1


@pytest.fixture(scope="module")
def decoder() -> Any:
    return tiny_decoder(max_position_embeddings=2048)


def packs(decoder: Any, rows: list[Row] = ROWS, **options: Any) -> Packs:
    return Packs(rows, decoder.tokenizer, **options)


def test_a_pack_is_the_prompts_of_the_package(decoder: Any) -> None:
    shown = Shown((PROSE, "An aside."), ("", ""))
    asked = [
        Asked("Who built it?", "Marta Holm"),
        Asked("Why?", NOT_IN_MEMORY, "full"),
        Asked("Who built it first?", "Marta"),
    ]
    made = pack(decoder.tokenizer, shown, asked)
    for one, rest, labels, refused in zip(asked, made.rests, made.labels, made.refused, strict=True):
        texts = passages(shown.texts, shown.by)
        chat = messages(one.question, texts, instruction=INSTRUCTIONS[one.style])
        answer = [*decoder.plain_tokens(one.answer), decoder.tokenizer.eos_token_id]
        assert made.shared + rest == chat_tokens(decoder.tokenizer, chat) + answer
        assert rest[-labels:] == answer
        assert refused is (one.answer == NOT_IN_MEMORY)


def test_the_plan_takes_every_text_in_turn_and_draws_alike(decoder: Any) -> None:
    drawn = packs(decoder, mix={"wiki": 1.0, "talk": 1.0, "facts": 1.0, "absent": 9.0})
    plan = drawn.plan()
    entries = [next(plan) for _ in range(60)]
    assert {name for name, _, _ in entries} == {"wiki", "talk", "facts"}
    again = packs(decoder, mix={"wiki": 1.0, "talk": 1.0, "facts": 1.0}).plan()
    assert entries == [next(again) for _ in range(60)]
    assert drawn.made(*entries[0]) == drawn.made(*entries[0])


def test_answers_are_asked_for_only_where_they_stand(decoder: Any) -> None:
    """A refusal is taught where no shown passage holds an answer, an answer where one does."""
    drawn, refused, answered = packs(decoder, mix={"wiki": 1.0}), 0, 0
    for turn in range(80):
        made = drawn.made("wiki", 0, turn)
        assert made is not None
        text = decoder.tokenizer.decode(made.shared)
        for rest, labels, refusal in zip(made.rests, made.labels, made.refused, strict=True):
            answer = decoder.tokenizer.decode(rest[-labels:-1])
            refused, answered = refused + refusal, answered + (not refusal)
            if not refusal:
                assert answer in text
    assert 10 < refused < answered


def test_a_text_that_is_too_long_gives_no_pack(decoder: Any) -> None:
    assert packs(decoder, mix={"wiki": 1.0}, longest=5).made("wiki", 0, 0) is None


def test_questions_side_by_side_learn_as_if_each_were_alone(decoder: Any) -> None:
    """The masks and the places make every question's loss that of its own prompt, in every pack."""
    asked = [Asked("Who built it?", "Marta Holm"), Asked("When did a storm come?", "1911")]
    adapters = new_adapters(decoder, 2)
    for up in adapters.up:
        torch.nn.init.normal_(up, std=0.1)
    texts = [Shown((PROSE,), ("",)), Shown((PROSE[:97], TALK), ("", ""))]
    with attention_within_packs(decoder.model):
        packs = [pack(decoder.tokenizer, shown, asked) for shown in texts]
        together, right = answer_losses(decoder, adapters, packs)
        single = [pack(decoder.tokenizer, shown, [one]) for shown in texts for one in asked]
        alone = [answer_losses(decoder, adapters, [one]) for one in single]
    torch.testing.assert_close(together, torch.cat([loss for loss, _ in alone]), atol=2e-4, rtol=2e-4)
    assert right.tolist() == torch.cat([hit for _, hit in alone]).tolist()
    for one, (losses, _) in zip(single, alone, strict=True):
        ids = torch.tensor([one.shared + one.rests[0]])
        with adapters.attached():
            logits = decoder.model(ids).logits[0, -one.labels[0] - 1 : -1].float()
        plain = torch.nn.functional.cross_entropy(logits, ids[0, -one.labels[0] :], reduction="none")
        torch.testing.assert_close(losses, plain, atol=2e-4, rtol=2e-4)


def test_what_is_learnt_merged_is_what_is_learnt_in_two_products(decoder: Any) -> None:
    adapters = new_adapters(decoder, 2)
    for up in adapters.up:
        torch.nn.init.normal_(up, std=0.1)
    shown, asked = Shown((PROSE,), ("",)), [Asked("Who?", "Holm")]
    ids = torch.tensor([pack(decoder.tokenizer, shown, asked).shared])
    grads = list[list[torch.Tensor]]()
    for act in (adapters.attached, adapters.learning):
        with act():
            loss = decoder.model(ids, labels=ids).loss
        loss.backward()
        grads.append([p.grad.clone() for p in adapters.parameters() if p.grad is not None])
        adapters.zero_grad()
    assert len(grads[0]) == len(list(adapters.parameters()))
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-2)


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


def test_of_many_values_all_are_asked_for() -> None:
    rng = random.Random(0)
    facts = with_many(draw_facts(rng, 3), rng)
    assert all(fact.of_many for fact in facts)
    assert len(facts) > 3
    for fact in facts:
        assert fact.value in fact.said(rng)
        assert f"{fact.thing}s" in fact.asked(rng) or f"{fact.thing}es" in fact.asked(rng)


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
    ):
        (tmp_path / "adapter.json").write_text(json.dumps(described | change))
        with pytest.raises(ModelError, match=said):
            load_adapter(tmp_path, decoder)
    (tmp_path / "adapter.json").write_text("{")
    with pytest.raises(ModelError, match="It is damaged: JSONDecodeError"):
        load_adapter(tmp_path, decoder)


def test_a_pack_says_its_size() -> None:
    assert Pack([1, 2], [[3], [4, 5]], [1, 1], [False, False]).size == 5


def test_a_verb_alone_is_no_answer_to_what_something_does(decoder: Any) -> None:
    text = "The valve controls the flow of water."
    rows = [
        Row("wiki", text, "What does the valve do?", ("controls",)),
        Row("wiki", text, "What does the valve control?", ("the flow of water",)),
    ]
    packs = Packs(rows, decoder.tokenizer)
    made = [pack for n in range(8) if (pack := packs.made("wiki", 0, n)) is not None]
    assert made
    assert all(len(pack.rests) == 1 for pack in made)
