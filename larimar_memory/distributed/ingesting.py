"""Ingest with Ray Data what is too much for one process: files, Parquet, any dataset of texts.

    from larimar_memory.distributed import ingest

    ingest("s3://corpus/", "notes.larimar", address="auto")
    ingest(ray.data.read_parquet("texts.parquet"), "postgresql://ana@db.example/notes")

Workers cut texts, make keys and, if asked to, latents. For a memory in a file, they write shards, which
are committed in the order of the texts while further shards are made: the file is the same as if one
process had written it. To a database, workers write themselves, each document as a whole.

A shard is named after its content, and the memory skips what it already has. So an ingestion that is
killed, at any moment, and started again leaves the same memory.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from larimar_memory import errors, validate
from larimar_memory.distributed.merging import Merged, merged
from larimar_memory.distributed.rows import Reading
from larimar_memory.distributed.session import connected
from larimar_memory.distributed.shards import SUFFIX
from larimar_memory.distributed.sources import OnSkipped, datasets
from larimar_memory.distributed.worker import Task, Worker
from larimar_memory.encoders.base import Encoder
from larimar_memory.errors import InputError, LarimarError, MemoryBusyError, MemoryFileError
from larimar_memory.larimar import Larimar
from larimar_memory.models import finding
from larimar_memory.stores.opening import place_of
from larimar_memory.system.files import UNFINISHED
from larimar_memory.text.files import Skipped
from larimar_memory.types import DEFAULT_NAMESPACE, WhenKeys

_CPUS = 0.5
"""CPUs of each worker, as Ray counts them: the tasks that read for workers need some, too."""


_GPU_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Ingested:
    """The result of an ingestion.

    Attributes:
        documents, segments: how many the memory did not have before.
        seconds: time of the whole ingestion.
        working_seconds: time from when the first worker was ready.
    """

    documents: int
    segments: int
    seconds: float
    working_seconds: float


def ingest(
    dataset: Any,
    target: str | os.PathLike[str],
    *,
    namespace: str = DEFAULT_NAMESPACE,
    episode: str | None = None,
    whole: bool = False,
    encoder: Encoder | str | os.PathLike[str] = finding.DEFAULT_ENCODER,
    decoder: str | os.PathLike[str] = finding.DEFAULT_DECODER,
    latents: bool | str | os.PathLike[str] = False,
    keys: WhenKeys | None = None,
    language: str = "en",
    address: str | None = None,
    workers: int | None = None,
    gpus: float = 0,
    shards: str | os.PathLike[str] | None = None,
    reading: Reading | None = None,
    progress: bool = True,
    on_skipped: OnSkipped | None = None,
) -> Ingested:
    """Write a dataset to a memory with many processes, on this machine or on a cluster.

    The memory is the same as if `Larimar.write_each` had written the texts in their order. Only in a
    database do new documents stand in the order in which workers wrote them, unless they belong to an
    episode, which keeps the order of the texts. Called again, an interrupted ingestion continues.

    Args:
        dataset: a `ray.data.Dataset` with a column text, and optional columns id (str or whole numbers;
            by default a hash of the text) and metadata (structs, or JSON objects as text); or one or
            more paths: files, folders, Parquet with such columns, or addresses that fsspec knows, such
            as "s3://...".
        target: the memory file, or the address of a PostgreSQL database, which all workers must reach.
        namespace, episode, whole: as in `Larimar.write`.
        encoder, decoder, latents, keys, language: as in `Larimar.open`. With latents, each worker
            should have a GPU.
        address: address of a cluster, as `ray.init` takes it; by default the cluster that this process
            is connected to, that of `RAY_ADDRESS`, or the cores of this machine.
        workers: number of processes; by default one for each core, or for each `gpus`, of the cluster.
        gpus: GPUs of each worker; 0.5 lets two workers share one.
        shards: a folder that this machine and the workers' machines see under the same name; by
            default beside the memory file. It is made, and removed at the end.
        reading: how files are read.
        progress: show Ray's bars on standard error.
        on_skipped: called with each file of a folder that is skipped, and why.

    Raises:
        InputError: if Ray is not installed or cannot be reached, an argument or a text cannot be used,
            or many processes cannot write to the target. What was committed stays.
        MemoryFileError: if the memory or a shard cannot be written or read.
        EncoderMismatchError, ModelError, LatentsUnavailableError: as `Larimar.open` and `write` do.
    """
    started = time.time()
    validate.check_name(namespace, "namespace")
    validate.check_episode(episode)
    _check_count(workers)
    _check_gpus(gpus)
    place = _check_target(target)
    others: dict[str, Any] = {
        "decoder": os.fspath(decoder),
        "latents": latents,
        "keys": keys,
        "language": language,
    }
    named = os.fspath(encoder) if isinstance(encoder, str | os.PathLike) else encoder
    with connected(address) as ray:
        size = workers or _processes(ray, gpus)
        found = [*datasets(ray, dataset, on_skipped)]
        with closing(Larimar.open(target, encoder=named, **others)) as memory:
            if latents:
                # Raises an error if something is lacking, before there are workers.
                _ = memory.latents.stored_form
            with _folder(place, shards, episode) as folder:
                task = Task(
                    os.fspath(target),
                    None if folder is None else str(folder),
                    namespace,
                    named,
                    memory.store.lazy,
                    others,
                    episode,
                    whole,
                    Reading(os.getcwd()) if reading is None else reading,
                )
                done, ready, versions = Merged(), list[float](), list[bytes]()

                def run(task: Task, size: int) -> None:
                    nonlocal done
                    rows = (_rows(ray, part, task, size, gpus, progress) for part in found)
                    for row in chain.from_iterable(rows):
                        _tell(row, on_skipped)
                        ready.append(row["ready"])
                        versions.append(row["versions"])
                        done += Merged(row["documents"], row["segments"])
                        if folder is not None and row["shard"]:
                            made = [folder / row["shard"]]
                            done += merged(made, memory.store, memory.encoder.dimension, namespace)

                run(task, size)
                if twice := _of_more_versions(versions):
                    # Workers wrote these versions in any order, and the last one has to stay.
                    run(replace(task, only=twice), 1)
    ended = time.time()
    working = ended - min(ready, default=ended)
    return Ingested(done.documents, done.segments, ended - started, working)


def _rows(
    ray: Any, dataset: Any, task: Task, workers: int, gpus: float, progress: bool
) -> Iterator[dict[str, Any]]:
    """The workers' rows about a dataset's shards, in the order of the dataset."""
    mapped = dataset.map_batches(
        Worker,
        fn_constructor_args=(task,),
        compute=ray.data.ActorPoolStrategy(size=workers),
        # Whole blocks; only with GPUs does Ray require a number.
        batch_size=_GPU_ROWS if gpus else None,
        batch_format="pyarrow",
        num_cpus=_CPUS,
        num_gpus=gpus or None,
    )
    context = mapped.context
    before = context.execution_options.preserve_order, context.enable_progress_bars
    context.execution_options.preserve_order, context.enable_progress_bars = True, progress
    try:
        yield from mapped.iter_rows()
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        said = " ".join(str(cause).split()).rstrip(".")
        raise LarimarError(
            "The ingestion could not finish.",
            f"A worker ended in {type(cause).__name__}: {said[:300]}.",
            "What was committed is kept, and the same call goes on.",
        ) from error
    finally:
        context.execution_options.preserve_order, context.enable_progress_bars = before


def _of_more_versions(versions: list[bytes]) -> frozenset[bytes]:
    """Hashes of ids given with more than one text or metadata, according to the workers' rows."""
    said = np.unique(np.frombuffer(b"".join(versions), dtype="V16"))
    ids, times = np.unique(said.view("V8").reshape(-1, 2)[:, 0], return_counts=True)
    return frozenset(id.tobytes() for id in ids[times > 1])


