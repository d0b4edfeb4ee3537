"""RAM that a memory takes beyond the models; run as a process of its own, so that nothing else counts.

Reads `{"memory": path, "questions": [...], "warm": [...]}` from stdin, writes megabytes to stdout.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar


def megabytes() -> float:
    """This process's resident set, in MB (1e6 bytes)."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e6


def measure(task: dict[str, Any]) -> dict[str, float]:
    """Resident set with warm models and no memory on disk, and with the memory opened and asked."""
    encoder, decoder = SentenceEncoder.load(), TransformersDecoder.load()
    with Larimar.open(None, encoder=encoder, decoder=decoder) as small:
        small.write(task["warm"])
        _ask(small, task["questions"])
    models = peak = megabytes()
    with Larimar.open(Path(task["memory"]), encoder=encoder, decoder=decoder, create=False) as memory:
        for question in task["questions"]:
            _ask(memory, [question])
            peak = max(peak, megabytes())
        opened = megabytes()
    return {"models_mb": models, "with_memory_mb": opened, "peak_mb": peak}


def _ask(memory: Larimar, questions: list[str]) -> None:
    for question in questions:
        memory.answer(question, threshold=0.0)


if __name__ == "__main__":
    json.dump(measure(json.load(sys.stdin)), sys.stdout)
