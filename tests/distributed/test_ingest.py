"""Ingestion by a cluster ends with what one process writes, whoever is killed on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks.clusters import acknowledged, content_hash, driver, in_blocks, kill_workers
from larimar_memory.distributed import ingest
from larimar_memory.larimar import Larimar
from tests.distributed.texts import corpus, write
from tests.quick import QuickCoarse

pytestmark = pytest.mark.slow
QUICK = "tests.quick:QuickCoarse"


def in_one_process(rows: list[dict[str, Any]], *, ordered: bool = True, **how: Any) -> str:
    """The hash of what one process writes."""
    with Larimar.open(encoder=QuickCoarse()) as memory:
        write(memory, rows, **how)
        return content_hash(memory.store, ordered=ordered)


def held(target: str, *, ordered: bool = True) -> str:
    """The hash of what there is."""
    with Larimar.open(target, encoder=QuickCoarse(), create=False) as memory:
        return content_hash(memory.store, ordered=ordered)


def at(cluster: Any) -> str:
    """The address of a cluster, which goes on when a driver in it is killed."""
    return str(cluster.get_runtime_context().gcs_address)


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows in a file of Parquet, their metadata as text."""
    import pyarrow as pa
    from pyarrow import parquet as files

    said = [{**row, "metadata": json.dumps(row["metadata"])} for row in rows]
    files.write_table(pa.Table.from_pylist(said), path)
    return path


def test_a_dataset_into_a_file_with_workers_killed(cluster: Any, tmp_path: Path) -> None:
    rows = corpus(1, 300)
    target, ended, killed = str(tmp_path / "m.larimar"), threading.Event(), list[int]()

    def kill() -> None:
        killed.append(kill_workers(os.getpid(), random.Random(7), 2, 0.5, ended.is_set))

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        dataset = cluster.data.from_items(rows, override_num_blocks=40)
        done = ingest(dataset, target, encoder=QuickCoarse(), workers=2, progress=False)
    finally:
        ended.set()
        killer.join()
    assert killed == [2]
    assert held(target) == in_one_process(rows)
    assert done.documents == 300
    assert [path.name for path in tmp_path.iterdir()] == ["m.larimar"]


def test_a_dataset_into_a_database_with_workers_killed(cluster: Any, address: str) -> None:
    rows, ended, killed = corpus(2, 200), threading.Event(), list[int]()
    # Of what has several versions, the last one stays, in whatever order workers come to them.
    rows += [{**row, "text": f"{row['text']} Again."} for row in rows[:5]]
    rows += [{**rows[7], "metadata": {"n": "seven"}}, rows[3]]

    def kill() -> None:
        killed.append(kill_workers(os.getpid(), random.Random(8), 2, 0.5, ended.is_set))

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        dataset = cluster.data.from_items(rows, override_num_blocks=40)
        ingest(dataset, address, encoder=QuickCoarse(), workers=2, progress=False)
    finally:
        ended.set()
        killer.join()
    assert killed == [2]
    assert held(address, ordered=False) == in_one_process(rows, ordered=False)


def test_the_driver_killed_and_started_again(cluster: Any, tmp_path: Path) -> None:
    rows, target = corpus(3, 200), str(tmp_path / "m.larimar")
    texts = parquet(tmp_path / "texts.parquet", rows)
    with driver(texts, target, 16, 2, QUICK, at(cluster)) as process:
        assert acknowledged(process, 3) == 3
        process.kill()
        process.wait()
    assert (tmp_path / "m.larimar.shards").is_dir()
    done = ingest(
        in_blocks(cluster, texts, 11), target, encoder=QuickCoarse(), workers=1, progress=False
    )
    assert done.documents < 200
    assert held(target) == in_one_process(rows)
    assert not (tmp_path / "m.larimar.shards").exists()


def test_the_driver_of_a_database_killed_and_started_again(
    cluster: Any, tmp_path: Path, address: str
) -> None:
    """Its workers write themselves, and go on for a moment when it is dead."""
    rows = corpus(6, 200)
    rows += [{**row, "text": f"{row['text']} Again."} for row in rows[:5]]
    texts = parquet(tmp_path / "texts.parquet", rows)
    with driver(texts, address, 16, 2, QUICK, at(cluster)) as process:
        assert acknowledged(process, 3) == 3
        process.kill()
        assert process.wait() == -signal.SIGKILL
    with Larimar.open(address, encoder=QuickCoarse(), create=False) as memory:
        assert 0 < memory.stats().documents < 200
    dataset = in_blocks(cluster, texts, 11)
    done = ingest(dataset, address, encoder=QuickCoarse(), workers=2, progress=False)
    assert 0 < done.documents < 205
    assert held(address, ordered=False) == in_one_process(rows, ordered=False)


def test_files_parquet_and_an_episode(cluster: Any, tmp_path: Path, address: str) -> None:
    """Into a database too, by shards, for an episode has an order."""
    folder, rows = tmp_path / "in", corpus(4, 20)
    (folder / "deep").mkdir(parents=True)
    for n, row in enumerate(rows[:8]):
        (folder / ("deep" if n % 2 else "") / f"{n}.txt").write_text(row["text"])
    (folder / "x.jpg").write_bytes(b"\0")
    (folder / "bad.txt").write_bytes(b"a\xff")
    parquet(folder / "t.parquet", rows[8:])
    skipped = list[str]()
    ingest(
        [folder],
        address,
        encoder=QuickCoarse(),
        episode="trip",
        shards=tmp_path / "shards",
        progress=False,
        on_skipped=lambda one: skipped.append(one.name),
    )
    files = sorted(folder.rglob("*.txt"), key=lambda path: (path.parent == folder, path.name))
    files = [path for path in files if path.name != "bad.txt"]
    order = [*(p for p in files if p.parent != folder), *(p for p in files if p.parent == folder)]
    names = sorted(order, key=lambda path: path.relative_to(folder).parts)
    read = [
        {"id": str(path), "text": path.read_text(), "metadata": {"source": str(path)}} for path in names
    ]
    assert held(address) == in_one_process(read + rows[8:], episode="trip")
    assert sorted(Path(name).name for name in skipped) == ["bad.txt", "x.jpg"]
    assert not (tmp_path / "shards").exists()
