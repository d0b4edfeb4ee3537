"""The result of reading a memory, and how a blend gets its length back."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from larimar_memory.errors import InputError


@dataclass(frozen=True, slots=True)
class Contribution:
    """The part that a written item has in a readout.

    Attributes:
        coefficient: the factor on the item's direction in the blend; may be negative.
        share: the part of the readout that the item accounts for, in [0, 1]: of the weight in grow
            mode; of the squared length in fixed mode, as if the latents were orthogonal.
    """

    id: str
    coefficient: float
    share: float


@dataclass(frozen=True, slots=True)
class Blend:
    """Readouts of q queries, each a blend of latents.

    Attributes:
        latents: the blended latents with their length restored, float32.
        weights: address weights w, float64, non-negative, each row summing to 1: over the K slots in
            fixed mode, over the slots found (`sources`, best first) in grow mode.
        sources: for each query, the items that make up its readout, largest coefficient first.
    """

    latents: Float[np.ndarray, "q c"]
    weights: tuple[Float[np.ndarray, " k"], ...]
    sources: tuple[tuple[Contribution, ...], ...]


def with_length(
    blend: Float[np.ndarray, "q c"], lengths: Float[np.ndarray, " q"]
) -> Float[np.ndarray, "q c"]:
    """The blends' directions with these lengths, float32; a blend of zeros stays zero.

    A blend is shorter than the latents that were written, and a decoder reads it better at the written
    length (arXiv 2407.16908).
    """
    units, _ = normalised(blend)
    limit = float(np.finfo(np.float32).max)
    return np.asarray(np.clip(units * lengths[:, None], -limit, limit).astype(np.float32))


def normalised(
    rows: Float[np.ndarray, "n c"],
) -> tuple[Float[np.ndarray, "n c"], Float[np.ndarray, " n"]]:
    """Rows at length 1, and their lengths, float64, at any scale; a row of zeros stays zero."""
    largest = np.abs(rows).max(axis=1, initial=0.0)
    scaled = rows / np.where(largest > 0, largest, 1.0)[:, None]
    lengths = np.sqrt(np.einsum("nc,nc->n", scaled, scaled))
    return scaled / np.where(lengths > 0, lengths, 1.0)[:, None], lengths * largest


def unit_rows(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows at length 1, float32; a row of zeros stays zero."""
    return with_length(rows.astype(np.float64), np.ones(len(rows)))


def matrix(values: object, what: str, width: int | None = None) -> Float[np.ndarray, "n c"]:
    """Rows of numbers as float32, from a NumPy array or a torch tensor of any floating type.

    Raises:
        InputError: if they are not a matrix of finite numbers, or not of that width.
    """
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    array, refused = np.asarray(values), f"The {what} cannot be used."
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating):
        why = f"They are an array of shape {array.shape} and type {array.dtype}."
        raise InputError(refused, why, "Give a matrix of floating-point numbers, one row each.")
    if width is not None and array.shape[1] != width:
        why = f"They have {array.shape[1]} numbers each, and this memory's have {width}."
        raise InputError(refused, why, "Give them the width that the memory was made with.")
    with np.errstate(over="ignore"):
        found = array.astype(np.float32)
    if not np.isfinite(found).all():
        why = "Some of their numbers are infinite, not a number, or beyond float32."
        raise InputError(refused, why, "Give finite numbers below 3.4e38.")
    return np.ascontiguousarray(found)


def check_items(ids: object, **columns: Sized) -> tuple[list[str], list[int]]:
    """The ids to write, and their places as given; of an id that occurs twice, the last counts.

    Args:
        columns: the columns to write, by name, with an entry for each item; one is named "keys".

    Raises:
        InputError: if the ids are not texts, or a column has another number of entries.
    """
    count = len(columns["keys"])
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
    if any(len(column) != count for column in columns.values()):
        *others, last = (f"{len(column)} {name}" for name, column in columns.items())
        raise InputError(
            "Nothing was written.",
            f"There are {', '.join(others)} and {last}.",
            "Give one of each per id.",
        )
    places = sorted({name: n for n, name in enumerate(ids)}.values())
    return [ids[n] for n in places], places


def unknown_item(id: str) -> InputError:
    """The error for an id without an item."""
    return InputError(
        f"There is no item {id!r}.",
        "Nothing of that id was written, or it was forgotten.",
        "Write it with `write`.",
    )
