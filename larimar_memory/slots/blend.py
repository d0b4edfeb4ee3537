"""What a memory returns when it is read, and how a blend gets its length back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from larimar_memory.errors import InputError


@dataclass(frozen=True, slots=True)
class Source:
    """A written item that a readout is made of.

    Attributes:
        coefficient: what the item's direction is multiplied with in the blend; may be negative.
        share: the part of the readout that it accounts for, in [0, 1]: of the weight in grow mode, of
            the squared length in fixed mode, were the latents orthogonal.
    """

    id: str
    coefficient: float
    share: float


@dataclass(frozen=True, slots=True)
class Reading:
    """Readouts of q queries.

    Attributes:
        latents: the blended latents with their length restored, float32.
        weights: address weights w, float64, non-negative, each row summing to 1: over the K slots in
            fixed mode, over the slots found (`sources`, best first) in grow mode.
        sources: for each query the items it is made of, largest coefficient first.
    """

    latents: Float[np.ndarray, "q c"]
    weights: tuple[Float[np.ndarray, " k"], ...]
    sources: tuple[tuple[Source, ...], ...]


def with_length(
    blend: Float[np.ndarray, "q c"], lengths: Float[np.ndarray, " q"]
) -> Float[np.ndarray, "q c"]:
    """The blends' directions at these lengths, float32; a blend of zeros stays zero.

    A blend is shorter than what was written, and a decoder reads it better at the written length
    (arXiv 2407.16908).
    """
    largest = np.abs(blend).max(axis=1, initial=0.0)
    scaled = blend / np.where(largest > 0, largest, 1.0)[:, None]
    own = np.sqrt(np.einsum("qc,qc->q", scaled, scaled))
    unit = scaled / np.where(own > 0, own, 1.0)[:, None]
    limit = float(np.finfo(np.float32).max)
    return np.asarray(np.clip(unit * lengths[:, None], -limit, limit).astype(np.float32))


def mean_length(
    shares: Float[np.ndarray, "q n"], lengths: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " q"]:
    """The length of the addressed latents, weighted by their shares; float64."""
    return np.asarray(shares @ lengths)


def unit_rows(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows at length 1, float32; a row of zeros stays zero."""
    return with_length(rows.astype(np.float64), np.ones(len(rows)))


def matrix(values: object, what: str, width: int | None = None) -> Float[np.ndarray, "n c"]:
    """Rows of numbers as float32, from a NumPy array or a torch tensor of any floating type.

    Raises:
        InputError: if they are no matrix of finite numbers, or not of that width.
    """
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    array = np.asarray(values)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating):
        raise InputError(
            f"The {what} cannot be used.",
            f"They are an array of shape {array.shape} and type {array.dtype}.",
            "Give a matrix of floating-point numbers, one row each.",
        )
    if width is not None and array.shape[1] != width:
        raise InputError(
            f"The {what} cannot be used.",
            f"They have {array.shape[1]} numbers each, and this memory's have {width}.",
            "Give them the width that the memory was made with.",
        )
    with np.errstate(over="ignore"):
        found = array.astype(np.float32)
    if not np.isfinite(found).all():
        raise InputError(
            f"The {what} cannot be used.",
            "Some of their numbers are infinite, not a number, or beyond float32.",
            "Give finite numbers below 3.4e38.",
        )
    return np.ascontiguousarray(found)


def check_ids(ids: object, count: int) -> list[str]:
    """The ids as a list of so many texts.

    Raises:
        InputError: if they are not.
    """
    if isinstance(ids, str) or not isinstance(ids, list | tuple):
        raise InputError(
            "Nothing was written.",
            f"The ids are a {type(ids).__name__}.",
            "Give a list of ids, one per key.",
        )
    if len(ids) != count or not all(isinstance(i, str) and i for i in ids):
        raise InputError(
            "Nothing was written.",
            f"There are {len(ids)} ids for {count} keys, or some are empty or no text.",
            "Give one id, a text that is not empty, per key.",
        )
    return list(ids)
