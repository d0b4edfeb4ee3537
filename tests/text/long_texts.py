"""Long texts, in blocks, and memories to write them to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from larimar_memory.larimar import Larimar
from larimar_memory.text.blocks import Blocks
from tests.quick import QuickEncoder, QuickTokens

ROOT = Path(__file__).parents[2]
"""The folder that a process of a test imports from."""


def in_blocks(text: str, size: int = 1000) -> Blocks:
    """A text in blocks of so many characters."""
    return lambda: (text[at : at + size] for at in range(0, len(text), size))


def sentences(count: int, seed: int = 0) -> str:
    """So many different sentences, in paragraphs of nine."""
    words = ("tower", "harbour", "lamp", "winter", "copper", "letter", "garden", "engine")
    return " ".join(
        f"The {words[(i * 7 + seed) % 8]} number {i} stands near the {words[i * i % 8]}."
        + ("\n\n" if i % 9 == 8 else "")
        for i in range(count)
    )


def open_quick(path: Path | None = None, **options: Any) -> Larimar:
    """A memory whose encoder takes no time; with `tokens=False`, one that does not tokenise."""
    encoder = QuickTokens() if options.pop("tokens", True) else QuickEncoder()
    return Larimar.open(path, encoder=encoder, **options)
