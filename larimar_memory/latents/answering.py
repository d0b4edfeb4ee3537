"""The answering adapter: low-rank updates of all of a decoder's projections, on while it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from larimar_memory.decoders.base import LatentDecoder
from larimar_memory.decoders.judging import SIGNS, Judge
from larimar_memory.decoders.prompt import NOT_IN_MEMORY
from larimar_memory.decoders.weighing import Weighing
from larimar_memory.errors import ModelError
from larimar_memory.latents.adapters import Adapters
from larimar_memory.latents.anatomy import examine, fingerprint, network
from larimar_memory.latents.description import (
    DESCRIPTION,
    FORMAT,
    NEEDED,
    TENSORS,
    damaged,
    described,
    missing,
    write,
)
from larimar_memory.recall.scope import log_odds
from larimar_memory.system import forking
from larimar_memory.system.files import put_in_place

_IN_A_LAYER = ("gate_proj", "up_proj", "down_proj")

_OTHERS = ("talked", "alone", "latent")
"""Weights of their own that `Refusing` may have."""

_loading = forking.Lock()

Shown = Literal["around", "alone", "latent"]
"""How segments are shown: the first with what is around it, each by itself, or as latents."""


@dataclass(frozen=True, slots=True)
class Refusing:
    """How much more readily a question is refused than by the decoder alone.

    The logit of the refusal's first token gets `bias + scope * logit(p)` added, where p is the read's
    probability that the answer is there: the decoder's odds are combined with those of the read.

    Attributes:
        bias, scope: log-odds, fitted on rows that the adapter was not trained on.
        talked: the same for conversations, of which a read's probability tells less; None for no
            difference.
        alone, latent: the same where segments are shown alone, and where they are latents; None for no
            difference.
    """

    bias: float = 0.0
    scope: float = 0.0
    talked: Refusing | None = None
    alone: Refusing | None = None
    latent: Refusing | None = None

    def lean(self, probability: float, talked: bool = False, shown: Shown = "around") -> float:
        """The number that is added to the logit.

        Args:
            probability: of a read, in [0, 1].
            talked: whether what was read was said in a conversation.
            shown: how the decoder is given what was read.
        """
        other = {"alone": self.alone, "latent": self.latent}.get(shown)
        if other is not None:
            return other.lean(probability, talked)
        if talked and self.talked is not None:
            return self.talked.lean(probability)
        return self.bias + self.scope * log_odds(probability)


@dataclass
class AnsweringAdapter:
    """Adapters that make a decoder answer briefly from recalled text, or say that it is not there.

    It is a `Conditioning` without positions: the prompt and the decoder's weights stay as they are.

    Attributes:
        adapters: updates of all linear projections of all layers.
        figures: how it was trained and what was measured, JSON values.
        refusing: how it was fitted to refuse; None if it was not.
        refusal: id of the token that a refusal begins with.
        first: numbers that are added to the logits of the first token, by the token's id.
        copies: whether names and numbers are written as the prompt has them; see `Copying`.
        weighing: how the answer is chosen among several; None if it is written token by token.
        judging: weights by which an answer is chosen, by the names of `decoders.judging.SIGNS`; None
            if the others' agreement decides.
    """

    adapters: Adapters
    figures: dict[str, Any] = field(default_factory=dict)
    refusing: Refusing | None = None
    refusal: int = -1
    first: Mapping[int, float] = field(default_factory=dict)
    copies: bool = True
    weighing: Weighing | None = None
    judging: Mapping[str, float] | None = None
    positions: int = 0

    def after_read(
        self, probability: float, talked: bool = False, shown: Shown = "around"
    ) -> AnsweringAdapter:
        """The same adapter, inclined to refuse more or less by a read, as `Refusing.lean` says."""
        if self.refusing is None:
            return self
        return replace(self, first={self.refusal: self.refusing.lean(probability, talked, shown)})

    def among(
        self, beams: int, question: str = "", shown: Sequence[str] = (), language: str = "en"
    ) -> AnsweringAdapter:
        """The same adapter, whose answer is chosen among so many; 1 writes it token by token.

        Args:
            question, shown: what is asked of which passages, to judge the answers by; without passages,
                the others' agreement decides.
            language: ISO 639-1 code of the question's stop words.
        """
        if beams == 1:
            return replace(self, weighing=None)
        judge = None
        if self.judging is not None and shown:
            judge = Judge(question, shown, self.judging, language)
        return replace(self, weighing=Weighing(beams, self.refusal, judge))

    def inputs(self, tokens: Int[Tensor, "1 t"]) -> dict[str, Any]:
        """The arguments of `model.generate`: the prompt as it is."""
        return {"inputs": tokens, "attention_mask": torch.ones_like(tokens)}

    def attached(self) -> AbstractContextManager[None]:
        """A block in which this thread's use of the decoder is adapted."""
        return self.adapters.attached()


