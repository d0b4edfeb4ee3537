"""Files and folders as texts to be written, however large and however many, in flat memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from larimar_memory.errors import InputError
from larimar_memory.text.blocks import Text
from larimar_memory.text.formats import Limits
from larimar_memory.text.sources import STDIN, Skipped, Source, find_files, read_sources
from larimar_memory.types import OnProgress, WriteProgress


class Files:
    """Texts of files, and of the readable ones in folders, for `Larimar.write_each`; read once.

    files = Files(["notes/"])
    memory.write_each(files, on_progress=files.progress(show))

    Interrupted, that leaves what was committed. Done again, it goes on there, and ends with what it
    would have ended with at once.

    Args:
        paths: of files and folders; `-` is standard input.
        encoding: of text files.
        limits: of HTML and PDF.
        on_found: called with each file as it is read, or with why it was passed over.

    Raises:
        InputError: if a path does not exist, or nothing can be read; while the texts are read, if a
            file that was named cannot be.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        encoding: str = "utf-8",
        limits: Limits | None = None,
        on_found: Callable[[Source | Skipped], None] | None = None,
    ) -> None:
        self._on_found = on_found
        self._size = 0
        # Bytes of the files to come, characters of those read.
        self._characters = sum(map(_size, find_files(paths)))
        found = read_sources(
            self._noted(find_files(paths)), explicit=paths, encoding=encoding, limits=limits or Limits()
        )
        texts = self._texts(found)
        first = next(texts, None)
        if first is None:
            raise InputError(
                "Nothing was ingested.", "None of the files could be read.", "Name other files."
            )
        self._left = chain([first], texts)

    def __iter__(self) -> Iterator[Text]:
        return self._left

    def progress(self, report: OnProgress | None) -> OnProgress | None:
        """What reports progress with the number of characters there will be, as far as it is known."""
        if report is None:
            return None

        def told(now: WriteProgress) -> None:
            report(replace(now, total_characters=max(self._characters, now.characters)))

        return told

    def _noted(self, files: Iterator[Path]) -> Iterator[Path]:
        for path in files:
            self._size = _size(path)
            yield path

    def _texts(self, found: Iterator[Source | Skipped]) -> Iterator[Text]:
        for one in found:
            if self._on_found is not None:
                self._on_found(one)
            self._characters -= self._size
            if isinstance(one, Source):
                self._characters += one.measure.characters
                yield Text(one.id, one.content, one.metadata, one.measure)


def _size(path: Path) -> int:
    try:
        return 0 if str(path) == STDIN else path.stat().st_size
    except OSError:
        return 0
