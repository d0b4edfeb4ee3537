"""A memory that holds something of a person, for tests of its receipts."""

from __future__ import annotations

from pathlib import Path

from larimar_memory.larimar import Larimar
from tests.quick import QuickEncoder
from tests.stores.test_erasures import raw

SECRET = "The quixotic zymurgy of Mallory began on an isle, and nobody was told. "
TRACES = [b"quixotic", b"zymurgy", b"zymurgi", b"quixot", b"mallory jones", SECRET.encode()[20:44]]
PERSON = {"person": "mallory jones"}


def filled(memory: Larimar) -> Larimar:
    """What Mallory wrote lies in two namespaces, beside what others did."""
    memory.write([SECRET, "Bread is baked in the morning."], ["s", "k"], [PERSON, {"person": "ana"}])
    memory.write([f"More {SECRET}" * 40], ["t"], [PERSON], namespace="other")
    memory.write(["The ferry leaves at nine."], ["f"], [{}], namespace="other")
    return memory


def open_memory(path: Path | None, **options: object) -> Larimar:
    return Larimar.open(path, encoder=QuickEncoder(), **options)  # type: ignore[arg-type]


def left(path: Path) -> list[bytes]:
    held = raw(path)
    return [trace for trace in TRACES if trace in held]
