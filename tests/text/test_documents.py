"""Office documents, books, notebooks and mails: real files, read within limits, refused in words."""

from __future__ import annotations

import builtins
import datetime
import io
import json
import socket
import zipfile
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import openpyxl
import pptx
import pytest

from larimar_memory.errors import InputError
from larimar_memory.text.files import read_file
from larimar_memory.text.formats import Limits

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument'
    '.wordprocessingml.document.main+xml"/></Types>'
)
RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
    'officeDocument" Target="word/document.xml"/></Relationships>'
)
RUNS = (
    "<w:p><w:r><w:t>Un</w:t></w:r><w:r><w:rPr><w:b/></w:rPr><w:t>believ</w:t></w:r>"
    "<w:r><w:t>able</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>"
)
TABLE = (
    "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>Anna</w:t></w:r></w:p></w:tc>"
    "<w:tc><w:p><w:r><w:t>312</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
)


def packed(path: Path, parts: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return path


def docx(path: Path, body: str, before: str = "", **more: str | bytes) -> Path:
    document = f'{before}<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'
    return packed(
        path,
        {"[Content_Types].xml": TYPES, "_rels/.rels": RELATIONS, "word/document.xml": document, **more},
    )


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a document was asked for over the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_word(tmp_path: Path) -> None:
    assert read_file(docx(tmp_path / "a.docx", RUNS + TABLE)).text == "Unbelievable\n\nAnna | 312"


def test_slides(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    for title, body in (("Hours", "The ferry leaves at nine."), ("Prices", "Four crowns a day.")):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = title, body
    table = slide.shapes.add_table(1, 2, 0, 0, 99, 99).table
    table.cell(0, 0).text, table.cell(0, 1).text = "Anna", "312"
    slide.notes_slide.notes_text_frame.text = "Speak slowly."
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 9, 9).text_frame.text = "In a group."
    deck.save(str(tmp_path / "a.pptx"))
    assert read_file(tmp_path / "a.pptx").text == (
        "Hours\n\nThe ferry leaves at nine.\n\n"
        "Prices\n\nFour crowns a day.\n\nAnna | 312\n\nIn a group.\n\nSpeak slowly."
    )


def test_sheets(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Lockers"
    book.active.append(["Name", None, "Locker"])
    book.active.append(["Anna", datetime.date(2024, 5, 1), 312.0])
    book.active.append([])
    book.active.append(["Share", 0.25, True])
    book.active["B4"].number_format = "0%"
    # A cell at the far end, as sheets have that were formatted whole.
    book.active["XFD1048576"] = "far"
    book.create_sheet("Empty")
    book.create_sheet("Keys").append(["brass\nkey", 7])
    book.save(tmp_path / "a.xlsx")
    lines = str(read_file(tmp_path / "a.xlsx").text).split("\n")
    assert lines[:5] == [
        "Lockers", "", "Name |  | Locker", "Anna | 2024-05-01 | 312", "Share | 25% | True",
    ]  # fmt: skip
    assert lines[5].endswith("| far")
    assert lines[6:] == ["", "Keys", "", "brass key | 7"]


CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="in/b.opf"/></rootfiles></container>'
)
PACKAGE = (
    '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="a" href="one%20a.xhtml"/>'
    '<item id="b" href="../two.xhtml"/></manifest>'
    '<spine><itemref idref="b"/><itemref idref="a"/></spine></package>'
)
BOOK: dict[str, str | bytes] = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": CONTAINER,
    "in/b.opf": PACKAGE,
    "in/one a.xhtml": "<html><head><title/><script src='x'/></head><body><p>Second.</p></body></html>",
    "two.xhtml": "<html><body><h1>First</h1><p>Un<i>believ</i>able.</p></body></html>",
}


