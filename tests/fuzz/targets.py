"""What is fuzzed: a target does with bytes what a stranger could, and lets only our errors pass.

Run by `tests/facade/test_hostile.py`, seeded, and by `python -m tests.fuzz` for as long as wanted.
"""

from __future__ import annotations

import io
import json
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from larimar_memory.decoders.prompt import block, disarmed, passage
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError, LarimarError
from larimar_memory.larimar import Larimar
from larimar_memory.latents.stored import Predictor, StoredForm
from larimar_memory.stores.filters import to_sql
from larimar_memory.stores.packing import pack, unpack
from larimar_memory.text import formats
from larimar_memory.text.blocks import blocks_of
from larimar_memory.text.files import read_file
from larimar_memory.text.segments import MAX_CHARS, segment
from tests.fuzz import stored
from tests.predicate import matches
from tests.quick import QuickEncoder

SECONDS = 20
"""That one input may take."""

METADATA = [
    {},
    {"a": 1, "b": "x", "n": None},
    {"a": "1", "b": True, "$and": 1, "": ""},
    {"a": 1.5, "b": None, "a.b": "%", "\u00e9": "a b"},
    {"a": [1], "b": {"a": 1}, '"': "'", "-1": -1},
]


@cache
def folder() -> Path:
    """A folder in memory, where there is one."""
    fast = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="larimar-fuzz-", dir=fast if fast.is_dir() else None))


def clean_up() -> None:
    """Delete what the targets made."""
    stored.clear()
    shutil.rmtree(folder(), ignore_errors=True)


class HangError(Exception):
    """An input that takes longer than any should."""


@contextmanager
def within(seconds: int = SECONDS) -> Iterator[None]:
    """Fail where it takes longer; only on the main thread, and where there are alarms."""

    def ring(*_: object) -> None:
        raise HangError(f"not done after {seconds} s")

    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def text_of(data: bytes) -> str:
    """Text of bytes, lone surrogates included."""
    return data.decode("utf-8", "surrogateescape")


def segments(data: bytes) -> None:
    """Segments rebuild any text."""
    text = data.decode("utf-8", "replace")
    found = list(segment(text, language=("en", "ja", "xx", "")[len(data) % 4]))
    assert "".join(s.text for s in found) == text
    assert all(0 < len(s.text) <= MAX_CHARS for s in found)


@cache
def _documents() -> Any:
    import sqlite3

    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE d (metadata TEXT)")
    db.executemany("INSERT INTO d VALUES (?)", [(json.dumps(m, ensure_ascii=False),) for m in METADATA])
    return db


def filters(data: bytes) -> None:
    """A filter says in SQL what it means, or is refused."""
    try:
        where = json.loads(data)
    except (ValueError, RecursionError):
        where = {text_of(data[:4]): text_of(data[4:])}
    try:
        condition, values = to_sql(where, "d.metadata")
    except InputError:
        return
    rows = _documents().execute(f"SELECT {condition} FROM d ORDER BY rowid", values).fetchall()
    assert [bool(hit) for (hit,) in rows] == [matches(where, m) for m in METADATA]


@cache
def _memories() -> list[Larimar]:
    made = [Larimar.open(path, encoder=QuickEncoder()) for path in (None, folder() / "asked.larimar")]
    for memory in made:
        memory.write(
            ['The "pass key" is 71432.', "NEAR(a b) OR c* AND d^2", "caf\u00e9 \u0130stanbul \u1e9e"],
            ["1", "2", "3"],
            [{"a": n} for n in range(3)],
        )
    return made


def questions(data: bytes) -> None:
    """Any question is answered by what it finds, whatever it is to a search engine."""
    question = text_of(data)
    for memory in _memories():
        try:
            found = memory.read(question, 3, threshold=0)
        except InputError:
            assert not question.strip() or len(question) > 1_000_000
        else:
            assert len(found.segments) == 3


def names(data: bytes) -> None:
    """Names, texts and metadata are taken exactly as they are, or refused."""
    parts = [text_of(part) for part in data.split(b"\xff")]
    id, namespace, text, value = (parts + [""] * 4)[:4]
    for memory in _memories():
        try:
            memory.write([text], [id], [{"k": value, value: 1}], namespace=namespace)
        except InputError:
            continue
        try:
            assert memory.text(id, namespace=namespace) == text
            (document,) = memory.documents(namespace=namespace, where={"k": document_value(value)})
            assert (document.id, document.metadata) == (id, {"k": value, value: 1})
        finally:
            memory.forget(namespace=namespace, purge=False)
            if namespace == "default":
                _memories.cache_clear()


def document_value(value: str) -> Any:
    """What "k" holds where the other entry is of the same name."""
    return 1 if value == "k" else value


KINDS = (".txt", ".html", ".pdf", ".jsonl", ".md", "", ".ipynb", ".eml", ".rtf")
ENCODINGS = (
    *("utf-8", "latin-1", "utf-16", "utf-7", "shift_jis", "unicode_escape", "hex", "idna", "punycode"),
    *(
        "utf-8-sig",
        "cp1252",
        "undefined",
        "klingon",
        "",
        "a\0b",
        "utf-32-le",
        "iso2022_jp",
        "big5",
        "rot13",
    ),
)


def files(data: bytes) -> None:
    """A file of any kind and encoding is read or refused, and within the limits."""
    kind, encoding = data[:1] or b"\0", data[1:2] or b"\0"
    path = folder() / f"file{KINDS[kind[0] % len(KINDS)]}"
    path.write_bytes(data[2:])
    limits = formats.Limits(pages=5, characters=50_000)
    with suppress(InputError):
        found = read_file(path, encoding=ENCODINGS[encoding[0] % len(ENCODINGS)], limits=limits)
        text = "".join(blocks_of(found.text))
        assert text.strip()
        text.encode("utf-8")
        assert found.measure.characters == len(text)


