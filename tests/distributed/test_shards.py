"""Shards hold what a memory would commit, and merging them is writing their texts in order."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")

from benchmarks.clusters import content_hash
from larimar_memory.distributed import merging
from larimar_memory.distributed.merging import merged
from larimar_memory.distributed.shards import Recorder
from larimar_memory.errors import MemoryFileError
from larimar_memory.larimar import Larimar
from larimar_memory.stores import SQLiteStore
from larimar_memory.stores.base import Document, Store, WriteBatch
from larimar_memory.types import Segment
from tests.distributed.texts import corpus, write
from tests.quick import QuickCoarse, QuickEncoder, QuickTokens

ENCODERS = [(QuickEncoder, None), (QuickTokens, None), (QuickCoarse, None), (QuickCoarse, "eager")]


def shard(folder: Path, name: str, rows: list[dict[str, Any]], encoder: Any, **how: Any) -> Path:
    """A shard of some texts."""
    keys, lazy = how.pop("keys", None), how.pop("lazy", False)
    about = {"encoder": encoder.fingerprint, "dimension": encoder.dimension}
    recorder = Recorder(**about, lazy=lazy, known=how.pop("known", None))
    path = folder / f"{name}.arrow"
    with Larimar.open(store=recorder, encoder=encoder, keys=keys) as memory, recorder.recording(path):
        write(memory, rows, **how)
    return path


@pytest.mark.parametrize(("kind", "keys"), ENCODERS)
def test_merged_shards_are_what_one_process_writes(kind: Any, keys: Any, tmp_path: Path) -> None:
    encoder, rows = kind(), corpus(3, 60)
    # Another version, other metadata, and the first version again.
    rows += [{**rows[5], "text": "Another text."}, {**rows[6], "metadata": {"n": "six"}}, rows[5]]
    with (
        Larimar.open(tmp_path / "one.larimar", encoder=encoder, keys=keys) as one,
        Larimar.open(tmp_path / "many.larimar", encoder=encoder, keys=keys) as many,
    ):
        write(one, rows, episode="trip")
        how = {"keys": keys, "lazy": many.store.lazy, "episode": "trip"}
        parts = [
            shard(tmp_path, str(n), rows[n : n + 20], encoder, **how) for n in range(0, len(rows), 20)
        ]
        done = merged(parts, many.store, encoder.dimension, "default")
        assert content_hash(many.store) == content_hash(one.store)
        assert done.documents == 62
        # Once more, all of them: only what has two versions is written.
        done = merged(parts, many.store, encoder.dimension, "default")
        assert done.documents == 2
        assert content_hash(many.store) == content_hash(one.store)


def test_fine_keys_of_a_lazy_memory_and_latents(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    kinds = [np.float32, np.int8, np.uint8, np.float16]
    stores = [SQLiteStore(None, encoder="e", dimension=8, lazy=True) for _ in range(2)]
    recorder = Recorder(encoder="e", dimension=8, lazy=True)
    segments = [Segment(n, 9 * n, 9 * n + 9, f"Text no {n}.\0"[:9]) for n in range(4)]
    keys = draw.standard_normal((4, 8)).astype(np.float32)
    fine = [None, keys[0] / np.linalg.norm(keys[0]), None, keys[1] / np.linalg.norm(keys[1])]
    latents = [None, *(draw.integers(0, 9, (2, 3)).astype(kind) for kind in kinds[:3])]
    batches = [
        WriteBatch(Document("a", "h", 27, {"x": None}, False), segments[:3], keys[:3], True),
        WriteBatch(Document("b", "k", 36, {"ü": [1, 2.5]}), segments, keys, True, latents, fine),
        WriteBatch(Document("a", "h", 36, {"x": None}), segments[3:], keys[3:], False),
    ]
    with recorder.recording(tmp_path / "s.arrow"):
        recorder.write("n", batches[:1])
        recorder.write("n", batches[1:])
    stores[0].write("n", batches)
    merged([tmp_path / "s.arrow"], stores[1], 8, "n")
    assert content_hash(stores[0], "n") == content_hash(stores[1], "n")
    assert stores[1].stats().keyed == 2
    assert list(stores[0].documents("n")) == list(stores[1].documents("n"))


class PowerCutError(Exception):
    """In place of a power cut."""


def test_interrupted_after_any_commit_and_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, rows = QuickCoarse(), corpus(4, 30, 60)
    monkeypatch.setattr(merging, "_COMMIT", 16)
    # A document of more is committed in parts.
    monkeypatch.setattr(merging, "_MOST", 24)
    monkeypatch.setattr("larimar_memory.write.BATCH_SEGMENTS", 3)
    parts = [
        shard(tmp_path, str(n), rows[n : n + 11], encoder, lazy=True) for n in range(0, len(rows), 11)
    ]
    with Larimar.open(encoder=encoder) as one:
        write(one, rows)
        wanted = content_hash(one.store)
    real, commits = SQLiteStore.write, 0
    draw = random.Random(5)
    with Larimar.open(tmp_path / "m.larimar", encoder=encoder) as memory:

        def write_or_not(store: Store, namespace: str, batches: Any) -> None:
            nonlocal commits
            commits += 1
            if draw.random() < 0.4:
                raise PowerCutError
            real(memory.store, namespace, batches)  # type: ignore[arg-type]

        interrupted = 0
        while True:
            try:
                with monkeypatch.context() as patched:
                    patched.setattr(memory.store, "write", lambda *given: write_or_not(None, *given))  # type: ignore[arg-type]
                    merged(parts, memory.store, encoder.dimension, "default")
                break
            except PowerCutError:
                interrupted += 1
        assert content_hash(memory.store) == wanted
        assert interrupted > 5
        assert commits > 20


def test_what_fails_leaves_no_shard(tmp_path: Path) -> None:
    recorder = Recorder(encoder="quick", dimension=16, lazy=False)
    with pytest.raises(PowerCutError), recorder.recording(tmp_path / "s.arrow"):
        raise PowerCutError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("harm", ["cut", "other", "gone"])
def test_a_shard_that_is_not_whole_is_refused(harm: str, tmp_path: Path) -> None:
    encoder = QuickCoarse()
    path = shard(tmp_path, "s", corpus(6, 9), encoder, lazy=True)
    whole = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2] if harm == "cut" else b"ARROW1\0\0" * 9)
    store = SQLiteStore(None, encoder=encoder.fingerprint, dimension=16, lazy=True)
    with pytest.raises(MemoryFileError, match=r"The shard .* cannot be read") as told:
        merged([path], store, 16, "default")
    assert told.value.remedy == (
        "Let workers and the driver see the same folder of shards, delete it where it is damaged, and "
        "ingest again."
    )


def test_what_the_memory_holds_whole_is_not_recorded(tmp_path: Path) -> None:
    encoder, rows = QuickCoarse(), corpus(7, 20)
    with Larimar.open(tmp_path / "m.larimar", encoder=encoder) as memory:
        write(memory, rows[:10])
        more = [*rows[:12], {**rows[3], "metadata": {"n": -3}}]
        path = shard(tmp_path, "s", more, encoder, lazy=True, known=memory.store)
        assert pa.ipc.open_file(str(path)).num_record_batches == 1
        done = merged([path], memory.store, 16, "default")
        assert done.documents == 2
        assert next(memory.documents(where={"n": -3})).id == "doc 3"
