"""Training's state on disk: tensors as safetensors and counters as JSON, always of the same moment."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from larimar_memory.errors import InputError
from larimar_memory.system.files import put_in_place

_COUNTERS = "checkpoint.json"


def save(folder: Path, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
    """Write a checkpoint; the one before stays valid until this one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    # A new name every time: the counters still name the tensors of the checkpoint before.
    name = f"checkpoint-{counters['total_steps']}-{secrets.token_hex(4)}.safetensors"
    with put_in_place(folder / name) as new:
        save_file({key: x.detach().cpu().contiguous() for key, x in tensors.items()}, new)
    # The counters name the tensors they belong to: replacing them is the moment of change.
    with put_in_place(folder / _COUNTERS) as new:
        new.write_text(json.dumps({**counters, "tensors": name}, indent=1) + "\n", encoding="utf-8")
    for old in folder.glob("checkpoint-*"):
        # Unfinished files of a run that was killed are of no use either.
        if old.name != name:
            old.unlink()


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The checkpoint in a folder, or None if there is none.

    Raises:
        InputError: if it is damaged.
    """
    try:
        counters = json.loads((folder / _COUNTERS).read_text(encoding="utf-8"))
        return load_file(folder / counters["tensors"]), counters
    except FileNotFoundError:
        if not (folder / _COUNTERS).exists():
            return None
        reason = "its tensors are missing"
    except Exception as error:
        # For files cut short, safetensors, json and the file system each raise errors of their own.
        reason = f"{type(error).__name__}: {error}"
    raise InputError(
        f"The checkpoint in {folder} cannot be used.",
        f"It is damaged: {reason}.",
        "Start again with resume=False, or in another folder.",
    )


def check_recipe(counters: Mapping[str, Any], recipe: BaseModel) -> None:
    """Raise InputError if a checkpoint is not of the recipe that is to continue from it."""
    if type(recipe).model_validate(counters["recipe"]) != recipe:
        raise InputError(
            "Training cannot be resumed.",
            "The checkpoint was made by another recipe.",
            "Use the recipe it was made by, another folder, or resume=False.",
        )


def log(folder: Path, values: Mapping[str, Any], seconds: float) -> None:
    """Add a line to the run's log, `log.jsonl`, with the seconds that the run has taken so far."""
    line = {key: round(x, 5) if isinstance(x, float) else x for key, x in values.items()}
    with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({**line, "seconds": round(seconds, 1)}) + "\n")


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, by the rest of their names."""
    return {k.removeprefix(prefix): x for k, x in tensors.items() if k.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """The state of the optimizer of a module's parameters, as named tensors."""
    return {
        f"optimizer.{name}.{key}": torch.as_tensor(value)
        for name, parameter in module.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, module: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """Restore the state that `optimizer_tensors` gave."""
    for name, parameter in module.named_parameters():
        if state := with_prefix(f"optimizer.{name}.", tensors):
            # The count of steps stays on the device where it is; the moments go to that of the weights.
            optimizer.state[parameter] = {
                key: x if key == "step" else x.to(parameter) for key, x in state.items()
            }