def pdf(data: bytes) -> None:
    """Objects of a PDF."""
    with suppress(InputError):
        formats.pdf_text(io.BytesIO(b"%PDF-1.4\n" + data), "x", formats.Limits(5, 50_000))


def html(data: bytes) -> None:
    """Markup."""
    with suppress(InputError):
        blocks = formats.decoded(io.BytesIO(data), "x", "latin-1")
        formats.html_text(blocks, "x", formats.Limits(5, 50_000))


def prompts(data: bytes) -> None:
    """Nothing recalled ends the block it stands in."""
    texts = [data.decode("utf-8", "replace"), data[::-1].decode("latin-1")]
    prompt = block([passage(t) for t in texts]).lower()
    assert prompt.count("<recalled>") == prompt.count("</recalled>") == 1
    assert prompt.endswith("\n</recalled>")
    assert "<|" not in prompt
    assert disarmed(prompt[10:-11]) == prompt[10:-11]


def latents(data: bytes) -> None:
    """Bytes in the place of a latent."""
    with suppress(LarimarError):
        found = unpack(data)
        if found.ndim <= 4:
            assert unpack(pack(found)).tobytes() == found.tobytes()
    for form in _forms():
        for begin in (b"", form.signature):
            z = form.unpack(np.frombuffer(begin + data, dtype=np.int8))
            assert z is None or (1 <= len(z) <= 8 * len(data) and np.isfinite(z).all())


@cache
def _forms() -> tuple[StoredForm, ...]:
    weights = np.arange(-18, 18, dtype=np.int16).reshape(6, 6) * 14
    predictor = Predictor(weights, np.arange(6, dtype=np.int16)[::-1].copy())
    return (
        StoredForm(3, 0.5, bytes(16)),
        StoredForm(5, 0.1, bytes(range(16))),
        StoredForm(6, 0.1, bytes(16), predictor),
    )


@cache
def _bundle() -> tuple[Any, Path, dict[str, Any], bytes]:
    from larimar_memory.latents import LatentCodec, LatentConfig
    from larimar_memory.latents.bundle import save_bundle
    from tests.tiny import tiny_decoder

    decoder, path = tiny_decoder(), folder() / "bundle"
    save_bundle(LatentCodec(decoder, LatentConfig(dz=2, width=2, rank=1, limit=2)), path)
    description = json.loads((path / "latents.json").read_text())
    return decoder, path, description, (path / "latents.safetensors").read_bytes()


def bundles(data: bytes) -> None:
    """A latent bundle whose description or tensors are not what they should be."""
    from larimar_memory.latents.bundle import load_bundle

    decoder, path, description, tensors = _bundle()
    given = (path / "latents.json", path / "latents.safetensors")
    given[0].write_text(json.dumps(description))
    given[1].write_bytes(tensors)
    which = data[:1]
    if which < b"\x40":
        given[0].write_bytes(data[1:])
    elif which < b"\x80":
        with suppress(ValueError, RecursionError):
            changed = json.loads(data[1:])
            if isinstance(changed, dict):
                given[0].write_text(json.dumps({**description, **changed}))
    elif which < b"\xc0":
        given[1].write_bytes(data[1:])
    else:
        at = int.from_bytes(data[1:4], "big") % len(tensors)
        given[1].write_bytes(tensors[:at] + data[4:] + tensors[at + len(data[4:]) :])
    with suppress(LarimarError):
        load_bundle(path, decoder)


def memory_files(data: bytes) -> None:
    """A file that is no memory, or does not look like one any more."""
    path = folder() / "broken.larimar"
    for old in folder().glob("broken.larimar*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    path.write_bytes(b"SQLite format 3\0" + data[1:] if data[:1] < b"\x80" else data[1:])
    with suppress(LarimarError), Larimar.open(path, encoder=QuickEncoder()) as memory:
        memory.write("Something is written.", ["d"])
        assert memory.text("d") == "Something is written."


COMMANDS = (
    "read",
    "ask",
    "forget",
    "stats",
    "ingest",
    "--json",
    "-k",
    "-m",
    "--where",
    "-n",
    "--id",
    "--",
)


def command_line(data: bytes) -> None:
    """Arguments of the command: no trace, and a status that says how it went."""
    from larimar_memory.cli import main

    memory = str(folder() / "asked.larimar")
    parts = data.split(b"\xff")
    arguments = [
        COMMANDS[part[0] % len(COMMANDS)] if len(part) == 1 else text_of(part).replace("\0", "")
        for part in parts[:8]
    ]
    out, err, status = io.StringIO(), io.StringIO(), 0
    _memories()
    empty = io.TextIOWrapper(io.BytesIO())
    with (
        mock.patch.object(sys, "argv", ["larimar", *arguments]),
        mock.patch.object(sys, "stdin", empty),
        mock.patch.object(SentenceEncoder, "load", return_value=QuickEncoder()),
        mock.patch.dict("os.environ", {"LARIMAR_MEMORY": memory, "COLUMNS": "100"}),
        mock.patch(
            "larimar_memory.decoders.transformers.TransformersDecoder.load",
            side_effect=InputError("No", "model", "."),
        ),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    assert status in (0, 1, 2), status
    assert "Traceback" not in out.getvalue() + err.getvalue()
    assert "LARIMAR_DEBUG" not in err.getvalue(), err.getvalue()


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        *(segments, filters, questions, names, files, pdf, html, prompts, latents, bundles),
        *(memory_files, command_line),
    )
}
TARGETS |= {
    name: lambda data, target=target: target(folder(), data)  # type: ignore[misc]
    for name, target in stored.STORED.items()
}
