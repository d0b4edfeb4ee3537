"""What each process of a cluster does: cut texts, make keys, and put them down as shards."""

from __future__ import annotations

import gc
import hashlib
import json
import os
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
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import LarimarError
from larimar_memory.larimar import Larimar
from larimar_memory.stores.base import Store
from larimar_memory.stores.opening import open_store, place_of
from larimar_memory.system.groups import in_groups
from larimar_memory.text.blocks import Text
from larimar_memory.text.files import Skipped

SHARD_CHARACTERS = 4_000_000
"""Of the texts of a shard, where one alone has no more: some seconds of work, which a kill can cost."""

_FORMAT = 1
"""Of shards: those of another are made again."""


@dataclass(frozen=True, slots=True)
class Task:
    """What workers need to know.

    Attributes:
        folder: where shards go; None where workers write to the target themselves.
        target: as a caller names it.
        lazy: whether the target is.
        others: what else `Larimar.open` takes: decoder, latents, keys, language.
        episode, whole: as in `Larimar.write`.
        only: hashes of the ids of the texts that are written; None is all.
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

    What it says of each shard is a row: its name, what was written where it writes itself, the files
    that were passed over, and an error of the package's family, which ends the ingestion.
    """

    def __init__(self, task: Task) -> None:
        # Each has a core, and threads that wait for each other take time.
        os.environ.update(OMP_NUM_THREADS="1", RAYON_NUM_THREADS="1")
        import torch

        torch.set_num_threads(1)
        self._task, self._failed = task, cast("LarimarError | None", None)
        try:
            self._open(task.encoder)
        except LarimarError as error:
            # Raised here, Ray would start the process again and again.
            self._failed = error
        # What was made till now stays: it is never looked through again.
        gc.freeze()
        self._ready = time.time()

    def _open(self, encoder: Encoder | str) -> None:
        if isinstance(encoder, str):
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
        """The name of the shard that holds the texts, or what was written of them to the target."""
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
        """What follows from the texts, and from all that is made of them: the same work, once."""
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
            # Whoever commits in order needs none.
            "versions": b"" if self._store is None else versions,
        }
        return {column: [value] for column, value in row.items()}


def _parts(texts: Iterable[Text]) -> Iterator[list[Text]]:
    """Consecutive texts that make a shard together."""
    return in_groups(texts, lambda one: one.measure.characters if one.measure else 0, SHARD_CHARACTERS)


def _said(text: Text) -> bytes:
    digest = "" if text.measure is None else text.measure.digest()
    return json.dumps([text.id, digest, text.metadata], sort_keys=True).encode()


def _version(text: Text) -> bytes:
    """Eight bytes for the id, and eight for all that is said under it."""
    of = (text.id.encode(), _said(text))
    return b"".join(hashlib.blake2b(said, digest_size=8).digest() for said in of)
