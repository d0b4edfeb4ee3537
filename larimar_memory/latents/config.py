"""The sizes of a latent codec."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class LatentConfig(BaseModel):
    """Sizes of encoder, readout head and adapters; fixed when training starts.

    Attributes:
        dz: numbers per latent position.
        ratio: consecutive tokens that share a latent position.
        spread: virtual positions that the readout head makes of one latent position; divides `ratio`.
            1 makes the prefix as short as the latent; `ratio` makes it as long as the text.
        depth: share of the decoder's layers run to describe a token; its hidden state after them is a
            feature. Keys and values of all layers follow from the state at about .6 far better than
            from any earlier or later one.
        step: distance between neighbouring stored values of a number, for latents that begin training
            with deviation 1; smaller steps take more bytes.
        squeeze: hidden width of the encoder; 0 makes it one linear map.
        width: hidden width of the readout head.
        rank: rank of the adapters on the attention projections.
        limit: most tokens of a piece, without its mark; longer segments are placed in pieces.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dz: int = Field(default=192, ge=1)
    ratio: int = Field(default=1, ge=1, le=64)
    spread: int = Field(default=1, ge=1, le=64)
    depth: float = Field(default=0.6, gt=0, le=1)
    step: float = Field(default=0.8, gt=0)
    squeeze: int = Field(default=0, ge=0)
    width: int = Field(default=1024, ge=1)
    rank: int = Field(default=16, ge=1)
    limit: int = Field(default=32, ge=1)

    @model_validator(mode="after")
    def _spread_divides_ratio(self) -> LatentConfig:
        if self.ratio % self.spread:
            raise ValueError(f"spread {self.spread} does not divide ratio {self.ratio}")
        return self

    @property
    def tokens_per_key(self) -> int:
        """Tokens that share one virtual position."""
        return self.ratio // self.spread

    @property
    def positions(self) -> int:
        """Latent positions of a piece of `limit` tokens and its mark."""
        return -(-(self.limit + 1) // self.ratio)

    @property
    def stride(self) -> int:
        """Places set aside for a segment in a prefix, whatever its length."""
        return self.positions * self.spread