def test_books(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.epub", BOOK)
    assert read_file(path).text == "First\n\nUnbelievable.\n\nSecond."
    closed = "<encryption><CipherReference URI='two.xhtml'/></encryption>"
    packed(path, {**BOOK, "META-INF/encryption.xml": closed})
    with pytest.raises(InputError, match=r"It is encrypted\. Take a copy without protection"):
        read_file(path)


def test_a_chapter_named_by_a_place_in_it_is_read(tmp_path: Path) -> None:
    package = PACKAGE.replace("../two.xhtml", "../two.xhtml#begin")
    path = packed(tmp_path / "a.epub", {**BOOK, "in/b.opf": package})
    assert str(read_file(path).text).startswith("First")


def test_notebooks(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Lockers\n", "![x](data:image/png;base64,AAAA) seen"]},
        {
            "cell_type": "code",
            "source": "if x:\n    print(x)",
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["\x1b[31m312\x1b[0m\n", "313\n"]},
                {"output_type": "display_data", "data": {"image/png": "AA", "text/plain": "<Fig>"}},
                {"output_type": "execute_result", "data": {"text/plain": "42", "text/html": "<b>42"}},
                {"output_type": "display_data", "data": {"text/html": ["<b>4", "3</b>"]}},
                {"output_type": "error", "ename": "KeyError", "evalue": "'a'", "traceback": ["no"]},
            ],
        },
    ]
    path, old = tmp_path / "a.ipynb", tmp_path / "old.ipynb"
    path.write_text(json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}))
    assert read_file(path).text == (
        "# Lockers\n![x]() seen\n\nif x:\n    print(x)\n\n312\n313\n\n42\n\n43\n\nKeyError: 'a'"
    )
    path.write_text(json.dumps({"cells": [{"source": None}, {"source": "x = 312", "outputs": None}]}))
    assert read_file(path).text == "x = 312"
    cell = {
        "cell_type": "code",
        "input": ["1 + 1"],
        "outputs": [{"text": ["2"], "output_type": "pyout"}],
    }
    old.write_text(json.dumps({"worksheets": [{"cells": [cell]}], "nbformat": 3}))
    assert read_file(old).text == "1 + 1\n\n2"


def mail(body: str | None, page: str | None = None) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "Anna <anna@ren.example>", "Ben <ben@ren.example>"
    message["Date"], message["Subject"] = "Wed, 01 May 2024 09:00:00 +0000", "Schl\u00fcssel"
    if body is not None:
        message.set_content(body, charset="iso-8859-1", cte="quoted-printable")
    if page is not None:
        (message.set_content if body is None else message.add_alternative)(page, subtype="html")
    return message


def test_mails(tmp_path: Path) -> None:
    head = (
        "From: Anna <anna@ren.example>\nTo: Ben <ben@ren.example>\n"
        "Date: Wed, 01 May 2024 09:00:00 +0000\nSubject: Schl\u00fcssel\n\n"
    )
    path, plain = tmp_path / "a.eml", mail("Caf\u00e9 at nine.\n", "<p>other</p>")
    plain.add_attachment(b"\0\1", maintype="application", subtype="pdf", filename="plan.pdf")
    plain.add_attachment(mail("Inside."))
    path.write_bytes(plain.as_bytes())
    expected = f"{head}Caf\u00e9 at nine.\n\nAttachments: plan.pdf\n\n{head}Inside."
    assert read_file(path).text == expected
    path.write_bytes(mail(None, "<p>Un<b>believ</b>able</p>").as_bytes())
    assert read_file(path).text == f"{head}Unbelievable"
    path.write_bytes(mail(" \n", "<p>The page</p>").as_bytes())
    assert read_file(path).text == f"{head}The page"
    strange = b"Subject: x\nContent-Type: text/plain; charset=klingon\n\nStill read.\n"
    path.write_bytes(strange)
    assert read_file(path).text == "Subject: x\n\nStill read."
    path.write_bytes(b"Subject: " + b"=?utf-8?q?a?= " * 100_000 + b"\n\nLong headers take no time.")
    assert str(read_file(path).text).endswith("Long headers take no time.")