def _tell(row: dict[str, Any], on_skipped: OnSkipped | None) -> None:
    """Report the files that were skipped; raise the error that ended the worker's work."""
    for said in json.loads(row["skipped"]):
        if on_skipped is not None:
            on_skipped(Skipped(*said))
    if error := json.loads(row["error"]):
        kind, *sentences = error
        raise getattr(errors, kind, LarimarError)(*sentences)


@contextmanager
def _folder(
    place: Path | str, shards: str | os.PathLike[str] | None, episode: str | None
) -> Iterator[Path | None]:
    """The folder of shards, for one ingestion at a time; None if workers write to the memory."""
    if isinstance(place, str) and episode is None:
        yield None
        return
    if shards is None and isinstance(place, str):
        raise InputError(
            "Nothing was ingested.",
            "The documents of an episode have an order, which workers that write to a database cannot "
            "keep.",
            "Name a folder that all workers see with shards=; they are committed in order from there.",
        )
    folder = Path(shards).expanduser() if shards is not None else Path(f"{place}.shards")
    folder = folder.absolute()
    lock = FileLock(folder / "lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise MemoryBusyError(
            "Nothing was ingested.",
            f"Another process ingests by the shards in {folder}.",
            "Wait for it to end, or name another folder with shards=.",
        ) from error
    except OSError as error:
        raise MemoryFileError(
            f"The shards cannot be kept in {folder}.",
            f"The system said: {error.strerror or error}.",
            "Name a folder that this machine and the workers can write to with shards=.",
        ) from error
    with lock:
        yield folder
        # If the block fails, shards stay for the next attempt. Files of others always stay.
        for left in (*folder.glob(f"*{SUFFIX}"), *folder.glob(f"*{SUFFIX}.*{UNFINISHED}")):
            left.unlink(missing_ok=True)
        (folder / "lock").unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()


