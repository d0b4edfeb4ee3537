"""Text comes token by token, and all of it."""

from __future__ import annotations

from itertools import chain

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from larimar_memory.decoders.streaming import TokenStreamer
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.models import finding

TOKENIZER = AutoTokenizer.from_pretrained(finding.resolve(finding.DEFAULT_DECODER))


def streamed(ids: list[int]) -> list[list[str]]:
    """What is handed on at each token, and at the end."""
    streamer = TokenStreamer(TOKENIZER, skip_prompt=True, skip_special_tokens=True)
    streamer.put(torch.tensor([[1, 2, 3]]))
    came = list[list[str]]()

    def taken() -> list[str]:
        return [streamer.text_queue.get() for _ in range(streamer.text_queue.qsize())]

    for token in ids:
        streamer.put(torch.tensor([token]))
        came.append(taken())
    streamer.end()
    return [*came, [piece for piece in taken() if piece is not streamer.stop_signal]]


def test_a_word_does_not_wait_for_the_next_one() -> None:
    ids = TOKENIZER("The pass key is 71432.", add_special_tokens=False)["input_ids"]
    *came, last = streamed(ids)
    assert came == [[TOKENIZER.decode([token])] for token in ids]
    assert last == [""]


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_all_of_it_comes_and_no_half_characters(text: str) -> None:
    ids = TOKENIZER(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    came = streamed(ids)
    whole = TOKENIZER.decode(ids, skip_special_tokens=True)
    assert "".join(piece for pieces in came for piece in pieces) == whole
    if "\ufffd" not in whole:
        assert not any("\ufffd" in piece for pieces in came for piece in pieces)


def test_special_tokens_are_not_text() -> None:
    end = TOKENIZER.eos_token_id
    assert streamed([end]) == [[], [""]]
    hello = TOKENIZER("Hello", add_special_tokens=False)["input_ids"]
    assert "".join(chain(*streamed([*hello, end]))) == "Hello"


def test_a_decoder_hands_on_each_token(decoder: TransformersDecoder) -> None:
    prompt = decoder.chat_tokens([{"role": "user", "content": "Say: one two three."}])
    generation = decoder.generate(prompt, max_tokens=6)
    pieces = list(generation)
    assert len(pieces) >= 4
    assert len(pieces) <= generation.usage.completion_tokens
