"""Text to train on: the passages of a folder, in RAM, each found by its number."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from larimar_memory.errors import InputError
from larimar_memory.train.unpacked import unpacked_lines

SUFFIXES = (".txt", ".md", ".jsonl", ".jsonl.xz")
_HELD_OUT_EVERY = 50
_SMALLEST = 40


class Passages:
    """Passages of text, kept as UTF-8 in one buffer.

    Because passages are addressed by number, every batch is a function of a seed and a step alone, and
    training resumes exactly without remembering how far any file was read.
    """

    def __init__(self, texts: Iterator[str], limit: int) -> None:
        buffer, ends = bytearray(), [0]
        for text in texts:
            if len(text) >= _SMALLEST:
                buffer += text.encode("utf-8", "replace")
                ends.append(len(buffer))
            if len(buffer) >= limit:
                break
        self._buffer = bytes(buffer)
        self._ends = np.array(ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        start, end = self._ends[number], self._ends[number + 1]
        return self._buffer[start:end].decode("utf-8")


def read_folder(
    folder: Path, *, seed: int = 0, limit_mb: int = 256, held_out_mb: int = 8
) -> tuple[Passages, Passages]:
    """Passages to train on, and passages that are held out.

    Files whose name begins with "valid" are held out; without any, every 50th passage is. JSON lines
    need a "text"; text files are cut at blank lines into passages of up to a few thousand characters.

    Args:
        folder: a folder, searched with its subfolders for .txt, .md, .jsonl and .jsonl.xz; or one such
            file.
        seed: the order in which files are read until the limit is reached.
        limit_mb: most megabytes of text to train on.
        held_out_mb: most megabytes that are held out.

    Raises:
        InputError: if there is no text, or a line is not JSON with a "text".
    """
    found = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    files = [p for p in found if p.name.endswith(SUFFIXES)]
    validation = [p for p in files if p.name.startswith("valid")]
    training = [p for p in files if p not in validation]
    random.Random(seed).shuffle(training)  # noqa: S311 - no secrets are drawn
    if validation:
        train = Passages(_texts(training), limit_mb << 20)
        held = Passages(_texts(validation), held_out_mb << 20)
    else:
        train = Passages(_every(_texts(training), held=False), limit_mb << 20)
        held = Passages(_every(_texts(training), held=True), held_out_mb << 20)
    if not len(train) or not len(held):
        raise InputError(
            f"There is nothing to train on in {folder}.",
            f"No file ending in {', '.join(SUFFIXES)} has enough text to train on and hold some out.",
            'Name a folder of text files, or of JSON lines with a "text".',
        )
    return train, held


def _every(texts: Iterator[str], *, held: bool) -> Iterator[str]:
    for number, text in enumerate(texts):
        if (number % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1) is held:
            yield text


def _texts(files: list[Path]) -> Iterator[str]:
    for path in files:
        if path.suffix in (".txt", ".md"):
            yield from _paragraphs(path.read_text(encoding="utf-8", errors="replace"))
        else:
            yield from _json_lines(path)


def _paragraphs(text: str, size: int = 2000) -> Iterator[str]:
    held = ""
    for paragraph in text.split("\n\n"):
        held = f"{held}\n\n{paragraph}" if held else paragraph
        if len(held) >= size:
            yield held
            held = ""
    if held:
        yield held


def _json_lines(path: Path) -> Iterator[str]:
    for number, line in enumerate(unpacked_lines(path), start=1):
        try:
            yield str(json.loads(line)["text"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} cannot be trained on.",
                f'Line {number} is not a JSON object with a "text".',
                "Correct the line, or take the file out of the folder.",
            ) from error
