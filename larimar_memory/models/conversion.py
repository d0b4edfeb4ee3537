"""Convert a GGUF model once into bf16 safetensors in the user's cache."""

from __future__ import annotations

import glob
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from larimar_memory.models import loading
from larimar_memory.models.files import (
    cache_folder,
    manifest_holds,
    not_written,
    verify,
    write_manifest,
)
from larimar_memory.system.files import put_in_place

log = logging.getLogger(__name__)

_FORMAT = "bf16-1"
_LEFT_SECONDS = 24 * 3600.0

_Tell = Callable[[int, int], None]


def converted(gguf: Path, sha256: str) -> Path:
    """The folder with `gguf` as bf16 safetensors, made on first use (about 20 s).

    One process converts while others wait. The folder appears whole or not at all. Every file's SHA-256
    is checked against its manifest whenever the folder is used; a damaged copy is made again.

    Raises:
        ModelError: if the GGUF file is not the published one or the cache cannot be written.
    """
    target = target_of(gguf, sha256)
    if manifest_holds(target, sha256):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as locked:
            try:
                locked.enter_context(FileLock(f"{target}.lock"))
            except (OSError, NotImplementedError) as error:
                # The lock only saves double work. Anything else that is in the way is found below.
                log.info("%s is not locked while it is made: %s", target, error)
            if not manifest_holds(target, sha256):
                verify(gguf, sha256)
                _convert_into(target, gguf, sha256)
    except OSError as error:
        what = f"The model {gguf.name} could not be converted."
        raise not_written(what, target.parent, error) from error
    return target


def target_of(gguf: Path, sha256: str) -> Path:
    """The path of the safetensors form of `gguf`, whether it exists yet or not.

    Raises:
        ModelError: if there is no cache.
    """
    return cache_folder() / "models" / f"{gguf.stem}-{sha256[:16]}-{_FORMAT}"


def _convert_into(target: Path, gguf: Path, sha256: str) -> None:
    _remove_left(target)
    try:
        with put_in_place(target, folder=True) as new:
            _convert(gguf, new)
            write_manifest(new, sha256)
            if not manifest_holds(target, sha256):
                shutil.rmtree(target, ignore_errors=True)
    except OSError:
        # If nothing can be locked, another process may have been first.
        if not manifest_holds(target, sha256):
            raise


def _remove_left(target: Path) -> None:
    """Delete what killed processes left behind, which is as large as a model."""
    for left in target.parent.glob(f"{glob.escape(target.name)}.*"):
        with suppress(OSError):
            # Another machine, whose locks may be invisible here, is done by then.
            if left.is_dir() and time.time() - left.stat().st_mtime > _LEFT_SECONDS:
                shutil.rmtree(left)


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    sentence = f"The decoder {gguf.stem} is converted once, to {folder.parent}."
    with loading.announce(sentence, "converting") as tell, loading.loading(), _told(tell):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16
        )
        tensors = dict(model.state_dict())
        if model.config.tie_word_embeddings:
            tensors.pop("lm_head.weight", None)
        config = model.config.to_dict()
        # A model read from GGUF calls itself quantised, though its tensors no longer are.
        config.pop("quantization_config", None)
        config["dtype"] = "bfloat16"
        save_file(
            {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in tensors.items()},
            folder / "model.safetensors",
            metadata={"format": "pt"},
        )
        (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        model.generation_config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def _told(tell: _Tell) -> Iterator[None]:
    """Report the tensors that transformers reads, in place of its bar, which has no switch."""
    from transformers import modeling_gguf_pytorch_utils

    def each(tensors: Sequence[Any], **_: Any) -> Iterator[Any]:
        for done, tensor in enumerate(tensors, start=1):
            yield tensor
            tell(done, len(tensors))

    names = vars(modeling_gguf_pytorch_utils)
    shown = names.get("tqdm")
    names["tqdm"] = each
    try:
        yield
    finally:
        names["tqdm"] = shown
