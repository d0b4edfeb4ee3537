"""The order of the tests: what comes first is there, and what belongs together stays together."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from tests import order

ROOT = Path(__file__).parents[2]


def test_the_slowest_files_are_there() -> None:
    assert [name for name in order.SLOWEST if not (ROOT / name).is_file()] == []
    assert len({*order.SLOWEST}) == len(order.SLOWEST)


def test_the_slowest_come_first_and_tests_of_a_file_stay_in_order() -> None:
    slow, slower = order.SLOWEST[1], order.SLOWEST[0]
    names = ["tests/a.py::b", "tests/a.py::a", f"{slow}::x[1]", f"{slow}::T::x[a::b]", f"{slower}::y"]
    items = [SimpleNamespace(nodeid=name) for name in names]
    order.first_the_slowest(items)
    assert [item.nodeid for item in items] == [names[4], *names[2:4], *names[:2]]


def test_one_worker_has_the_tests_of_ray() -> None:
    ray = [f"tests/distributed/test_{name}.py" for name in ("ingest", "shards")]
    assert {order.group_of(file) for file in ray} == {"a cluster of Ray"}
    assert order.group_of("tests/a/test_b.py") == "tests/a/test_b.py"
