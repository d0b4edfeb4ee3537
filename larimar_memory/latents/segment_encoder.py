"""From a segment's tokens to its latent."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from larimar_memory.latents.anatomy import Anatomy, first_layers
from larimar_memory.latents.config import LatentConfig
from larimar_memory.latents.prefix import Lead
from larimar_memory.latents.states import Segments, in_windows
from larimar_memory.models import caches


class Features:
    """Describes tokens by their input embedding and their hidden state after the first layers.

    Segments are read after the lead, as they are when their keys and values are made. Only those layers
    run. Both halves are normalised, since hidden states grow with depth.
    """

    def __init__(self, anatomy: Anatomy, lead: Lead, layer: int) -> None:
        self._anatomy = anatomy
        self._lead = Lead(lead.tokens, lead.keys[:layer], lead.values[:layer])
        self._view: Any = first_layers(anatomy, layer)

    @torch.no_grad()
    def __call__(self, segments: Segments) -> Float[Tensor, "b t f"]:
        """Features of every token, float32, f = twice the decoder's hidden width."""
        embedded = self._view.embed_tokens(segments.tokens)
        lead = caches.given(self._anatomy.base, self._lead.cache(self._anatomy, len(embedded)))
        hidden = self._view(inputs_embeds=embedded, **lead).last_hidden_state
        halves = [nn.functional.layer_norm(x.float(), x.shape[-1:]) for x in (embedded, hidden)]
        return torch.cat(halves, dim=-1)

    def in_windows(self, segments: Segments, count: int) -> Float[Tensor, "b t f"]:
        """Features of every token, each window of `count` consecutive rows read as one text.

        The features of a token thus depend on the segments before it in its window. Rows without tokens
        are skipped.
        """
        windows = in_windows(segments, count)
        packed = self(windows.packed)
        back = windows.back.reshape(len(packed), -1)[..., None].expand(-1, -1, packed.shape[-1])
        return packed.gather(1, back).reshape(*segments.tokens.shape, -1)


class SegmentEncoder(nn.Module):
    """Maps the features of `ratio` consecutive tokens to one latent position.

    Args:
        config: the codec's sizes.
        features: number of features of a token.
    """

    def __init__(self, config: LatentConfig, features: int) -> None:
        super().__init__()
        self.ratio = config.ratio
        wide = config.ratio * features
        if config.squeeze:
            self.map: nn.Module = nn.Sequential(
                nn.Linear(wide, config.squeeze), nn.GELU(), nn.Linear(config.squeeze, config.dz)
            )
        else:
            self.map = nn.Linear(wide, config.dz)

    @property
    def last(self) -> nn.Linear:
        """The layer whose outputs are the latents."""
        return cast(nn.Linear, self.map[-1] if isinstance(self.map, nn.Sequential) else self.map)

    def forward(
        self, features: Float[Tensor, "b t f"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b m dz"], Bool[Tensor, "b m"]]:
        """Latents of b segments, and a mask of their positions; m = t / ratio, rounded up."""
        wide, mask = self.grouped(features, mask)
        z: Tensor = self.map(wide)
        return z, mask

    def grouped(
        self, features: Float[Tensor, "b t f"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b m wide"], Bool[Tensor, "b m"]]:
        """Features of `ratio` tokens side by side, zeros for tokens that the last group lacks."""
        b, t, f = features.shape
        missing = -t % self.ratio
        features = features * mask[..., None]
        features = nn.functional.pad(features, (0, 0, 0, missing))
        mask = nn.functional.pad(mask, (0, missing))
        # A group belongs to the segment if its first token does.
        return features.reshape(b, -1, self.ratio * f), mask[:, :: self.ratio]
