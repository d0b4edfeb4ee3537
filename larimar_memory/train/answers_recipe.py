"""A recipe of the answering adapter: everything that determines it, except rows and decoder."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AnswersRecipe(BaseModel):
    """Everything that determines the adapter, except the rows and the decoder.

    Attributes:
        kind: distinguishes it from a recipe of latents.
        rank: rank of the updates.
        steps: optimizer steps.
        packs: packs, which are prompts with their questions, per step.
        down_rate, up_rate: highest learning rates of A and B; they rise over `warmup` steps and then
            follow half a cosine down to `floor` of themselves.
        mix: the share of the packs that each file, and made-up `facts`, get; none takes all files by
            their texts.
        without: files to leave out.
        longest: most tokens of a prompt without its question.
        decay: weight decay.
        clip: largest norm of the gradients.
        check_every: steps between checks on held-out rows.
        check_packs: packs in such a check.
        save_every: seconds between checkpoints.
        keep: the share that the updates of the adapter it started from have in those exported, the
            weighted mean of both (arXiv 2109.01903, 2203.05482). Trained longer, an adapter gets surer
            of what it was shown; the mean answers other questions better.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["answers"]
    rank: int = Field(default=16, ge=1)
    steps: int = Field(ge=1)
    packs: int = Field(default=8, ge=1)
    down_rate: float = Field(default=1e-3, gt=0)
    up_rate: float = Field(default=2e-3, gt=0)
    warmup: int = Field(default=20, ge=0)
    floor: float = Field(default=0.05, ge=0, le=1)
    mix: dict[str, float] | None = None
    without: tuple[str, ...] = ()
    longest: int = Field(default=400, ge=1)
    decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)
    check_every: int = Field(default=100, ge=1)
    check_packs: int = Field(default=60, ge=1)
    save_every: float = Field(default=300.0, ge=0)
    keep: float = Field(default=0.0, ge=0, lt=1)
    seed: int = 0
