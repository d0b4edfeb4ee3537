"""Names of before the rooms: they lead to the new ones, and say so."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib import import_module

import pytest

from larimar_memory import deprecated
from larimar_memory.errors import InputError

OLD = [(old, name, *place) for old, names in deprecated.MOVED.items() for name, place in names.items()]


@pytest.mark.parametrize(("old", "name", "place", "new"), OLD)
def test_an_old_name_is_the_new_thing_and_says_where_it_is(
    old: str, name: str, place: str, new: str
) -> None:
    with pytest.warns(DeprecationWarning, match=rf"^{old}\.{name} is now {place}\.{new};") as told:
        found = getattr(import_module(old), name)
    assert found is getattr(import_module(place), new)
    assert [warning.filename for warning in told] == [__file__]


def test_every_room_that_had_a_table_of_contents_is_served_whole() -> None:
    """What `__all__` held before: all of `larimar_memory.memory`, and `store` but for RamStore."""
    for old, count in {"larimar_memory.memory": 12, "larimar_memory.store": 7}.items():
        assert len(import_module(old).__all__) == count


def test_an_import_of_a_name_warns_where_it_stands() -> None:
    with pytest.warns(DeprecationWarning, match=r"SlotMemory is now larimar_memory\.slots") as told:
        from larimar_memory.memory import SlotMemory
    assert SlotMemory.__module__ == "larimar_memory.slots.slots"
    assert [warning.filename for warning in told] == [__file__]


def test_new_names_give_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _, _, place, new in OLD:
            getattr(import_module(place), new)


def test_the_store_in_ram_says_what_to_open() -> None:
    with pytest.raises(InputError, match="without a path: that is the memory in RAM"):
        from larimar_memory.store import RamStore  # noqa: F401


def test_what_was_never_there_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"'larimar_memory\.store' has no attribute 'Shop'"):
        import_module("larimar_memory.store").Shop  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Shop'"):
        from larimar_memory.store import Shop  # noqa: F401
    for module in ("larimar_memory.shop", "larimar_memory.store.sqlite"):
        with pytest.raises(ModuleNotFoundError, match="No module named"):
            import_module(module)


@pytest.mark.parametrize("module", ["larimar_memory.bench", "larimar_memory.bench.rag"])
def test_benchmarks_say_where_they_went(module: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="Run `python -m benchmarks` in a checkout"):
        import_module(module)


def test_the_finder_is_last_and_alone_and_loads_nothing() -> None:
    deprecated.install()
    script = (
        "import sys, larimar_memory; from larimar_memory import deprecated;"
        "deprecated.install();"
        "print([type(f).__name__ for f in sys.meta_path].count('_Finder'),"
        "type(sys.meta_path[-1]).__name__, sorted(set(deprecated.MOVED) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "_Finder", "[]"]
