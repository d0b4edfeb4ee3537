"""Larimar in the Agent Memory Benchmark, github.com/vectorize-io/agent-memory-benchmark.

Written to its interface of September 2026: `MemoryProvider` of `src/memory_bench/memory/base.py` and
`Document` of `src/memory_bench/models.py`, both of commit c0f91a0, called in the order of
`src/memory_bench/runner.py`. Earlier ones, without `Document.source_ids`, are served as well.

The command line is the benchmark's own, with two more memories, where both packages are installed
(docs/agent_memory_benchmark.md):

    python -m benchmarks.agent_memory run --dataset locomo --split locomo10 --memory larimar
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, Protocol

from benchmarks.talks import said_at
from larimar_memory.cli import output
from larimar_memory.decoders.prompt import said_by
from larimar_memory.errors import InputError, LarimarError
from larimar_memory.larimar import Larimar
from larimar_memory.text.blocks import Text
from larimar_memory.types import DEFAULT_NAMESPACE, RecalledSegment

FILE = "memory.larimar"
PIECE = "/"
"""Stands between a document's id and the number of the turn."""

ROLES = {"user": "User", "human": "User", "assistant": "Assistant", "ai": "Assistant"}


class Document(Protocol):
    """What is used of the benchmark's documents: a text, or turns, as a list or as JSON."""

    id: str
    content: str
    user_id: str | None
    messages: list[dict[str, Any]] | None
    timestamp: str | None


class LarimarProvider:
    """A memory file for a run, a namespace for each user, an episode for each document, a text for each
    of its turns.

    What is retrieved are turns, as the memory has them, best first: who spoke and when stands in front.
    The benchmark's `query_timestamp` is not heeded: "last week" is counted from what was said last, and
    LoCoMo's stamp is of the session whose name comes last as text, before some that hold answers.

    Attributes:
        document: what makes the benchmark's documents.
        opened: what is passed to `Larimar.open` beside the file.
        threshold: as `ReadOptions.threshold`: 0 always gives the best k, as the benchmark scores an
            empty context as wrong, and None leaves it to the memory to say that it does not know.
    """

    name = "larimar"
    description = "Episodic memory in one local file: no language model, no service, no key."
    kind = "local"
    provider: str | None = "larimar"
    variant: str | None = None
    link = "https://github.com/larimar-memory/larimar-memory"
    concurrency = 4
    threshold: float | None = 0.0
    document: Callable[..., Any]
    opened: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self._memory: Larimar | None = None

    @property
    def memory(self) -> Larimar:
        """The run's memory.

        Raises:
            InputError: before `prepare`, and after `cleanup`.
        """
        if self._memory is None:
            raise InputError(
                "The memory of this run is not open.",
                "It is opened by `prepare`, and closed by `cleanup`.",
                "Call `prepare` with a folder first.",
            )
        return self._memory

    def prepare(self, store_dir: Path, unit_ids: set[str] | None = None, reset: bool = True) -> None:
        """Open the memory in a folder, anew, or as an earlier run has left it."""
        self.cleanup()
        store_dir.mkdir(parents=True, exist_ok=True)
        if reset:
            for part in store_dir.glob(f"{FILE}*"):
                part.unlink()
        self._memory = Larimar.open(store_dir / FILE, **self.opened)

    def cleanup(self) -> None:
        """Close the memory; its file stays for a run that skips ingestion."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def ingest(self, documents: list[Any]) -> None:
        """Write documents, each user's in their order. On return they are on disk."""
        for user, own in groupby(documents, key=lambda document: document.user_id):
            self.memory.write_each((text for one in own for text in texts(one)), namespace=_space(user))

    def retrieve(
        self,
        query: str,
        k: int = 10,
        user_id: str | None = None,
        query_timestamp: str | None = None,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], dict[str, Any] | None]:
        """The best turns, at most k, and nothing raw: some datasets would put that into the prompt."""
        if not query.strip():
            return [], None
        return [self._document(held, user_id) for held in self._turns(query, k, user_id)], None

    def direct_answer(
        self, query: str, user_id: str | None = None, query_timestamp: str | None = None
    ) -> tuple[str, str, dict[str, Any] | None]:
        """The memory's own small decoder's answer, with what it was given."""
        answer = self.memory.answer(query, namespace=_space(user_id), threshold=self.threshold)
        return answer.text, "\n\n".join(map(_shown, answer.sources)), answer.to_dict()

    def _turns(self, query: str, k: int, user_id: str | None) -> list[RecalledSegment]:
        """The best segment of each turn: more are read where several are of one."""
        most = k
        while True:
            readout = self.memory.read(
                query, most, namespace=_space(user_id), neighbours=2, threshold=self.threshold
            )
            best = dict[str, RecalledSegment]()
            for segment in readout.segments:
                best.setdefault(segment.document_id, segment)
            if len(best) >= k or len(readout.segments) < most:
                return list(best.values())[:k]
            most *= 2

    def _document(self, held: RecalledSegment, user_id: str | None) -> Any:
        source = held.document_id.rpartition(PIECE)[0]
        given = {
            "id": held.id,
            "content": _shown(held),
            "user_id": user_id,
            "timestamp": held.metadata.get("said_at"),
            "source_ids": [source],
        }
        known = {field.name for field in fields(self.document)}  # type: ignore[arg-type]
        return self.document(**{name: value for name, value in given.items() if name in known})


