"""Metadata filters: the predicate and the SQL agree, and bad filters are named."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from larimar_memory.stores.filters import to_sql
from larimar_memory.stores.postgres.filters import chosen, facts
from larimar_memory.testing.writes import batch, key_of
from tests.postgres import Server
from tests.predicate import matches
from tests.quick import QuickEncoder
from tests.stores.test_laws import open_file

NAMES = st.sampled_from(["a", "b", "c.d", 'quo"te', "a.$b", "it's", "", "\u00e9"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
)
TIMES = st.sampled_from(
    ["2026-05-03", "2026-05-03T23:30-05:00", "2026-05-04 04:30Z", "2024-02-29", "2000-02-29T00:00:00.5"]
)
NO_TIMES = st.sampled_from(
    ["2026-02-30", "2100-02-29", "0000-01-01", "2026-05-03 at noon", "2026-05-031", "2026-05-03T24:00"]
)
ORDERED = SCALARS.filter(lambda v: v is not None and not isinstance(v, bool))
VALUES = st.one_of(SCALARS, TIMES, NO_TIMES, st.lists(SCALARS, max_size=2))
METADATA = st.dictionaries(NAMES, VALUES, max_size=4)
CONDITIONS = st.one_of(
    SCALARS,
    st.fixed_dictionaries({"$eq": SCALARS}),
    st.fixed_dictionaries({"$ne": SCALARS}),
    st.fixed_dictionaries({"$in": st.lists(SCALARS, max_size=3)}),
    st.fixed_dictionaries({"$nin": st.lists(SCALARS, max_size=3)}),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.dictionaries(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), ORDERED, min_size=1, max_size=2),
    st.dictionaries(st.sampled_from(["$since", "$until", "$after", "$before"]), TIMES, min_size=1),
)
FILTERS = st.recursive(
    st.dictionaries(NAMES, CONDITIONS, max_size=2),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"$not": inner}),
    ),
    max_leaves=3,
)


@given(FILTERS, METADATA)
@settings(max_examples=500)
def test_sql_and_predicate_agree(where: dict[str, Any], metadata: dict[str, Any]) -> None:
    database = sqlite3.connect(":memory:")
    sql, parameters = to_sql(where, "m.value")
    query = f"SELECT count(*) FROM (SELECT ? AS value) AS m WHERE {sql}"
    (count,) = database.execute(query, [json.dumps(metadata), *parameters]).fetchone()
    assert bool(count) == matches(where, metadata)


@pytest.fixture(scope="module")
def database(server: Server) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.address(), autocommit=True) as opened:
        yield opened


@given(FILTERS, METADATA)
@settings(max_examples=300)
def test_sql_of_a_database_and_predicate_agree(
    database: psycopg.Connection[Any], where: dict[str, Any], metadata: dict[str, Any]
) -> None:
    sql, parameters = chosen(where)
    query = f"SELECT {sql} FROM (SELECT %s::jsonb AS facts) AS d"
    # The first parameters are the condition's.
    (holds,) = database.execute(query, [*parameters, facts(metadata)]).fetchone() or (None,)
    assert holds is matches(where, metadata)


def test_what_the_operators_mean() -> None:
    metadata = {"source": "a.txt", "year": 2021, "draft": False, "note": None}
    assert matches(None, metadata)
    assert matches({"source": "a.txt", "year": {"$gte": 2020, "$lt": 2022}}, metadata)
    assert not matches({"year": "2021"}, metadata)
    assert not matches({"draft": 0}, metadata)
    assert matches({"note": None}, metadata)
    assert not matches({"missing": None}, metadata)
    assert matches({"missing": {"$ne": 1}}, metadata)
    assert matches({"$not": {"missing": {"$exists": True}}}, metadata)
    assert matches({"$or": [{"year": 1999}, {"source": {"$in": ["a.txt", "b.txt"]}}]}, metadata)


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("year = 3", "it is a str"),
        ({"year": {"$near": 3}}, r"'\$near' is no operator"),
        ({"$xor": [{}]}, r"'\$xor' is no operator between filters"),
        ({"a": {"$in": "text"}}, r"\$in takes a list"),
        ({"a": [1, 2]}, r"\$eq was given a list"),
        ({"a": {"$gt": True}}, r"\$gt takes text or a number"),
        ({"a": float("nan")}, r"\$eq was given nan"),
        ({"a": 2**70}, "more than 64 bits"),
        ({"a": {}}, "'a' has no operator"),
        ({"$or": []}, r"\$or takes a list of filters"),
        ({"a": {"$exists": "yes"}}, r"\$exists takes True or False"),
    ],
)
def test_bad_filters_are_named(where: Any, why: str) -> None:
    store = open_file(None)
    store.write("n", [batch("d", ["text"], {"a": 1, "year": 1})])
    uses = [lambda: to_sql(where, "m.value")]
    if isinstance(where, dict):
        uses += [
            lambda: store.documents("n", where),
            lambda: store.delete("n", where=where),
            lambda: store.nearest("n", key_of("text"), 1, where),
            lambda: store.lexical("n", ["text"], 1, where),
        ]
    for use in uses:
        with pytest.raises(InputError, match=rf"The metadata filter cannot be used\. .*{why}"):
            use()
    assert store.stats("n").documents == 1


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({"$since": "2026-05-03"}, "abc"),
        ({"$until": "2026-05-03"}, "abd"),
        ({"$after": "2026-05-03T21:00Z"}, "bc"),
        ({"$before": "2026-05-03T21:00Z"}, "ad"),
        ({"$since": "2026-05-03", "$until": "2026-05-03"}, "ab"),
    ],
)
def test_times_are_compared_as_times(tmp_path: Path, wanted: dict[str, str], ids: str) -> None:
    times = {"a": "2026-05-03", "b": "2026-05-03T23:30-05:00", "c": "2026-05-04", "d": "2026-04-30"}
    broken = {"e": "2026-02-30", "f": "soon", "g": 20260503, "h": None, "i": ["2026-05-03"], "j": "now"}
    with Larimar.open(tmp_path / "m.larimar", encoder=QuickEncoder()) as memory:
        entries = {**times, **broken}
        memory.write([*entries], [*entries], [{"at": at} for at in entries.values()])
        assert "".join(d.id for d in memory.documents(where={"at": wanted})) == ids
        for value in ("soon", 5, "2026-02-30", None):
            with pytest.raises(InputError, match="takes a day or a moment in ISO 8601"):
                list(memory.documents(where={"at": {"$since": value}}))
