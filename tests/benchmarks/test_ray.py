"""The benchmark of Ray: what it counts, and the arithmetic that follows from its figures."""

from __future__ import annotations

import pytest

pytest.importorskip("ray")

from benchmarks import ray, scaling_tables
from benchmarks.clusters import content_hash
from larimar_memory.larimar import Larimar
from tests.quick import QuickCoarse


def test_twenty_kills_of_both_kinds() -> None:
    assert (ray._wanted(ray.FULL), ray._wanted(ray.QUICK)) == (20, 2)


def test_the_arithmetic_of_a_billion_and_a_hundred_billion_tokens() -> None:
    rate = {
        "tokens": 5_000_000,
        "segments": 250_000,
        "dimension": 384,
        "workers": 2,
        "one_process_tokens_per_second": 600_000.0,
        "ray_tokens_per_second": 660_000.0,
        "ray_starting_seconds": 5.2,
        "worker_tokens_per_cpu_second": 500_000.0,
        "commit_tokens_per_cpu_second": 1_250_000.0,
        "shard_bytes_per_token": 24.0,
        "file_bytes_per_token": 36.0,
    }
    lines = scaling_tables.ray({"rate": rate})
    assert "| of 2 workers | 660,000 |" in lines
    assert "| core hours of workers | 0.6 | 55.6 |" in lines
    assert "| hours of who commits to one file | 0.2 | 22.2 |" in lines
    assert "| workers that keep that one busy | 2.5 | 2.5 |" in lines
    assert "| hours on 16 cores, a writer for each 4 | 0.1 | 5.6 |" in lines
    assert "| segments, millions | 50 | 5,000 |" in lines
    assert "| GB of files | 36 | 3,600 |" in lines
    assert "| GB of coarse keys among them | 19 | 1,920 |" in lines


def test_a_hash_of_content_sees_text_metadata_keys_and_order() -> None:
    def hashed(*texts: str, metadata: str = "a", ordered: bool = True, fine: bool = False) -> str:
        with Larimar.open(encoder=QuickCoarse()) as memory:
            memory.write(list(texts), list(texts), [{"of": metadata}] * len(texts))
            if fine:
                memory.index()
            return content_hash(memory.store, ordered=ordered)

    same = hashed("One.", "Two.")
    assert hashed("One.", "Two.") == same
    assert hashed("Two.", "One.", ordered=False) == hashed("One.", "Two.", ordered=False)
    others = [hashed("Two.", "One."), hashed("One."), hashed("One.", "Two.", metadata="b")]
    assert same not in [*others, hashed("One.", "Two.", fine=True)]
