"""The text of office documents, books, notebooks and mails, offline and within limits.

Nothing that a document refers to is opened, nothing in it is run, and no image is looked at.
"""

from __future__ import annotations

import io
import json
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from email import message_from_bytes
from email.message import MIMEPart
from email.policy import EmailPolicy
from html import escape
from typing import Any, BinaryIO, TypeAlias
from urllib.parse import unquote
from xml.etree import ElementTree

from larimar_memory.errors import InputError
from larimar_memory.text.formats import Limits, check_characters, decoded, html_text, unreadable, whole
from larimar_memory.text.markup import CELL
from larimar_memory.validate import sound

EXTRA = "documents"
"""The extra that installs the libraries that some kinds of documents need."""

_Read: TypeAlias = Callable[[BinaryIO, str, Limits], Iterable[str]]
_XML = (".xml", ".rels")
_PAGES = (".xhtml", ".html", ".htm", ".xml", ".opf")
_OLE_MARK = b"\xd0\xcf\x11\xe0"
_DATA = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,[A-Za-z0-9+/=]*")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CLOSED_AT_ONCE = re.compile(r"<(script|style|title|iframe|textarea)\b([^<>]*)/>", re.IGNORECASE)
_OPEN_DOCUMENT = {
    "p": "p",
    "h": "h2",
    "list-item": "li",
    "table": "table",
    "table-row": "tr",
    "table-cell": "td",
    "line-break": "br",
    "page": "section",
    # Deleted text, and comments beside the text.
    "tracked-changes": "template",
    "annotation": "template",
}
_NO_TEXTS = ("text/css", "text/javascript")
_SEALED = ("multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime")
_HEADER_CHARS = 5_000
_HEADERS = ("From", "To", "Cc", "Date", "Subject")


def document_text(suffix: str, file: BinaryIO, name: str, limits: Limits) -> str:
    """The text of an open document, a blank line between its parts.

    Args:
        suffix: its kind, one of `READERS`.

    Raises:
        InputError: if it is damaged, encrypted or larger than allowed, or its library is not installed.
    """
    parts, length = list[str](), 0
    try:
        if file.read(len(_OLE_MARK)) == _OLE_MARK:
            raise unreadable(
                name,
                "It is encrypted, or of a format older than its name says.",
                f"Save it again as {suffix}, without a password.",
            )
        file.seek(0)
        for part in READERS[suffix](file, name, limits):
            length += len(part)
            check_characters(length, name, limits)
            parts.append(part.strip("\n"))
    except InputError:
        raise
    except ImportError as error:
        raise unreadable(
            name,
            f"To read {suffix} files, larimar-memory[{EXTRA}] must be installed.",
            f'Run `pip install "larimar-memory[{EXTRA}]"`.',
        ) from error
    # The parsers raise errors of every kind.
    except Exception as error:
        deep = isinstance(error, RecursionError)
        what = "it is nested too deep" if deep else str(error).rstrip(".") or type(error).__name__
        raise unreadable(
            name, f"It is not a sound {suffix} file: {what}.", "Open it and save it again."
        ) from error
    return sound("\n\n".join(part for part in parts if part))


def page_text(page: str, name: str, limits: Limits) -> str:
    """The text of XHTML, whose elements may close themselves (`<script/>`), as HTML's may not."""
    return html_text(iter([_CLOSED_AT_ONCE.sub(r"<\1\2></\1>", page)]), name, limits)


def _docx(file: BinaryIO, name: str, limits: Limits) -> Iterator[str]:
    from mammoth import convert_to_html

    page = convert_to_html(_lean(file, name, limits), convert_image=lambda _: []).value
    yield html_text(iter([page]), name, limits)


def _pptx(file: BinaryIO, name: str, limits: Limits) -> Iterator[str]:
    from pptx import Presentation

    for slide in Presentation(_lean(file, name, limits)).slides:
        yield "\n\n".join(_slide_texts(slide))


def _slide_texts(slide: Any) -> Iterator[str]:
    waiting = list(slide.shapes)[::-1]
    while waiting:
        shape = waiting.pop()
        if hasattr(shape, "shapes"):
            waiting += list(shape.shapes)[::-1]
        elif shape.has_text_frame:
            yield _lines(shape.text_frame.text)
        elif getattr(shape, "has_table", False):
            yield "\n".join(
                CELL.join(" ".join(cell.text.split()) for cell in row.cells) for row in shape.table.rows
            )
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        yield _lines(slide.notes_slide.notes_text_frame.text)


def _lines(text: str) -> str:
    # PowerPoint writes a line break within a paragraph as a vertical tab.
    return text.replace("\v", "\n").strip()