def _check_target(target: Any) -> Path | str:
    place = place_of(target) if isinstance(target, str | os.PathLike) else None
    if place is None or (isinstance(place, Path) and str(place) == ":memory:"):
        ram = target is None or place is not None
        given = "A memory in RAM" if ram else f"A {type(target).__name__}"
        raise InputError(
            "Nothing was ingested.",
            f"{given} cannot be written by many processes.",
            "Name a memory file, or the address of a PostgreSQL database.",
        )
    if isinstance(place, Path) and place.exists() and not os.access(place, os.W_OK):
        raise MemoryFileError(
            "Nothing was ingested.",
            f"{place} may only be read.",
            "Check its permissions, or name another memory.",
        )
    return place


def _check_count(workers: Any) -> None:
    if workers is not None and (validate.whole_number(workers) or 0) < 1:
        raise InputError(
            "Nothing was ingested.",
            f"workers is {workers!r}.",
            "Give a whole number from 1 on, or leave it out for one on each core.",
        )


def _check_gpus(gpus: Any) -> None:
    number = isinstance(gpus, int | float) and not isinstance(gpus, bool)
    # The comparison refuses NaN as well.
    if not number or not 0 <= gpus < float("inf"):
        raise InputError(
            "Nothing was ingested.",
            f"gpus is {gpus!r}.",
            "Give a number from 0 on, such as 1, or 0.5 where two workers share one.",
        )


def _processes(ray: Any, gpus: float) -> int:
    """How many workers the cluster has room for.

    Raises:
        InputError: if it has no room for even one worker with as many GPUs: Ray would wait forever.
    """
    held = ray.cluster_resources()
    there = held.get("GPU", 0)
    if gpus > there:
        raise InputError(
            "Nothing was ingested.",
            f"Each worker is to have {gpus:g} GPUs, and the cluster has {there:g}.",
            "Leave gpus out, and cores do the work; where the cluster grows by itself, name workers as "
            "well.",
        )
    room = there / gpus if gpus else held.get("CPU", 1)
    return max(int(room), 1)
