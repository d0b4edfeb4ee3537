"""A memory as a LangGraph store: durable items, found by meaning, that can expire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.runnables.config import run_in_executor

from larimar_memory.errors import InputError
from larimar_memory.validate import check_question

try:
    from langgraph.store.base import (
        NOT_PROVIDED,
        BaseStore,
        GetOp,
        Item,
        ListNamespacesOp,
        MatchCondition,
        NotProvided,
        Op,
        PutOp,
        Result,
        SearchOp,
        TTLConfig,
    )
except ImportError as error:
    raise InputError(
        "LarimarStore cannot be used.",
        "The package langgraph-checkpoint, 4.3 or later, whose stores it is one of, is not installed.",
        'Install it with `pip install "larimar-memory[agents]"`.',
    ) from error

from langchain_larimar.given_memory import check_memory
from langchain_larimar.graph_store_documents import Items
from langchain_larimar.graph_store_filters import matches
from langchain_larimar.graph_store_items import Entry, Namespace, expiry, indexed_text, stamp
from langchain_larimar.graph_store_ops import asked, check_op, check_paths, check_place, check_value

if TYPE_CHECKING:
    import numpy as np

    from larimar_memory import Larimar

_Puts = dict[tuple[Namespace, str], tuple[Entry | None, str]]
_Questions = Mapping[str, "np.ndarray"]


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class LarimarStore(BaseStore):
    """Items of a memory, for `create_agent(..., store=store)` and `graph.compile(store=store)`.

    An item is a document of the memory: its id is the key, its text is what is indexed, its metadata
    holds the value and the times. The items of ("users", "ana") are in the memory's namespace
    "store:users.ana", where `Larimar.answer` can answer from them. Such names, and keys, have up to
    1,000 characters.

    A search goes through the namespaces beneath its prefix in order, and through each in the order of
    first writing. With a query, indexed items come first, best first, each with the score of its best
    sentence, in [0, 1]; the other items follow without a score. A batch is checked as a whole before
    anything is done. Its reads come first, then its deletes, then its puts; the last put for a key
    counts.

    Args:
        memory: the memory that keeps the items.
        fields: paths to index, if a put does not name its own; "$" is the whole value as text. Without
            any, nothing is indexed.
        ttl: as in LangGraph, in minutes. Expired items are not returned, unless `omit_expired` is
            False. `sweep_ttl` deletes them; a batch calls it if `sweep_interval_minutes` have passed,
            and you can call it yourself. Reading an item that has a time to live writes its new expiry.
        purge: erase deleted items from the memory's files at once, which takes time proportional to
            their size; without it, call `Larimar.purge` later.
        clock: gives the time, with its time zone.

    Raises:
        InputError: if an argument cannot be used.
    """

    supports_ttl = True

    def __init__(
        self,
        memory: Larimar,
        *,
        fields: Sequence[str] = ("$",),
        ttl: TTLConfig | None = None,
        purge: bool = True,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.memory = check_memory(memory, "The store cannot be made.")
        self.ttl_config = ttl
        self._fields = check_paths(fields)
        self._omits = ttl is None or ttl.get("omit_expired", True)
        self._items = Items(memory, purge=purge)
        self._clock = clock
        self._swept = clock()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out operations; what was put is durable on return.

        Raises:
            InvalidNamespaceError: if a namespace cannot be used; then nothing was done.
            InputError: if anything else cannot be used; then nothing was done.
            MemoryFileError: if the file cannot be read or written; what was committed before is intact.
        """
        listed = list(ops)
        for op in listed:
            check_op(op)
        now = self._clock()
        puts = self._prepared(listed, now)
        queries = {asked(op) for op in listed if isinstance(op, SearchOp)}
        questions = self._encoded(query for query in queries if query is not None)
        results = [self._read(op, questions, now) for op in listed]
        if puts:
            self._items.delete([place for place, (entry, _) in puts.items() if entry is None])
            self._items.write([(entry, text) for entry, text in puts.values() if entry], now)
        interval = (self.ttl_config or {}).get("sweep_interval_minutes")
        if interval is not None and now - self._swept >= timedelta(minutes=interval):
            self.sweep_ttl()
        return results

    # LangGraph turns keys into text: for the key [7], it would look for "[7]", which is another item.

    def get(
        self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None
    ) -> Item | None:
        """As in LangGraph; a key that is not a str is an InputError."""
        return super().get(namespace, check_place(namespace, key), refresh_ttl=refresh_ttl)

    def put(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> None:
        """As in LangGraph; a key that is not a str is an InputError."""
        super().put(namespace, check_place(namespace, key), value, index, ttl=ttl)

    def delete(self, namespace: tuple[str, ...], key: str) -> None:
        """As in LangGraph; a key that is not a str is an InputError."""
        super().delete(namespace, check_place(namespace, key))

    async def aget(
        self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None
    ) -> Item | None:
        """As `get`, off the event loop."""
        return await super().aget(namespace, check_place(namespace, key), refresh_ttl=refresh_ttl)

    async def aput(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> None:
        """As `put`, off the event loop."""
        await super().aput(namespace, check_place(namespace, key), value, index, ttl=ttl)

    async def adelete(self, namespace: tuple[str, ...], key: str) -> None:
        """As `delete`, off the event loop."""
        await super().adelete(namespace, check_place(namespace, key))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As `batch`, off the event loop."""
        return await run_in_executor(None, self.batch, list(ops))

    def sweep_ttl(self) -> int:
        """Delete the items that have expired; returns how many."""
        self._swept = self._clock()
        return self._items.delete_expired(self._swept)

    async def asweep_ttl(self) -> int:
        """As `sweep_ttl`, off the event loop."""
        return await run_in_executor(None, self.sweep_ttl)

    def _prepared(self, ops: Iterable[Op], now: datetime) -> _Puts:
        puts: _Puts = {}
        for op in ops:
            if not isinstance(op, PutOp):
                continue
            entry, text = None, ""
            if op.value is not None:
                value, moment = check_value(op.key, op.value), stamp(now)
                expires = expiry(now, op.ttl)
                entry = Entry(op.namespace, op.key, value, moment, moment, op.ttl, expires)
                text = indexed_text(value, self._fields if op.index is None else op.index or ())
            puts[op.namespace, op.key] = entry, text
        return puts

    def _encoded(self, queries: Iterable[str]) -> _Questions:
        listed = [*queries]
        if not listed:
            return {}
        texts = [check_question(query) for query in listed]
        return dict(zip(listed, self.memory.encoder.encode(texts, kind="question"), strict=True))

    def _read(self, op: Op, questions: _Questions, now: datetime) -> Result:
        if isinstance(op, GetOp):
            entry = self._items.get(op.namespace, op.key)
            if entry is None or not self._shown(entry, now):
                return None
            self._items.refresh([entry] if op.refresh_ttl else [], now)
            return entry.item()
        if isinstance(op, SearchOp):
            found = list(islice(self._found(op, questions, now), op.offset, op.offset + op.limit))
            self._items.refresh([entry for entry, _ in found] if op.refresh_ttl else [], now)
            return [entry.search_item(score) for entry, score in found]
        return self._listed(op, now) if isinstance(op, ListNamespacesOp) else None

    def _found(
        self, op: SearchOp, questions: _Questions, now: datetime
    ) -> Iterator[tuple[Entry, float | None]]:
        def wanted(entry: Entry) -> bool:
            return self._shown(entry, now) and matches(op.filter, entry.value)

        namespaces = self._items.namespaces(op.namespace_prefix) if op.limit else []
        scored = set[tuple[Namespace, str]]()
        if (query := asked(op)) is not None:
            near, key, count = self._items.nearest, questions[query], op.offset + op.limit
            ranked = [pair for namespace in namespaces for pair in near(namespace, key, count, wanted)]
            for entry, cosine in sorted(ranked, key=lambda pair: -pair[1]):
                scored.add((entry.namespace, entry.key))
                yield entry, min(max(cosine, 0.0), 1.0)
        for namespace in namespaces:
            for entry in self._items.all(namespace):
                if (namespace, entry.key) not in scored and wanted(entry):
                    yield entry, None

    def _listed(self, op: ListNamespacesOp, now: datetime) -> list[Namespace]:
        conditions = op.match_conditions or ()
        listed = {
            namespace[: op.max_depth]
            for namespace in self._items.namespaces()
            if all(_meets(namespace, condition) for condition in conditions)
            and any(self._shown(entry, now) for entry in self._items.all(namespace))
        }
        return sorted(listed)[op.offset : op.offset + op.limit]

    def _shown(self, entry: Entry, now: datetime) -> bool:
        return not (self._omits and entry.expired(now))


def _meets(namespace: Namespace, condition: MatchCondition) -> bool:
    step = -1 if condition.match_type == "suffix" else 1
    pairs = zip(condition.path[::step], namespace[::step], strict=False)
    fits = all(wanted in ("*", label) for wanted, label in pairs)
    return fits and len(condition.path) <= len(namespace)