def _xlsx(file: BinaryIO, name: str, limits: Limits) -> Iterator[str]:
    from openpyxl import load_workbook

    book = load_workbook(_lean(file, name, limits), read_only=True, data_only=True, keep_links=False)
    count = length = 0
    for sheet in book.worksheets:
        # The size that a sheet states may be wrong.
        sheet.reset_dimensions()
        rows = list[str]()
        for cells in sheet.iter_rows():
            count += 1 + len(cells)
            check_characters(count, name, limits, "The number of its cells")
            line = CELL.join(_shown(cell) for cell in cells).rstrip(CELL)
            length += len(line)
            check_characters(length, name, limits)
            rows += [line] if line else []
        if rows:
            yield "\n\n".join([sheet.title, "\n".join(rows)])


def _shown(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, (int, float)) and "%" in (cell.number_format or ""):
        return f"{value * 100:.12g}%"
    if isinstance(value, float):
        return f"{value:.15g}"
    return " ".join(str(value).removesuffix(" 00:00:00").split())


def _epub(file: BinaryIO, name: str, limits: Limits) -> Iterator[str]:
    parts = _parts(file, name, limits, _PAGES)
    container = ElementTree.fromstring(parts["META-INF/container.xml"])  # noqa: S314
    rootfile = container.find(".//{*}rootfile")
    if rootfile is None:
        raise ValueError("it does not name its contents")
    root = rootfile.attrib["full-path"]
    package = ElementTree.fromstring(parts[root])  # noqa: S314
    items = {item.get("id"): item.attrib["href"] for item in package.iterfind("{*}manifest/{*}item")}
    closed = parts.get("META-INF/encryption.xml", b"")
    for one in package.iterfind("{*}spine/{*}itemref"):
        href = items.get(one.get("idref"), "")
        path = posixpath.normpath(
            posixpath.join(posixpath.dirname(root), unquote(href.partition("#")[0]))
        )
        if path.encode() in closed:
            raise unreadable(name, "It is encrypted.", "Take a copy without protection.")
        if path in parts:
            # A page listed several times is read once.
            page = whole(decoded(io.BytesIO(parts.pop(path)), name, "utf-8"), name, limits)
            yield page_text(page, name, limits)


def _odf(file: BinaryIO, name: str, limits: Limits) -> Iterator[str]:
    parts = _parts(file, name, limits, ("content.xml", "manifest.xml"))
    if b"encryption-data" in parts.get("META-INF/manifest.xml", b""):
        raise unreadable(name, "It is encrypted.", "Save it again without a password.")
    content = parts["content.xml"]
    parser = ElementTree.XMLParser(target=_OpenDocument())  # noqa: S314
    yield html_text(iter([ElementTree.fromstring(content, parser)]), name, limits)  # type: ignore[list-item]  # noqa: S314


class _OpenDocument:
    """Writes OpenDocument texts, sheets and slides as HTML, whose elements have other names."""

    def __init__(self) -> None:
        self._page = list[str]()
        self._around = list[list[str]]()
        self._notes = list[str]()
        self._sheets = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition("}")[2]
        if name == "note":
            # Left in place, a note would split the sentence that it belongs to.
            self._around.append(self._page)
            self._page = []
        self._sheets = self._sheets or name == "spreadsheet"
        if self._sheets and name == "table":
            title = next((value for key, value in attributes.items() if key.endswith("}name")), "")
            self._page.append(f"<h2>{escape(title)}</h2>")
        self._page.append(f"<{_OPEN_DOCUMENT[name]}>" if name in _OPEN_DOCUMENT else "")
        self._page.append(" " if name in ("s", "tab") else "")

    def data(self, text: str) -> None:
        self._page.append(escape(text))

    def end(self, tag: str) -> None:
        if tag.endswith("}note"):
            self._notes += self._page
            self._page = self._around.pop()
        name = _OPEN_DOCUMENT.get(tag.rpartition("}")[2], "br")
        self._page.append(f"</{name}>" if name != "br" else "")

    def close(self) -> str:
        return "".join(self._page + self._notes)


def _ipynb(file: BinaryIO, name: str, limits: Limits) -> Iterator[str]:
    book = json.loads(whole(decoded(file, name, "utf-8"), name, limits))
    # Before version 4, cells were in worksheets.
    sheets = [book] if "cells" in book else book["worksheets"]
    for cell in (cell for sheet in sheets for cell in sheet["cells"]):
        yield _noted(cell.get("source") or cell.get("input") or "")
        for output in cell.get("outputs") or []:
            data = output.get("data", output)
            if any(
                kind.partition("/")[0] == "image" or kind in ("png", "jpeg", "svg") for kind in data
            ):
                # The text beside an image says no more than its size.
                continue
            if "evalue" in output:
                yield f"{output.get('ename', 'Error')}: {_noted(output['evalue'])}"
            elif "text/html" in data and "text/plain" not in data:
                yield html_text(iter([_noted(data["text/html"])]), name, limits)
            else:
                yield _noted(data.get("text/plain", data.get("text", "")))


