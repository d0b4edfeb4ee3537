"""Folders: what they hold is read or told of; encrypted PDFs."""

from __future__ import annotations

import io
import json
import logging
import os
from pathlib import Path
from typing import Any

import pypdf
import pytest
from pypdf.errors import DependencyError

from larimar_memory.errors import InputError
from larimar_memory.text.files import Files, FileText, Skipped, find_files, read_file
from tests.facade.test_bad_input import one_page_pdf


def encrypted(path: Path, algorithm: str, user: str, owner: str | None = None) -> Path:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(one_page_pdf("The key is under the mat")))
    writer.encrypt(user, owner, algorithm=algorithm)
    writer.write(path)
    return path


ALGORITHMS = ["RC4-40", "RC4-128", "AES-128", "AES-256-R5", "AES-256"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_encrypted_pdfs_are_read(
    tmp_path: Path, algorithm: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, text = tmp_path / "a.pdf", "The key is under the mat"
    # The owner's password keeps from printing alone.
    encrypted(path, algorithm, "", "owner-Zq7")
    assert read_file(path).text == read_file(path, password="unneeded").text == text
    encrypted(path, algorithm, "user-Zq7", "owner-Zq7")
    with pytest.raises(
        InputError,
        match=r"It is encrypted and needs a password\. Give it with --password or LARIMAR_PA",
    ):
        read_file(path)
    with pytest.raises(InputError, match=r"the password given does not open it\. Check the") as raised:
        read_file(path, password="wrong-Zq7")
    caplog.set_level(logging.DEBUG)
    for password in ("user-Zq7", "owner-Zq7"):
        found = read_file(path, password=password)
        assert found.text == text
        assert "Zq7" not in f"{found} {raised.value} {raised.value.__cause__} {caplog.text}"
    assert next(iter(Files([str(path)], password="user-Zq7"))).text == text


@pytest.mark.parametrize(
    "password", ["caf\u00e9", "\u043f\u0430\u0440\u043e\u043b\u044c", "\u00b2 \ufb01"]
)
def test_passwords_in_any_script(tmp_path: Path, password: str) -> None:
    path = encrypted(tmp_path / "a.pdf", "AES-256", password)
    assert read_file(path, password=password).text == "The key is under the mat"
    with pytest.raises(InputError, match="does not open it"):
        read_file(path, password="\ud800")


def test_where_decryption_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise DependencyError("cryptography>=3.1 is required for AES algorithm")

    path = encrypted(tmp_path / "a.pdf", "AES-256", "")
    monkeypatch.setattr("pypdf._encryption.Encryption.verify", missing)
    with pytest.raises(InputError, match=r'not installed\. Run `pip install "pypdf\[crypto\]"`'):
        read_file(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of many kinds, two of them readable."""
    root = tmp_path / "all"
    (root / "inner" / "__pycache__").mkdir(parents=True)
    contents: dict[str, str | bytes] = {
        "README": "Read me.",
        "Makefile": "all: lint",
        "binary": b"\x7fELF\0\0",
        "empty.txt": "",
        "film.MP4": b"\0\0",
        "inner/photo.jpg": b"\xff\xd8\0",
        "inner/latin.txt": b"caf\xe9",
        "inner/broken.docx": b"PK\3\4",
        "inner/old.doc": b"\xd0\xcf\x11\xe0",
        ".hidden": "no",
        "inner/.git": "no",
        "~$open.docx": b"\0",
        "Thumbs.db": b"\0",
        "inner/__pycache__/a.pyc": b"\0",
    }
    for name, data in contents.items():
        (root / name).write_bytes(data.encode() if isinstance(data, str) else data)
    (root / "gone").symlink_to(root / "nowhere")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.txt")
    encrypted(root / "secret.pdf", "AES-128", "user")
    return root


def test_what_a_folder_holds_is_read_or_told_of(folder: Path) -> None:
    found = list[FileText | Skipped]()
    texts = list(Files([str(folder)], on_found=found.append))
    assert [text.text for text in texts] == ["all: lint", "Read me."]
    assert [path.name for path in find_files([str(folder)]) if not path.suffix] == [
        "Makefile",
        "README",
    ]
    skipped = {
        one.name.removeprefix(f"{folder.as_posix()}/"): one.why
        for one in found
        if isinstance(one, Skipped)
    }
    broken = skipped.pop("inner/broken.docx")
    assert broken.startswith("It is not a sound .docx file: ")
    assert skipped == {
        "binary": "It is a binary file.",
        "empty.txt": "There is no text in it.",
        "film.MP4": "Files of the kind .mp4 are not read.",
        "gone": "It is no regular file, or a link to nothing.",
        "inner/latin.txt": "At byte 3 it is not utf-8.",
        "inner/old.doc": "Files of the kind .doc are not read.",
        "inner/photo.jpg": "Files of the kind .jpg are not read.",
        "loop": "It is a link to a folder, and those are not followed.",
        "pipe.txt": "It is no regular file, or a link to nothing.",
        "secret.pdf": "It is encrypted and needs a password.",
    }


def test_a_folder_in_a_folder_that_cannot_be_opened_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shut").mkdir()
    (tmp_path / "a.txt").write_text("A text.")
    real = os.listdir

    def refused(path: Any) -> list[str]:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "listdir", refused)
    found = list[FileText | Skipped]()
    assert [text.text for text in Files([str(tmp_path)], on_found=found.append)] == ["A text."]
    assert found[1] == Skipped((tmp_path / "shut").as_posix(), "The system said: Permission denied.")


def test_nothing_readable_says_why(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"PK\3\4")
    with pytest.raises(
        InputError, match=r"None of the files could be read\. The first is .*a\.docx: It is not a sound"
    ):
        Files([str(tmp_path)])


def test_a_named_file_of_an_unknown_kind_is_read_as_text(tmp_path: Path) -> None:
    (tmp_path / "a.nix").write_text("text")
    assert read_file(tmp_path / "a.nix").text == "text"


def test_a_notebook_from_a_folder_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [{"source": "x = 312"}]}))
    (text,) = Files([str(tmp_path)])
    assert (text.text, text.metadata) == ("x = 312", {"source": (tmp_path / "a.ipynb").as_posix()})