PARTS = "Subject: x\nContent-Type: multipart/related; boundary=B\n\n"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Subject: x\nContent-Type: text/calendar\n\nSUMMARY:Lunch", "SUMMARY:Lunch"),
        ("Subject: x\nContent-Type: multipart/mixed; boundary=B\n\nNo parts.", "No parts."),
        (
            f"{PARTS}--B\nContent-Type: text/html\n\n<p>Un<b>seen</b>\n--B\nContent-Type: text/css\n\n"
            "p{}\n--B\nContent-Type: text/javascript\n\nf()\n--B--\n",
            "Unseen",
        ),
        (
            f"{PARTS}--B\nContent-Type: text/plain\n\nAbove.\n--B\nContent-Type: text/plain\n\nBelow.\n"
            "--B--\n",
            "Above.\n\nBelow.",
        ),
    ],
)
def test_mails_of_other_kinds(tmp_path: Path, data: str, text: str) -> None:
    (tmp_path / "a.eml").write_text(data)
    assert read_file(tmp_path / "a.eml").text == f"Subject: x\n\n{text}"


@pytest.mark.parametrize(
    "kind", ["multipart/encrypted; boundary=B", "application/pkcs7-mime", "application/x-pkcs7-mime"]
)
def test_encrypted_mails_are_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.eml").write_text(f"Subject: x\nContent-Type: {kind}\n\nMIIB")
    with pytest.raises(InputError, match=r"It is encrypted, or signed as a whole\. Open it in a mail"):
        read_file(tmp_path / "a.eml")


def test_encrypted_opendocument_is_refused(tmp_path: Path) -> None:
    sealed = {"META-INF/manifest.xml": "<m><encryption-data/></m>", "content.xml": b"\x93\1"}
    with pytest.raises(InputError, match=r"It is encrypted\. Save it again without a password\."):
        read_file(packed(tmp_path / "a.odt", sealed))


def test_notes_of_opendocument_tear_no_sentence(tmp_path: Path) -> None:
    text = (
        '<o:content xmlns:o="urn:office" xmlns:t="urn:text"><t:p>Un<t:note><t:note-citation>1'
        "</t:note-citation><t:note-body><t:p>The note.</t:p></t:note-body></t:note>seen.</t:p>"
        "<t:p>Next.</t:p></o:content>"
    )
    path = packed(tmp_path / "a.odt", {"content.xml": text})
    assert read_file(path).text == "Unseen.\n\nNext.\n\n1\n\nThe note."


def test_opendocument_and_rich_text(tmp_path: Path) -> None:
    space = 'xmlns:o="urn:office" xmlns:t="urn:text" xmlns:b="urn:table"'
    text = (
        f"<o:content {space}><t:tracked-changes><t:p>gone</t:p></t:tracked-changes><t:h>Title</t:h>"
        "<t:p>Un<t:span>believ</t:span>able<t:s/>A &amp; B</t:p></o:content>"
    )
    assert (
        read_file(packed(tmp_path / "a.odt", {"content.xml": text})).text
        == "Title\n\nUnbelievable A & B"
    )
    rows = (
        f"<o:content {space}><o:spreadsheet><b:table b:name='Keys'><b:table-row><b:table-cell><t:p>Anna"
        "</t:p></b:table-cell><b:table-cell b:number-columns-repeated='999999999'><t:p>312</t:p>"
        "</b:table-cell></b:table-row></b:table></o:spreadsheet></o:content>"
    )
    assert read_file(packed(tmp_path / "a.ods", {"content.xml": rows})).text == "Keys\n\nAnna | 312"
    (tmp_path / "a.rtf").write_text(r"{\rtf1\ansi Un{\b believ}able caf\'e9.\par Next.}")
    assert str(read_file(tmp_path / "a.rtf").text).split() == ["Unbelievable", "caf\u00e9.", "Next."]


# --- limits and damage ---


