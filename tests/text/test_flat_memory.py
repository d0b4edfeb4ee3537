"""Long texts, and many, are written in memory that does not grow."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from larimar_memory.larimar import Larimar
from larimar_memory.text.blocks import Text
from larimar_memory.text.files import Files
from tests.quick import CountingStore, QuickEncoder
from tests.text.long_texts import ROOT, sentences

FLAT = """
import resource, sys
sys.path[:0] = [sys.argv[1]]
from tests.text.long_texts import ROOT, in_blocks, open_quick, sentences
from tests.quick import CountingStore, QuickEncoder
from larimar_memory.text.files import Files
from larimar_memory.larimar import Larimar

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

store = CountingStore()
with Larimar(store, QuickEncoder(), "none") as memory:
    memory.write_each(Files([sys.argv[2]]))
    before = peak()
    memory.write_each(Files([sys.argv[3]]))
    print(peak() - before, store.characters, store.done)
"""


def test_sixty_megabytes_are_written_in_flat_memory(tmp_path: Path) -> None:
    prose, line = sentences(9000) + "\n\n", "x" * 10_000_000
    (tmp_path / "small.txt").write_text(prose * 3 + line[:1_000_000])
    length = 0
    with (tmp_path / "large.txt").open("w") as file:
        # Lines of ten megabytes between paragraphs.
        for part in [prose, prose, line, "\n"] * 6:
            length += file.write(part)
    assert length > 60_000_000
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            FLAT,
            str(ROOT),
            str(tmp_path / "small.txt"),
            str(tmp_path / "large.txt"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    grown, characters, documents = map(int, done.stdout.split())
    assert characters == length + len(prose) * 3 + 1_000_000
    assert documents == 2
    assert grown < 30


def test_many_tiny_texts_are_written_in_flat_memory() -> None:
    def texts(count: int) -> Iterator[Text]:
        return (Text(f"d{n}", f"Note number {n} is here.", {"n": n}) for n in range(count))

    store = CountingStore()
    with Larimar(store, QuickEncoder(), "none") as memory:
        memory.write_each(texts(1_500))
        tracemalloc.start()
        try:
            memory.write_each(texts(1_500))
            _, few = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            memory.write_each(texts(12_000))
            _, many = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert store.done == 15_000
    assert many < few + 2_000_000


def test_a_million_names_are_not_held(tmp_path: Path) -> None:
    for folder in range(20):
        (tmp_path / f"f{folder:02}").mkdir()
        for n in range(20):
            (tmp_path / f"f{folder:02}" / f"{n:02}.txt").write_text(f"Text {n} of {folder}.")
    (tmp_path / "f03" / ".hidden.txt").write_text("no")
    os.symlink(tmp_path, tmp_path / "f03" / "loop")
    texts = list(Files([str(tmp_path)]))
    assert [t.id for t in texts] == sorted(t.id for t in texts)
    assert len(texts) == 400
