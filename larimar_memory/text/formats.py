"""From a file's bytes to its text: encodings, HTML and PDF, within limits. `documents` has others."""

from __future__ import annotations

import codecs
import io
import logging
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from larimar_memory.errors import InputError
from larimar_memory.text.markup import text_of
from larimar_memory.validate import sound

BLOCK_BYTES = 1 << 18
PROBE_BYTES = 8192
_MARKS = (b"\xff\xfe", b"\xfe\xff")
_ZEROS_ALLOWED = re.compile(r"utf[-_ ]?(16|32)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest sizes of files that cannot be read in parts. Plain text has no limit.

    Attributes:
        pages: of a PDF.
        characters: of HTML, of the XML packed in a document, of a notebook or a mail, each with all
            that is not text; and of the text extracted from a PDF or a document.
    """

    pages: int = 10_000
    characters: int = 20_000_000


def decoded(file: BinaryIO, name: str, encoding: str) -> Iterator[str]:
    """The text of an open file, in blocks.

    Raises:
        InputError: if it is binary, not in that encoding, or there is no such encoding.
    """
    data = file.read(BLOCK_BYTES)
    marked = data.startswith(_MARKS)
    if b"\0" in data[:PROBE_BYTES] and not marked and not _ZEROS_ALLOWED.match(encoding):
        raise unreadable(name, "It is a binary file.", "Convert it to text first.")
    chosen = "utf-16" if marked else "utf-8-sig" if encoding.lower() == "utf-8" else encoding
    try:
        # This refuses codecs that do not turn bytes into text, such as base64.
        io.TextIOWrapper(io.BytesIO(), encoding=chosen)
        decoder = codecs.getincrementaldecoder(chosen)()
    except (LookupError, ValueError) as error:
        raise unreadable(
            name, f"There is no encoding {encoding!r}.", "Name another, such as latin-1."
        ) from error
    at = 0
    while True:
        held = len(decoder.getstate()[0])
        try:
            text = decoder.decode(data, final=not data)
            text.encode("utf-8")
        except UnicodeError as error:
            decoding = isinstance(error, UnicodeDecodeError)
            place = f"At byte {at - held + error.start}" if decoding else "Somewhere"  # type: ignore[attr-defined]
            raise unreadable(
                name,
                f"{place} it is not {encoding}.",
                "Name its encoding with --encoding, for example latin-1.",
            ) from error
        if text:
            yield text
        if not data:
            return
        at += len(data)
        data = file.read(BLOCK_BYTES)


def html_text(blocks: Iterator[str], name: str, limits: Limits) -> str:
    """The text of an HTML page, as `markup.text_of` makes it.

    Raises:
        InputError: if it is longer than allowed, or nested too deep.
    """
    from selectolax.lexbor import SelectolaxError

    page = whole(blocks, name, limits)
    try:
        return text_of(page)
    except (SelectolaxError, ValueError, RuntimeError) as error:
        raise unreadable(name, f"It is no sound HTML: {error}.", "Save its text as a file.") from error


def whole(blocks: Iterator[str], name: str, limits: Limits) -> str:
    """The blocks of a text joined, for formats that cannot be read in parts.

    Raises:
        InputError: if it is longer than allowed.
    """
    held, length = list[str](), 0
    for block in blocks:
        length += len(block)
        check_characters(length, name, limits, "It")
        held.append(block)
    return "".join(held)


def pdf_text(file: BinaryIO, name: str, limits: Limits, password: str | None = None) -> tuple[str, int]:
    """The text of an open PDF, a blank line between pages, and the number of pages.

    Args:
        password: the user's or the owner's, for a PDF that does not open without one.

    Raises:
        InputError: if it is damaged, has more pages or characters than allowed, or is encrypted and the
            password does not open it.
    """
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    texts, length = list[str](), 0

    def count(text: str, *_: Any) -> None:
        # Counts during extraction: a single page can expand to any length.
        nonlocal length
        length += len(text)
        check_characters(length, name, limits)

    try:
        reader = PdfReader(file)
        if reader.is_encrypted:
            _unlock(reader, name, password)
        pages = reader.pages
        if len(pages) > limits.pages:
            raise unreadable(
                name,
                f"It has {len(pages):,} pages, and {limits.pages:,} is the most.",
                "Raise --max-pages, in Python Limits(pages=...), or split it.",
            )
        for page in pages:
            texts.append(page.extract_text(visitor_text=count))
            length = sum(map(len, texts))
            count("")
    except InputError:
        raise
    except DependencyError as error:
        raise unreadable(
            name,
            "It is encrypted, and what decrypts it is not installed.",
            'Run `pip install "pypdf[crypto]"`; larimar-memory is installed with it by default.',
        ) from error
    # Not only pypdf's own errors: its parsers raise errors of every kind.
    except Exception as error:
        raise unreadable(
            name,
            f"It is not a sound PDF: {str(error).rstrip('.') or type(error).__name__}.",
            "Open it and save it again.",
        ) from error
    return sound("\n\n".join(texts)), len(texts)


def _unlock(reader: Any, name: str, password: str | None) -> None:
    """Decrypt a PDF; most open without a password, and need one only for printing or changing."""
    given = password or ""
    # Older programs encode passwords differently from newer ones.
    tries = [b"", unicodedata.normalize("NFKC", given).encode("utf-8", "replace")]
    tries += [given.encode(encoding, "replace") for encoding in ("utf-8", "latin-1")]
    if any(reader.decrypt(one) for one in tries):
        return
    if not password:
        raise unreadable(
            name,
            "It is encrypted and needs a password.",
            "Give it with --password or LARIMAR_PASSWORD, in Python password=...",
        )
    raise unreadable(
        name,
        "It is encrypted, and the password given does not open it.",
        "Check the password; its owner's opens it as well as its user's.",
    )


def unreadable(name: str, why: str, remedy: str) -> InputError:
    """The error for a file that cannot be ingested."""
    return InputError(f"{name} cannot be ingested.", why, remedy)


def check_characters(length: int, name: str, limits: Limits, what: str = "The text in it") -> None:
    """Check that a text has no more characters than allowed.

    Raises:
        InputError: if it has more.
    """
    if length > limits.characters:
        raise unreadable(
            name,
            f"{what} is longer than {limits.characters:,} characters.",
            "Raise --max-characters, in Python Limits(characters=...), or split it.",
        )
