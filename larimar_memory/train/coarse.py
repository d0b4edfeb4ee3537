"""Train an encoder's table of coarse keys on any text, so that they equal the encoder's own keys.

table = train_keys(encoder, Files(["texts/"]))
table.save(place_for(encoder.fingerprint))

The loss is one minus the cosine with the encoder's key. A token's vector begins as the mean of the keys
of the texts that hold it, minus the mean of all keys. Rare tokens begin nearer to zero, and frequent
ones with less weight, as in smooth inverse frequency (Arora et al. 2017). Adam then takes minutes on
one core.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from larimar_memory.encoders.base import TokenBatch
from larimar_memory.encoders.coarse import CoarseTable, quantised
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from larimar_memory.text.blocks import Text, blocks_of
from larimar_memory.text.normal import normalised
from larimar_memory.text.segments import segment

EPOCHS = 4
MINUTES = 10.0
MOST = 400_000
"""Most texts taken from a folder: more of them change only the third digit of the cosine."""

_WINDOWS = 0.15
"""Windows of two to four neighbouring segments, per segment."""

_FEWEST = 200
_HELD_OUT, _MOST_HELD_OUT = 0.02, 4000
_TEXTS_AT_A_TIME = 2048
_BATCH, _RATE, _LAST_RATE = 2048, 5e-3, 1e-5
_RARE, _FREQUENT = 3.0, 3000.0
_LEAST_WEIGHT = 0.02

OnStep = Callable[[int, int, str], None]
"""Called with how much is done, of how much, and what it is."""


@dataclass(frozen=True)
class Taught:
    """Texts as token ids, without special tokens, and the encoder's keys of them.

    Attributes:
        ids: ids of all texts, one text after the other.
        ends: where in `ids` each text ends, with a zero in front.
    """

    ids: Int[np.ndarray, " t"]
    ends: Int[np.ndarray, " n1"]
    keys: Float[np.ndarray, "n d"]

    @classmethod
    def of(
        cls, batches: list[TokenBatch], keys: list[Float[np.ndarray, "_ d"]], special: list[int]
    ) -> Taught:
        """Tokenised texts with the encoder's keys; texts that it cannot read are left out."""
        every, made = [own for batch in batches for own in batch.ids], np.concatenate(keys)
        read = np.flatnonzero(made.any(axis=1))
        kept = [every[row] for row in read]
        lengths = np.fromiter(map(len, kept), np.int64, len(kept))
        flat = np.fromiter(chain.from_iterable(kept), np.int64, int(lengths.sum()))
        counts = ~np.isin(flat, special)
        before = np.concatenate([[0], np.cumsum(counts)])
        ends = before[np.concatenate([[0], np.cumsum(lengths)])]
        return cls(flat[counts], ends, made[read].astype(np.float16))

    def __len__(self) -> int:
        return len(self.keys)

    def bags(self, rows: Int[np.ndarray, " b"]) -> tuple[Tensor, Tensor, Tensor]:
        """The ids of texts, where each text's ids begin, and the keys."""
        lengths = self.ends[rows + 1] - self.ends[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        at = np.arange(starts[-1]) + np.repeat(self.ends[rows] - starts[:-1], lengths)
        keys = torch.from_numpy(self.keys[rows]).float()
        return torch.from_numpy(self.ids[at]), torch.from_numpy(starts[:-1]), keys


def train_keys(
    encoder: SentenceEncoder,
    texts: Iterable[Text],
    *,
    epochs: int = EPOCHS,
    minutes: float = MINUTES,
    seed: int = 0,
    on_progress: OnStep = lambda done, total, what: None,
) -> CoarseTable:
    """A table for an encoder, which also holds how near its keys come to the encoder's.

    Args:
        texts: any texts, which are cut as when they are written; of more than `MOST` segments and
            windows of neighbouring ones, `MOST` are drawn at random.
        epochs: how often each is learnt from.
        minutes: longest time in which the encoder makes keys of texts.

    Raises:
        InputError: if there is too little text.
    """
    draw = random.Random(seed)  # noqa: S311 - no secrets are drawn
    pieces = _drawn(_pieces(texts, draw), draw)
    if len(pieces) < _FEWEST:
        raise InputError(
            "The table cannot be trained.",
            f"There are {len(pieces)} different sentences, and {_FEWEST} are too few already.",
            "Name a folder with more text: a few megabytes of the kind that will be written.",
        )
    batches, keys, ends_at = list[TokenBatch](), list[np.ndarray](), time.monotonic() + minutes * 60
    total, made, alone = encoder.vocabulary + len(pieces), 0, 0
    for batch in _batches(encoder, pieces):
        batches.append(batch)
        keys.append(encoder.encode_tokens(batch))
        made += len(batch.ids)
        if made <= encoder.vocabulary:
            alone += int(keys[-1].any(axis=1).sum())
        on_progress(made, total, "keys made")
        if made > encoder.vocabulary and time.monotonic() > ends_at:
            break
    taught = Taught.of(batches, keys, encoder.special_ids)
    return fit(
        taught,
        encoder.vocabulary,
        encoder.fingerprint,
        alone=alone,
        epochs=epochs,
        on_progress=on_progress,
    )


def fit(
    taught: Taught,
    vocabulary: int,
    fingerprint: str,
    *,
    alone: int = 0,
    epochs: int = EPOCHS,
    on_progress: OnStep = lambda done, total, what: None,
) -> CoarseTable:
    """The table that fits texts, which come in random order; the last ones are held out.

    Args:
        vocabulary: number of tokens in the vocabulary.
        alone: how many of the first texts are single tokens.
    """
    texts = max(len(taught) - alone, 1)
    held = min(max(int(texts * _HELD_OUT), 1), _MOST_HELD_OUT)
    rows, held_out = np.arange(len(taught) - held), np.arange(len(taught) - held, len(taught))
    table, bias = _beginning(taught, rows, vocabulary)
    chosen = min(_BATCH, len(rows))
    steps, step = epochs * (len(rows) // chosen), 0
    adam = torch.optim.Adam([table, bias], fused=True)
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(rows)
        for first in range(0, len(order) - chosen + 1, chosen):
            rate = _RATE * (1 - step / steps) + _LAST_RATE
            for group in adam.param_groups:
                group["lr"] = rate
            ids, starts, keys = taught.bags(order[first : first + chosen])
            loss = (1 - (_keys(ids, starts, table, bias) * keys).sum(1)).mean()
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            step += 1
            on_progress(step, steps, "steps")
    recipe = {"epochs": epochs, "batch": chosen, "rate": _RATE}
    said = {"texts": texts - held, "held_out": held, "recipe": recipe}
    made = quantised(table.detach().numpy(), bias.detach().numpy(), fingerprint, **said)
    made.about["cosine"] = round(cosine(made, taught, held_out), 4)
    return made


def cosine(table: CoarseTable, taught: Taught, rows: Int[np.ndarray, " n"] | None = None) -> float:
    """Mean cosine of a table's keys with the encoder's, over some texts or all."""
    every = np.arange(len(taught)) if rows is None else rows
    ids = [taught.ids[first:last].tolist() for first, last in pairwise(taught.ends)]
    keys = table.keys([ids[row] for row in every])
    return float((keys * taught.keys[every]).sum(axis=1).mean())


def _batches(encoder: SentenceEncoder, pieces: list[str]) -> Iterator[TokenBatch]:
    """Batches of every token alone, so that all have a vector, and then of the texts."""
    for first in range(0, encoder.vocabulary, _TEXTS_AT_A_TIME):
        yield encoder.alone(range(first, min(first + _TEXTS_AT_A_TIME, encoder.vocabulary)))
    for first in range(0, len(pieces), _TEXTS_AT_A_TIME):
        yield encoder.tokenize(pieces[first : first + _TEXTS_AT_A_TIME])


def _keys(
    ids: Int[Tensor, " t"], starts: Int[Tensor, " n"], table: Tensor, bias: Tensor
) -> Float[Tensor, "n d"]:
    summed = nn.functional.embedding_bag(ids, table, starts, mode="sum")
    keys: Tensor = nn.functional.normalize(summed + bias, dim=1)
    return keys


def _beginning(
    taught: Taught, rows: Int[np.ndarray, " n"], vocabulary: int
) -> tuple[nn.Parameter, nn.Parameter]:
    """The initial vectors, which are mean keys by token times a weight, and the initial bias."""
    mean = torch.from_numpy(taught.keys[rows].mean(axis=0, dtype=np.float32))
    table, counts = torch.zeros(vocabulary, len(mean)), torch.zeros(vocabulary)
    for first in range(0, len(rows), 4 * _BATCH):
        ids, starts, keys = taught.bags(rows[first : first + 4 * _BATCH])
        lengths = torch.diff(starts, append=torch.tensor([len(ids)]))
        table.index_add_(0, ids, (keys - mean).repeat_interleave(lengths, dim=0))
        counts += torch.bincount(ids, minlength=vocabulary)
    weights = 1 / (1 + counts / counts.sum() * _FREQUENT)
    table *= (weights.clamp(min=_LEAST_WEIGHT) / (counts + _RARE)).unsqueeze(1)
    return nn.Parameter(table), nn.Parameter(mean * 0.3)


def _pieces(texts: Iterable[Text], draw: random.Random) -> Iterator[str]:
    """The segments of texts, normalised as for keys, and windows of neighbouring segments."""
    for text in texts:
        near = list[str]()
        for found in segment(blocks_of(text.text)):
            near = [*near[-3:], found.text]
            yield normalised(found.text)
            if len(near) > 1 and draw.random() < _WINDOWS:
                yield normalised("".join(near[-draw.randint(2, len(near)) :]))


def _drawn(pieces: Iterator[str], draw: random.Random) -> list[str]:
    """Up to `MOST` pieces, all equally likely (reservoir sampling), each text once, in random order."""
    kept = list[str]()
    for number, piece in enumerate(pieces):
        if len(kept) < MOST:
            kept.append(piece)
        elif (at := draw.randrange(number + 1)) < MOST:
            kept[at] = piece
    distinct = list(dict.fromkeys(kept))
    draw.shuffle(distinct)
    return distinct
