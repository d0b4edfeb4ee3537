"""Texts and recipes for runs on a tiny decoder."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

from larimar_memory.latents import LatentConfig
from larimar_memory.train import Recipe, Stage

CODEC = LatentConfig(dz=8, depth=0.5, width=16, rank=2, limit=12)
TEXT = "The quick brown fox jumps over the lazy dog. In 1924 Ada met Bob Smith near Paris, at 5:30. "


def texts(folder: Path, count: int = 120) -> Path:
    """A folder of passages, in every form that is read."""
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"text": f"Passage {n}. {TEXT}"}) for n in range(count)]
    (folder / "a.jsonl").write_text("\n".join(lines[::2]))
    with lzma.open(folder / "b.jsonl.xz", "wt") as file:
        file.write("\n".join(lines[1::2]))
    (folder / "c.md").write_text("\n\n".join([TEXT] * 60))
    return folder


def recipe(*stages: Stage, **changes: object) -> Recipe:
    """A recipe of steps that take no time."""
    every = {"codec": CODEC, "calibration": 100, "importance": 24, "balance": 24, "batch": 24}
    every |= {"check_every": 100, "check_segments": 4, "check_questions": 8, "save_every": 1e9}
    return Recipe(stages=stages, **{**every, **changes})
