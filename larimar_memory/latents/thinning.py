"""Latents of fewer positions: those are dropped that the decoder hardly looks at to say the text again.

What is kept serves any question, since none is asked: the decoder says the segment again from its
latent, and each position is worth the attention that it gets meanwhile (KVzip: Kim et al. 2025, arXiv
2505.23416, which drops keys and values head by head; a latent serves all heads of all layers, so its
positions are kept or dropped whole).

A position that was dropped is a row of NaN: those that are kept stay where they stood.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from larimar_memory.latents.codec import LatentCodec
from larimar_memory.latents.prefix import Prefix, read_after, rotate
from larimar_memory.models import caches

_BATCH_TOKENS = 1024
_QUERIES = 256
"""Tokens whose attention is computed together: some megabytes, however long a segment is."""


def thin(
    codec: LatentCodec, texts: Sequence[str], latents: Sequence[Float[np.ndarray, "_ dz"]], share: float
) -> list[Float[np.ndarray, "_ dz"]]:
    """Latents without the positions that matter least.

    Args:
        texts: what each latent was made of.
        share: of the positions of a piece that is kept, above 0; at least one is. With 1, all are.
    """
    if share >= 1:
        return list(latents)
    found, order = list(latents), sorted(range(len(latents)), key=lambda n: len(latents[n]))
    while order:
        rows = max(1, _BATCH_TOKENS // len(latents[order[-1]]))
        batch, order = order[-rows:], order[:-rows]
        worth = attention(codec, [texts[n] for n in batch], [latents[n] for n in batch])
        for n, one in zip(batch, worth, strict=True):
            found[n] = without_least(latents[n], one, share, codec.config.positions)
    return found


def without_least(
    z: Float[np.ndarray, "m dz"], worth: Float[np.ndarray, " m"], share: float, piece: int
) -> Float[np.ndarray, "m dz"]:
    """A latent of whose pieces of so many positions only a share is kept: those worth most."""
    out = np.full_like(z, np.nan)
    for at in range(0, len(z), piece):
        here = worth[at : at + piece]
        best = at + np.argsort(-here, kind="stable")[: max(1, round(share * len(here)))]
        out[best] = z[best]
    return out


@torch.no_grad()
def attention(
    codec: LatentCodec, texts: Sequence[str], latents: Sequence[Float[np.ndarray, "_ dz"]]
) -> list[Float[np.ndarray, " _"]]:
    """The attention that each position of each latent gets while the decoder says its text again.

    It is the mean over layers, heads and tokens, float32.
    """
    prefix = codec.prefix([[z] for z in latents])
    segments = codec.padded([codec.tokens(text) for text in texts])
    # The mark that follows each segment, and pads it, comes first where it is said again.
    got = _attention(codec, prefix, segments.tokens.roll(1, 1), segments.mask.float())
    first, spread = len(codec.lead.tokens), codec.config.spread
    rows = [row[mask][first:] for row, mask in zip(got, prefix.mask, strict=True)]
    return [row.reshape(-1, spread).sum(1).cpu().numpy() for row in rows]


def _attention(
    codec: LatentCodec, prefix: Prefix, tokens: Int[Tensor, "b t"], said: Float[Tensor, "b t"]
) -> Float[Tensor, "b p"]:
    """Attention to a prefix from the tokens that are `said`, while all are read after it."""
    anatomy = codec.anatomy
    channels = anatomy.channels
    b, t = tokens.shape
    p = prefix.mask.shape[1]
    places = prefix.positions(t)
    # Nothing is read ahead of its turn, and gaps are not read.
    after = torch.ones(t, t, dtype=torch.bool, device=codec.device).tril().expand(b, -1, -1)
    seen = torch.cat([prefix.mask[:, None].expand(-1, t, -1), after], 2)[:, None]
    weight = (said / said.sum(1, keepdim=True))[:, None, :, None]
    total = torch.zeros(b, p, device=codec.device)
    with codec.adapters.attached():
        read = read_after(anatomy.model, prefix, tokens, output_hidden_states=True)
        held = caches.left_by(read).layers
        for layer, states, cached in zip(anatomy.base.layers, read.hidden_states, held, strict=False):
            asked = layer.self_attn.q_proj(layer.input_layernorm(states))
            asked = rotate(anatomy, asked.reshape(1, b, t, -1, channels).transpose(2, 3), places)[0]
            heads = asked.shape[1]
            keys = cached.keys.float().repeat_interleave(heads // anatomy.heads, 1).transpose(-1, -2)
            for at in range(0, t, _QUERIES):
                some = slice(at, at + _QUERIES)
                scores = (asked[:, :, some] @ keys * channels**-0.5).masked_fill(
                    ~seen[:, :, some], -torch.inf
                )
                total += (scores.softmax(-1)[..., :p] * weight[:, :, some]).sum((1, 2)) / heads
    return total / anatomy.layers
