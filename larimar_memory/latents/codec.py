"""Encoder, readout head and adapters for one decoder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from larimar_memory.decoder import Decoder
from larimar_memory.errors import InputError
from larimar_memory.latents.adapters import Adapters
from larimar_memory.latents.anatomy import examine
from larimar_memory.latents.config import LatentConfig
from larimar_memory.latents.encoder import Features, SegmentEncoder
from larimar_memory.latents.head import ReadoutHead
from larimar_memory.latents.prefix import Prefix, place
from larimar_memory.latents.states import Segments, States, pad, start_states

_BATCH_TOKENS = 2048


class LatentCodec(nn.Module):
    """What turns segments into latents, and latents into a prefix of one frozen decoder.

    Its parameters are float32; the decoder's are not among them.

    Args:
        decoder: a llama-like decoder.
        config: sizes.

    Raises:
        ModelError: if the decoder is not llama-like.
    """

    start_keys: Tensor
    start_values: Tensor

    def __init__(self, decoder: Decoder, config: LatentConfig) -> None:
        super().__init__()
        self.config = config
        self.anatomy = examine(decoder)
        self.decoder = decoder
        self.features = Features(self.anatomy, min(config.layer, self.anatomy.layers))
        self.encoder = SegmentEncoder(config, 2 * self.anatomy.hidden)
        self.head = ReadoutHead(config, self.anatomy)
        self.adapters = Adapters(self.anatomy, config.rank)
        keys, values = start_states(self.anatomy)
        self.register_buffer("start_keys", keys.cpu())
        self.register_buffer("start_values", values.cpu())
        self.to(self.anatomy.device)

    def tokens(self, text: str) -> list[int]:
        """A segment's token ids; special tokens in it are read as plain text."""
        ids: list[int] = self.decoder.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True
        )["input_ids"]
        return ids

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> list[Float[np.ndarray, "_ dz"]]:
        """The latent of every segment, float32; m follows its length.

        One that has more tokens than the limit is read in pieces of so many, and its latent is theirs
        in a line.

        Raises:
            InputError: if a segment is empty.
        """
        pieces, owners = list[list[int]](), list[int]()
        for owner, text in enumerate(texts):
            ids = self.tokens(text)
            if not ids:
                raise InputError(
                    "A segment cannot be made into a latent.",
                    "It is empty.",
                    "Pass text with at least one visible character.",
                )
            for at in range(0, len(ids), self.config.limit):
                pieces.append(ids[at : at + self.config.limit])
                owners.append(owner)
        made = self._encode(pieces)
        lines: list[list[Float[np.ndarray, "_ dz"]]] = [[] for _ in texts]
        for owner, z in zip(owners, made, strict=True):
            lines[owner].append(z)
        return [np.concatenate(line) for line in lines]

    def _encode(self, segments: list[list[int]]) -> list[Float[np.ndarray, "_ dz"]]:
        """Latents of token ids, batched by length."""
        found: list[Float[np.ndarray, "_ dz"]] = [np.empty((0, 0), np.float32)] * len(segments)
        order = sorted(range(len(segments)), key=lambda i: len(segments[i]))
        while order:
            # The longest first, so that a batch that fits in memory once fits ever after.
            count = max(1, _BATCH_TOKENS // (len(segments[order[-1]]) + 2))
            batch, order = order[-count:], order[:-count]
            z, mask = self.latents(pad([segments[i] for i in batch], self.anatomy.end, self.device))
            for i, row, valid in zip(batch, z, mask, strict=True):
                found[i] = row[valid].cpu().numpy()
        return found

    def latents(self, segments: Segments) -> tuple[Float[Tensor, "b m dz"], Bool[Tensor, "b m"]]:
        """Latents of a padded batch, and where they have positions."""
        z, mask = self.encoder(self.features(segments), segments.mask)
        return z, mask

    def prefix(self, readouts: Sequence[Float[np.ndarray, "_ dz"]]) -> Prefix:
        """One prefix in which the readouts stand side by side, in the order given.

        Raises:
            InputError: if there is none, or one is not of this codec's dz.
        """
        return self.prefixes([readouts])

    @torch.no_grad()
    def prefixes(self, batch: Sequence[Sequence[Float[np.ndarray, "_ dz"]]]) -> Prefix:
        """A batch of prefixes, each with its own readouts side by side.

        Raises:
            InputError: if one has no readouts, or a readout is not of this codec's dz.
        """
        if not batch or not all(batch):
            raise InputError(
                "No prefix can be made.", "There are no readouts.", "Give at least one readout."
            )
        for readout in (readout for readouts in batch for readout in readouts):
            if readout.ndim != 2 or readout.shape[1] != self.config.dz or not len(readout):
                raise InputError(
                    "No prefix can be made.",
                    f"A readout is of shape {tuple(readout.shape)}, not (m, {self.config.dz}).",
                    "Use latents that this codec's encoder made.",
                )
        most = self.config.positions
        rows = [
            [r[at : at + most] for r in readouts for at in range(0, len(r), most)] for readouts in batch
        ]
        count = max(len(row) for row in rows)
        width = max(len(piece) for row in rows for piece in row)
        z = torch.zeros(len(rows) * count, width, self.config.dz)
        mask = torch.zeros(z.shape[:2], dtype=torch.bool)
        for number, row in enumerate(rows):
            # What is missing is missing in front: distances are counted from the end.
            for at, piece in enumerate(row, start=(number + 1) * count - len(row)):
                z[at, : len(piece)] = torch.from_numpy(piece.astype(np.float32))
                mask[at, : len(piece)] = True
        return self.placed(z.to(self.device), mask.to(self.device), count)

    def placed(self, z: Float[Tensor, "b m dz"], mask: Bool[Tensor, "b m"], count: int = 1) -> Prefix:
        """The prefix of latents, `count` consecutive rows side by side; lets gradients through."""
        return self.lined_up(self.head(z, mask), count)

    def lined_up(self, states: States, count: int = 1) -> Prefix:
        """The prefix of keys and values, `count` consecutive rows side by side."""
        line = states.side_by_side(count)
        return place(self.anatomy, self.start, line, count=count, stride=self.config.stride)

    @cached_property
    def fingerprint(self) -> bytes:
        """32 bytes that identify what makes and reads latents; of a codec that is no longer trained."""
        digest = hashlib.sha256(self.config.model_dump_json().encode())
        for name, tensor in sorted(self.state_dict().items()):
            bits = tensor.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16)
            digest.update(name.encode() + bits.numpy().tobytes())
        return digest.digest()

    @property
    def cue(self) -> int:
        """The token after which a segment is said again: a line break.

        A second start token would do worse: it is an attention sink, and what is read there is hardly
        its own.
        """
        ids = self.tokens("\n")
        return ids[0] if ids else self.anatomy.start

    @property
    def start(self) -> tuple[Float[Tensor, "l g c"], Float[Tensor, "l g c"]]:
        """The start token's keys and values."""
        return self.start_keys, self.start_values

    @property
    def device(self) -> torch.device:
        """Where the codec and its decoder are."""
        return self.anatomy.device
