"""Bad input: each failure names the thing, the cause and the remedy, and harms nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from larimar_memory import Larimar
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import EncoderMismatchError, InputError, MemoryFileError
from larimar_memory.text.files import Files, FileText, Skipped, find_files, read_file


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": [""]}, r"Text 1 cannot be written\. It is empty\. Pass text with at least one"),
        ({"texts": ["fine", " \n "]}, r"Text 2 cannot be written\. It is empty\."),
        ({"texts": [b"bytes"]}, r"Text 1 cannot be written\. It is a bytes, not a str\. Decode bytes"),
        ({"texts": ["a\ud800b"]}, r"At character 1 it holds half of a surrogate pair"),
        ({"texts": ["a", "b"], "ids": ["x"]}, r"There are 2 texts and 1 for ids\. Give one of ids"),
        ({"texts": ["a"], "ids": "x"}, r"There are 1 texts and a single str for ids"),
        ({"texts": ["a"], "ids": [""]}, r"'' cannot be a document id\. A document id is a str of 1 to"),
        ({"texts": ["a"], "namespace": "x\0y"}, r"'x\\x00y' cannot be a namespace"),
        ({"texts": ["a"], "metadatas": [{"a": object()}]}, r"of text 1 cannot be kept\. .*not JSON"),
        ({"texts": ["a"], "metadatas": [{1: 2}]}, "it has the key 1, which is no str"),
        ({"texts": ["a"], "metadatas": [{"a": float("nan")}]}, "Metadata is a JSON object, and"),
        ({"texts": ["a"], "metadatas": [{"user": "ana\0x"}]}, "one of its entries holds a NUL"),
        ({"texts": ["a"], "metadatas": [["a"]]}, r"Metadata is a JSON object, and it is a list\. Use"),
        ({"texts": ["a"], "metadatas": [{"a": "\udc80"}]}, "it holds half of a surrogate pair, which"),
        ({"texts": ["a"], "metadatas": [{"\udc80": 1}]}, "it holds half of a surrogate pair, which"),
        ({"texts": ["a"], "ids": ["a\ud800"]}, r"At character 1 it holds half of a surrogate pair"),
        ({"texts": ["a"], "namespace": "\ud800"}, r"cannot be a namespace\. At character 0 it holds"),
    ],
)
def test_what_cannot_be_written(memory: Larimar, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        memory.write(**arguments)
    assert memory.stats().documents == 0


@pytest.mark.parametrize(
    ("question", "options", "message"),
    [
        ("", {}, r"The question cannot be answered\. It is empty\. Ask with at least one word"),
        ("why?", {"k": 0}, r"Memory cannot be read with k=0\. k is the number of segments to read"),
        ("why?", {"k": True}, "k=True"),
        ("why?", {"namespace": ""}, "'' cannot be a namespace"),
        ("why?", {"where": {"a": {"$no": 1}}}, r"The metadata filter cannot be used\. In it, '\$no'"),
    ],
)
def test_what_cannot_be_read(
    memory: Larimar, question: str, options: dict[str, Any], message: str
) -> None:
    memory.write(["Something is here."])
    for use in (memory.read, memory.answer):
        with pytest.raises(InputError, match=message):
            use(question, **options)


def test_what_cannot_be_answered(memory: Larimar) -> None:
    memory.write(["The pass key is 71432."])
    for use, length, most in ((memory.answer, 100_000, 20_000), (memory.read, 1_000_001, 1_000_000)):
        refused = rf"It has {length:,} characters, and {most:,} is the most\. Write the long text"
        with pytest.raises(InputError, match=refused):
            use("x" * length)
    with pytest.raises(InputError, match=r"An answer cannot have grounding='magic'\. It is"):
        memory.answer("What is the pass key?", grounding="magic")
    with pytest.raises(InputError, match=r"There is no document 'absent'\. Nothing of that id"):
        memory.update("absent", "text")


def test_hostile_questions_are_only_words(memory: Larimar) -> None:
    memory.write(["The pass key is 71432."])
    for question in ('"', "* OR NOT NEAR(", "a\0b", "'; DROP TABLE segments; --", "^pass:key*", "{}[]"):
        assert memory.read(question + " pass key", threshold=0).segments


def test_where_no_memory_can_be(tmp_path: Path, encoder: SentenceEncoder) -> None:
    with pytest.raises(MemoryFileError, match=r"There is no memory at .* The file does not exist\."):
        Larimar.open(tmp_path / "absent", encoder=encoder, create=False)
    with pytest.raises(InputError, match="synchronous='off'"):
        Larimar.open(tmp_path / "m", encoder=encoder, synchronous="off")
    (tmp_path / "file").write_text("x")
    with pytest.raises(MemoryFileError, match=r"cannot be used\. The system said|cannot be opened"):
        Larimar.open(tmp_path / "file" / "m.larimar", encoder=encoder)


def test_an_unwritable_file_is_opened_for_reading(
    tmp_path: Path, encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.larimar"
    with Larimar.open(path, encoder=encoder) as memory:
        memory.write(["The pass key is 71432."])
    monkeypatch.setattr("os.access", lambda *_: False)
    with Larimar.open(path, encoder=encoder) as memory:
        assert memory.read("What is the pass key?").in_scope
        with pytest.raises(MemoryFileError, match=r"cannot be changed\. It was opened read-only or"):
            memory.write(["more"])


def test_another_encoder_is_refused(
    tmp_path: Path, encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    Larimar.open(tmp_path / "m.larimar", encoder=encoder).close()
    monkeypatch.setattr(encoder, "fingerprint", "another model")
    with pytest.raises(EncoderMismatchError, match=r"this one is another mode \(384\)"):
        Larimar.open(tmp_path / "m.larimar", encoder=encoder)


def test_files_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeffplain", encoding="utf-8")
    (tmp_path / "b.html").write_text(
        "<html><head><title>x</title></head><body><p>one</p><script>no</script><p>two</p></body></html>"
    )
    (tmp_path / "c.md").write_bytes("wide".encode("utf-16"))
    (tmp_path / "d.pdf").write_bytes(one_page_pdf("Hello from a page"))
    assert [read_file(p).text for p in find_files([str(tmp_path)])] == [
        "plain",
        "one\n\ntwo",
        "wide",
        "Hello from a page",
    ]
    assert read_file(tmp_path / "d.pdf").metadata["pages"] == 1


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    cases = {
        "binary.bin": (
            b"\x7fELF\0\0\0",
            r"binary\.bin cannot be ingested\. It is a binary file\. Convert",
        ),
        "latin.txt": (b"caf\xe9", r"At byte 3 it is not utf-8\. Name its encoding with --encoding"),
        "empty.txt": (b" \n", r"There is no text in it\."),
        "broken.pdf": (b"%PDF-1.4 nothing", r"It is not a sound PDF: .* Open it and save it again"),
    }
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=message):
            read_file(tmp_path / name)
    assert read_file(tmp_path / "latin.txt", encoding="latin-1").text == "caf\u00e9"
    with pytest.raises(InputError, match="There is no encoding 'klingon'"):
        read_file(tmp_path / "latin.txt", encoding="klingon")
    with pytest.raises(
        InputError, match=r"absent cannot be ingested\. There is no such file or folder"
    ):
        find_files([str(tmp_path / "absent")])
    (tmp_path / "hollow").mkdir()
    with pytest.raises(InputError, match=r"hollow\. It holds no file of a readable kind"):
        find_files([str(tmp_path / "hollow")])


def test_a_bad_file_in_a_folder_is_passed_over_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("good")
    (tmp_path / "bad.txt").write_bytes(b"\0\0")
    found = list[FileText | Skipped]()
    texts = list(Files([str(tmp_path)], on_found=found.append))
    assert found == [Skipped((tmp_path / "bad.txt").as_posix(), "It is a binary file."), *texts]
    assert [text.text for text in texts] == ["good"]
    with pytest.raises(InputError, match=r"bad\.txt cannot be ingested\. It is a binary file\."):
        Files([str(tmp_path / "bad.txt")])


def one_page_pdf(text: str) -> bytes:
    """A minimal PDF with one line of text, cross-reference table included."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        "/Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{at:010d} 00000 n \n" for at in offsets)
    return (
        out
        + (
            f"xref\n0 6\n0000000000 65535 f \n{table}trailer << /Size 6 /Root 1 0 R >>\n"
            f"startxref\n{len(out)}\n%%EOF"
        ).encode()
    )
