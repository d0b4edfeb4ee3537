"""Out and in again is the same to the last bit; a backup is one moment of a file in use."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from larimar_memory import exchange
from larimar_memory.encoders.base import Kind
from larimar_memory.errors import EncoderMismatchError, InputError, MemoryFileError
from larimar_memory.exchange import export, import_into
from larimar_memory.stores import Document, Store, WriteBatch
from larimar_memory.stores.exported import look
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.opening import backup
from larimar_memory.testing.writes import DIMENSION, found, key_of
from larimar_memory.types import Segment
from tests.damage import contents, filled, flip, places, resealed, whole
from tests.stores.test_laws import open_file

KEYS = {"encoder": "test-encoder", "dimension": DIMENSION}


class FakeEncoder:
    """Keys of another size, from the text alone."""

    fingerprint, dimension = "other-encoder", DIMENSION

    def encode(self, texts: Sequence[str], kind: Kind = "segment") -> np.ndarray:
        return np.array([key_of(text + "?") for text in texts])


def moved(source: Store, folder: Path, target: Store, **options: object) -> None:
    export(source, folder, **KEYS)  # type: ignore[arg-type]
    import_into(target, look(folder), **KEYS, **options)  # type: ignore[arg-type]


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
latents = st.none() | st.integers(0, 2**32 - 1)
documents = st.dictionaries(
    st.tuples(st.sampled_from(["n", "\u2028 m"]), text.filter(bool)),
    st.tuples(
        st.lists(st.tuples(text, latents), max_size=6),
        st.dictionaries(
            text, st.none() | st.booleans() | st.integers() | st.floats(-1, 1) | text, max_size=3
        ),
        st.booleans(),
        st.datetimes().map(lambda at: at.strftime("%Y-%m-%d %H:%M:%S")),
    ),
    max_size=5,
)


@given(documents, st.integers(1, 5))
@settings(max_examples=40)
def test_a_round_trip_is_exact(
    tmp_path_factory: pytest.TempPathFactory, held: dict, shard: int
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    source, target, ram = open_file(folder / "a"), open_file(folder / "b"), open_file(None)
    for (space, name), (pieces, metadata, complete, written) in held.items():
        segments = [Segment(i, i, i + len(t), t) for i, (t, _) in enumerate(pieces)]
        made = [
            None
            if seed is None
            else np.random.default_rng(seed).integers(-9, 9, (2, seed % 5), np.int8)
            for _, seed in pieces
        ]
        keys = np.array([key_of(t) for t, _ in pieces], dtype=np.float32).reshape(-1, DIMENSION)
        document = Document(name, "hash", len(pieces), metadata, complete, written)
        source.write(space, [WriteBatch(document, segments, keys, True, made)])
    size = exchange.SHARD_SEGMENTS
    try:
        exchange.SHARD_SEGMENTS = shard
        export(source, folder / "out", **KEYS)
    finally:
        exchange.SHARD_SEGMENTS = size
    for store in (target, ram):
        import_into(store, look(folder / "out"), **KEYS)
        assert contents(store) == contents(source)  # type: ignore[arg-type]
        assert [list(store.documents(s)) for s in store.namespaces()] == [
            list(source.documents(s)) for s in source.namespaces()
        ]
    export(target, folder / "again", **KEYS)
    target.close()
    source.close()
    assert check(folder / "b").sound
    first, second = (
        json.loads((folder / n / "documents.jsonl").read_text().split("\n")[0] or "0")
        for n in ("out", "again")
    )
    assert first == second


def test_a_longer_document_is_written_in_parts(tmp_path: Path) -> None:
    source, target = open_file(tmp_path / "a"), open_file(tmp_path / "b")
    source.write("n", [whole("d", [f"sentence {n}. " for n in range(1500)])])
    source.write("n", [whole("e", ["more"])])
    seen: list[tuple[int, int]] = []
    export(source, tmp_path / "out", **KEYS, on_progress=lambda *told: seen.append(told))  # type: ignore[arg-type]
    assert seen[-1] == (1501, 1501)
    import_into(target, look(tmp_path / "out"), **KEYS)
    assert contents(target) == contents(source)


def test_namespaces_can_be_called_otherwise(tmp_path: Path) -> None:
    source = open_file(filled(tmp_path / "a"))
    target = open_file(None)
    moved(source, tmp_path / "out", target, namespaces={"one": "uno"})
    assert target.namespaces() == ["two \u00e9", "uno"]
    assert target.stats("uno").segments == source.stats("one").segments


def test_documents_that_are_there_are_not_replaced_unless_asked(tmp_path: Path) -> None:
    source, target = open_file(filled(tmp_path / "a")), open_file(tmp_path / "b")
    target.write("one", [whole("d7", ["newer"])])
    before = contents(target)
    with pytest.raises(InputError, match=r"has a document 'd7' in namespace 'one' already\. Import it"):
        moved(source, tmp_path / "out", target)
    assert contents(target) == before
    import_into(target, look(tmp_path / "out"), **KEYS, replace_documents=True)
    assert contents(target) == contents(source)


def test_another_encoders_keys_are_refused_or_made_anew(tmp_path: Path) -> None:
    source = open_file(filled(tmp_path / "a"))
    target = open_file(None)
    export(source, tmp_path / "out", **KEYS)
    found_there = look(tmp_path / "out")
    with pytest.raises(
        EncoderMismatchError,
        match=r"Its keys were made by encoder test-encoder \(8 numbers each\), and those of this "
        r"memory by other-encode; they cannot be compared\. Have the texts encoded again with",
    ):
        import_into(target, found_there, encoder="other-encoder", dimension=DIMENSION)
    assert target.namespaces() == []
    import_into(
        target, found_there, encoder="other-encoder", dimension=DIMENSION, reencode=FakeEncoder()
    )  # type: ignore[arg-type]
    said = "one says 3 and 1 caf\u00e9 word "
    assert found(target, "one", said + "?", 1) == [said]
    assert contents(target)["one", "d3"][6] == contents(source)["one", "d3"][6]  # type: ignore[arg-type]


def test_a_damaged_export_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    source, target = open_file(filled(tmp_path / "a")), open_file(None)
    export(source, tmp_path / "out", **KEYS)
    for file in sorted((tmp_path / "out").iterdir()):
        before = file.read_bytes()
        for at in places(len(before), 4):
            flip(file, at)
            with pytest.raises(InputError, match=r"cannot be imported\. (Its|It is no export)"):
                import_into(target, look(tmp_path / "out"), **KEYS)
        file.unlink()
        with pytest.raises(InputError, match="cannot be imported"):
            look(tmp_path / "out")
        file.write_bytes(before)
    assert target.namespaces() == []
    with pytest.raises(InputError, match=r"Nothing was written to .*out\. There is something of that"):
        export(source, tmp_path / "out", **KEYS)


BAD_DOCUMENTS: list[Any] = [
    *({"namespace": name} for name in ("", "a\0b", "\ud800", 5, None, "x" * 1001)),
    *({"id": name} for name in ("", "\0", ["d"], None)),
    *(
        {"metadata": value}
        for value in ([1], "x", None, {"a": float("nan")}, {"\0": 1}, {"a": "\udfff"})
    ),
    {"metadata": json.loads('{"a":' * 300 + "1" + "}" * 300)},
    *({"characters": value} for value in (-1, 2**70, "9", 1.5, True, None)),
    *({"complete": value} for value in (1, "yes", None)),
    *({"content_hash": value} for value in (None, 7, "\ud800")),
    *({"written_at": value} for value in ("yesterday", 7, "2025-02-03T04:05:06", "\ud800")),
    {"more": 1},
]
BAD_SEGMENTS: list[Any] = [
    *({"document": value} for value in (-1, "0", None, 10**9, 1)),
    *({"index": value} for value in (-1, 1, 2**70, "0", True, 0.0)),
    *({"start": value} for value in (-1, 2**64, None)),
    *({"end": value} for value in ("3", [3])),
    *({"text": value} for value in (None, 5, "\ud800", ["x"])),
    {"more": 1},
]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    source = open_file(filled(tmp_path / "a", 4))
    export(source, tmp_path / "out", **KEYS)  # type: ignore[arg-type]
    source.close()
    return tmp_path / "out"


def refused(folder: Path, said: str = r"cannot be imported\. ") -> None:
    """All of it is refused, and nothing of it is written."""
    resealed(folder)
    target = open_file(folder.with_name("target"))
    with pytest.raises(InputError, match=said):
        import_into(target, look(folder), **KEYS)  # type: ignore[arg-type]
    assert target.namespaces() == []
    target.close()


@pytest.mark.parametrize(
    ("file", "bad", "line"),
    [("documents.jsonl", bad, 3) for bad in BAD_DOCUMENTS]
    + [("segments-00000.jsonl", bad, 0) for bad in BAD_SEGMENTS],
)
def test_a_line_that_write_would_not_take_is_not_imported(
    exported: Path, file: str, bad: dict[str, Any], line: int
) -> None:
    lines = (exported / file).read_text().splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), **bad})
    (exported / file).write_text("\n".join(lines) + "\n")
    refused(exported)


@pytest.mark.parametrize("line", ["", "[]", "{", "{}", "5", "[" * 100_000, '"x"', "\xff", "null"])
@pytest.mark.parametrize("file", ["documents.jsonl", "segments-00000.jsonl"])
def test_a_line_that_is_none_is_not_imported(exported: Path, file: str, line: str) -> None:
    lines = (exported / file).read_text().splitlines()
    (exported / file).write_text("\n".join([*lines[:2], line, *lines[2:]]), encoding="latin-1")
    refused(exported)


def test_lines_that_are_missing_or_too_many_are_not_imported(exported: Path) -> None:
    for file in ("segments-00000.jsonl", "documents.jsonl"):
        before = (exported / file).read_bytes()
        lines = before.splitlines(keepends=True)
        for changed in (lines[1:], lines[:-1], [*lines[:1], *lines], [*lines, lines[-1]], []):
            if file == "documents.jsonl" and len(changed) > len(lines):
                continue
            (exported / file).write_bytes(b"".join(changed))
            refused(exported)
        (exported / file).write_bytes(before)


def test_numbers_that_are_no_keys_are_not_imported(exported: Path) -> None:
    file = exported / "segments-00000.safetensors"
    held = load_file(file)
    keys, latents, ends = held["keys"], held["latents"], held["latent_ends"]
    for changed in (
        {"keys": keys[:, :7]},
        {"keys": keys[:-1]},
        {"keys": keys.astype(np.float32)},
        {"keys": keys * np.float16("nan")},
        {"keys": keys.ravel()},
        {"latents": latents[:-1]},
        {"latents": latents + np.uint8(99)},
        {"latents": latents.astype(np.int32)},
        {"latent_ends": ends[::-1].copy()},
        {"latent_ends": ends - 5},
        {"latent_ends": ends.astype(np.float32)},
        {"other": keys},
    ):
        save_file(
            {k: v for k, v in {**held, **changed}.items() if "other" not in changed or k != "keys"},
            file,
        )
        refused(exported, r"segments-00000 is damaged")
    file.write_bytes(b"\0" * 50)
    refused(exported, r"segments-00000 is damaged")


@pytest.mark.parametrize(
    "said",
    [
        *({"dimension": value} for value in (7, 0, -8, "8", 10**12, True, None)),
        *({"encoder": value} for value in (None, 7, "\ud800")),
        *({"segments": value} for value in (-1, "x")),
        *({"version": value} for value in (4, "x")),
        *({"receipts": value} for value in (1, -1, "x")),
    ],
)
def test_what_is_said_of_an_export_is_not_believed(exported: Path, said: dict[str, Any]) -> None:
    about = json.loads((exported / "memory.json").read_text())
    (exported / "memory.json").write_text(json.dumps({**about, **said}))
    refused(exported)


def test_files_of_other_names_are_not_imported(exported: Path) -> None:
    (exported / "segments-00007.safetensors").write_bytes(b"")
    refused(exported)
    (exported / "segments-00007.safetensors").unlink()
    (exported / "memory.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="It is no export of a memory"):
        look(exported)


def test_what_is_damaged_is_not_exported(tmp_path: Path) -> None:
    path = filled(tmp_path / "a")
    store = open_file(path)
    with store._db.writing() as db:
        db.execute("UPDATE segments SET text = 'other' WHERE position = 2")
    with pytest.raises(MemoryFileError, match=r"is damaged\. What is stored for segment 2"):
        export(store, tmp_path / "out", **KEYS)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("out")) == []


WRITER = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.damage import whole
from tests.stores.test_laws import open_file
store = open_file(Path(sys.argv[2]))
for n in range(100_000):
    store.write("one", [whole(f"w{n % 50}", [f"{n} a ", f"{n} b ", f"{n} c "])])
    print(n, flush=True)
"""