def _noted(text: str | list[str]) -> str:
    """A notebook's text, maybe a list of lines, without embedded images and terminal colours."""
    return _COLOURS.sub("", _DATA.sub("", text if isinstance(text, str) else "".join(text)))


def _eml(file: BinaryIO, name: str, limits: Limits) -> Iterator[str]:
    data = file.read(limits.characters + 1)
    check_characters(len(data), name, limits, "It")
    waiting: list[Any] = [message_from_bytes(data, policy=_MailPolicy())]
    if not waiting[0].keys():
        raise unreadable(name, "It has no headers, as a mail has.", "Rename it to .txt if it is text.")
    while waiting:
        mail = waiting.pop()
        yield "\n".join(f"{key}: {mail[key]}" for key in _HEADERS if mail[key])
        if mail.get_content_type() in _SEALED:
            raise unreadable(
                name,
                "It is encrypted, or signed as a whole.",
                "Open it in a mail program and save its text.",
            )
        bodies = [body for kind in ("plain", "html") if (body := mail.get_body((kind,))) is not None]
        if not bodies and mail.get_content_maintype() in ("text", "multipart"):
            # An invitation, or a mail whose parts cannot be told apart.
            bodies = [mail]
        yield next((text for body in bodies if (text := _mailed(body, name, limits)).strip()), "")
        names = list[str]()
        for part in mail.iter_attachments():
            if part.get_content_type() == "message/rfc822":
                waiting.append(part.get_content())
            elif title := part.get_filename():
                names.append(title)
            elif (kind := part.get_content_type()).startswith("text/") and part not in bodies:
                # Text between images. Saved web pages also keep their styles and scripts here.
                yield "" if kind in _NO_TEXTS else _mailed(part, name, limits)
        if names:
            yield f"Attachments: {', '.join(names)}"


class _MailPolicy(EmailPolicy):
    """Reads only the beginning of a header: parsing takes time quadratic in its length."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        return super().header_fetch_parse(name, value[:_HEADER_CHARS])


def _mailed(part: MIMEPart, name: str, limits: Limits) -> str:
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    try:
        text = data.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:
        text = data.decode("utf-8", "replace")
    if part.get_content_type() == "text/html":
        return html_text(iter([text]), name, limits)
    return text.replace("\r\n", "\n")


def _rtf(file: BinaryIO, name: str, limits: Limits) -> Iterator[str]:
    from striprtf.striprtf import rtf_to_text

    text = whole(decoded(file, name, "latin-1"), name, limits)
    if not text.startswith("{\\rtf"):
        raise ValueError("it does not begin as one")
    yield rtf_to_text(text, errors="replace")


def _parts(file: BinaryIO, name: str, limits: Limits, kinds: tuple[str, ...]) -> dict[str, bytes]:
    """The files of these kinds in a ZIP archive, if their total size is allowed."""
    with zipfile.ZipFile(file) as archive:
        chosen = [one for one in archive.infolist() if one.filename.lower().endswith(kinds)]
        # zipfile expands no more of a file than the size stated here, whatever the file holds.
        check_characters(sum(one.file_size for one in chosen), name, limits, "What is packed in it")
        parts = {one.filename: archive.read(one) for one in chosen}
    for path, part in parts.items():
        if not path.endswith((".html", ".htm", ".xhtml")) and b"<!ENTITY" in part.replace(b"\0", b""):
            raise ValueError("it declares entities, which can expand to any length")
    return parts


def _lean(file: BinaryIO, name: str, limits: Limits) -> BinaryIO:
    """A copy of an office document that keeps only its XML: images and films become empty."""
    parts = _parts(file, name, limits, _XML)
    lean = io.BytesIO()
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(lean, "w") as copy:
        for path in dict.fromkeys(archive.namelist()):
            copy.writestr(path, parts.get(path, b""))
    lean.seek(0)
    return lean


READERS: dict[str, _Read] = {
    ".docx": _docx,
    ".docm": _docx,
    ".pptx": _pptx,
    ".pptm": _pptx,
    ".xlsx": _xlsx,
    ".xlsm": _xlsx,
    ".odt": _odf,
    ".odp": _odf,
    ".ods": _odf,
    ".epub": _epub,
    ".ipynb": _ipynb,
    ".eml": _eml,
    ".mht": _eml,
    ".mhtml": _eml,
    ".rtf": _rtf,
}
"""The function that reads each kind of document, by file suffix."""
