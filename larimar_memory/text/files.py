"""Files and folders as texts to write, of any size and number, in constant memory.

Reads plain text and code, Markdown, HTML, PDF, the kinds in `documents`, and standard input. Text files
of any size are read in blocks; other files cannot be, so they have limits.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

from larimar_memory.errors import InputError
from larimar_memory.system.places import exists
from larimar_memory.text.blocks import Blocks, Measure, Text, blocks_of, measured
from larimar_memory.text.documents import READERS, document_text, page_text
from larimar_memory.text.formats import (
    PROBE_BYTES,
    Limits,
    decoded,
    html_text,
    pdf_text,
    unreadable,
    whole,
)
from larimar_memory.types import OnProgress, WriteProgress

STDIN = "-"
_TEXT_KINDS = (
    ".txt .text .md .markdown .rst .adoc .org .tex .csv .tsv .json .jsonl .yaml .yml .toml .ini .cfg "
    ".log .py .pyi .js .ts .tsx .jsx .java .c .h .cc .cpp .hpp .cs .go .rs .rb .php .pl .sh .sql .r "
    ".jl .lua .swift .kt .scala .srt .vtt"
)
HTML_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
READABLE = frozenset(_TEXT_KINDS.split()) | HTML_SUFFIXES | {".pdf"} | READERS.keys()
WHOLE_BYTES = 1 << 20
"""Files up to this size are held whole, and are read only once."""

_LIMITS = Limits()
_PDF_MARK = b"%PDF-"
_JUNK = frozenset({"__MACOSX", "__pycache__", "Thumbs.db", "desktop.ini"})
NO_TEXT = "There is no text in it."
"""The reason given for a file that is empty or has no visible text."""

_Open: TypeAlias = Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True)
class FileText(Text):
    """The text of a file: its id is the file's name, and it has been measured."""

    measure: Measure


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file of a folder that was skipped: its name as text, why, and what to do."""

    name: str
    why: str
    remedy: str = field(default="", compare=False)


class Files:
    """The texts of files and of readable files in folders, for `Larimar.write_each`; iterated once.

    files = Files(["notes/"])
    memory.write_each(files, on_progress=files.progress(show))

    What was committed before an interruption stays. A second run continues from there, and leaves the
    same memory as a run without the interruption.

    Args:
        paths: files and folders; `-` is standard input.
        encoding: encoding of text files.
        limits: limits for files that are not plain text.
        password: password of encrypted PDFs.
        on_found: called with each file as it is read or skipped; not for hidden files, nor for files
            that systems leave behind (`__pycache__`, `Thumbs.db`, `~$` files).

    Raises:
        InputError: if a path does not exist, or nothing can be read; while the texts are read, if a
            named file cannot be read.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        encoding: str = "utf-8",
        limits: Limits = _LIMITS,
        password: str | None = None,
        on_found: Callable[[FileText | Skipped], None] | None = None,
    ) -> None:
        # Bytes of the files still to come, plus characters of the files already read.
        self._characters = sum(map(size_of, find_files(paths)))
        self._skipped: Skipped | None = None
        texts = self._read(paths, encoding, limits, password, on_found)
        first = next(texts, None)
        if first is None:
            one = self._skipped
            reason = f" The first is {one.name}: {one.why}" if one is not None else ""
            raise InputError(
                "Nothing was ingested.",
                f"None of the files could be read.{reason}",
                one.remedy if one is not None and one.remedy else "Name other files.",
            )
        self._left = chain([first], texts)

    def __iter__(self) -> Iterator[FileText]:
        return self._left

    def progress(self, report: OnProgress | None) -> OnProgress | None:
        """A function that adds the total of characters, as far as it is known, to each report."""
        if report is None:
            return None

        def told(now: WriteProgress) -> None:
            report(replace(now, total_characters=max(self._characters, now.characters)))

        return told

    def _read(
        self,
        paths: Sequence[str],
        encoding: str,
        limits: Limits,
        password: str | None,
        on_found: Callable[[FileText | Skipped], None] | None,
    ) -> Iterator[FileText]:
        named = {Path(name).expanduser() for name in paths}
        for path in _walked(paths):
            found: FileText | Skipped
            if isinstance(path, Skipped):
                found = path
            else:
                self._characters -= size_of(path)
                try:
                    found = read_file(path, encoding=encoding, limits=limits, password=password)
                except InputError as error:
                    # A named file must be readable; a file in a folder may be skipped.
                    if path in named:
                        raise
                    found = Skipped(shown(path), error.why, error.remedy)
            if on_found is not None:
                on_found(found)
            if isinstance(found, FileText):
                self._characters += found.measure.characters
                yield found
            elif self._skipped is None:
                self._skipped = found


def find_files(paths: Sequence[str]) -> Iterator[Path]:
    """The named files, and the files of readable kinds in the named folders, each folder in order.

    Only the listings of the folders on the current path are held. Links to folders are not followed.

    Raises:
        InputError: at once, if a path does not exist, or a folder holds nothing readable.
    """
    return (path for path in _walked(paths) if isinstance(path, Path))


def _walked(paths: Sequence[str]) -> Iterator[Path | Skipped]:
    """As `find_files`, with the files in folders that are skipped."""
    named = [Path(name) if name == STDIN else Path(name).expanduser() for name in paths]
    for path in named:
        if str(path) != STDIN and not exists(path):
            raise unreadable(shown(path), "There is no such file or folder.", "Check the path.")
        if _is_folder(path) and not any(isinstance(found, Path) for found in inside(path)):
            raise InputError(
                f"Nothing can be ingested from the folder {shown(path)}.",
                "It holds no file of a readable kind (text, code, HTML, PDF, documents, books, mails).",
                "Name another folder, or name files one by one.",
            )
    return chain.from_iterable(inside(path) if _is_folder(path) else [path] for path in named)


