"""The laws of decoders, for that of transformers and for one written from the contract alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from larimar_memory import Larimar
from larimar_memory.decoders.base import Decoder, Generation
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError, LatentsUnavailableError
from larimar_memory.testing import DecoderLaws
from larimar_memory.types import Message, Usage
from tests.tiny import tiny_decoder


class Echo:
    """Says the longest line that it was given, or at a temperature its words in any order."""

    name, context = "echo", 600

    def count(self, text: str) -> int:
        return len(text.split(" ")) if text else 0

    def chat_tokens(self, chat: Sequence[Message], begin: str = "") -> list[int]:
        self.words = getattr(self, "words", {})
        texts = [message["content"] for message in chat] + [begin] * bool(begin)
        ids = [self.words.setdefault(word, len(self.words)) for t in texts for word in t.split(" ")]
        return ids

    def generate(
        self,
        tokens: Sequence[int],
        *,
        max_tokens: int = 64,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Generation:
        if max_tokens < 1 or temperature < 0 or len(tokens) + max_tokens > self.context:
            raise InputError("It cannot say that.", "It is too long.", "Say less.")
        known = {number: word for word, number in self.words.items()}
        lines = " ".join(known[token] for token in tokens).split("\n")
        words = max(lines, key=len).split(" ")
        if temperature:
            random.Random(seed).shuffle(words)
        text = " ".join(words[:max_tokens])
        text = text[: min([at for s in stop if (at := text.find(s)) >= 0], default=len(text))]
        return Generation([text], Usage(len(tokens), min(len(words), max_tokens)))


class TestTiny(DecoderLaws):
    made = tiny_decoder(max_position_embeddings=700)

    def decoder(self) -> Decoder:
        return self.made


class TestEcho(DecoderLaws):
    def decoder(self) -> Decoder:
        return Echo()


@pytest.mark.usefixtures("bundled")
class TestBundled(DecoderLaws):
    def decoder(self) -> Decoder:
        return self.made

    @pytest.fixture
    def bundled(self, decoder: TransformersDecoder) -> None:
        type(self).made = decoder


def test_a_memory_answers_with_a_decoder_of_ones_own(encoder: SentenceEncoder) -> None:
    with Larimar.open(encoder=encoder, decoder=Echo(), threshold=0.3) as memory:
        memory.write(
            [
                "The ferry to Stromness leaves at seven in the morning from the old pier, below the "
                "church of Saint Magnus."
            ]
        )
        answer = memory.answer("When does the ferry to Stromness leave?")
        assert answer.grounding == "text"
        assert "seven in the morning" in answer.text
        with pytest.raises(LatentsUnavailableError, match="The decoder 'echo' takes text only"):
            memory.answer("When does the ferry to Stromness leave?", grounding="latent")


@pytest.mark.parametrize("wrong", [3, object(), len])
def test_what_is_no_decoder_is_refused(wrong: object, encoder: SentenceEncoder) -> None:
    with pytest.raises(
        InputError, match=r"The memory cannot be opened. Its decoder is a .*, without"
    ) as caught:
        Larimar.open(encoder=encoder, decoder=wrong)  # type: ignore[arg-type]
    assert "generate" in str(caught.value)
    assert caught.value.remedy.startswith("Give the name of a model")