def test_a_backup_is_one_moment_of_a_file_that_is_written_meanwhile(tmp_path: Path) -> None:
    path = filled(tmp_path / "a" / "m", 200)
    root = str(Path(__file__).parents[2])
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, root, str(path)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    try:
        assert writer.stdout is not None
        last = -1
        for n in range(4):
            for line in writer.stdout:
                last = int(line)
                if last >= 60 * (n + 1):
                    break
            told: list[tuple[int, int]] = []
            backup(path, tmp_path / f"b{n}", lambda *now, told=told: told.append(now))
            assert told[-1][0] == told[-1][1] > 0
            assert check(tmp_path / f"b{n}").sound
            store = open_file(tmp_path / f"b{n}", read_only=True)
            held = contents(store)
            store.close()
            numbers = []
            for (space, name), document in held.items():
                if space == "one" and name.startswith("w"):
                    said = [segment[3].split() for segment in document[5]]
                    assert [letter for _, letter in said] == ["a", "b", "c"]
                    assert len({number for number, _ in said}) == 1
                    numbers.append(int(said[0][0]))
            # Every acknowledged write is there, and no later one without those before it.
            assert max(numbers) >= last
            assert sorted(numbers) == list(range(max(numbers) - 49, max(numbers) + 1))
    finally:
        writer.kill()
        writer.communicate()
    with pytest.raises(InputError, match="There is something of that name already"):
        backup(path, tmp_path / "b0")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b0", "b1", "b2", "b3"]
