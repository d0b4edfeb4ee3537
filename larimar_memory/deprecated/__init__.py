"""Old names that have moved: they still work, with a DeprecationWarning that names the new place.

No file is left in the old places. A finder at the end of `sys.meta_path`, which is asked only for
modules found nowhere else, makes each old module from the table below.
"""

from __future__ import annotations

import sys
import warnings
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from larimar_memory.errors import InputError

_MOVES = [
    ("store", "stores", "Document Hit SQLiteStore Store StoreStats StoredSegment WriteBatch"),
    ("memory", "slots", "ALPHA GrowingMemory Health Reading=Blend SelfKeyedMemory SlotMemory"),
    ("memory", "slots", "Source=Contribution address grow_health load_slots save_slots slot_health"),
    ("decoder", "decoders.transformers", "Decoder=TransformersDecoder"),
    ("decoder", "decoders.base", "Generation"),
    ("encoder", "encoders.sentence", "SentenceEncoder"),
    ("keys", "encoders.base", "KeyEncoder=Encoder"),
    ("keys", "encoders.keys", "unit cosines check_key"),
    ("answering", "answer", "AnswerStream"),
    ("prompt", "types", "Message"),
    ("prompt", "decoders.prompt", "NOT_IN_MEMORY"),
    ("importers", "text.files", "Skipped find_files read_file"),
    ("weights", "models.finding", "DEFAULT_DECODER DEFAULT_ENCODER resolve"),
]
"""Old module, new module, and names that moved; OLD=NEW if the name changed as well."""

MOVED = dict[str, dict[str, tuple[str, str]]]()
"""For each old module, the new module and the new name of every old name."""

for _old, _new, _names in _MOVES:
    for _name, _, _renamed in (_pair.partition("=") for _pair in _names.split()):
        _place = f"larimar_memory.{_new}", _renamed or _name
        MOVED.setdefault(f"larimar_memory.{_old}", {})[_name] = _place

_BENCHMARKS = "larimar_memory.bench"


def install() -> None:
    """Make old modules importable; calling it again changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


class _Finder(MetaPathFinder, Loader):
    """Finds and makes the old modules of the table."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname == _BENCHMARKS:
            raise ModuleNotFoundError(
                f"{_BENCHMARKS} has left the package. Benchmarks are not installed any more. "
                "Run `python -m benchmarks` in a checkout, and import `benchmarks` there.",
                name=fullname,
            )
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(
            __all__=sorted(MOVED[module.__name__]), __getattr__=partial(_moved, module.__name__)
        )


def _moved(old: str, name: str) -> Any:
    if (old, name) == ("larimar_memory.store", "RamStore"):
        raise InputError(
            "There is no RamStore any more.",
            "A memory in RAM is the same SQLite store as one in a file.",
            "Open it with `Larimar.open()`, without a path: that is the memory in RAM.",
        )
    if name not in MOVED[old]:
        raise AttributeError(f"module {old!r} has no attribute {name!r}")
    place, new = MOVED[old][name]
    told = f"{old}.{name} is now {place}.{new}; the old name will go in a later version."
    warnings.warn(told, DeprecationWarning, stacklevel=2)
    return getattr(import_module(place), new)
