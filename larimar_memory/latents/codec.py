"""Encoder, readout head and adapters for one decoder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from larimar_memory.decoders.base import LatentDecoder
from larimar_memory.errors import InputError
from larimar_memory.latents.adapters import Adapters, Joined
from larimar_memory.latents.anatomy import examine
from larimar_memory.latents.config import LatentConfig
from larimar_memory.latents.head import ReadoutHead
from larimar_memory.latents.prefix import LatentReadout, Prefix, States, place, rotate
from larimar_memory.latents.reads import Reads
from larimar_memory.latents.segment_encoder import Features, SegmentEncoder
from larimar_memory.latents.states import Segments, exact_states, pad, read_lead
from larimar_memory.latents.stored import Predictor, StoredForm, kept

if TYPE_CHECKING:
    from larimar_memory.latents.answering import AnsweringAdapter

_BATCH_TOKENS = 2048
_AT_ONCE = 256
"""Positions whose keys and values are made together: some megabytes."""


class LatentCodec(nn.Module):
    """What turns segments into latents, and latents into a prefix of one frozen decoder.

    A prefix begins with the lead: what the decoder's chat says before recalled passages, read once.
    Segments are encoded after it too. So a readout takes the place of its passage in the prompt: of a
    single passage, exact keys and values would be those of the prompt.

    Its parameters are float32; the decoder's are not among them.

    Args:
        decoder: a llama-like decoder.
        config: sizes.

    Attributes:
        lead: what stands first in every prefix.
        reads: what reads from its latents were measured to be worth, where they were.
        predictor: how latents are stored in fewer bytes, where it was fitted.

    Raises:
        ModelError: if the decoder is not llama-like.
    """

    def __init__(self, decoder: LatentDecoder, config: LatentConfig) -> None:
        super().__init__()
        self.config = config
        self.reads = Reads()
        self.predictor: Predictor | None = None
        self._positions, self._stride = config.positions, config.stride
        self.anatomy = examine(decoder)
        self.decoder = decoder
        self.lead = read_lead(self.anatomy, decoder.around_recalled("")[0])
        layers = max(1, round(config.depth * self.anatomy.layers))
        self.features = Features(self.anatomy, self.lead, layers)
        self.encoder = SegmentEncoder(config, 2 * self.anatomy.hidden)
        self.head = ReadoutHead(config, self.anatomy)
        self.adapters = Adapters([module for _, module in self.anatomy.projections], config.rank)
        self._joined = WeakKeyDictionary[Adapters, Joined]()
        self.to(self.anatomy.model.device)

    def tokens(self, text: str) -> list[int]:
        """A segment's token ids; special tokens in it are read as plain text."""
        return self.decoder.plain_tokens(text)

    def encode(self, texts: Sequence[str]) -> list[Float[np.ndarray, "_ dz"]]:
        """The latent of every segment, read on its own, as by `encode_windows`."""
        return [z for (z,) in self.encode_windows([[text] for text in texts])]

    @torch.no_grad()
    def encode_windows(self, windows: Sequence[Sequence[str]]) -> list[list[Float[np.ndarray, "_ dz"]]]:
        """The latents of all segments, float32; m follows a segment's length, which has no limit.

        The segments of a window are read as one text, so the latent of "She moved to Bonn." knows who
        "she" is if a segment before it in its window says so. It holds something of those segments, and
        none of what comes after it.

        Raises:
            InputError: if a segment is empty.
        """
        segments = [[self.tokens(text) for text in texts] for texts in windows]
        if not all(ids for window in segments for ids in window):
            raise InputError(
                "A segment cannot be made into a latent.",
                "It is empty.",
                "Pass text with at least one visible character.",
            )
        return self.encode_tokens(segments)

    @torch.no_grad()
    def encode_tokens(
        self, windows: Sequence[Sequence[Sequence[int]]]
    ) -> list[list[Float[np.ndarray, "_ dz"]]]:
        """As `encode_windows`, of token ids; windows are batched by length."""
        found = [list[Float[np.ndarray, "_ dz"]]() for _ in windows]
        sizes = [sum(len(ids) + 1 for ids in window) for window in windows]
        order = sorted((i for i, size in enumerate(sizes) if size), key=lambda i: sizes[i])
        while order:
            # The longest first, so that a batch that fits in memory once fits ever after.
            rows = max(1, _BATCH_TOKENS // (sizes[order[-1]] + 1))
            batch, order = order[-rows:], order[:-rows]
            count = max(len(windows[i]) for i in batch)
            padded = [[*windows[i], *([[]] * (count - len(windows[i])))] for i in batch]
            z, mask = self.latents(self.padded([ids for window in padded for ids in window]), count)
            for at, i in enumerate(batch):
                places = range(at * count, at * count + len(windows[i]))
                found[i] = [z[n][mask[n]].cpu().numpy() for n in places]
        return found

    def padded(self, segments: Sequence[Sequence[int]]) -> Segments:
        """Token ids as a batch; each segment is followed by the mark, as a passage in a prompt is.

        Of an empty list of ids there is nothing, not even a mark.
        """
        return pad(segments, self.mark, self.device)

    def exact(self, segments: Segments, count: int = 1) -> States:
        """The decoder's own keys and values of segments in windows of `count` rows: what latents are to
        stand for.
        """
        return exact_states(self.anatomy, self.lead, segments, count)

    def latents(
        self, segments: Segments, count: int = 1
    ) -> tuple[Float[Tensor, "b m dz"], Bool[Tensor, "b m"]]:
        """Latents of a padded batch, windows of `count` rows, and where they have positions."""
        z, mask = self.encoder(self.features.in_windows(segments, count), segments.mask)
        return z, mask

    @torch.no_grad()
    def prefix(self, batch: Sequence[Sequence[Float[np.ndarray, "_ dz"]]]) -> Prefix:
        """A batch of prefixes; in each its own readouts stand side by side, in the order given.

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
        device, most = self.anatomy.model.device, self._positions
        rows = [
            [r[at : at + most] for r in readouts for at in range(0, len(r), most)] for readouts in batch
        ]
        if len(rows) == 1:
            return self._in_line(rows[0])
        count = max(len(row) for row in rows)
        width = max(len(piece) for row in rows for piece in row)
        z = torch.zeros(len(rows) * count, width, self.config.dz)
        mask = torch.zeros(z.shape[:2], dtype=torch.bool)
        for number, row in enumerate(rows):
            # What is missing is missing in front: distances are counted from the end.
            for at, piece in enumerate(row, start=(number + 1) * count - len(row)):
                # A row of NaN is a position that was dropped: a gap, where the others stay in place.
                z[at, : len(piece)] = torch.from_numpy(np.nan_to_num(piece.astype(np.float32)))
                mask[at, : len(piece)] = torch.from_numpy(kept(piece))
        return self.placed(self.head(z.to(device), mask.to(device)), count)

    def _in_line(self, pieces: Sequence[Float[np.ndarray, "_ dz"]]) -> Prefix:
        """The prefix of one row, without gaps, as `placed` makes it: some positions at a time.

        All numbers of many positions at once, in float32 and several times over, are more than a
        processor's own memory holds, and moving them takes longer than computing them.
        """
        anatomy, lead, spread = self.anatomy, self.lead, self.config.spread
        # What was dropped takes up its place, and nothing stands there.
        left = [np.flatnonzero(kept(piece)) for piece in pieces]
        first, total = len(lead.tokens), spread * sum(map(len, left))
        whole, count = first + total, len(pieces)
        # As in `place`: distances are counted from the end, and each piece takes up a stride.
        starts = [whole + (n - count) * self._stride for n in range(count)]
        each = np.arange(spread)
        runs = [
            (at + spread * here[:, None] + each).flatten().tolist()
            for at, here in zip(starts, left, strict=True)
        ]
        places = torch.tensor([[*range(starts[0] - first, starts[0]), *chain(*runs)]]).to(self.device)
        rows = np.concatenate([piece[here] for piece, here in zip(pieces, left, strict=True)])
        z = torch.from_numpy(rows.astype(np.float32)).to(self.device)
        like = torch.empty(0, dtype=anatomy.model.dtype, device=self.device)
        size = anatomy.layers, 1, anatomy.heads, whole, anatomy.channels
        keys, values = like.new_empty(size), like.new_empty(size)
        keys[..., :first, :] = rotate(anatomy, lead.keys[:, None], places[:, :first])
        values[..., :first, :] = lead.values[:, None]
        for at in range(0, len(z), _AT_ONCE):
            made = self.head.states(z[at : at + _AT_ONCE])
            here = slice(first + spread * at, first + spread * at + made.keys.shape[3])
            keys[..., here, :] = rotate(anatomy, made.keys, places[:, here])
            values[..., here, :] = made.values
        return Prefix(keys, values, torch.ones_like(places, dtype=torch.bool))

    def readout(
        self,
        groups: Sequence[Sequence[Float[np.ndarray, "_ dz"]]],
        answering: AnsweringAdapter | None = None,
    ) -> LatentReadout:
        """What conditions the decoder on recalled passages.

        Args:
            groups: latents of each passage in the order of its text, the best passage first. It is
                put last, nearest to the question, as in a prompt.
            answering: acts too, as it leans, where questions are to be answered.
        """
        prefix = self.prefix([[z for group in reversed(groups) for z in group]])
        lead = len(self.lead.tokens)
        if answering is None:
            return LatentReadout(prefix, lead, self.adapters)
        joined = self.joined(answering.adapters)
        return LatentReadout(prefix, lead, joined, answering.first, answering.weighing)

    def joined(self, others: Adapters) -> Joined:
        """The codec's adapters and others, which act together."""
        if others not in self._joined:
            # Kept: what a decoder makes of the updates, to take fast steps, is kept by them.
            self._joined[others] = Joined(self.adapters, others)
        return self._joined[others]

    def placed(self, states: States, count: int = 1) -> Prefix:
        """The prefix of keys and values, `count` consecutive rows side by side, in pieces if long.

        Gradients pass through.
        """
        most = self._stride
        if states.mask.shape[1] > most:
            rows = len(states.mask)
            states = states.cut(most)
            count *= len(states.mask) // rows
            # Distances are counted from the end: what a shorter segment lacks must not part its
            # neighbours.
            states = states.gaps_first(count)
        return place(self.anatomy, self.lead, states.side_by_side(count), count=count, stride=most)

    @cached_property
    def fingerprint(self) -> bytes:
        """32 bytes that identify what makes and reads latents; of a codec that is no longer trained."""
        return fingerprint_of(self.config, self.lead.tokens, self.state_dict())

    @cached_property
    def stored_form(self) -> StoredForm:
        """How its latents lie in a store; of a codec that is no longer trained."""
        return StoredForm(self.config.dz, self.config.step, self.fingerprint, self.predictor)

    @property
    def mark(self) -> int:
        """The token that ends a segment, and after which one is said again: a line break.

        A start token would do worse: it is an attention sink, and what is read there is hardly its own.
        """
        ids = self.tokens("\n")
        return ids[0] if ids else self.anatomy.start

    @property
    def device(self) -> torch.device:
        """Where the codec and its decoder are."""
        found: torch.device = self.anatomy.model.device
        return found


def fingerprint_of(config: LatentConfig, lead: Sequence[int], tensors: Mapping[str, Tensor]) -> bytes:
    """32 bytes that identify a codec by its sizes, its lead and its weights in bf16."""
    digest = hashlib.sha256(json.dumps([config.model_dump(), list(lead)]).encode())
    for name, tensor in sorted(tensors.items()):
        bits = tensor.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16)
        digest.update(name.encode() + bits.numpy().tobytes())
    return digest.digest()
