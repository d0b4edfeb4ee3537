"""Coarse keys: a segment's key from a table of token vectors and weights, without a network.

A table is trained to reproduce the encoder's own keys (`larimar_memory.train.coarse`), so that a
question's key, which the encoder makes, can search coarse keys. A coarse key depends on the tokens
alone, not on their order or context.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float16, Int8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from larimar_memory.encoders.keys import unit
from larimar_memory.errors import ModelError
from larimar_memory.models.files import COARSE_KEYS
from larimar_memory.system.files import put_in_place, user_folder
from larimar_memory.system.threads import one_thread

if TYPE_CHECKING:
    import torch

_PREFIX = 16
_SHIPPED = Path(__file__).with_name("tables")
_ABOUT = "about"


@dataclass(frozen=True, eq=False)
class CoarseTable:
    """A vector and a weight for every token of an encoder's vocabulary.

    A text's coarse key is the bias plus the sum of its tokens' vectors, each times its weight, scaled
    to unit length. Tokens that every text has, such as those of its beginning and end, have no weight.

    Attributes:
        vectors: int8 or float16, a row for each token.
        weights: float32.
        bias: float32.
        fingerprint: of the encoder whose keys the table reproduces.
        about: facts of its training: mean cosine with the encoder's keys of held-out texts, number of
            training texts, recipe.
    """

    vectors: Int8[np.ndarray, "v d"] | Float16[np.ndarray, "v d"]
    weights: Float[np.ndarray, " v"]
    bias: Float[np.ndarray, " d"]
    fingerprint: str
    about: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def _table(self) -> torch.Tensor:
        import torch

        return torch.from_numpy(self.vectors).float() * torch.from_numpy(self.weights).unsqueeze(1)

    @property
    def dimension(self) -> int:
        """d, numbers in a key."""
        return len(self.bias)

    def keys(
        self, ids: Sequence[Sequence[int]], unread: Collection[int] = ()
    ) -> Float[np.ndarray, "n d"]:
        """Coarse keys of tokenised texts, of unit length, float32.

        Args:
            unread: indices of texts that the encoder cannot read; their keys are zeros, as are those of
                texts without a token.
        """
        import torch

        read = [() if n in unread else own for n, own in enumerate(ids)] if unread else ids
        lengths = np.fromiter(map(len, read), np.int64, len(read))
        flat = np.fromiter(chain.from_iterable(read), np.int64, int(lengths.sum()))
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(read) else lengths
        with torch.inference_mode():
            summed = torch.nn.functional.embedding_bag(
                torch.from_numpy(flat), self._table, torch.from_numpy(starts), mode="sum"
            ).numpy()
        return unit((summed + self.bias) * summed.any(axis=1, keepdims=True))

    def likeness(self, asked: Sequence[int], texts: Sequence[Sequence[int]]) -> Float[np.ndarray, " n"]:
        """How much of the asked tokens' meaning each text has, in the same or similar tokens.

        The best cosine of each asked token with a token of the text, averaged with the length of the
        asked token's weighted vector as its weight: late interaction (Khattab and Zaharia 2020, arXiv
        2004.12832) with vectors from a table.

        Returns:
            Float32, in [-1, 1]; 0 for texts without a token.
        """
        import torch

        own = self._table[torch.tensor(asked, dtype=torch.long)]
        share = own.norm(dim=1).numpy()
        if not len(asked) or not share.any():
            return np.zeros(len(texts), dtype=np.float32)
        known = np.unique(np.fromiter(chain.from_iterable(texts), np.int64))
        # torch, not NumPy, whose threads would wait by spinning; see `keys.cosines`.
        with one_thread():
            near = torch.nn.functional.normalize(self._table[torch.from_numpy(known)])
            likely = (near @ torch.nn.functional.normalize(own).T).numpy()
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        some, found = np.flatnonzero(lengths), np.zeros(len(texts), dtype=np.float32)
        if len(some):
            flat = np.searchsorted(known, np.fromiter(chain.from_iterable(texts), np.int64))
            starts = np.concatenate([[0], np.cumsum(lengths[some])[:-1]])
            found[some] = np.einsum(
                "nt,t->n", np.maximum.reduceat(likely[flat], starts), share / share.sum()
            )
        return found

    def save(self, path: Path) -> None:
        """Write the table to a file, which appears whole or not at all.

        Raises:
            OSError: if it cannot be written.
        """
        about = json.dumps({"fingerprint": self.fingerprint, **self.about})
        parts = {"vectors": self.vectors, "weights": self.weights, "bias": self.bias}
        path.parent.mkdir(parents=True, exist_ok=True)
        with put_in_place(path) as new:
            save_file(parts, new, {_ABOUT: about})

    @classmethod
    def load(cls, path: Path) -> CoarseTable:
        """The table in a file.

        Raises:
            ModelError: if the file holds no usable table.
        """
        try:
            with safe_open(path, framework="np") as file:
                about = json.loads((file.metadata() or {})[_ABOUT])
                parts = {name: file.get_tensor(name) for name in ("vectors", "weights", "bias")}
            fingerprint = str(about.pop("fingerprint"))
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise _unusable(path, f"It cannot be read: {str(error).rstrip('.')}") from error
        vectors, weights, bias = parts.values()
        shapes = (*weights.shape, *bias.shape), (weights.ndim, bias.ndim)
        if vectors.dtype not in (np.int8, np.float16) or shapes != (vectors.shape, (1, 1)):
            raise _unusable(path, "Its vectors, weights and bias do not fit one another")
        return cls(vectors, weights.astype(np.float32), bias.astype(np.float32), fingerprint, about)


def quantised(
    table: Float[np.ndarray, "v d"], bias: Float[np.ndarray, " d"], fingerprint: str, **about: Any
) -> CoarseTable:
    """The table of vectors already multiplied by their weights, each number rounded to 8 bits."""
    largest = np.abs(table).max(axis=1)
    weights = (largest / 127).astype(np.float32)
    scaled = table / np.where(largest > 0, weights, 1)[:, None]
    return CoarseTable(np.rint(scaled).astype(np.int8), weights, bias, fingerprint, about)


def place_for(fingerprint: str) -> Path:
    """The path of the user's table for an encoder.

    Raises:
        ModelError: if the user has no folder.
    """
    folder = user_folder("data")
    if folder is None:
        raise ModelError(
            "There is no place for the table of coarse keys.",
            "No file was named, and the user's home folder cannot be determined.",
            "Name the file with `--out`.",
        )
    return _in(folder, fingerprint)


def find_table(fingerprint: str, folder: Path | None = None) -> Path | None:
    """The file of an encoder's table: in the model's folder, the user's, or shipped; None without one.

    Args:
        folder: the model's, if it has one.
    """
    own, places = user_folder("data"), [_SHIPPED / _name(fingerprint)]
    if own is not None:
        places.insert(0, _in(own, fingerprint))
    if folder is not None:
        places.insert(0, folder / COARSE_KEYS)
    return next((path for path in places if path.is_file()), None)


def load_for(path: Path, fingerprint: str, dimension: int) -> CoarseTable:
    """The table in a file, checked to be that of an encoder.

    Raises:
        ModelError: if the file holds no usable table, or another encoder's.
    """
    table = CoarseTable.load(path)
    if (table.fingerprint, table.dimension) != (fingerprint, dimension):
        theirs = f"{table.fingerprint[:12]} of dimension {table.dimension}"
        raise _unusable(path, f"It is of encoder {theirs}, not {fingerprint[:12]} of {dimension}")
    return table


def _in(own: Path, fingerprint: str) -> Path:
    return own / "coarse_keys" / _name(fingerprint)


def _name(fingerprint: str) -> str:
    return f"{fingerprint[:_PREFIX]}.safetensors"


def _unusable(path: Path, why: str) -> ModelError:
    return ModelError(
        f"The table of coarse keys {path} cannot be used.",
        f"{why}.",
        "Make it again with `larimar train-keys`, or delete it.",
    )