def test_what_expands_is_refused_or_left_packed(tmp_path: Path) -> None:
    limits = Limits(characters=1_000_000)
    bomb = docx(tmp_path / "bomb.docx", RUNS + " " * 30_000_000)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(
        InputError,
        match=r"What is packed in it is longer than 1,000,000 characters\. Raise --max-chara",
    ):
        read_file(bomb, limits=limits)
    # An image is not text, and never unpacked.
    pictured = docx(tmp_path / "image.docx", RUNS, **{"word/media/image1.png": b"\0" * 200_000_000})
    assert read_file(pictured, limits=limits).text == "Unbelievable"
    page = "<p>" + "a" * 3_000_000
    with pytest.raises(InputError, match="What is packed in it is longer"):
        read_file(packed(tmp_path / "bomb.epub", {**BOOK, "two.xhtml": page}), limits=limits)


def test_entities_and_what_lies_outside_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("SECRET")
    for entity in ('"lol"', f'SYSTEM "{tmp_path / "secret"}"', 'SYSTEM "http://127.0.0.1/x"'):
        before = f"<!DOCTYPE w [<!ENTITY a {entity}>]>"
        body = "<w:p><w:r><w:t>&a;</w:t></w:r></w:p>"
        with pytest.raises(InputError, match=r"It is not a sound \.docx file: it declares entities"):
            read_file(docx(tmp_path / "a.docx", body, before))


def test_a_text_shared_by_many_cells_is_counted_each_time(tmp_path: Path) -> None:
    openpyxl.Workbook().save(tmp_path / "a.xlsx")
    with zipfile.ZipFile(tmp_path / "a.xlsx") as archive:
        parts: dict[str, Any] = {name: archive.read(name) for name in archive.namelist()}
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    rows = "<row><c t='s'><v>0</v></c></row>" * 100
    parts["xl/worksheets/sheet1.xml"] = f"<worksheet {space}><sheetData>{rows}</sheetData></worksheet>"
    types = str(parts["[Content_Types].xml"], "utf-8")
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    declared = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'
    parts["[Content_Types].xml"] = types.replace("</Types>", declared)
    parts["xl/sharedStrings.xml"] = f"<sst {space}><si><t>{'x' * 30_000}</t></si></sst>"
    packed(tmp_path / "a.xlsx", parts)
    assert read_file(tmp_path / "a.xlsx").measure.characters > 2_999_999
    with pytest.raises(InputError, match=r"The text in it is longer than 1,000,000 characters"):
        read_file(tmp_path / "a.xlsx", limits=Limits(characters=1_000_000))


KINDS = [".docx", ".pptx", ".xlsx", ".epub", ".ipynb", ".eml", ".odt", ".rtf"]


@pytest.mark.parametrize("suffix", KINDS)
def test_damaged_documents_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    good = io.BytesIO()
    with zipfile.ZipFile(good, "w") as archive:
        archive.writestr("mimetype", "x")
    for data in (b"not this kind", b"[" * 100_000, good.getvalue(), good.getvalue()[:-9], b"PK\3\4"):
        path.write_bytes(data)
        with pytest.raises(InputError, match=rf"a\{suffix} cannot be ingested\. It (is|has)"):
            read_file(path)
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500)
    with pytest.raises(InputError, match=r"It is encrypted, or of a format older than its name says"):
        read_file(path)


def test_deep_nesting_ends_in_an_error(tmp_path: Path) -> None:
    deep = "<w:tbl><w:tr><w:tc>" * 5_000 + RUNS + "</w:tc></w:tr></w:tbl>" * 5_000
    with pytest.raises(InputError, match=r"It is not a sound \.docx file: it is nested too"):
        read_file(docx(tmp_path / "a.docx", deep))


@pytest.mark.parametrize("suffix", [".docx", ".pptx", ".xlsx", ".rtf"])
def test_without_its_library_the_extra_is_named(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] in ("mammoth", "pptx", "openpyxl", "striprtf"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    path = docx(tmp_path / f"a{suffix}", RUNS)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r'Run `pip install "larimar-memory\[documents\]"`\.'):
        read_file(path)
