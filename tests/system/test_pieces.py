"""Pieces of bytes are found wherever they lie, and nowhere else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.system import pieces as pieces_module
from larimar_memory.system.pieces import LENGTH, Pieces, chunks_of

values = st.lists(st.binary(min_size=6, max_size=50), min_size=1, max_size=5)


def looking_for(*wanted: bytes) -> Pieces:
    pieces = Pieces()
    for value in wanted:
        pieces.add(value)
    return pieces


@given(values, st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(0, 5), max_size=6))
def test_found_is_what_is_there(wanted: list[bytes], chunks: list[bytes], put: list[int]) -> None:
    pieces = looking_for(*wanted)
    chunks = [c + wanted[n % len(wanted)] for c, n in zip(chunks, put, strict=False)]
    text = b"".join(chunks)
    assert pieces.found_in(chunks) == {piece for piece in pieces if piece in text}


@pytest.mark.parametrize("size", [6, 7, 15, 16, 17, 31, 32, 100])
def test_what_is_left_of_thirty_one_bytes_is_found(size: int) -> None:
    value = random.Random(size).randbytes(size)
    pieces = looking_for(value)
    assert b"".join(pieces).startswith(value[:LENGTH])
    for start in range(max(size - 30, 1)):
        left = value[start : start + 31]
        for cut in (0, 1, 8, len(left)):
            assert pieces.found_in([b"ab" + left[:cut], left[cut:] + b"c"]), (start, cut)


def test_short_and_empty_values_are_counted_and_those_of_one_byte_passed_over() -> None:
    pieces = looking_for(b"", b"4711", bytes(100), b"    " * 9)
    assert (len(pieces), pieces.too_short) == (0, 2)
    assert pieces.found_in([bytes(100), b"4711"]) == set()


def test_of_very_many_some_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "MOST", 100)
    value = random.Random(0).randbytes(16 * 1000)
    pieces = looking_for(value)
    assert (pieces.added, 50 <= len(pieces) <= 100) == (1000, True)
    # From everywhere in it.
    assert all(pieces.found_in([value[at : at + 4000]]) for at in range(0, 16000, 4000))


def test_of_numbers_beginning_middle_and_end_are_enough() -> None:
    value = random.Random(0).randbytes(400)
    pieces = Pieces()
    pieces.add(value, ends=True)
    assert set(pieces) == {value[:16], value[192:208], value[-16:]}


def test_a_file_comes_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "_CHUNK", 10)
    path = tmp_path / "-n a file"
    path.write_bytes(b"0123456789" * 3 + b"end")
    chunks = list(chunks_of(path))
    assert b"".join(chunks) == path.read_bytes()
    assert len(chunks) > 3
    with pytest.raises(OSError, match="absent"):
        list(chunks_of(tmp_path / "absent"))
    with pytest.raises(OSError):
        list(chunks_of(tmp_path))
