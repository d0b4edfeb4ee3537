"""Ingestion by Ray as a benchmark and tests look at it: drivers, kills, what a memory holds.

`python -m benchmarks.clusters TEXTS TARGET BLOCKS WORKERS [ENCODER]` ingests Parquet in a cluster of
its own, and says "ack" for each shard that was committed, and at last what was done.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import psutil

from larimar_memory.stores import Span, Store
from larimar_memory.stores.packing import pack

_POLL_SECONDS = 0.02
_WORKER = "MapBatches(Worker)"


def content_hash(store: Store, namespace: str = "default", *, ordered: bool = True) -> str:
    """A hash of all that a namespace holds, but for row numbers and times.

    Args:
        ordered: documents in the order of their first writing, and not of their ids.
    """
    made = hashlib.blake2b(digest_size=16)
    documents = list(store.documents(namespace))
    for document in documents if ordered else sorted(documents, key=lambda d: d.id):
        about = (document.id, document.content_hash, document.characters, document.metadata)
        made.update(repr((*about, document.complete, document.episode)).encode())
        (segments,) = store.spans(namespace, [Span(document.id)], latents=True)
        for held in segments:
            made.update(repr((held.index, held.start, held.end, held.text)).encode())
            for numbers in (held.key, held.coarse, held.latent):
                made.update(b"-" if numbers is None else pack(numbers))
    return made.hexdigest()


def workers_of(pid: int) -> list[psutil.Process]:
    """The processes of a driver's cluster that ingest."""
    found = list[psutil.Process]()
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if any(_WORKER in part for part in child.cmdline()):
                    found.append(child)
    return found


def kill_workers(
    pid: int, draw: random.Random, kills: int, most_seconds: float, ended: Callable[[], bool]
) -> int:
    """Kill workers of a driver by signal 9, each at a moment that is drawn; how many, until it ended.

    Args:
        most_seconds: longest time between a moment when there are workers and a kill.
    """
    done = 0
    while done < kills and not ended():
        if not workers_of(pid):
            time.sleep(_POLL_SECONDS)
            continue
        time.sleep(draw.random() * most_seconds)
        if alive := workers_of(pid):
            with suppress(psutil.NoSuchProcess):
                draw.choice(alive).kill()
                done += 1
    return done


@contextmanager
def driver(
    texts: Path, target: str, blocks: int, workers: int, encoder: str = "", address: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """A process that ingests; killed at the end, where it has not ended.

    Args:
        address: of the cluster that works for it; without one, it has a cluster of its own.
    """
    numbers = (str(blocks), str(workers))
    command = [sys.executable, "-m", "benchmarks.clusters", str(texts), target, *numbers, encoder]
    where = {**os.environ, "RAY_ADDRESS": address}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=where) as process:  # noqa: S603
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def acknowledged(process: subprocess.Popen[str], commits: int) -> int:
    """How many commits a driver told of, when it told of so many, or ended."""
    seen = 0
    while seen < commits and process.stdout and (line := process.stdout.readline()):
        seen += line == "ack\n"
    return seen


def _main(texts: str, target: str, blocks: str, workers: str, encoder: str = "") -> None:
    from larimar_memory.distributed import ingesting
    from larimar_memory.distributed.session import connected
    from larimar_memory.models import finding

    rows = ingesting._rows

    def told(*given: Any) -> Iterator[dict[str, Any]]:
        for row in rows(*given):
            # What is asked for next was committed before.
            yield row
            print("ack", flush=True)

    ingesting._rows = told  # type: ignore[assignment]
    using = cast(Any, finding.DEFAULT_ENCODER)
    if encoder:
        module, _, name = encoder.partition(":")
        using = getattr(importlib.import_module(module), name)()
    with connected(None) as ray:
        dataset = in_blocks(ray, Path(texts), int(blocks))
        done = ingesting.ingest(dataset, target, workers=int(workers), encoder=using, progress=False)
    print(json.dumps(asdict(done)), flush=True)


def in_blocks(ray: Any, texts: Path, blocks: int) -> Any:
    """A dataset of a file in Parquet, of so many blocks."""
    from pyarrow import parquet

    table = parquet.read_table(texts)
    each = -(-len(table) // blocks)
    return ray.data.from_arrow([table.slice(at, each) for at in range(0, len(table), each)])


if __name__ == "__main__":
    _main(*sys.argv[1:])
