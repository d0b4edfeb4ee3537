"""Read files and folders as texts: plain text and code, Markdown, HTML, PDF, standard input.

Text files of any size are read in blocks. HTML and PDF cannot be, and have limits.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

from larimar_memory.errors import InputError
from larimar_memory.text.blocks import Blocks, Measure, blocks_of, measured
from larimar_memory.text.formats import Limits, decoded, html_text, pdf_text, unreadable
from larimar_memory.validate import exists

STDIN = "-"
_TEXT_KINDS = (
    ".txt .text .md .markdown .rst .adoc .org .tex .csv .tsv .json .jsonl .yaml .yml .toml .ini .cfg "
    ".log .py .pyi .js .ts .tsx .jsx .java .c .h .cc .cpp .hpp .cs .go .rs .rb .php .pl .sh .sql .r "
    ".jl .lua .swift .kt .scala .srt .vtt"
)
TEXT_SUFFIXES = frozenset(_TEXT_KINDS.split())
HTML_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
PDF_SUFFIXES = frozenset({".pdf"})
READABLE = TEXT_SUFFIXES | HTML_SUFFIXES | PDF_SUFFIXES
WHOLE_BYTES = 1 << 20
"""Files up to this size are held whole, and so read once."""

_LIMITS = Limits()
_PDF_MARK = b"%PDF-"
_Open: TypeAlias = Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True)
class Source:
    """A text read from somewhere, with the id and metadata it will be written under.

    Attributes:
        content: the text, or what gives its blocks.
        measure: of the text.
    """

    id: str
    content: str | Blocks
    metadata: dict[str, Any]
    measure: Measure

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(blocks_of(self.content))


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file of a folder that was passed over, and why, in one sentence."""

    path: Path
    why: str

    @property
    def name(self) -> str:
        """The path as text."""
        return shown(self.path)


def find_files(paths: Sequence[str]) -> Iterator[Path]:
    """The files named, and those of readable kinds inside the folders named, each folder's sorted.

    Names are held for the folders on the way only; links to folders are not followed.

    Raises:
        InputError: at once, if a path does not exist, or a folder holds nothing readable.
    """
    named = [Path(name) if name == STDIN else Path(name).expanduser() for name in paths]
    for path in named:
        if str(path) == STDIN:
            continue
        if not exists(path):
            raise unreadable(shown(path), "There is no such file or folder.", "Check the path.")
        if path.is_dir() and next(_inside(path), None) is None:
            raise InputError(
                f"Nothing can be ingested from the folder {shown(path)}.",
                "It holds no file of a readable kind (text, Markdown, code, HTML or PDF).",
                "Name another folder, or name files one by one.",
            )
    return _found(named)


def read_sources(
    files: Iterable[Path], *, explicit: Sequence[str], encoding: str = "utf-8", limits: Limits = _LIMITS
) -> Iterator[Source | Skipped]:
    """Read files one by one. A file named by the user must be readable; others are skipped if not.

    Args:
        files: what `find_files` returned.
        explicit: the paths the user named.
        encoding: of text files.
        limits: of HTML and PDF.

    Raises:
        InputError: if a file that was named cannot be read.
    """
    named = {Path(name).expanduser() for name in explicit}
    for path in files:
        try:
            yield read_file(path, encoding=encoding, limits=limits)
        except InputError as error:
            if path in named:
                raise
            yield Skipped(path, error.why)


def read_file(path: Path, *, encoding: str = "utf-8", limits: Limits = _LIMITS) -> Source:
    """The text of one file; `-` is standard input.

    Raises:
        InputError: if the file is binary, empty, not in that encoding, too large, or a damaged PDF.
    """
    name = "standard input" if str(path) == STDIN else shown(path)
    try:
        source = _read(path, name, encoding, limits)
    except OSError as error:
        raise unreadable(
            name, f"The system said: {error.strerror or error}.", "Check its permissions."
        ) from error
    if not source.measure.visible:
        raise unreadable(
            name, "There is no text in it.", "Name a file with text; a scanned page needs OCR first."
        )
    return source


def shown(path: Path) -> str:
    """A path as text; bytes in it that are no UTF-8 are written as escapes."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _read(path: Path, name: str, encoding: str, limits: Limits) -> Source:
    opened, size = _opener(path)
    with opened() as file:
        pdf = file.read(len(_PDF_MARK)) == _PDF_MARK
    suffix, extra = path.suffix.lower(), dict[str, Any]()
    if pdf or suffix in PDF_SUFFIXES:
        with opened() as file:
            text, extra = pdf_text(file, name, limits)
    elif suffix in HTML_SUFFIXES:
        with opened() as file:
            text = html_text(decoded(file, name, encoding), name, limits)
    elif size <= WHOLE_BYTES:
        with opened() as file:
            text = "".join(decoded(file, name, encoding))
    else:

        def blocks() -> Iterator[str]:
            with opened() as file:
                yield from decoded(file, name, encoding)

        return Source(name, blocks, {"source": name}, measured(blocks()))
    return Source(name, text, {"source": name, **extra}, measured([text]))


def _opener(path: Path) -> tuple[_Open, int]:
    """What opens a file from its beginning, as often as it is called, and its size in bytes."""
    if str(path) == STDIN:
        return _kept(sys.stdin.buffer)
    if path.is_file():
        return lambda: path.open("rb"), path.stat().st_size
    with path.open("rb") as pipe:
        return _kept(pipe)


def _kept(stream: BinaryIO) -> tuple[_Open, int]:
    """As `_opener`, of what can be read only once: a large one is kept in a file without a name."""
    # It is gone when nothing refers to it any more.
    kept = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=WHOLE_BYTES))  # noqa: SIM115
    shutil.copyfileobj(stream, kept)

    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        kept.seek(0)
        yield kept

    return opened, kept.tell()


def _found(named: Sequence[Path]) -> Iterator[Path]:
    for path in named:
        if str(path) != STDIN and path.is_dir():
            yield from _inside(path)
        else:
            yield path


def _inside(folder: Path) -> Iterator[Path]:
    """The readable files in a folder and its folders, in the order of their paths."""
    waiting = [_listed(folder)]
    while waiting:
        path = next(waiting[-1], None)
        if path is None:
            waiting.pop()
        elif path.is_dir():
            if not path.is_symlink():
                waiting.append(_listed(path))
        elif path.suffix.lower() in READABLE and path.is_file():
            yield path


def _listed(folder: Path) -> Iterator[Path]:
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise unreadable(
            shown(folder), f"The system said: {error.strerror}.", "Check its permissions."
        ) from error
    return (folder / name for name in names)
