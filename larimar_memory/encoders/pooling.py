"""Token embeddings to one key: the pooling stages of a sentence-transformers model folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn

from larimar_memory.errors import ModelError

_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken",
}


class Pooling(nn.Module):
    """Pool hidden states over the tokens of a segment, project if the model does, normalise.

    Args:
        mode: "mean", "cls", "max" or "lasttoken".
        dense: projections applied after pooling, in order.
    """

    def __init__(self, mode: str, dense: list[nn.Module]) -> None:
        super().__init__()
        self.mode = mode
        self.dense = nn.Sequential(*dense)

    def forward(self, hidden: Float[Tensor, "b t h"], mask: Int[Tensor, "b t"]) -> Float[Tensor, "b d"]:
        """Keys of unit length, float32."""
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        if self.mode == "cls":
            pooled = hidden[:, 0]
        elif self.mode == "max":
            pooled = hidden.masked_fill(weight == 0, torch.finfo(hidden.dtype).min).amax(1)
        elif self.mode == "lasttoken":
            pooled = hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]
        else:
            pooled = (hidden * weight).sum(1, dtype=torch.float32) / weight.sum(1, dtype=torch.float32)
        keys: Tensor = self.dense(pooled.float())
        return nn.functional.normalize(keys, dim=-1)


def load_pooling(folder: Path) -> Pooling:
    """Read `modules.json`; a plain transformers folder without one is mean-pooled.

    Raises:
        ModelError: if the folder asks for a stage this reader does not know.
    """
    listing = folder / "modules.json"
    if not listing.is_file():
        return Pooling("mean", [])
    mode, dense = "mean", list[nn.Module]()
    for module in _read(listing):
        kind = str(module["type"]).rsplit(".", 1)[-1]
        path = folder / str(module["path"])
        if kind == "Pooling":
            mode = _mode(_read(path / "config.json"), folder)
        elif kind == "Dense":
            dense.append(_dense(path))
        elif kind not in ("Transformer", "Normalize", "Dropout"):
            raise ModelError(
                f"The sentence encoder in {folder} cannot be used.",
                f"It has a {kind} stage, which is not supported.",
                "Choose a model made of Transformer, Pooling, Dense and Normalize stages.",
            )
    return Pooling(mode, dense)


def _mode(config: dict[str, Any], folder: Path) -> str:
    named = config.get("pooling_mode")
    modes = [named] if named else [m for key, m in _POOLINGS.items() if config.get(key)]
    if len(modes) != 1 or modes[0] not in _POOLINGS.values():
        raise ModelError(
            f"The sentence encoder in {folder} cannot be used.",
            f"Its pooling is {modes or 'none'}, and one of mean, cls, max, lasttoken is needed.",
            "Choose a model with one of these poolings.",
        )
    return str(modes[0])


def _dense(folder: Path) -> nn.Module:
    config = _read(folder / "config.json")
    layer = nn.Linear(config["in_features"], config["out_features"], bias=config.get("bias", True))
    state = load_file(folder / "model.safetensors")
    layer.load_state_dict({name.removeprefix("linear."): value for name, value in state.items()})
    activation = str(config.get("activation_function", "Identity")).rsplit(".", 1)[-1]
    return nn.Sequential(layer, nn.Tanh() if activation == "Tanh" else nn.Identity())


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
