"""A trained codec as a folder: `latents.safetensors` and `latents.json`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from larimar_memory.decoders.base import LatentDecoder
from larimar_memory.errors import ModelError
from larimar_memory.latents.anatomy import fingerprint
from larimar_memory.latents.codec import LatentCodec, fingerprint_of
from larimar_memory.latents.config import LatentConfig
from larimar_memory.latents.reads import Reads
from larimar_memory.latents.stored import Predictor, StoredForm
from larimar_memory.models.finding import DEFAULT_DECODER
from larimar_memory.system.files import put_in_place

TENSORS, DESCRIPTION = "latents.safetensors", "latents.json"
_FORMAT = 3
_WEIGHTS, _ORDER = "predictor.weights", "predictor.order"

SHIPPED = {DEFAULT_DECODER: "smollm2-135m-instruct"}
"""For each decoder, the folder under `bundles` that holds its latent codec."""


def latents_for(decoder: str) -> Path | None:
    """The folder of the latent codec that ships for a decoder, or None."""
    name = SHIPPED.get(decoder)
    folder = Path(__file__).parent / "bundles" / str(name)
    return folder if name and folder.is_dir() else None


def save_bundle(codec: LatentCodec, folder: Path, figures: dict[str, Any] | None = None) -> None:
    """Write a codec's weights in bf16 with its sizes and its decoder's fingerprint.

    Each file appears whole or not at all.

    Args:
        figures: how it was trained and what was measured, JSON values.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in codec.state_dict().items()
    }
    if codec.predictor is not None:
        tensors[_WEIGHTS] = torch.from_numpy(codec.predictor.weights)
        tensors[_ORDER] = torch.from_numpy(codec.predictor.order)
    with put_in_place(folder / TENSORS) as new:
        save_file(tensors, new)
    description = {
        "format": _FORMAT,
        "decoder": fingerprint(codec.decoder),
        "decoder_name": codec.decoder.name,
        "lead": codec.lead.tokens,
        "config": codec.config.model_dump(),
        "figures": figures or {},
    }
    with put_in_place(folder / DESCRIPTION) as new:
        new.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def figures_of(folder: Path) -> dict[str, Any]:
    """How a bundle that can be loaded was trained, as `save_bundle` was given it."""
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    figures: dict[str, Any] = description["figures"]
    return figures


def load_bundle(folder: Path, decoder: LatentDecoder) -> LatentCodec:
    """Load a trained codec for the decoder it was trained for.

    Raises:
        ModelError: if there is no bundle, it is damaged, or it is for another decoder.
    """
    config, made_for, lead = _described(folder)
    found = fingerprint(decoder)
    if made_for != found:
        raise ModelError(
            f"The latents in {folder} do not fit the decoder {decoder.name!r}.",
            f"They were trained for a decoder with fingerprint {str(made_for)[:12]}, "
            f"and this one's is {found[:12]}.",
            "Load the decoder they were trained for, or train latents for this one.",
        )
    codec = LatentCodec(decoder, config)
    if lead != list(codec.lead.tokens):
        raise ModelError(
            f"The latents in {folder} do not fit the decoder {decoder.name!r}.",
            "They were trained within another chat than the one its tokenizer makes.",
            "Restore the chat template they were trained with, or train latents for this one.",
        )
    tensors, codec.predictor = _tensors(folder, config)
    try:
        codec.load_state_dict(tensors)
    except RuntimeError as error:
        raise _mismatched(folder) from error
    # The weights were rounded to bf16 when they were saved: this loses nothing, and saves much time.
    codec.head.for_reading(codec.anatomy.model.dtype)
    codec.adapters.merge()
    codec.reads = reads_of(folder)
    return codec.eval().requires_grad_(False)


def reads_of(folder: Path) -> Reads:
    """The measurements of reads from a bundle's latents; this needs no decoder.

    Raises:
        ModelError: if there is no bundle, or it is damaged.
    """
    _described(folder)
    held = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8")).get("reads")
    try:
        return Reads() if held is None else Reads.from_dict(held)
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f'what {DESCRIPTION} says of "reads" is no table') from error


def save_reads(folder: Path, reads: Reads) -> None:
    """Write measurements of reads from a bundle's latents into its description."""
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    description["reads"] = asdict(reads)
    with put_in_place(folder / DESCRIPTION) as new:
        new.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def stored_form_of(folder: Path) -> StoredForm:
    """The stored form of the latents of a bundle's codec; this needs no decoder.

    Raises:
        ModelError: if there is no bundle, or it is damaged.
    """
    config, _, lead = _described(folder)
    tensors, predictor = _tensors(folder, config)
    return StoredForm(config.dz, config.step, fingerprint_of(config, lead, tensors), predictor)


def _described(folder: Path) -> tuple[LatentConfig, Any, Any]:
    """The codec's sizes, the decoder's fingerprint, and the ids of the lead's tokens."""
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        format_ = description["format"]
    except FileNotFoundError as error:
        raise ModelError(
            f"There are no latents in {folder}.",
            f"It has no {DESCRIPTION}.",
            "Name the folder that training wrote.",
        ) from error
    except OSError as error:
        raise ModelError(
            f"There are no latents in {folder}.",
            f"Its {DESCRIPTION} cannot be read: {error.strerror}.",
            "Name the folder that training wrote, and check its permissions.",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _undescribed(folder) from error
    if format_ != _FORMAT:
        raise ModelError(
            f"The latents in {folder} cannot be used.",
            f"They are in format {format_}, and this version reads format {_FORMAT}.",
            "Use the version of the package that wrote them, or train again.",
        )
    try:
        config = LatentConfig.model_validate(description["config"])
        return config, description["decoder"], description.get("lead")
    except (ValueError, KeyError) as error:
        raise _undescribed(folder) from error


def _tensors(folder: Path, config: LatentConfig) -> tuple[dict[str, torch.Tensor], Predictor | None]:
    """The codec's weights, and what predicts its latents, if it was fitted."""
    try:
        tensors = load_file(folder / TENSORS)
    except (OSError, SafetensorError) as error:
        raise _damaged(folder, f"{TENSORS} cannot be read") from error
    weights, order = (tensors.pop(name, None) for name in (_WEIGHTS, _ORDER))
    if weights is None and order is None:
        return tensors, None
    if weights is None or order is None or not _predicts(weights, order, config.dz):
        raise _mismatched(folder)
    return tensors, Predictor(weights.numpy(), order.numpy())


def _predicts(weights: torch.Tensor, order: torch.Tensor, dz: int) -> bool:
    """Whether these are the tensors of a predictor."""
    of_counts = weights.dtype == order.dtype == torch.int16
    return of_counts and weights.shape == (dz, dz) and order.sort().values.tolist() == list(range(dz))


def _undescribed(folder: Path) -> ModelError:
    return _damaged(folder, f"{DESCRIPTION} cannot be read as a bundle's description")


def _mismatched(folder: Path) -> ModelError:
    return _damaged(folder, f"{TENSORS} does not have the tensors its description says")


def _damaged(folder: Path, why: str) -> ModelError:
    return ModelError(f"The latents in {folder} are damaged.", f"{why}.", "Copy or train them again.")
