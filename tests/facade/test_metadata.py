"""Metadata: what becomes of dates and NumPy's scalars, and how what cannot be kept is named."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from larimar_memory.text.blocks import Text
from tests.quick import QuickEncoder

UTC = timezone.utc
BERLIN = timezone(timedelta(hours=2))
MOMENT = datetime(2026, 3, 1, 8, 30)


class Colour(Enum):
    RED = "red"


class Word(str, Enum):
    RED = "red"


class NoTime(datetime):
    """As NaT of pandas: a datetime that does not equal itself."""

    __hash__ = datetime.__hash__

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    def __str__(self) -> str:
        return "NaT"


@pytest.fixture(params=["ram", "file"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Larimar]:
    path = None if request.param == "ram" else tmp_path / "m.larimar"
    with Larimar.open(path, encoder=QuickEncoder()) as opened:
        yield opened


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.int64(7), 7),
        (np.uint8(7), 7),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (date(2026, 3, 1), "2026-03-01"),
        (MOMENT, "2026-03-01T08:30:00"),
        (MOMENT.replace(microsecond=5), "2026-03-01T08:30:00.000005"),
        (MOMENT.replace(tzinfo=UTC), "2026-03-01T08:30:00+00:00"),
        (MOMENT.replace(tzinfo=BERLIN), "2026-03-01T06:30:00+00:00"),
        (time(8, 30), "08:30:00"),
        (np.datetime64("2026-03-01"), "2026-03-01"),
        (np.datetime64("2026-03-01T08:30"), "2026-03-01T08:30:00"),
        (np.datetime64("2026-03-01T08:30:00.000000000"), "2026-03-01T08:30:00"),
        (np.datetime64("2026-03-01T08:30:00.000000001"), "2026-03-01T08:30:00.000000001"),
        ((1, (2, 3)), [1, [2, 3]]),
        ([np.int64(1), {"at": date(2026, 3, 1)}], [1, {"at": "2026-03-01"}]),
        (OrderedDict(a=np.float32(1)), {"a": 1.0}),
        (Word.RED, "red"),
        (10**30, 10**30),
    ],
)
def test_what_is_kept(memory: Larimar, given: Any, kept: Any) -> None:
    memory.write(["One."], ["d"], [{"v": given, "deep": [{"v": given}]}])
    (document,) = memory.documents()
    assert document.metadata == {"v": kept, "deep": [{"v": kept}]}
    assert json.loads(json.dumps(document.metadata)) == document.metadata
    memory.update("d", "Two.", {"v": given})
    (segment,) = memory.read("Two.", threshold=0).segments
    assert segment.metadata == {"v": kept}
    assert type(segment.metadata["v"]) is type(kept)


CYCLE: dict[str, Any] = {}
CYCLE["a"] = [CYCLE]


@pytest.mark.parametrize(
    ("metadata", "why", "remedy"),
    [
        ({"a": float("nan")}, "metadata['a'] is nan,", "Leave it out, or give None."),
        ({"a": float("-inf")}, "metadata['a'] is -inf,", "Leave it out, or give None."),
        ({"a": np.float32("nan")}, "metadata['a'] is nan,", "Leave it out, or give None."),
        ({"a": np.datetime64("NaT")}, "metadata['a'] is NaT,", "Leave it out, or give"),
        ({"a": NoTime(2026, 1, 1)}, "metadata['a'] is NaT,", "Leave it out, or give None."),
        (
            {"a": {"b": [0, 1, UUID(int=5)]}},
            "metadata['a']['b'][2] of type UUID is not",
            "Give its str()",
        ),
        ({"a": Path("b")}, "metadata['a'] of type PosixPath is not", "Give its str()."),
        (
            {"a": Decimal("1.5")},
            "metadata['a'] of type Decimal is not",
            "Give its float() or its str().",
        ),
        ({"a": Colour.RED}, "metadata['a'] of type Colour is not", "Give its value."),
        ({"a": b"x"}, "metadata['a'] of type bytes is not", "Decode it, and give text."),
        ({"a": np.bytes_(b"x")}, "metadata['a'] of type bytes_ is not", "Decode it, and give text."),
        ({"a": {1}}, "metadata['a'] of type set is not", "Give a list of what it holds."),
        ({"a": np.arange(3)}, "metadata['a'] of type ndarray is not", "Give its tolist()."),
        ({"a": timedelta(1)}, "metadata['a'] of type timedelta is not", "Give its seconds."),
        (
            {"a": np.timedelta64(1, "ns")},
            "metadata['a'] of type timedelta64 is not",
            "Give its seconds.",
        ),
        ({"a": 1j}, "metadata['a'] of type complex is not", "Use str keys and values of text"),
        ({"a": object()}, "metadata['a'] of type object is not", "Use str keys and values of text"),
        ({"a": (n for n in [1])}, "metadata['a'] of type generator is not", "Use str keys and values"),
        ({7: 1}, "it has the key 7, which is no str.", "Give its str() as the key."),
        ({"a": [{None: 1}]}, "metadata['a'][0] has the key None, which is no str.", "Give its str()"),
        ({"a": ["x", "\ud800"]}, "at metadata['a'][1] it holds half of a surrogate pair", "Decode"),
        (
            {"a": {"\ud800": 1}},
            "in a key of metadata['a'] it holds half of a surrogate",
            "Give another key",
        ),
        (CYCLE, "metadata['a'][0] holds itself", "Give it without the circle."),
        (
            {"a": 1 << 20_000},
            "metadata['a'] has more than 14,000 bits.",
            "Give it as text or as a float.",
        ),
        ({"a": "x\0y"}, "the name or text of one of its entries holds a NUL.", "Take the NUL out."),
        (7, "it is a int.", "Use str keys and values"),
        (None, "it is a NoneType.", "Use str keys and values"),
    ],
)
def test_what_cannot_be_kept_is_named(memory: Larimar, metadata: Any, why: str, remedy: str) -> None:
    memory.write(["Before."], ["kept"], [{"v": 1}])
    for ids, whose in ((["x", "y 2"], "document 'y 2'"), (None, "text 2")):
        with pytest.raises(InputError) as caught:
            memory.write(["One.", "Two."], ids, [{}, metadata])
        assert caught.value.what == f"The metadata of {whose} cannot be kept."
        assert caught.value.why.startswith(f"Metadata is a JSON object, and {why}")
        assert caught.value.remedy.startswith(remedy)
    if metadata is not None:
        with pytest.raises(InputError, match="The metadata of document 'kept' cannot be kept"):
            memory.update("kept", "After.", metadata)
    assert [document.metadata for document in memory.documents()] == [{"v": 1}]
    assert memory.text("kept") == "Before."


def test_what_is_very_deep_or_long_is_named_in_few_words(memory: Larimar) -> None:
    deep: Any = {"k" * 500: float("nan")}
    for _ in range(50):
        deep = {"level": [deep]}
    with pytest.raises(InputError) as caught:
        memory.write(["One."], ["d"], [deep])
    assert "metadata['level'][0]['level'][0] ... [0]['kkk" in caught.value.why
    assert len(str(caught.value)) < 500


def test_the_same_twice_is_no_circle(memory: Larimar) -> None:
    part = {"at": [date(2026, 3, 1)]}
    memory.write(["One."], ["d"], [{"a": part, "b": [part, part]}])
    (document,) = memory.documents()
    assert document.metadata["b"] == [{"at": ["2026-03-01"]}] * 2


def test_what_the_caller_has_stays_as_it_is(memory: Larimar) -> None:
    given = {"at": MOMENT, "n": [np.int64(1)]}
    memory.write(["One."], ["d"], [given])
    assert given == {"at": MOMENT, "n": [np.int64(1)]}
    assert isinstance(given["n"][0], np.int64)
    # Equal, and so not written again.
    memory.write(["One."], ["d"], [{"at": "2026-03-01T08:30:00", "n": [1]}])
    assert memory.stats().documents == 1


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"at": MOMENT}, "b"),
        ({"at": {"$gte": MOMENT}}, "bc"),
        ({"at": {"$gt": date(2026, 3, 1), "$lt": date(2026, 3, 2)}}, "b"),
        ({"at": {"$in": [MOMENT, date(2026, 2, 1)]}}, "ab"),
        ({"at": {"$in": (MOMENT,)}}, "b"),
        ({"$or": [{"at": np.datetime64("2026-03-01T08:30")}, {"n": np.int64(3)}]}, "bc"),
        ({"$not": {"at": {"$lte": datetime(2026, 3, 1, 8, 30, 0, 1)}}}, "c"),
        ({"zoned": {"$lte": datetime(2026, 3, 1, 10, tzinfo=BERLIN)}}, "ab"),
        ({"zoned": datetime(2026, 3, 1, 10, tzinfo=BERLIN)}, "b"),
        ({"n": {"$gte": np.float32(2), "$ne": np.int8(3)}}, "b"),
        ({"even": np.bool_(True)}, "b"),
        ({"at": {"$exists": np.bool_(True)}}, "abc"),
        ({"name": np.str_("c")}, "c"),
    ],
)
def test_filters_compare_what_is_kept(memory: Larimar, where: Any, found: str) -> None:
    moments = [date(2026, 2, 1), MOMENT, np.datetime64("2026-03-09T01:00:00.5")]
    memory.write(
        ["One.", "Two.", "Three."],
        list("abc"),
        [
            {
                "at": at,
                "zoned": datetime(2026, 3, 1, 7 + n, 0, tzinfo=UTC),
                "n": np.int64(n + 1),
                "even": np.bool_(n == 1),
                "name": "abc"[n],
            }
            for n, at in enumerate(moments)
        ],
    )
    assert "".join(document.id for document in memory.documents(where=where)) == found
    read = memory.read("One.", 9, where=where, threshold=0)
    assert "".join(sorted(segment.document_id for segment in read.segments)) == found
    assert memory.forget(where=where) == len(found)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (UUID(int=5), r"In it, \$eq was given a UUID\."),
        (np.float32("nan"), r"In it, \$eq was given nan\."),
        (np.datetime64("NaT"), r"In it, \$eq was given a datetime64\."),
        ({"$gte": NoTime(2026, 1, 1)}, r"In it, \$gte was given a NoTime\."),
        ({"$in": [np.arange(3)]}, r"In it, \$in was given a ndarray\."),
    ],
)
def test_filters_that_no_metadata_could_satisfy(memory: Larimar, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        memory.forget(where={"a": value})


def test_texts_that_are_read_as_they_are_written(memory: Larimar) -> None:
    memory.write_each([Text("d", "One.", {"at": MOMENT, "n": np.int64(1)})])
    (document,) = memory.documents()
    assert document.metadata == {"at": "2026-03-01T08:30:00", "n": 1}
    with pytest.raises(
        InputError, match=r"The metadata of document 'e' cannot be kept\. .*\['a'\] is nan"
    ):
        memory.write_each([Text("e", lambda: iter(["Two."]), {"a": float("nan")})])
    assert memory.stats().documents == 1