_of_models: WeakKeyDictionary[Any, dict[tuple[Path, int], AnsweringAdapter]] = WeakKeyDictionary()
"""For each model, by its table of tokens, the loaded adapters by file and time of writing."""


def shared(folder: Path, decoder: LatentDecoder) -> AnsweringAdapter:
    """The adapter in a folder, loaded once for all memories that answer with the same model."""
    file = folder / DESCRIPTION
    # Trained again in the same folder, it is a new adapter; if there is none, loading says so.
    version = file.resolve(), file.stat().st_mtime_ns if file.exists() else 0
    with _loading:
        known = _of_models.setdefault(network(decoder).get_input_embeddings(), {})
        if version not in known:
            known[version] = load_adapter(folder, decoder)
        return known[version]


def new_adapters(decoder: LatentDecoder, rank: int) -> Adapters:
    """Adapters of all linear projections in a decoder's layers, which change nothing yet.

    Raises:
        ModelError: if the decoder is not llama-like.
    """
    model = network(decoder)
    anatomy = examine(decoder, model)
    chosen = [module for _, module in anatomy.projections]
    chosen += [
        module
        for name, module in anatomy.base.layers.named_modules()
        if name.rpartition(".")[2] in _IN_A_LAYER and isinstance(module, nn.Linear)
    ]
    return Adapters(chosen, rank).to(model.device)


def save_adapter(
    adapters: Adapters, decoder: LatentDecoder, folder: Path, figures: dict[str, Any]
) -> None:
    """Write adapters in bf16 with their decoder's fingerprint; each file appears whole or not."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in adapters.state_dict().items()
    }
    with put_in_place(folder / TENSORS) as new:
        save_file(tensors, new)
    description = {
        "format": FORMAT,
        "decoder": fingerprint(decoder),
        "decoder_name": decoder.name,
        "rank": adapters.rank,
        "figures": figures,
    }
    write(folder, description)


def load_adapter(folder: Path, decoder: LatentDecoder) -> AnsweringAdapter:
    """Load an answering adapter for the decoder it was trained for.

    Raises:
        ModelError: if there is none, it is damaged, or it is for another decoder.
    """
    description = described(folder)
    made_for, rank, figures = (description[key] for key in NEEDED)
    try:
        tensors = load_file(folder / TENSORS)
    except OSError as error:
        raise missing(folder, error) from error
    except SafetensorError as error:
        raise damaged(folder, f"{type(error).__name__}: {error}") from error
    found = fingerprint(decoder)
    if made_for != found:
        raise ModelError(
            f"The answering adapter in {folder} does not fit the decoder {decoder.name!r}.",
            f"It was trained for a decoder with fingerprint {str(made_for)[:12]}, "
            f"and this one's is {found[:12]}.",
            "Load the decoder it was trained for, or train an adapter for this one.",
        )
    adapters = new_adapters(decoder, int(rank))
    try:
        adapters.load_state_dict(tensors)
    except RuntimeError as error:
        raise damaged(folder, f"{TENSORS} does not have the tensors its description says") from error
    adapters.merge()
    refusing, judging = description.get("refusing"), description.get("judging")
    return AnsweringAdapter(
        adapters.eval().requires_grad_(False),
        figures,
        None if refusing is None else _refusing(folder, refusing),
        decoder.plain_tokens(NOT_IN_MEMORY)[0],
        judging=None if judging is None else _judging(folder, judging),
    )


def _refusing(folder: Path, held: Any) -> Refusing:
    try:
        others = {name: held[name] for name in _OTHERS if held.get(name) is not None}
        apart = {name: _refusing(folder, other) for name, other in others.items()}
        return Refusing(float(held["bias"]), float(held["scope"]), **apart)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(folder, f'what it says of "refusing" is no bias and scope: {error}') from error


def _judging(folder: Path, held: Any) -> dict[str, float]:
    try:
        weights = {str(name): float(weight) for name, weight in held["weights"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(folder, f'what it says of "judging" is no weights: {error}') from error
    if unknown := sorted(weights.keys() - set(SIGNS)):
        raise damaged(folder, f'"judging" weighs {unknown[0]!r}, which is no sign')
    return weights
