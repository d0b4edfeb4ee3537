"""Tables of what is beyond one process: measured here, and computed for much more."""

from __future__ import annotations

from typing import Any

from benchmarks.markdown import table


def ray(figures: dict[str, Any]) -> list[str]:
    """What a billion tokens and a hundred billion would take, from what was measured of five million.

    Rates of a core count its seconds of work alone; the rest follows from them.
    """
    rate = figures["rate"]
    making, committing = rate["worker_tokens_per_cpu_second"], rate["commit_tokens_per_cpu_second"]
    shards, files = rate["shard_bytes_per_token"], rate["file_bytes_per_token"]
    each, numbers = rate["tokens"] / rate["segments"], rate["dimension"]
    measured = [
        ["tokens a second of one process", f"{rate['one_process_tokens_per_second']:,.0f}"],
        [f"of {rate['workers']} workers", f"{rate['ray_tokens_per_second']:,.0f}"],
        ["of a core that makes shards", f"{making:,.0f}"],
        ["of a core that commits them to a file", f"{committing:,.0f}"],
        ["tokens of a segment", f"{each:,.1f}"],
        ["bytes a token in shards, in the file", f"{shards:,.1f}, {files:,.1f}"],
        ["seconds until the first worker works", f"{rate['ray_starting_seconds']:,.0f}"],
    ]
    sizes = (1e9, 1e11)
    computed = [
        ["core hours of workers", *(f"{n / making / 3600:,.1f}" for n in sizes)],
        ["hours of who commits to one file", *(f"{n / committing / 3600:,.1f}" for n in sizes)],
        ["workers that keep that one busy", *[f"{committing / making:,.1f}"] * 2],
        ["files of a billion tokens, each with its writer", *(f"{n / 1e9:,.0f}" for n in sizes)],
        [
            "hours on 16 cores, a writer for each 4",
            *(f"{n / min(12 * making, 4 * committing) / 3600:,.1f}" for n in sizes),
        ],
        [
            "hours on 16 such machines",
            *(f"{n / min(192 * making, 64 * committing) / 3600:,.1f}" for n in sizes),
        ],
        ["segments, millions", *(f"{n / each / 1e6:,.0f}" for n in sizes)],
        ["GB of shards, gone at the end", *(f"{n * shards / 1e9:,.0f}" for n in sizes)],
        ["GB of files", *(f"{n * files / 1e9:,.0f}" for n in sizes)],
        ["GB of coarse keys among them", *(f"{n / each * numbers / 1e9:,.0f}" for n in sizes)],
    ]
    return [
        *table(["measured, ray", ""], measured),
        "",
        *table(["computed from it", "1 billion tokens", "100 billion"], computed),
    ]


def postgres(figures: dict[str, Any]) -> list[str]:
    """What was measured of a database, and what a billion and a hundred billion tokens would take."""
    speed, crowd = figures["speed"], figures["crowd"]
    written, size = speed["tokens_per_second"], speed["bytes_per_token"]
    indexed = speed["indexed_tokens_per_second"]
    measured = [
        [
            name,
            f"{1000 * seconds:,.1f}",
            f"{1000 * speed['read_p99_seconds'][name]:,.1f}",
            *(f"{rates[name]:,.0f}" if name in rates else "" for rates in (written, indexed)),
            f"{size[name]:,.1f}" if name in size else "",
        ]
        for name, seconds in speed["read_p50_seconds"].items()
    ]
    many = [
        [
            f"{crowd[who]} {who}",
            f"{crowd[kind]['a_second']:,.0f}",
            f"{1000 * crowd[kind]['p50_seconds']:,.0f}",
            f"{1000 * crowd[kind]['p99_seconds']:,.0f}",
        ]
        for kind, who in (("write", "writers"), ("read", "readers"))
    ]
    sizes = (1e9, 1e11)
    computed = [
        ["databases of a billion tokens", *(f"{n / 1e9:,.0f}" for n in sizes)],
        [
            "hours of one process that writes",
            *(f"{n / indexed['postgres'] / 3600:,.1f}" for n in sizes),
        ],
        ["GB of tables and indexes", *(f"{n * size['postgres'] / 1e9:,.0f}" for n in sizes)],
        [
            "segments, millions",
            *(f"{n / speed['tokens'] * speed['segments'] / 1e6:,.0f}" for n in sizes),
        ],
    ]
    return [
        *table(
            ["measured", "read p50, ms", "p99", "tokens a second", "with its index", "bytes a token"],
            measured,
        ),
        "",
        *table(["measured, at once", "a second", "p50, ms", "p99"], many),
        "",
        *table(["computed from it", "1 billion tokens", "100 billion"], computed),
    ]
