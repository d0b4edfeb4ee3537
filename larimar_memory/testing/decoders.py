"""The laws of a decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor

import pytest

from larimar_memory.decoders.base import Decoder, check_decoder
from larimar_memory.errors import InputError

_CHAT = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a colour."})
_TEXTS = (
    "red",
    "The pass key is 71432.",
    "<|im_end|>\n</s>[INST]",
    "\u4eca\u65e5\u306f e\u0301 \U0001f9d1",
    " \n",
)


class DecoderLaws(ABC):
    """The laws of a decoder, as pytest-style tests: subclass it as `Test...` and give the decoder."""

    @abstractmethod
    def decoder(self) -> Decoder:
        """The decoder under test; it may be the same object each time."""

    def test_it_is_a_decoder(self) -> None:
        """It has the contract's members, a name and room for a prompt."""
        decoder = check_decoder(self.decoder(), "The decoder cannot be tested.")
        assert isinstance(decoder.name, str)
        assert decoder.name
        assert decoder.context > len(decoder.chat_tokens(_CHAT))

    def test_tokens_are_counted(self) -> None:
        """An empty text has none, others have some; a text twice has up to about twice as many."""
        count = self.decoder().count
        assert count("") == 0
        for text in _TEXTS[:-1]:
            assert 0 < count(text) <= count(f"{text} {text}") <= 2 * count(text) + 2

    def test_a_chat_becomes_tokens(self) -> None:
        """Any chat becomes the same tokens every time; the answer's beginning adds its own tokens."""
        decoder = self.decoder()
        for text in _TEXTS:
            chat = [*_CHAT, {"role": "assistant", "content": text}, _CHAT[1]]
            ids = decoder.chat_tokens(chat)
            assert all(isinstance(token, int) for token in ids)
            assert ids == decoder.chat_tokens(chat) == decoder.chat_tokens(chat, "")
            assert ids != decoder.chat_tokens(chat[1:])
            begun = decoder.chat_tokens(chat, "It is")
            assert begun[: len(ids)] == ids
            assert len(begun) == len(ids) + decoder.count("It is")

    def test_what_is_written_comes_in_pieces(self) -> None:
        """Pieces are text, and come only once; usage counts the prompt, and what was written."""
        decoder = self.decoder()
        prompt = decoder.chat_tokens(_CHAT)
        for limit in (1, 5):
            generation = decoder.generate(prompt, max_tokens=limit)
            pieces = list(generation)
            assert all(isinstance(piece, str) for piece in pieces)
            assert "".join(pieces)
            assert list(generation) == []
            assert generation.usage.prompt_tokens == len(prompt)
            assert 1 <= generation.usage.completion_tokens <= limit

    def test_log_probabilities_are_of_what_is_written(self) -> None:
        """Every written token has one, at most 0, even if it was sampled; or no token has one."""
        decoder = self.decoder()
        prompt = decoder.chat_tokens(_CHAT)
        for options in ({}, {"temperature": 1.5, "seed": 3}):
            generation = decoder.generate(prompt, max_tokens=5, **options)  # type: ignore[arg-type]
            list(generation)
            found = generation.log_probabilities
            assert len(found) in (0, generation.usage.completion_tokens)
            assert all(value <= 1e-6 for value in found)

    def test_greedy_answers_repeat(self) -> None:
        """At temperature 0 the same prompt gives the same text, and a seed repeats a sample."""
        for options in ({}, {"temperature": 1.0, "seed": 3}):
            assert self._said(**options) == self._said(**options)

    def test_an_answer_ends_at_a_stop_text(self) -> None:
        """The text ends before the first stop text, which is not part of it."""
        whole = self._said()
        for stop in {whole[len(whole) // 2 :][:2], "\ufffe"} - {""}:
            found = whole.find(stop)
            assert self._said(stop=[stop]) == (whole if found < 0 else whole[:found])

    def test_a_generation_that_is_left_harms_no_other(self) -> None:
        """Closing the iterator stops the model, and leaves the next generation as it would be."""
        expected, decoder = self._said(), self.decoder()
        left = iter(decoder.generate(decoder.chat_tokens(_CHAT), max_tokens=50))
        next(left, None)
        if close := getattr(left, "close", None):
            close()
        assert self._said() == expected

    def test_threads_share_a_decoder(self) -> None:
        """Several threads at once generate the same texts as one."""
        expected = self._said()
        with ThreadPoolExecutor(3) as pool:
            assert set(pool.map(lambda _: self._said(), range(3))) == {expected}

    def test_what_does_not_fit_is_refused(self) -> None:
        """`InputError` for a prompt that leaves no room, no tokens to write, a negative temperature."""
        decoder = self.decoder()
        prompt = decoder.chat_tokens(_CHAT)
        for tokens, options in (
            (prompt, {"max_tokens": decoder.context}),
            (prompt * decoder.context, {}),
            (prompt, {"max_tokens": 0}),
            (prompt, {"temperature": -1.0}),
        ):
            with pytest.raises(InputError):
                "".join(decoder.generate(tokens, **options))

    def _said(self, **options: object) -> str:
        decoder = self.decoder()
        prompt = decoder.chat_tokens(_CHAT)
        return "".join(decoder.generate(prompt, max_tokens=8, **options))  # type: ignore[arg-type]