def read_file(
    path: Path, *, encoding: str = "utf-8", limits: Limits = _LIMITS, password: str | None = None
) -> FileText:
    """The text of one file; `-` is standard input.

    Args:
        password: of an encrypted PDF.

    Raises:
        InputError: if the file is binary, empty, not in that encoding, too large, damaged, or
            encrypted; or the library that reads its kind is not installed.
    """
    name, suffix = shown(path), path.suffix.lower()
    metadata: dict[str, Any] = {"source": name}
    content: str | Blocks
    try:
        opened, size = _opener(path)

        def blocks() -> Iterator[str]:
            with opened() as file:
                yield from decoded(file, name, encoding)

        with opened() as file:
            is_pdf = file.read(len(_PDF_MARK)) == _PDF_MARK or suffix == ".pdf"
        if is_pdf:
            with opened() as file:
                content, metadata["pages"] = pdf_text(file, name, limits, password)
        elif suffix in READERS:
            with opened() as file:
                content = document_text(suffix, file, name, limits)
        elif suffix == ".xhtml":
            content = page_text(whole(blocks(), name, limits), name, limits)
        elif suffix in HTML_SUFFIXES:
            content = html_text(blocks(), name, limits)
        else:
            content = "".join(blocks()) if size <= WHOLE_BYTES else blocks
        measure = measured(blocks_of(content))
    except OSError as error:
        raise _refused(path, error) from error
    if not measure.visible:
        raise unreadable(name, NO_TEXT, "Name a file with text; a scanned page needs OCR first.")
    return FileText(name, content, metadata, measure)


def shown(path: Path) -> str:
    """A path as text; bytes that are not UTF-8 are written as escapes."""
    if str(path) == STDIN:
        return "standard input"
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _opener(path: Path) -> tuple[_Open, int]:
    """A function that opens a file at its beginning on every call, and the file's size in bytes."""
    if str(path) == STDIN:
        return _kept(sys.stdin.buffer)
    if path.is_file():
        return lambda: path.open("rb"), path.stat().st_size
    with path.open("rb") as pipe:
        return _kept(pipe)


def _kept(stream: BinaryIO) -> tuple[_Open, int]:
    """As `_opener`, for a stream that can be read only once: a large one is kept in an unnamed file."""
    # The file is deleted when nothing refers to it any more.
    kept = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=WHOLE_BYTES))  # noqa: SIM115
    shutil.copyfileobj(stream, kept)

    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        kept.seek(0)
        yield kept

    return opened, kept.tell()


def _is_folder(path: Path) -> bool:
    return str(path) != STDIN and path.is_dir()


def inside(folder: Path, ignored: Callable[[Path], bool] = lambda _: False) -> Iterator[Path | Skipped]:
    """The files in a folder and its subfolders, in path order: readable ones, and skipped ones.

    Args:
        ignored: whether to leave a file or folder out altogether; a folder left out is not opened.

    Raises:
        InputError: if the folder itself cannot be read.
    """
    waiting = [_listed(folder)]
    while waiting:
        path = next(waiting[-1], None)
        if path is None:
            waiting.pop()
        elif ignored(path):
            continue
        elif not path.is_dir():
            yield looked_at(path)
        elif path.is_symlink():
            why = "It is a link to a folder, and those are not followed."
            yield Skipped(shown(path), why, "Name the folder that it leads to.")
        else:
            try:
                waiting.append(_listed(path))
            except InputError as error:
                yield Skipped(shown(path), error.why, error.remedy)


def looked_at(path: Path) -> Path | Skipped:
    """A file in a folder, or why it is skipped, as far as its name and first bytes tell."""
    why, remedy = _obstacle(path)
    return Skipped(shown(path), why, remedy) if why else path


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is left out of a folder without a report."""
    return name.startswith((".", "~$")) or name in _JUNK


def _obstacle(path: Path) -> tuple[str, str]:
    """Why a file in a folder is not read, and what to do; empty strings where no obstacle is seen."""
    suffix = path.suffix.lower()
    if not path.is_file():
        return "It is no regular file, or a link to nothing.", "Name the file itself."
    if suffix in READABLE:
        return "", ""
    if suffix:
        return f"Files of the kind {suffix} are not read.", "Convert it to text, or to PDF."
    try:
        # Such as README, LICENSE, Makefile.
        with path.open("rb") as file:
            binary = b"\0" in file.read(PROBE_BYTES)
    except OSError as error:
        refused = _refused(path, error)
        return refused.why, refused.remedy
    return ("It is a binary file.", "Convert it to text first.") if binary else ("", "")


def _listed(folder: Path) -> Iterator[Path]:
    try:
        names = sorted(name for name in os.listdir(folder) if not is_hidden(name))
    except OSError as error:
        raise _refused(folder, error) from error
    return (folder / name for name in names)


def size_of(path: Path) -> int:
    """A file's size in bytes; 0 where it cannot be known."""
    try:
        return 0 if str(path) == STDIN else path.stat().st_size
    except OSError:
        return 0


def _refused(path: Path, error: OSError) -> InputError:
    why = f"The system said: {error.strerror or error}."
    return unreadable(shown(path), why, "Check its permissions.")
