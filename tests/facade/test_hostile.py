"""Hostile input: no crash, no trace, no hang; what cannot be used is refused by our errors."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from larimar_memory.errors import InputError, LarimarError
from larimar_memory.larimar import Larimar
from larimar_memory.latents.bundle import load_bundle
from larimar_memory.stores.filters import MAX_DEPTH, to_sql
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.opening import backup
from larimar_memory.stores.sqlite.repair import repair
from larimar_memory.text import formats
from larimar_memory.text.blocks import blocks_of
from larimar_memory.text.files import Files, read_file
from larimar_memory.text.formats import Limits
from tests.facade.test_bad_input import one_page_pdf
from tests.fuzz import seeds, targets
from tests.quick import QuickEncoder
from tests.tiny import tiny_decoder

_OPTIONS: list[dict[str, Any]] = [{}, {"create": False}, {"read_only": True}, {"encoder": None}]
"""Ways to open a memory."""

INPUTS = {
    "bundles": 30,
    "command_line": 60,
    "memory_files": 150,
    "questions": 150,
    "names": 150,
    "pages": 100,
    "values": 100,
    "logs": 100,
    "indexes": 60,
    "exports": 200,
}


@pytest.fixture(scope="module", autouse=True)
def _clean_up() -> Iterator[None]:
    yield
    targets.clean_up()
    targets.folder.cache_clear()


@pytest.mark.parametrize("name", targets.TARGETS)
def test_fuzzed(name: str) -> None:
    target = targets.TARGETS[name]
    for data in [*seeds.SEEDS[name][:40], b""]:
        with targets.within():
            target(data)
    for n in range(INPUTS.get(name, 400)):
        with targets.within():
            target(seeds.mutated(name, random.Random(f"{name}:{n}")))


def test_a_hang_is_a_failure() -> None:
    with pytest.raises(targets.HangError, match="not done after 1 s"), targets.within(1):
        time.sleep(30)


def test_a_folder_with_names_that_are_no_text(tmp_path: Path) -> None:
    bad = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    Path(os.fsdecode(bad)).write_text("A text.")
    (tmp_path / "n\x1b[2J\n.txt").write_text("Another text.")
    with Larimar.open(encoder=QuickEncoder()) as memory:
        memory.write_each(Files([str(tmp_path)]))
        ids = [d.id for d in memory.documents()]
        short = [id.removeprefix(f"{tmp_path.as_posix()}/") for id in ids]
        assert short == ["caf\\xe9.txt", "n\x1b[2J\n.txt"]


def test_large_text_in_other_encodings_is_read_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "BLOCK_BYTES", 7)
    monkeypatch.setattr("larimar_memory.text.files.WHOLE_BYTES", 10)
    text = "caf\u00e9 \u4eca\u65e5\u306f \U0001f98a\r\n" * 9
    path = tmp_path / "a.txt"
    for encoding in ("utf-8", "utf-16", "utf-32-le", "utf-7", "gb18030", "utf-16-be"):
        path.write_bytes(text.encode(encoding))
        found = read_file(path, encoding=encoding)
        assert not isinstance(found.text, str)
        whole = path.read_bytes().decode("utf-8-sig" if encoding == "utf-8" else encoding)
        assert "".join(blocks_of(found.text)) == whole
    path.write_bytes(b"x" * 100 + b"\xff")
    with pytest.raises(InputError, match=r"a\.txt cannot be ingested\. At byte 100 it is not utf-8\."):
        read_file(path)


def test_what_can_be_read_only_once(tmp_path: Path) -> None:
    pipe, text = tmp_path / "pipe", "A sentence that is here. " * 60_000
    os.mkfifo(pipe)
    script = f"open({str(pipe)!r}, 'w').write({text[:25]!r} * 60_000)"
    with (
        subprocess.Popen([sys.executable, "-c", script]),
        Larimar.open(encoder=QuickEncoder()) as memory,
    ):
        memory.write_each(Files([str(pipe)]))
        assert memory.text(pipe.as_posix()) == text


def pages(content: bytes, count: int = 1) -> bytes:
    """A PDF whose pages all show one compressed stream."""
    packed = zlib.compress(content, 9)
    kids = " ".join(f"{n + 10} 0 R" for n in range(count))
    body = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        4: b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(packed), packed),
        5: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    }
    page = b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
    body |= {n + 10: page for n in range(count)}
    out = b"%PDF-1.4\n" + b"".join(b"%d 0 obj\n%s\nendobj\n" % item for item in body.items())
    return out + b"trailer << /Root 1 0 R >>\nstartxref\n0\n%%EOF"


def test_a_pdf_that_expands_is_refused(tmp_path: Path) -> None:
    path, line = tmp_path / "bomb.pdf", b"BT /F1 12 Tf 72 720 Td (" + b"a" * 1000 + b") Tj ET\n"
    path.write_bytes(pages(line * 2))
    assert read_file(path).measure.characters >= 2000
    path.write_bytes(pages(line * 300, 40))
    assert path.stat().st_size < 20_000
    began = time.perf_counter()
    with pytest.raises(
        InputError, match=r"The text in it is longer than 100,000 characters\. Raise --"
    ):
        read_file(path, limits=Limits(characters=100_000))
    with pytest.raises(
        InputError, match=r"It has 40 pages, and 39 is the most\. Raise --max-pages, in"
    ):
        read_file(path, limits=Limits(pages=39))
    assert time.perf_counter() - began < 30
    page = tmp_path / "bomb.html"
    page.write_text("<p>" * 10)
    with pytest.raises(InputError, match=r"bomb\.html .*It is longer than 10 characters\. Raise --max"):
        read_file(page, limits=Limits(characters=10))
    assert formats.pdf_text(io.BytesIO(one_page_pdf("Hi")), "x", Limits())[0] == "Hi"


def nested(levels: int) -> dict[str, Any]:
    where: dict[str, Any] = {"a": 1}
    for _ in range(levels):
        where = {"$not": where}
    return where


def doubled(levels: int, doubles: int) -> dict[str, Any]:
    """Filters beside others at each level, of which the outer ones are equally deep."""
    where: dict[str, Any] = {"a": {"$in": ["x", 1, None, True]}}
    for _ in range(levels - doubles):
        where = {"b": {"$exists": False}, "$not": where}
    for _ in range(doubles):
        where = {"$or": [where, where]}
    return where


def test_filters_of_any_depth_and_length() -> None:
    too_deep = f"filters are nested more than {MAX_DEPTH} levels"
    with Larimar.open(encoder=QuickEncoder()) as memory:
        memory.write(["a"], metadatas=[{"a": 1}])
        for where, held in (
            (nested(MAX_DEPTH), 1),
            (doubled(MAX_DEPTH, 0), 1),
            (doubled(MAX_DEPTH - 2, 2), 1),
        ):
            assert len(list(memory.documents(where=where))) == held
            assert len(memory.search("a", where=where)) == held
            assert memory.store.delete("default", ids=["other"], where=where) == 0
        for where in (nested(MAX_DEPTH + 1), nested(900)):
            with pytest.raises(InputError, match=too_deep):
                memory.documents(where=where)
    for wrong, why in (
        (nested(MAX_DEPTH + 1), too_deep),
        (nested(900), too_deep),
        (doubled(MAX_DEPTH, 2), "long filters are nested too deep"),
        ({1: 2}, r"In it, 1 is no name of an entry"),
        ({"a": "\ud800"}, "there is half of a surrogate pair"),
        ({"a": {"$in": ["x", "a\0"]}}, "there is a NUL"),
    ):
        with pytest.raises(InputError, match=why):
            to_sql(wrong, "d.metadata")


def test_a_list_of_any_length_in_a_filter(tmp_path: Path) -> None:
    values: list[Any] = [*range(100_000), *map(str, range(50_000)), None, True, 0.5]
    with Larimar.open(tmp_path / "m.larimar", encoder=QuickEncoder()) as memory:
        held = [99_999, "49999", None, True, False, 0.5, 2.0, -1, "x", "50000"]
        memory.write([f"Text {n}." for n in range(10)], metadatas=[{"a": value} for value in held])
        found = [d.metadata["a"] for d in memory.documents(where={"a": {"$in": values}})]
        assert found == [99_999, "49999", None, True, 0.5, 2.0]
        left = [d.metadata["a"] for d in memory.documents(where={"a": {"$nin": values}})]
        assert left == [False, -1, "x", "50000"]


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5_000, "x\0y"])
def test_a_name_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    path, there = tmp_path / name, tmp_path / "there.larimar"
    with Larimar.open(there, encoder=QuickEncoder()) as memory:
        memory.write(["A text."])
        uses = [
            *(lambda o=o: Larimar.open(path, **{"encoder": QuickEncoder(), **o}) for o in _OPTIONS),
            *(lambda: check(path), lambda: repair(path)),
            *(lambda: backup(path, tmp_path / "copy"), lambda: backup(there, path)),
            lambda: Larimar.open(encoder=str(path)),
            lambda: Larimar.open(encoder=QuickEncoder(), decoder=str(path)).decoder,
            lambda: load_bundle(path, tiny_decoder()),
            lambda: memory.write_each(Files([str(path)])),
        ]
        for use in uses:
            with pytest.raises(LarimarError):
                use()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["there.larimar"]
