"""The work of each process of a cluster: cut texts, make keys, and write them to shards."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from larimar_memory.distributed.merging import Merged, merged
from larimar_memory.distributed.rows import Reading, texts_of
from larimar_memory.distributed.shards import SUFFIX, Recorder
from larimar_memory.encoders.base import Encoder
from larimar_memory.errors import LarimarError
from larimar_memory.larimar import Larimar
from larimar_memory.stores.base import Store
from larimar_memory.stores.opening import open_store, place_of
from larimar_memory.system.groups import in_groups
from larimar_memory.text.blocks import Text
from larimar_memory.text.files import Skipped

SHARD_CHARACTERS = 4_000_000
"""Most characters of a shard's texts, unless one text alone has more: a kill costs seconds of work."""

_FORMAT = 1
"""Format of shards; shards of another format are made again."""


@dataclass(frozen=True, slots=True)
class Task:
    """What workers need to know.

    Attributes:
        folder: where shards go; None if workers write to the target themselves.
        target: the target, as the caller names it.
        lazy: whether the target is lazy.
        others: further arguments of `Larimar.open`: decoder, latents, keys, language.
        episode, whole: as in `Larimar.write`.
        only: hashes of the ids whose texts are written; None writes all.
    """

    target: str = field(repr=False)
    folder: str | None
    namespace: str
    encoder: Encoder | str
    lazy: bool
    others: dict[str, Any]
    episode: str | None
    whole: bool
    reading: Reading
    only: frozenset[bytes] | None = None


class Worker:
    """A process of its own, which takes one table after the other.

    It yields a row for each shard: the shard's name, the counts of what the worker itself wrote, the
    files that were skipped, and an error of the package's family, if one ends the ingestion.
    """

    def __init__(self, task: Task) -> None:
        # Each worker has one core; more threads would only wait for each other.
        os.environ.update(OMP_NUM_THREADS="1", RAYON_NUM_THREADS="1")
        if isinstance(task.encoder, str) or task.others["latents"] or "torch" in sys.modules:
            import torch

            torch.set_num_threads(1)
        self._task, self._failed = task, cast("LarimarError | None", None)
        try:
            self._open(task.encoder)
        except LarimarError as error:
            # If it were raised here, Ray would start the process again and again.
            self._failed = error
        # The objects made so far stay: the garbage collector need not look at them again.
        gc.freeze()
        self._ready = time.time()

    def _open(self, encoder: Encoder | str) -> None:
        if isinstance(encoder, str):
            from larimar_memory.encoders.sentence import SentenceEncoder

            encoder = SentenceEncoder.load(encoder)
        keys: dict[str, Any] = {"encoder": encoder.fingerprint, "dimension": encoder.dimension}
        self._store: Store | None = None
        if self._task.folder is None:
            self._store = open_store(place_of(self._task.target), **keys, create=False)
        self._encoder = encoder
        self._recorder = Recorder(**keys, lazy=self._task.lazy, known=self._store)
        self._memory = Larimar.open(store=self._recorder, encoder=encoder, **self._task.others)

    def __call__(self, rows: Any) -> Iterator[dict[str, list[Any]]]:
        skipped = list[Skipped]()
        try:
            if self._failed is not None:
                raise self._failed
            for texts in _parts(self._wanted(texts_of(rows, self._task.reading, skipped.append))):
                name, done = self._shard([replace(text, episode=self._task.episode) for text in texts])
                yield self._row(name, done, skipped, versions=b"".join(map(_version, texts)))
                skipped.clear()
            if skipped:
                yield self._row("", Merged(), skipped)
        except LarimarError as error:
            yield self._row("", Merged(), skipped, error)

    def _wanted(self, texts: Iterator[Text]) -> Iterator[Text]:
        only = self._task.only
        return texts if only is None else (text for text in texts if _version(text)[:8] in only)

    def _shard(self, texts: list[Text]) -> tuple[str, Merged]:
        """The name of the shard that holds the texts, or the counts of what the target was given."""
        if self._store is None:
            path = Path(self._task.folder or "", self._name(texts))
            if not path.exists():
                self._record(texts, path)
            return path.name, Merged()
        with tempfile.TemporaryDirectory(prefix="larimar-") as folder:
            path = Path(folder, f"own{SUFFIX}")
            self._record(texts, path)
            namespace = self._task.namespace
            return "", merged([path], self._store, self._encoder.dimension, namespace)

    def _record(self, texts: list[Text], path: Path) -> None:
        with self._recorder.recording(path):
            self._memory.write_each(texts, namespace=self._task.namespace, whole=self._task.whole)

    def _name(self, texts: list[Text]) -> str:
        """A name that follows from the texts and all that shapes the shard: no work is done twice."""
        task = self._task
        others = {name: str(value) for name, value in task.others.items()}
        how = [_FORMAT, self._encoder.fingerprint, task.lazy, others, task.episode, task.whole]
        made = hashlib.blake2b(json.dumps(how, sort_keys=True).encode(), digest_size=16)
        for text in texts:
            made.update(_said(text) + b"\n")
        return f"{made.hexdigest()}{SUFFIX}"

    def _row(
        self,
        name: str,
        done: Merged,
        skipped: list[Skipped],
        error: LarimarError | None = None,
        versions: bytes = b"",
    ) -> dict[str, list[Any]]:
        said = [type(error).__name__, error.what, error.why, error.remedy] if error else []
        row = {
            "shard": name,
            **asdict(done),
            "skipped": json.dumps([[one.name, one.why, one.remedy] for one in skipped]),
            "error": json.dumps(said),
            "ready": self._ready,
            # Shards are committed in order, which needs no versions.
            "versions": b"" if self._store is None else versions,
        }
        return {column: [value] for column, value in row.items()}


def _parts(texts: Iterable[Text]) -> Iterator[list[Text]]:
    """Groups of consecutive texts, each for one shard."""
    return in_groups(texts, lambda one: one.measure.characters if one.measure else 0, SHARD_CHARACTERS)


def _said(text: Text) -> bytes:
    digest = "" if text.measure is None else text.measure.digest()
    return json.dumps([text.id, digest, text.metadata], sort_keys=True).encode()


def _version(text: Text) -> bytes:
    """Eight bytes of a hash of the id, and eight of one of everything given under it."""
    of = (text.id.encode(), _said(text))
    return b"".join(hashlib.blake2b(said, digest_size=8).digest() for said in of)
