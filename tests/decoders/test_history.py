"""The chat before a question: where it stands in a prompt, and that it reaches the decoder."""

from __future__ import annotations

from typing import Any

import pytest

from larimar_memory.decoders.prompt import BRIEF, CLOSE, OPEN, SYSTEM, Message, messages
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar

TALK: list[Message] = [
    {"role": "user", "content": "Good morning."},
    {"role": "assistant", "content": "Good morning!"},
    {"role": "system", "content": "Be polite."},
    {"role": "user", "content": "I have two questions."},
]
ASKED = f"{OPEN}\nIt was built in 1887.\n{CLOSE}\n\nQuestion: When?\n{BRIEF}"


def test_a_history_stands_before_the_passages() -> None:
    assert messages("When?", ["It was built in 1887."], TALK) == [
        {"role": "system", "content": f"{SYSTEM}\n\nBe polite."},
        {"role": "user", "content": "Good morning."},
        {"role": "assistant", "content": "Good morning!"},
        {"role": "user", "content": f"I have two questions.\n\n{ASKED}"},
    ]
    assert messages("When?", ["It was built in 1887."])[1:] == [{"role": "user", "content": ASKED}]
    assert messages("When?", [], TALK[:2])[-1] == {"role": "user", "content": "When?"}
    assert TALK[0] == {"role": "user", "content": "Good morning."}


def test_a_history_stands_behind_readouts(decoder: TransformersDecoder) -> None:
    before, after = decoder.around_recalled("When?", TALK)
    assert before == decoder.around_recalled("Why?")[0]
    end = "<|im_end|>\n<|im_start|>"
    assert decoder.tokenizer.decode(after) == (
        f"\n{CLOSE}\n\nBe polite.\n\nGood morning.{end}assistant\nGood morning!{end}user\n"
        f"I have two questions.\n\nQuestion: When?\n{BRIEF}{end}assistant\n"
    )


def test_a_memory_answers_within_a_chat(encoder: SentenceEncoder, decoder: TransformersDecoder) -> None:
    with Larimar.open(None, encoder=encoder, decoder=decoder) as memory:
        memory.write(["The lighthouse was built in 1887."])
        alone = memory.answer("When was the lighthouse built?", max_tokens=12)
        within = memory.answer("When was the lighthouse built?", max_tokens=12, history=TALK)
        assert "1887" in within.text
        assert within.sources == alone.sources
        assert within.usage.prompt_tokens > alone.usage.prompt_tokens
        broken = [{"role": "user", "content": "half \ud800 a pair"}]
        assert memory.answer("When was the lighthouse built?", max_tokens=1, history=broken).sources
    assert memory.decoder_name == decoder.name


@pytest.mark.parametrize(
    "message",
    ["Hello", {"role": "tool", "content": "4"}, {"role": "user"}, {"role": "user", "content": 4}],
)
def test_a_history_that_is_none_is_refused(encoder: SentenceEncoder, message: Any) -> None:
    with Larimar.open(None, encoder=encoder) as memory, pytest.raises(InputError) as caught:
        memory.answer("When?", history=[TALK[0], message])
    assert str(caught.value) == (
        "The chat before the question cannot be used. Its message 1 is no mapping of "
        '"role" (system, user, assistant) and "content", a str. '
        'Pass messages such as {"role": "user", "content": "Good morning."}.'
    )