class ScopedProvider(LarimarProvider):
    """The same, where a memory that does not hold the answer retrieves nothing."""

    name = "larimar-scoped"
    variant: str | None = "scoped"
    threshold: float | None = None


def texts(document: Document) -> Iterator[Text]:
    """A document's turns as texts of an episode, in their order; blank ones are left out.

    Turns are its `messages`, or its content where that is a JSON list of objects that each say
    something as `content` or `text`; else the content is one. A picture is told by its caption.
    """
    day = said_at(document.timestamp or "")
    at = {"said_at": day} if day else {}
    for number, (speaker, said) in enumerate(_said(document)):
        if said.strip():
            metadata = {**at, **({"speaker": speaker} if speaker else {})}
            id = f"{document.id}{PIECE}{number}"
            yield Text(id, said, metadata, episode=document.id)


def _said(document: Document) -> Iterable[tuple[str, str]]:
    turns = document.messages or _listed(document.content)
    if not turns:
        return [("", document.content)]
    return [(_speaker(turn), _spoken(turn)) for turn in turns]


def _listed(content: str) -> list[dict[str, Any]]:
    if not content.lstrip().startswith("["):
        return []
    try:
        turns = json.loads(content)
    except ValueError:
        return []
    told = all(isinstance(turn, dict) and {"content", "text"} & turn.keys() for turn in turns)
    return turns if told else []


def _speaker(turn: dict[str, Any]) -> str:
    role = str(turn.get("role") or "")
    return str(turn.get("speaker") or turn.get("name") or ROLES.get(role.lower(), role.capitalize()))


def _spoken(turn: dict[str, Any]) -> str:
    said, picture = str(turn.get("content") or turn.get("text") or ""), turn.get("blip_caption")
    return f"{said} (Shows a picture: {picture}.)" if picture else said


def _shown(held: RecalledSegment) -> str:
    by = said_by(held.metadata)
    return f"{by}: {held.context.strip()}" if by else held.context.strip()


def _space(user_id: str | None) -> str:
    return DEFAULT_NAMESPACE if user_id is None else f"user:{user_id}"


def register() -> None:
    """Put both memories into the benchmark's registry.

    Raises:
        InputError: if the benchmark is not installed.
    """
    try:
        memory, models = import_module("memory_bench.memory"), import_module("memory_bench.models")
    except ModuleNotFoundError as error:
        raise InputError(
            "The Agent Memory Benchmark cannot be run.",
            f"There is no package {error.name!r} here.",
            "Install a checkout of github.com/vectorize-io/agent-memory-benchmark beside this one.",
        ) from error
    for own in (LarimarProvider, ScopedProvider):
        bases = (own, memory.MemoryProvider)
        made = type(own.__name__, bases, {"document": models.Document})
        memory.REGISTRY[own.name] = made


def main() -> None:
    """Run the benchmark's command line; without it, say so in one line."""
    try:
        register()
    except LarimarError as error:
        output.print_error(error, False)
        sys.exit(output.EXIT_ERROR)
    import_module("memory_bench.cli").app()


if __name__ == "__main__":
    main()
