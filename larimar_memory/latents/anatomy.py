"""The parts of a llama-like decoder that latents touch: its layers, its rotary embedding, its marks."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from larimar_memory.decoders.base import LatentDecoder
from larimar_memory.errors import ModelError

_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
_SAMPLED_ROWS = 64


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of a causal language model, and their sizes.

    Attributes:
        model: the causal language model.
        base: the model without its output head; maps token ids to last hidden states.
        projections: names and modules of all attention projections, in the model's order.
        heads: key/value heads per layer.
        channels: channels per head.
        hidden: width of the hidden states.
        start: id of the token that stands in front of everything and serves as the attention sink.
        end: id of the token that ends a segment and an answer.
    """

    model: Any
    base: Any
    projections: tuple[tuple[str, nn.Linear], ...]
    layers: int
    heads: int
    channels: int
    hidden: int
    start: int
    end: int


def network(decoder: LatentDecoder) -> Any:
    """What reads and writes for a decoder: its `network` if it has one, otherwise its `model`.

    The model of transformers need not be imported for what both have: projections, names, weights.
    """
    own = getattr(decoder, "network", None)
    return decoder.model if own is None else own


def examine(decoder: LatentDecoder, model: Any = None) -> Anatomy:
    """Find the parts of a decoder.

    Args:
        model: whose parts; without one, those of the decoder's model of transformers.

    Raises:
        ModelError: if the decoder is not llama-like: keys rotated over the whole head, projections
            called q_proj, k_proj, v_proj and o_proj in every layer.
    """
    model = decoder.model if model is None else model
    config = model.config
    base = getattr(model, "model", None)
    projections = tuple(
        (name, module)
        for name, module in model.named_modules()
        if name.rpartition(".")[2] in _PROJECTIONS and isinstance(module, nn.Linear)
    )
    layers = int(getattr(config, "num_hidden_layers", 0))
    if base is None or not hasattr(base, "rotary_emb") or len(projections) != 4 * layers:
        raise ModelError(
            f"The decoder {decoder.name!r} cannot use latents.",
            "It does not have a rotary embedding and four linear projections in every layer.",
            'Choose a llama-like decoder, or use grounding="text".',
        )
    channels = int(getattr(config, "head_dim", 0) or config.hidden_size // config.num_attention_heads)
    end = decoder.tokenizer.eos_token_id
    start = decoder.tokenizer.bos_token_id
    if end is None:
        raise ModelError(
            f"The decoder {decoder.name!r} cannot use latents.",
            "Its tokenizer has no end token.",
            'Choose a decoder with an end token, or use grounding="text".',
        )
    anatomy = Anatomy(
        model=model,
        base=base,
        projections=projections,
        layers=layers,
        heads=int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads),
        channels=channels,
        hidden=int(config.hidden_size),
        start=int(end if start is None else start),
        end=int(end),
    )
    place = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    cosine, _ = base.rotary_emb(place.float(), place)
    if cosine.shape[-1] != channels:
        raise ModelError(
            f"The decoder {decoder.name!r} cannot use latents.",
            f"It rotates {cosine.shape[-1]} of the {channels} channels of a key.",
            'Choose a decoder that rotates whole keys, or use grounding="text".',
        )
    return anatomy


def first_layers(anatomy: Anatomy, count: int) -> Any:
    """A view of the base model that stops after `count` layers, without the final norm.

    The view has its own list of layers; weights and configuration are shared, so it costs no memory,
    follows a change of the attention kernel, and leaves the whole model as it is.
    """
    view = copy.copy(anatomy.base)
    view._modules = dict(anatomy.base._modules)
    view.layers = nn.ModuleList(list(anatomy.base.layers)[:count])
    view.norm = nn.Identity()
    return view


def fingerprint(decoder: LatentDecoder) -> str:
    """A short hash of a decoder's configuration, its tensors' names and shapes, and some weights.

    The weights are rounded to bf16 first, so that one model has one fingerprint in every number format.
    """
    model = network(decoder)
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    known = {name: getattr(model.config, name, None) for name in (*names, "vocab_size", "model_type")}
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
    for name, tensor in model.named_parameters():
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        rows = tensor.detach()[:: max(1, len(tensor) // _SAMPLED_ROWS)]
        digest.update(rows.to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:32]
