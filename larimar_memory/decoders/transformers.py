"""The frozen decoder: any causal language model, streaming, greedy by default."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from larimar_memory.decoders.base import Conditioning, Generation
from larimar_memory.decoders.prompt import around_recalled, chat_tokens, plain_ids
from larimar_memory.errors import InputError, ModelError
from larimar_memory.models import finding
from larimar_memory.models.device import best_device, best_dtype
from larimar_memory.models.loading import check_forked, loading, run_in_children
from larimar_memory.system import forking
from larimar_memory.types import Message, Usage

if TYPE_CHECKING:
    from larimar_memory.decoders.streaming import TokenStreamer

_DEFAULT_CONTEXT = 2048


class TransformersDecoder:
    """A causal language model of transformers, frozen; a `Decoder` whose generations take turns.

    It is a `LatentDecoder` as well, where the model is llama-like.

    Attributes:
        context: tokens the model can attend to, prompt and answer together.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str = "") -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.context = int(getattr(model.config, "max_position_embeddings", None) or _DEFAULT_CONTEXT)
        self.lock = forking.Lock("The decoder", ModelError)
        # One thread for all runs: whatever forks while one ends copies what MKL holds at its end.
        self.thread = ThreadPoolExecutor(1, "larimar-decode")
        forking.follow(self)
        run_in_children()

    @classmethod
    def load(
        cls,
        name: str | Path = finding.DEFAULT_DECODER,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> TransformersDecoder:
        """Load a decoder by folder, installed wheel or hub name.

        Raises:
            ModelError: if the model is not found or is no causal language model.
        """
        folder = finding.resolve(name)
        device = device or best_device()
        check_forked(device)
        try:
            with loading():
                from transformers import AutoModelForCausalLM, AutoTokenizer

                tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
                model: Any = AutoModelForCausalLM.from_pretrained(
                    folder,
                    dtype=dtype or best_dtype(device),
                    use_safetensors=True,
                    trust_remote_code=False,
                )
                model = model.to(device)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"The decoder {str(name)!r} could not be loaded.",
                f"transformers said: {str(error).splitlines()[0]}",
                "Name the folder or hub repository of a causal language model.",
            ) from error
        return cls(model, tokenizer, name=str(name))

    def before_fork(self) -> None:
        """Nothing is to be done."""

    def after_fork_in_child(self) -> None:
        """Run in another thread: the one there was is not in this process."""
        self.thread = ThreadPoolExecutor(1, "larimar-decode")

    def chat_tokens(self, chat: Sequence[Message], begin: str = "") -> list[int]:
        """Token ids of a chat whose contents cannot act as control tokens, and of `begin`."""
        return chat_tokens(self.tokenizer, chat, begin)

    def around_recalled(
        self, question: str, history: Sequence[Message] = (), begin: str = ""
    ) -> tuple[list[int], list[int]]:
        """Token ids of a grounded question's chat before and after what was recalled."""
        return around_recalled(self.tokenizer, question, history, begin)

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
        """Continue a prompt, as in `Decoder.generate`.

        Args:
            conditioning: a readout to stand in front of the prompt.
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
        sampling = {"temperature": temperature} if temperature > 0 else {}
        options = {"max_new_tokens": max_tokens, "do_sample": temperature > 0, **sampling}
        usage = Usage(prompt_tokens=length)
        return _Running((), usage, self, list(tokens), stop, seed, conditioning, options)


@dataclass
class _Running(Generation):
    """A generation whose model runs in the decoder's thread once it is iterated."""

    decoder: TransformersDecoder
    tokens: list[int]
    stop: Sequence[str]
    seed: int | None
    conditioning: Conditioning | None
    options: dict[str, Any]
    cancelled: threading.Event = field(default_factory=threading.Event)
    failure: list[BaseException] = field(default_factory=list)
    said: list[float] = field(default_factory=list)
    scores: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.pieces = self._run_once()

    def __iter__(self) -> Iterator[str]:
        # Whoever leaves early closes the run; whoever comes again gets what is left of it.
        yield from self.pieces

    def _run_once(self) -> Iterator[str]:
        from larimar_memory.decoders.streaming import TokenStreamer

        streamer = TokenStreamer(self.decoder.tokenizer, skip_prompt=True, skip_special_tokens=True)
        running = self.decoder.thread.submit(self._run, streamer, torch.get_num_threads())
        process = os.getpid()
        try:
            for piece in _until(streamer, self.stop):
                yield piece
                if os.getpid() != process:
                    # The thread that makes the next piece is not in this process.
                    raise forking.lost("The answer", ModelError)
        finally:
            self.cancelled.set()
            if os.getpid() == process:
                wait([running])
        if self.failure:
            raise self.failure[0]

    def _run(self, streamer: TokenStreamer, threads: int) -> None:
        from transformers import LogitsProcessorList, StoppingCriteriaList

        decoder, conditioning = self.decoder, self.conditioning
        try:
            if decoder.model.device.type != "cpu":
                check_forked(decoder.model.device)
            if torch.get_num_threads() != threads:
                # It is kept by thread, and may have been set since this one began.
                torch.set_num_threads(threads)
            inputs = torch.tensor([self.tokens], device=decoder.model.device)
            # Taken here, not by the reader: a reader that pauses must not stop the others.
            with decoder.lock, forking.inside(), torch.inference_mode(), ExitStack() as stack:
                given = {"inputs": inputs, "attention_mask": torch.ones_like(inputs)}
                if conditioning is not None:
                    stack.enter_context(conditioning.attached())
                    given = conditioning.inputs(inputs)
                if self.seed is not None:
                    torch.manual_seed(self.seed)
                pad = decoder.tokenizer.pad_token_id
                out = decoder.model.generate(
                    **given,
                    streamer=streamer,
                    logits_processor=LogitsProcessorList([self._seen]),
                    stopping_criteria=StoppingCriteriaList([self._stopped]),
                    pad_token_id=decoder.tokenizer.eos_token_id if pad is None else pad,
                    **self.options,
                )
            self.usage = Usage(self.usage.prompt_tokens, int(out.shape[1]) - len(self.tokens))
            self.log_probabilities = tuple(self.said)
        except BaseException as error:
            self.failure.append(error)
            streamer.end()

    def _seen(self, ids: Tensor, scores: Float[Tensor, "1 v"]) -> Float[Tensor, "1 v"]:
        # Before the temperature, and before anything is cut off.
        self.scores = scores
        return scores

    def _stopped(self, ids: Tensor, scores: Any, **_: Any) -> Tensor:
        self.said.append(float(self.scores[0, ids[0, -1]] - self.scores.logsumexp(-1)[0]))
        forking.pause()
        return torch.full((len(ids),), self.cancelled.is_set(), device=ids.device)


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
