"""Read files and folders as texts: plain text and code, Markdown, HTML, PDF, standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larimar_memory.errors import InputError

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
_PROBE_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Source:
    """A text read from somewhere, with the id and metadata it will be written under."""

    id: str
    text: str
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file of a folder that was passed over, and why, in one sentence."""

    path: Path
    why: str


def find_files(paths: Sequence[str]) -> list[Path]:
    """The files named, and those of readable kinds inside the folders named, sorted.

    Raises:
        InputError: if a path does not exist, or a folder holds nothing readable.
    """
    found = list[Path]()
    for name in paths:
        path = Path(name).expanduser()
        if name == STDIN:
            found.append(Path(STDIN))
        elif path.is_dir():
            inside = sorted(
                p
                for p in path.rglob("*")
                if p.suffix.lower() in READABLE and p.is_file() and not _hidden(p, path)
            )
            if not inside:
                raise InputError(
                    f"Nothing can be ingested from the folder {path}.",
                    "It holds no file of a readable kind (text, Markdown, code, HTML or PDF).",
                    "Name another folder, or name files one by one.",
                )
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InputError(
                f"{path} cannot be ingested.",
                "There is no such file or folder.",
                "Check the path.",
            )
    return found


def read_sources(
    files: Sequence[Path], *, explicit: Sequence[str], encoding: str = "utf-8"
) -> Iterator[Source | Skipped]:
    """Read files one by one. A file named by the user must be readable; others are skipped if not.

    Args:
        files: what `find_files` returned.
        explicit: the paths the user named.
        encoding: of text files.

    Raises:
        InputError: if a file that was named cannot be read.
    """
    named = {Path(name).expanduser() for name in explicit}
    for path in files:
        try:
            yield read_file(path, encoding=encoding)
        except InputError as error:
            if path in named:
                raise
            yield Skipped(path, error.why)


def read_file(path: Path, *, encoding: str = "utf-8") -> Source:
    """The text of one file; `-` is standard input.

    Raises:
        InputError: if the file is binary, empty, not in that encoding, or a damaged PDF.
    """
    name = "standard input" if str(path) == STDIN else path.as_posix()
    try:
        data = sys.stdin.buffer.read() if str(path) == STDIN else path.read_bytes()
    except OSError as error:
        raise _unreadable(
            name, f"The system said: {error.strerror}.", "Check its permissions."
        ) from error
    suffix = path.suffix.lower()
    if suffix in PDF_SUFFIXES or data.startswith(b"%PDF-"):
        text, extra = _pdf(data, name)
    else:
        text, extra = _decode(data, name, encoding), {}
        if suffix in HTML_SUFFIXES:
            text = _html(text)
    if not text.strip():
        raise _unreadable(
            name, "There is no text in it.", "Name a file with text; a scanned page needs OCR first."
        )
    return Source(name, text, {"source": name, **extra})


def _decode(data: bytes, name: str, encoding: str) -> str:
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in data[:_PROBE_BYTES] and not marked:
        raise _unreadable(name, "It is a binary file.", "Convert it to text first.")
    try:
        return data.decode("utf-16" if marked else "utf-8-sig" if encoding == "utf-8" else encoding)
    except LookupError as error:
        raise _unreadable(
            name, f"There is no encoding {encoding!r}.", "Name another, such as latin-1."
        ) from error
    except UnicodeDecodeError as error:
        raise _unreadable(
            name,
            f"At byte {error.start} it is not {encoding}.",
            "Name its encoding with --encoding, for example latin-1.",
        ) from error


def _html(markup: str) -> str:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(markup)
    tree.strip_tags(["script", "style", "noscript", "template", "svg", "head"])
    body = tree.body or tree.root
    lines = body.text(separator="\n").splitlines() if body is not None else []
    return "\n".join(line.strip() for line in lines if line.strip())


def _pdf(data: bytes, name: str) -> tuple[str, dict[str, Any]]:
    import io
    import logging

    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    try:
        pages = [page.extract_text() for page in PdfReader(io.BytesIO(data)).pages]
    except (PyPdfError, ValueError, KeyError, TypeError, OSError) as error:
        raise _unreadable(
            name, f"It is not a sound PDF: {error}.", "Open it and save it again."
        ) from error
    text = "\n\n".join(pages).encode("utf-8", "replace").decode("utf-8")
    return text, {"pages": len(pages)}


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _unreadable(name: str, why: str, remedy: str) -> InputError:
    return InputError(f"{name} cannot be ingested.", why, remedy)
