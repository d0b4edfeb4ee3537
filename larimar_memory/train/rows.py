"""Rows of reading comprehension: a text, a question about it, and its answers, if it has any."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from larimar_memory.errors import InputError
from larimar_memory.train.unpacked import unpacked_lines

_HELD_OUT_SPLITS = ("val", "valid", "validation", "dev", "test")
_ONE_IN = 6
"""In files without splits, one text in this many is held out."""


@dataclass(frozen=True, slots=True)
class Row:
    """A question about a text.

    Attributes:
        file: stem of the file that the row is from.
        answers: best first; empty if the text does not answer the question.
        held_out: whether the row is for checks, and never for training.
    """

    file: str
    context: str
    question: str
    answers: tuple[str, ...]
    held_out: bool = False


def read_rows(folder: Path, without: tuple[str, ...] = ()) -> list[Row]:
    """All rows of a folder's JSON lines, also of those packed by xz, gzip or bzip2, in a fixed order.

    A line has `context`, `question`, `answers` (a list) and `answerable`, and perhaps `split`. A split
    that is named after validation or testing is held out; in a file without splits, one text in six.

    Args:
        without: stems of files to leave out.

    Raises:
        InputError: if there are no rows, or a line is not a row.
    """
    files = sorted(p for p in folder.iterdir() if ".jsonl" in p.suffixes) if folder.is_dir() else []
    rows = [
        row
        for path in files
        if (stem := path.name.split(".")[0]) not in without
        for row in _read(path, stem)
    ]
    if not rows:
        raise InputError(
            "There is nothing to train on.",
            f"{folder} has no JSON lines (*.jsonl, *.jsonl.xz) of questions.",
            "Name a folder of files with a context, a question, answers and answerable in every line.",
        )
    return rows


def _read(path: Path, stem: str) -> Iterator[Row]:
    for number, line in enumerate(unpacked_lines(path), 1):
        try:
            row = json.loads(line)
            context, question = str(row["context"]), str(row["question"])
            answers = tuple(map(str, row["answers"])) if row.get("answerable", True) else ()
            split = row.get("split")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"Line {number} of {path.name} cannot be used.",
                f"It is no question on a text: {type(error).__name__}: {error}.",
                "Give every line a context, a question, answers and answerable.",
            ) from error
        yield Row(stem, context, question, answers, _held_out(context, split))


def _held_out(context: str, split: str | None) -> bool:
    if split is not None:
        return split in _HELD_OUT_SPLITS
    return zlib.crc32(context.encode()) % _ONE_IN == 0
