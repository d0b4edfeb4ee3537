"""What answers are learnt from: rows, what is shown of their texts, packs, and their losses."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.decoders.prompt import INSTRUCTIONS, NOT_IN_MEMORY, chat_tokens, messages, passages
from larimar_memory.errors import InputError
from larimar_memory.latents.answering import new_adapters
from larimar_memory.train.answering import answer_losses
from larimar_memory.train.facts import draw_facts, several, with_many
from larimar_memory.train.packs import Asked, Pack, Packs, pack
from larimar_memory.train.rows import Row, read_rows
from larimar_memory.train.shown import Shown, recalled, units_of, whole
from larimar_memory.train.side_by_side import attention_within_packs
from tests.tiny import tiny_decoder
from tests.train.tiny_rows import PROSE, ROWS, TALK, as_line, write


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
        mention = fact.mentioned(rng)
        assert fact.value not in mention
        assert fact.thing in mention
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


def test_what_is_said_about_a_thing_is_no_value_of_it(decoder: Any) -> None:
    """Every answer is said by a passage, and what is only mentioned is refused."""
    drawn, mentioned = packs(decoder, [], mix={"facts": 1.0}), 0
    for seed in range(120):
        shown, asked = drawn.drawn(random.Random(seed))
        for one in asked:
            told = [value for value in re.split(r", | and |\n", one.answer) if value.strip(" .")]
            refused = one.answer == NOT_IN_MEMORY
            said = [any(shown.holds(v.split(": ")[-1].strip(" .")) for v in told)]
            assert refused or all(said), (shown.texts, one)
        mentioned += any("in the register." in text for text in shown.texts)
    assert mentioned


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


def test_of_many_values_all_are_asked_for() -> None:
    rng = random.Random(0)
    facts = with_many(draw_facts(rng, 3), rng)
    assert all(fact.of_many for fact in facts)
    assert len(facts) > 3
    for fact in facts:
        assert fact.value in fact.said(rng)
        assert f"{fact.thing}s" in fact.asked(rng) or f"{fact.thing}es" in fact.asked(rng)


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
