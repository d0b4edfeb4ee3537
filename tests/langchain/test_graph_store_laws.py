"""The LangGraph store does what `InMemoryStore` does, without its oddities, and keeps it in a file."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.store import memory as reference_module
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, Op, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from langchain_larimar import LarimarStore
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar
from tests.postgres import Server

from .graph_items import plain


class Reference(InMemoryStore):
    """`InMemoryStore` without the oddities that show where nothing is searched by meaning.

    - Namespaces are searched in the order in which they were first touched, if only by a read.
    - Namespaces that are empty are listed, even those that were only read from.
    - To order what is no number breaks off the search with a TypeError or a ValueError.

    Not shown here, and not ours either: `created_at` changes with every put; items share their values
    with the caller; and, with an index, two equal texts in one batch are an error, a put with
    `index=False` leaves the old vector, and items without a score are repeated on every page.
    """

    def _filter_items(self, op: SearchOp) -> Any:
        self._data = defaultdict(dict, sorted(self._data.items()))
        with patch.object(reference_module, "_apply_operator", _tolerant):
            return super()._filter_items(op)

    def _handle_list_namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        self._data = defaultdict(dict, {ns: items for ns, items in self._data.items() if items})
        return super()._handle_list_namespaces(op)


_apply_operator = reference_module._apply_operator


def _tolerant(value: Any, operator: str, operand: Any) -> bool:
    try:
        return _apply_operator(value, operator, operand)
    except (TypeError, ValueError):
        return False


LABELS = st.sampled_from(["a", "b", "ab"])


NAMESPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)


PREFIXES = st.lists(LABELS, max_size=2).map(tuple)


LIMITS, OFFSETS = st.sampled_from([10, 10, 10, 2, 1, 0]), st.sampled_from([0, 0, 0, 1, 2, 5])


KEYS = st.sampled_from(["k", "K", "k#1"])


SCALARS = st.sampled_from([None, True, False, 0, 1, 2.5, "1", "red", "nan"])


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "n": SCALARS,
        "m": SCALARS | st.lists(SCALARS, max_size=2),
        "d": st.dictionaries(st.sampled_from(["x", "y"]), SCALARS | st.lists(SCALARS, max_size=1)),
    },
)


CONDITIONS = (
    st.fixed_dictionaries({"$eq": SCALARS})
    | st.fixed_dictionaries({"$ne": SCALARS})
    | st.dictionaries(
        st.sampled_from(["$gt", "$gte", "$lt", "$lte"]),
        st.sampled_from([0, 1, 2.5, "1", True]),
        min_size=1,
        max_size=2,
    )
)


FILTERS = st.dictionaries(
    st.sampled_from(["n", "n", "m", "d", "absent"]),
    SCALARS
    | st.lists(SCALARS | CONDITIONS, max_size=2)
    | CONDITIONS
    | st.dictionaries(st.sampled_from(["x", "y"]), SCALARS | CONDITIONS),
    min_size=1,
    max_size=2,
)


PATHS = st.lists(LABELS | st.just("*"), max_size=3).map(tuple)


MATCHES = st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), PATHS)


def ops(kind: Any, *fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Op]:
    """Operations with these fields, the others as they are by default."""
    return st.tuples(*fields).map(lambda given: kind(*given))


PUTS = ops(PutOp, NAMESPACES, KEYS, VALUES, st.sampled_from([False, False, False, None, ["n"]]))


OPS = st.one_of(
    PUTS,
    ops(PutOp, NAMESPACES, KEYS, st.none()),
    ops(GetOp, NAMESPACES, KEYS),
    ops(SearchOp, PREFIXES, st.none(), LIMITS, OFFSETS),
    ops(SearchOp, st.just(()), FILTERS, LIMITS, OFFSETS),
    ops(
        ListNamespacesOp,
        st.lists(MATCHES, max_size=2).map(tuple),
        st.none() | st.integers(0, 3),
        LIMITS,
        OFFSETS,
    ),
)


FIRST = st.lists(PUTS, min_size=4, max_size=10)


BATCHES = st.builds(
    lambda first, more: [first, *more],
    FIRST,
    st.lists(st.lists(OPS, min_size=2, max_size=6), min_size=1, max_size=6),
)


EVERYTHING: list[Op] = [SearchOp((), limit=1000), ListNamespacesOp(limit=1000)]


@given(BATCHES)
@settings(max_examples=100)
def test_batches_do_what_they_do_in_the_reference(
    encoder: SentenceEncoder, batches: list[list[Op]]
) -> None:
    with Larimar.open(None, encoder=encoder) as memory:
        ours, reference = LarimarStore(memory), Reference()
        for batch in batches:
            assert plain(ours.batch(batch)) == plain(reference.batch(batch))
        assert plain(ours.batch(EVERYTHING)) == plain(reference.batch(EVERYTHING))


@given(BATCHES)
@settings(max_examples=25)
def test_a_file_keeps_it_all(
    tmp_path_factory: pytest.TempPathFactory, encoder: SentenceEncoder, batches: list[list[Op]]
) -> None:
    keeps_it_all(tmp_path_factory.mktemp("store") / "m.larimar", encoder, batches)


@given(BATCHES)
@settings(max_examples=25)
def test_a_database_keeps_it_all(
    server: Server, encoder: SentenceEncoder, batches: list[list[Op]]
) -> None:
    keeps_it_all(server.empty("larimar_tests"), encoder, batches)


def keeps_it_all(path: Path | str, encoder: SentenceEncoder, batches: list[list[Op]]) -> None:
    reference = Reference()
    for batch in batches:
        with Larimar.open(path, encoder=encoder) as memory:
            assert plain(LarimarStore(memory).batch(batch)) == plain(reference.batch(batch))
    with Larimar.open(path, encoder=encoder) as memory:
        found, listed = LarimarStore(memory).batch(EVERYTHING)
        assert plain([found, listed]) == plain(reference.batch(EVERYTHING))
        assert [LarimarStore(memory).get(i.namespace, i.key) for i in found] == found
