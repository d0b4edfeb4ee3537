"""Texts to ingest, and what one process makes of them."""

from __future__ import annotations

import random
from typing import Any

from larimar_memory.larimar import Larimar
from larimar_memory.text.blocks import Text

WORDS = [
    "ferry",
    "lamp",
    "harbour",
    "slate",
    "winter",
    "glass",
    "orchard",
    "copper",
    "tide",
    "mill",
    "letter",
    "stone",
]


def corpus(seed: int, documents: int, sentences: int = 40) -> list[dict[str, Any]]:
    """Documents of sentences that differ; every tenth one is given a second time."""
    draw = random.Random(seed)
    made = [
        {
            "text": " ".join(
                f"The {draw.choice(WORDS)} number {draw.randrange(10**6)} stood near the "
                f"{draw.choice(WORDS)} of {draw.choice(WORDS)} {n}."
                for _ in range(draw.randint(1, sentences))
            ),
            "id": f"doc {n}",
            "metadata": {"n": n, "of": draw.choice(WORDS)},
        }
        for n in range(documents)
    ]
    return made + made[::10]


def write(memory: Larimar, rows: list[dict[str, Any]], **how: Any) -> None:
    """As one process writes them."""
    episode = how.pop("episode", None)
    texts = [Text(row["id"], row["text"], row.get("metadata") or {}, None, episode) for row in rows]
    memory.write_each(texts, **how)
