"""When latents are the better way to answer: measurements of reads from latents and from text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AS_GOOD = 0.95
"""Answers from latents count as good if they have at least this share of the token F1 of text."""


@dataclass(frozen=True, slots=True)
class Read:
    """The measurements of reads of one length.

    Attributes:
        tokens: number of recalled tokens.
        questions: number of questions that were asked.
        latent_f1, text_f1: mean token F1 of the answers.
        first_over_text: time to the first token from latents, divided by that from text.
    """

    tokens: int
    questions: int
    latent_f1: float
    text_f1: float
    first_over_text: float


@dataclass(frozen=True, slots=True)
class Reads:
    """Measurements of reads from a codec's latents against reads from the text.

    Attributes:
        rows: by rising `tokens`; empty if nothing was measured.
        device: type of the device of the measurements; what is faster there may not be on another.
    """

    rows: tuple[Read, ...] = ()
    device: str = "cpu"

    @classmethod
    def from_dict(cls, held: Mapping[str, Any]) -> Reads:
        """The inverse of `dataclasses.asdict`.

        Raises:
            ValueError, KeyError, TypeError: if the mapping is not such a table.
        """
        rows = (
            Read(
                int(row["tokens"]),
                int(row["questions"]),
                *(float(row[name]) for name in ("latent_f1", "text_f1", "first_over_text")),
            )
            for row in held["rows"]
        )
        return cls(tuple(sorted(rows, key=lambda row: row.tokens)), str(held["device"]))

    @property
    def least(self) -> int | None:
        """Fewest tokens from which on latents answer as well as text, and sooner; None if never.

        Each row is judged together with all longer reads, weighted by questions, because few questions
        say little.
        """
        found: int | None = None
        latent = text = 0.0
        for row in reversed(self.rows):
            latent += row.questions * row.latent_f1
            text += row.questions * row.text_f1
            if row.first_over_text >= 1:
                break
            if latent >= AS_GOOD * text > 0:
                found = row.tokens
        return found

    def better(self, tokens: int, device: str) -> tuple[bool, str]:
        """Whether latents are the better way to read this many tokens, and why.

        Args:
            tokens: number of recalled tokens.
            device: type of the device that the decoder is on.
        """
        if not self.rows:
            return False, "Text: reads from these latents were not measured."
        if device != self.device:
            return False, f"Text: reads from latents were measured on {self.device}, not on {device}."
        row = next((row for row in reversed(self.rows) if row.tokens <= tokens), self.rows[0])
        share = row.latent_f1 / row.text_f1 if row.text_f1 else 0.0
        measured = (
            f"of {row.tokens:,} tokens, answers from latents had {share:.2f} of the token F1 of those "
            f"from text, and their first token took {row.first_over_text:.2f} of the time"
        )
        least = self.least
        if least is None:
            return False, f"Text: latents were better at no length; {measured}."
        if tokens < least:
            return False, (
                f"Text: some {tokens:,} tokens were recalled, and latents are better from {least:,} "
                f"on; {measured}."
            )
        return True, f"Latents: some {tokens:,} tokens were recalled; {measured}."
