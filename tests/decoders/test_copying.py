"""Names and numbers that are begun as the prompt has them are written as it has them."""

from __future__ import annotations

from zlib import crc32

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from larimar_memory.decoders.copying import Copying
from larimar_memory.decoders.transformers import TransformersDecoder
from tests.tiny import ByteTokenizer

TEXT = "Odile Poles of Tolva, tel. 49182, code 8f3a-77 (see Mars and Marseille)."
TOKENIZER = ByteTokenizer()


def tokens(text: str) -> list[int]:
    ids: list[int] = TOKENIZER(text)["input_ids"]
    return ids


def chosen(written: str, *likely: str, text: str = TEXT, step: float = 0.5) -> str:
    """What comes after `written`, where these characters are likely, the first the most."""
    prompt = tokens(text)
    scores = torch.full((258,), -50.0)
    for rank, letter in enumerate(likely):
        scores[tokens(letter)[-1]] = -step * rank
    ids = [*prompt, *tokens(written)]
    return TOKENIZER.decode([int(Copying(TOKENIZER, prompt)(ids, scores).argmax())])


@pytest.mark.parametrize(
    ("written", "likely", "comes"),
    [
        ("Od", "ei", "i"),
        ("O", "td", "d"),
        ("It is Odi", "al", "l"),
        ("4918", "12", "2"),
        ("49", "21", "1"),
        ("4918", ".2", "2"),
        ("8f3a-7", "87", "7"),
        ("(Od", "ei", "i"),
    ],
)
def test_a_slip_is_put_right(written: str, likely: str, comes: str) -> None:
    assert chosen(written, *likely) == comes


@pytest.mark.parametrize(
    ("written", "likely"),
    [
        ("od", "ei"),  # no name
        ("Xa", "ei"),  # not the prompt's
        ("Tolva", "ns"),  # a whole word, and its ending
        ("Mars", " e"),  # a whole word that another begins with
        ("Poles", "e "),
        ("Odile", " e"),
        ("49182", ".1"),
        ("49", " 1"),  # too short to be called unfinished
        ("", "ei"),
    ],
)
def test_anything_else_is_left_as_it_is(written: str, likely: str) -> None:
    assert chosen(written, *likely) == likely[0]


CODES = "The codes are 4510, 4520, 8f3a-77 and 8f3a-78, and those of 1905 are lost."


@pytest.mark.parametrize(
    ("written", "likely", "comes"),
    [
        (" 4510, 45", "12", "2"),
        (" 4510, 4520 and ", "48", "8"),
        (" 4510, 4520, 8f3a-77, ", "481", "8"),
        (" 8f3a-77, 8f3a-7", "78", "8"),
        (" 4510 and 4520, ", "41", "1"),
        # What is no item of a list, may still be another, or is the only one, is left as it is.
        (" 4510, 4", "51", "5"),
        (" 4510. ", "48", "4"),
        (" 4510, then ", "48", "4"),
        (" 4510, ", "x8", "x"),
        (" 4510, 4520", ".1", "."),
        (" 4510, 4520, 8f3a-77, 8f3a-78, 1905, ", "41", "4"),
        (" 4510 and ", " 8", " "),
    ],
)
def test_an_item_of_a_list_is_not_said_twice(written: str, likely: str, comes: str) -> None:
    assert chosen(written, *likely, text=CODES) == comes


def test_an_item_is_said_twice_where_nothing_else_is_likely() -> None:
    assert chosen(" 4510, 4520 and ", "4", "8", text=CODES, step=3.0) == "8"
    assert chosen(" 4510, 4520 and ", "4", "8", text=CODES, step=5.0) == "4"


def test_what_is_unlikely_is_no_correction() -> None:
    assert chosen("Od", "e", "i", step=3.0) == "i"
    assert chosen("Od", "e", "i", step=5.0) == "e"


@given(st.text("abcABC12 -.", max_size=20), st.text("abcABC12 -.", max_size=6))
@settings(max_examples=300)
def test_what_comes_is_the_likeliest_or_goes_on_as_the_prompt(text: str, said: str) -> None:
    scores = torch.randn(258, generator=torch.Generator().manual_seed(crc32(f"{text}|{said}".encode())))
    scores[:34] = scores[129:] = -50.0
    prompt, before = tokens(text), scores.clone()
    ids = [*prompt, *tokens(said)]
    out = Copying(TOKENIZER, prompt)(ids, scores)
    assert torch.equal(scores, before)
    changed = (out != scores).nonzero().flatten().tolist()
    assert len(changed) <= 1
    for token in changed:
        word, comes = said.rsplit(" ", 1)[-1].lstrip("-."), TOKENIZER.decode([token])
        # A number may also end where the prompt's does.
        assert word + comes in text or (not comes.isalnum() and word in text)
        assert int(out.argmax()) == token


def test_the_decoder_copies_a_rare_name(decoder: TransformersDecoder) -> None:
    prompt = decoder.plain_tokens("The lighthouse was built by Odile Lindqvist.")
    copying = Copying(decoder.tokenizer, prompt)
    scores = torch.full((decoder.model.config.vocab_size,), -50.0)
    (o,), (d,), (misled,) = (decoder.plain_tokens(part) for part in ("O", "d", "det"))
    scores[misled], scores[d] = 1.0, 0.5
    assert int(copying([*prompt, o], scores).argmax()) == d
