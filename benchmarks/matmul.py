"""How fast this machine multiplies the matrices that an encoder is made of."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from larimar_memory.encoders import fast_cpu
from larimar_memory.models.device import best_device, best_dtype

ROWS = 1024
_SECONDS = 0.15


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """Sizes of a BERT-like encoder's linear layers."""

    layers: int
    hidden: int
    inner: int

    @classmethod
    def of(cls, folder: Path) -> EncoderShape:
        """Read from a model folder's `config.json`."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return cls(config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"])

    @property
    def products(self) -> list[tuple[int, int, int]]:
        """Per layer: how many products of which width in and out."""
        h, i = self.hidden, self.inner
        return [(4, h, h), (1, h, i), (1, i, h)]

    @property
    def flop_per_token(self) -> int:
        """Floating-point operations of all linear layers on one token: two a weight."""
        return 2 * self.layers * sum(n * width * out for n, width, out in self.products)


def dtype_name() -> str:
    """The number format the encoder runs in here, such as "bfloat16"."""
    return str(best_dtype(best_device())).removeprefix("torch.")


def product_rate(shape: EncoderShape) -> float:
    """FLOP per second of the layers' products alone, in the number format the encoder uses here.

    The fastest of many calls, with weights as they are and, where it can be, in oneDNN's layout: what
    the machine can do, whatever else it is doing now.
    """
    flop = seconds = 0.0
    with torch.inference_mode():
        for number, width, out in shape.products:
            flop += number * 2.0 * ROWS * width * out
            seconds += number * _fastest(width, out)
    return flop / seconds


def _fastest(width: int, out: int) -> float:
    device = best_device()
    linear = nn.Linear(width, out, bias=False).to(device, best_dtype(device))
    x = torch.randn(ROWS, width, device=device, dtype=linear.weight.dtype)
    ways: list[Callable[[Tensor], Tensor]] = [linear]
    if device.type == "cpu" and x.dtype is torch.bfloat16 and fast_cpu.supported():
        ways.append(fast_cpu.PackedLinear(linear))
    return min(_call_seconds(way, x) for way in ways)


def _call_seconds(way: Callable[[Tensor], Tensor], x: Tensor) -> float:
    way(x)
    fastest, end = float("inf"), time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        _wait(x)
        started = time.perf_counter()
        way(x)
        _wait(x)
        fastest = min(fastest, time.perf_counter() - started)
    return fastest


def _wait(x: Tensor) -> None:
    if x.device.type == "cuda":
        torch.cuda.synchronize()
    elif x.device.type == "mps":
        torch.mps.synchronize()
