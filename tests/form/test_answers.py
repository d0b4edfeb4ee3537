"""Answers as the facade gives them: styles, lists, marks and a confidence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from larimar_memory import AnswerOptions, InputError, Larimar
from larimar_memory.decoders.prompt import BRIEF, FULL, INSTRUCTIONS, NOT_IN_MEMORY, instruction
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.form.citing import unmarked
from tests.tiny import tiny_decoder

from .said import Saying

FACTS = [
    "The value of the copper dial is 4711.",
    "The value of the silver dial is 8822.",
    "The value of the golden dial is 9933.",
    "Anna Lopez moved to Ulm in 2019, where she works as a baker.",
]
LIST = "What is the value of the copper dial, the silver dial and the golden dial?"
MISSING = "What is the value of the copper dial, the wooden anchor and the golden dial?"


def told(prompt: str) -> str:
    """The number of what is asked for, with more lines, as a small model may go on."""
    asked = re.findall(r"Question: .* (\w+) dial\?", prompt)
    found = re.findall(rf"{asked[-1]} dial is (\d+)" if asked else r"\d{4}", prompt)
    return f"\n {found[0]}. \nAnd so on." if found else "Nothing."


@pytest.fixture
def saying() -> Saying:
    return Saying(told)


@pytest.fixture
def memory(encoder: SentenceEncoder, saying: Saying) -> Iterator[Larimar]:
    with Larimar.open(encoder=encoder, decoder=saying) as opened:
        opened.write(FACTS, ["copper", "silver", "golden", "anna"])
        yield opened


def test_a_list_is_answered_a_line_an_item(memory: Larimar, saying: Saying) -> None:
    stream = memory.stream(LIST)
    known = stream.sources
    pieces = list(stream)
    answer = stream.result()
    expected = "the copper dial: 4711.\nthe silver dial: 8822.\nthe golden dial: 9933."
    assert answer.text == "".join(pieces) == expected
    assert len(saying.prompts) == 3
    assert [s.document_id for s in answer.sources][:3] == ["copper", "silver", "golden"]
    assert known == answer.sources
    assert len({s.id for s in answer.sources}) == len(answer.sources)
    assert answer.usage.prompt_tokens == sum(map(len, saying.prompts))
    assert answer.usage.completion_tokens == 12
    assert answer.grounding == "text"
    assert 0 < answer.confidence < memory.answer("What is the value of the copper dial?").confidence
    json.dumps(answer.to_dict())


def test_what_is_not_there_says_so_in_its_line(memory: Larimar, saying: Saying) -> None:
    answer = memory.answer(MISSING, cite=True)
    first, second, third = answer.text.split("\n")
    assert first == "the copper dial: 4711. [1]"
    assert second == f"the wooden anchor: {NOT_IN_MEMORY}"
    assert third.startswith("the golden dial: 9933. [")
    assert len(saying.prompts) == 2
    answer = memory.answer("Who is the king of Peru, of Chad and of Laos?", cite=True)
    assert (answer.text, answer.citations) == (NOT_IN_MEMORY, ())


def test_what_leans_on_another_part_is_read_with_it(memory: Larimar, saying: Saying) -> None:
    answer = memory.answer("When did Anna Lopez move and where does she work?")
    assert answer.text.startswith("When did Anna Lopez move? 2019.\nWhere does she work? 2019.")
    assert all("Anna Lopez moved to Ulm" in prompt for prompt in saying.prompts)
    assert "Question: Where does she work?" in saying.prompts[1]


def test_what_is_begun_or_in_whole_sentences_is_asked_at_once(memory: Larimar, saying: Saying) -> None:
    for options in ({"begin": "They are"}, {"style": "full"}):
        assert ":" not in memory.answer(LIST, **options).text
        assert f"Question: {LIST}" in saying.prompts.pop()
    assert saying.prompts == []


def test_styles_are_told_to_the_decoder(memory: Larimar, saying: Saying) -> None:
    question = "What is the value of the copper dial?"
    memory.answer(question)
    memory.answer(question, style="full")
    memory.answer(question, options=AnswerOptions(style="full"))
    ends = [prompt.rpartition("\n")[2] for prompt in saying.prompts]
    assert ends == [BRIEF, FULL, FULL]
    assert [instruction(style, adapted=True) for style in ("brief", "full")] == [
        "Answer briefly.",
        "Answer in whole sentences.",
    ]
    assert INSTRUCTIONS["brief"] == "Answer briefly."
    with pytest.raises(InputError, match=r"An answer cannot have style='short'\. It is \"brief\", or"):
        memory.answer(question, style="short")  # type: ignore[arg-type]


@pytest.mark.parametrize("beams", [0, 65, True, 2.0, "4"])
def test_beams_are_few(memory: Larimar, beams: Any) -> None:
    said = rf"An answer cannot be chosen with beams={beams!r}\. It is a whole number from 1 to 64: so"
    with pytest.raises(InputError, match=said):
        memory.answer("What is the value of the copper dial?", beams=beams)


@pytest.mark.parametrize("question", [LIST, MISSING, "What is the value of the silver dial?"])
def test_marks_are_all_that_citing_adds(memory: Larimar, question: str) -> None:
    plain, cited = memory.answer(question), memory.answer(question, cite=True)
    assert plain.citations == ()
    assert cited.citations
    assert unmarked(cited.text, cited.citations) == plain.text
    assert cited.sources == plain.sources
    assert cited.confidence == plain.confidence
    for citation in cited.citations:
        source = cited.sources[citation.source - 1]
        assert citation.document_id == source.document_id
        assert (citation.document_start, citation.document_end) == (source.start, source.end)
        assert re.search(r"\d{4}\.$", cited.text[citation.start : citation.end])


def test_a_list_may_be_left(memory: Larimar) -> None:
    stream = memory.stream(LIST, cite=True)
    for piece in stream:
        if "4711" in piece:
            break
    assert list(stream) == []
    assert stream.result().text.startswith("the copper dial: 4711")


def test_how_sure_an_answer_is(encoder: SentenceEncoder, memory: Larimar) -> None:
    unknown = memory.answer("Who won the football world cup in 1998?")
    assert unknown.text == NOT_IN_MEMORY
    assert unknown.confidence == 1 - unknown.probability
    guessed = memory.answer("Who won the football world cup in 1998?", fallback=True)
    assert (guessed.grounding, guessed.confidence) == ("none", None)
    question = "What is the value of the copper dial?"
    with Larimar.open(encoder=encoder, decoder=Saying(told, logs=())) as silent:
        silent.write(FACTS)
        assert silent.answer(question).confidence is None
        assert silent.answer(LIST).confidence is None


def test_latents_are_told_the_style(encoder: SentenceEncoder) -> None:
    decoder = tiny_decoder()
    brief, full = decoder.around_recalled("Why?"), decoder.around_recalled("Why?", instruction=FULL)
    assert brief[0] == full[0]
    assert decoder.tokenizer.decode(full[1]).count(FULL) == 1
    assert decoder.tokenizer.decode(brief[1]).count(BRIEF) == 1
