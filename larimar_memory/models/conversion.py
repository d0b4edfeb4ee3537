"""Convert a GGUF model once into bf16 safetensors in the user's cache."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock

from larimar_memory.errors import ModelError
from larimar_memory.models.files import cache_folder, manifest_holds, verify, write_manifest

log = logging.getLogger(__name__)

_FORMAT = "bf16-1"


def converted(gguf: Path, sha256: str) -> Path:
    """Folder with the bf16 safetensors form of `gguf`, made on first use (about 20 s).

    One process converts while others wait. The folder appears whole or not at all, and every file's
    SHA-256 is checked against its manifest whenever it is used; a damaged copy is made again.

    Raises:
        ModelError: if the GGUF file is not the published one or the cache cannot be written.
    """
    target = cache_folder() / "models" / f"{gguf.stem}-{sha256[:16]}-{_FORMAT}"
    if manifest_holds(target, sha256):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not manifest_holds(target, sha256):
                verify(gguf, sha256)
                _convert_into(target, gguf, sha256)
    except OSError as error:
        raise ModelError(
            f"The model {gguf.name} could not be converted.",
            f"Writing to {target.parent} failed: {error.strerror or error}.",
            "Free some space there, or set LARIMAR_CACHE to a folder that can be written.",
        ) from error
    return target


def _convert_into(target: Path, gguf: Path, sha256: str) -> None:
    log.info("converting %s to bf16 safetensors in %s (once)", gguf.name, target)
    temporary = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        _convert(gguf, temporary)
        write_manifest(temporary, sha256)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)
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
