"""Memories are copied and merged between all places, and what does not go together is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from larimar_memory import exchange
from larimar_memory.errors import EncoderMismatchError, InputError, MemoryFileError
from larimar_memory.larimar import Larimar
from larimar_memory.moving import copy, merge
from larimar_memory.stores import Document, SQLiteStore
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.testing.writes import DIMENSION, batch, found, key_of, worded
from larimar_memory.types import Segment
from tests.damage import contents, sql, whole
from tests.damage import filled as filled_file
from tests.facade.moved import exported, small, unordered
from tests.facade.receipted import PERSON, open_memory
from tests.facade.receipted import filled as forgettable
from tests.postgres import Server
from tests.stores.dict_store import DictStore
from tests.stores.test_laws import open_file
from tests.stores.test_postgres_laws import open_database
from tests.stores.test_schema import version_1, version_3

# --- places ---


def test_a_memory_goes_round_all_places_and_comes_back_the_same(
    tmp_path: Path, server: Server, address: str
) -> None:
    path = filled_file(tmp_path / "a.larimar")
    other = server.empty("larimar_tests_two")
    places = [path, address, f"{tmp_path}/out/", tmp_path / "b.larimar", other, f"{tmp_path}/again/"]
    for source, target in pairwise(places):
        seen: list[tuple[int, int]] = []
        done = copy(source, target, on_progress=lambda *now, seen=seen: seen.append(now))
        assert (done.written, done.kept, done.segments) == (22, 0, 62)
        assert seen[-1] == (62, 62)
        done = copy(source, target)
        assert (done.written, done.kept) == (0, 22)
    again = exported(open_file(path), tmp_path / "wanted")
    for folder in ("out", "again"):
        assert {f.name: f.read_bytes() for f in sorted((tmp_path / folder).iterdir())} == again
    store = open_file(tmp_path / "b.larimar")
    assert contents(store) == contents(open_file(path))
    assert worded(store, "one", "says", "3", k=1)[0].startswith("one says 3")
    assert found(store, "one", "one replaced", 1) == ["one replaced"]
    store.close()
    assert check(tmp_path / "b.larimar").sound
    assert sorted(p.name for p in tmp_path.glob("*.tmp")) == []


def test_files_databases_and_exports_are_merged(tmp_path: Path, address: str) -> None:
    one, two = open_file(tmp_path / "one", lazy=True), open_database(address, lazy=True)
    out = open_file(None, lazy=True)
    for n, store in enumerate((one, two, out)):
        made_there = batch(f"d{n}", [f"text {n}", f"more {n}"], {"n": n})
        store.write("n", [replace(made_there, fine=[key_of("fine"), None])])
        store.write("n", [batch("same", ["everywhere"])])
        store.write(f"own {n}", [batch("same", [f"of {n}"])])
    exchange.export(out, tmp_path / "out", encoder="test-encoder", dimension=DIMENSION)
    wanted = open_file(None, lazy=True)
    merge([one, two, out], wanted)
    one.close()
    two.close()
    merge([tmp_path / "one", address, tmp_path / "out"], tmp_path / "all")
    held = open_file(tmp_path / "all")
    assert unordered(held) == unordered(wanted)
    assert held.namespaces() == ["n", "own 0", "own 1", "own 2"]
    assert held.stats("n").keyed == 3
    merge([tmp_path / "one", tmp_path / "out"], address)
    with_all = open_database(address)
    assert unordered(with_all) == unordered(held)
    with_all.close()


def test_one_namespace_is_copied(tmp_path: Path) -> None:
    path = filled_file(tmp_path / "a")
    copy(path, tmp_path / "b", namespace="one")
    copy(path, f"{tmp_path}/out/", namespace="one")
    copy(tmp_path / "out", tmp_path / "c")
    for name in "bc":
        assert open_file(tmp_path / name).namespaces() == ["one"]
        assert unordered(open_file(tmp_path / name)) == {
            key: value for key, value in unordered(open_file(path)).items() if key[0] == "one"
        }
    with pytest.raises(
        InputError, match=r"Nothing was copied\. There is no namespace 'three' in .*a\."
    ):
        copy(path, tmp_path / "d", namespace="three")
    assert not (tmp_path / "d").exists()


def test_a_store_of_ones_own_is_copied_from_and_to() -> None:
    own, back, source = DictStore(), open_file(None), open_file(None)
    source.write("n", [batch("d", ["one", "two"], {"a": 1})])
    copy(source, own)
    copy(own, back)
    assert unordered(back) == unordered(source)
    with pytest.raises(InputError, match=r"A DictStore does not say which encoder its keys are of\."):
        copy(own, "never.larimar")


def test_keys_and_latents_that_were_made_since_follow(tmp_path: Path) -> None:
    source, target = open_file(None, lazy=True), open_file(None, lazy=True)
    source.write("n", [batch("d", [f"text {n}" for n in range(9)]), batch("e", ["other"])])
    with small(4):
        copy(source, target)
        rows = source.lacking("n", 0, 99)
        source.attach("n", rows[1:], [np.arange(3, dtype=np.int8)] * 9, np.array([key_of("k")] * 9))
        source.write("n", [batch("new", ["since"])])
        done = copy(source, target)
    assert (done.written, done.kept) == (1, 2)
    assert exported(source, tmp_path / "a") == exported(target, tmp_path / "b")
    # What only the copy has stays there.
    target.attach("n", target.lacking("n", 0, 1), keys=key_of("k")[None])
    keyed = target.stats().keyed
    copy(source, target)
    assert target.stats().keyed == keyed == source.stats().keyed + 1


def test_the_same_text_of_two_machines_is_one_document() -> None:
    one, two = open_file(None, lazy=True), open_file(None, lazy=True)
    said, fine = batch("d", ["one", "two"]), key_of("fine")
    early = replace(said.document, written_at="2025-01-01 00:00:00")
    late = replace(said.document, written_at="2025-02-01 00:00:00")
    one.write("n", [replace(said, document=early, fine=[fine, None])])
    # Another machine's rounding is not another text.
    two.write("n", [replace(said, document=late, fine=[fine + np.float32(1e-3), fine])])
    for sources in ([one, two], [two, one]):
        for same in ("refuse", "newer"):
            merged = open_file(None, lazy=True)
            merge(sources, merged, same=same)  # type: ignore[arg-type]
            (document,) = merged.documents("n")
            assert (document.written_at, merged.stats().keyed) == (late.written_at, 2)
    merged = open_file(None, lazy=True)
    merge([one, two], merged, same="first")
    (document,) = merged.documents("n")
    assert document.written_at == early.written_at


def test_a_document_that_was_written_in_part_is_made_whole() -> None:
    part, whole_one = open_file(None), open_file(None)
    document = Document("d", "hash", 40, written_at="2025-01-01 00:00:00")
    made_whole = replace(batch("d", ["one", "two", "three"]), document=document)
    in_part = replace(batch("d", ["one"]), document=replace(document, complete=False))
    part.write("n", [in_part])
    whole_one.write("n", [made_whole])
    for sources in ([part, whole_one], [whole_one, part]):
        merged = open_file(None)
        merge(sources, merged)
        assert unordered(merged) == unordered(whole_one)
    whole_one.write("n", [replace(batch("d", ["ONE"]), document=document)])
    with pytest.raises(InputError, match="is not the same"):
        merge([part, whole_one], open_file(None))


# --- what is refused ---


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two files that differ in what one id says."""
    for name, text, at in (("a", "old", "2025-01-01 00:00:00"), ("b", "new", "2025-02-01 00:00:00")):
        store = open_file(tmp_path / name)
        made_there = batch("d", [text])
        store.write("n", [replace(made_there, document=replace(made_there.document, written_at=at))])
        store.write("n", [batch(f"of {name}", [name])])
        store.close()
    return tmp_path / "a", tmp_path / "b"


def said(path: Path) -> dict[str, list[str]]:
    store = open_file(path)
    try:
        return {d.id: [s.text for s in store.segments("n", d.id)] for d in store.documents("n")}
    finally:
        store.close()


def test_ids_of_two_texts_go_by_the_rule_that_is_named(two: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = two
    told = (
        rf"Document 'd' of namespace 'n' is not the same in {b} and in {a}\. Say which one stays with "
    )
    with pytest.raises(InputError, match=rf"^The memories cannot be merged\. {told}`--same newer` or"):
        merge([a, b], tmp_path / "c")
    assert not (tmp_path / "c").exists()
    for same, sources, wins in (
        ("newer", [a, b], "new"),
        ("newer", [b, a], "new"),
        ("first", [a, b], "old"),
        ("first", [b, a], "new"),
    ):
        into = tmp_path / f"{same} {sources[0].name}"
        done = merge(sources, into, same=same)  # type: ignore[arg-type]
        assert said(into) == {"d": [wins], "of a": ["a"], "of b": ["b"]}
        assert (done.written, done.replaced) == (3, int(same == "newer" and sources[0] == a))
    before = said(a)
    with pytest.raises(InputError, match=rf"is not the same in {b} and in {a}\."):
        merge([b], a)
    assert said(a) == before
    assert merge([b], a, same="first").written == 1
    assert said(a) == {"d": ["old"], "of a": ["a"], "of b": ["b"]}


def test_a_copy_never_takes_the_place_of_another(two: tuple[Path, Path]) -> None:
    a, b = two
    before = said(b)
    with pytest.raises(
        InputError,
        match=rf"^Nothing was copied from {a} to {b}\. There is another document 'd' in namespace 'n' "
        r"there\. Copy to a new memory, or let `larimar merge` settle which one stays\.$",
    ):
        copy(a, b)
    assert said(b) == before
    sql(b, "UPDATE documents SET name = 'x' WHERE name = 'd'")


@pytest.mark.parametrize("change", ["metadata", "episode", "written_at", "key", "latent", "span"])
def test_whatever_differs_is_another_document(change: str) -> None:
    source, target = open_file(None), open_file(None)
    made_there = batch("d", ["text"], latents=[np.ones(2, dtype=np.int8)])
    source.write("n", [made_there])
    (document,) = source.documents("n")
    other = {
        "metadata": {"document": replace(document, metadata={"a": 1})},
        "episode": {"document": replace(document, episode="e")},
        "written_at": {"document": replace(document, written_at="2001-01-01 00:00:00")},
        "key": {"keys": key_of("other")[None]},
        "latent": {"latents": [np.ones(2, dtype=np.float16)]},
        "span": {"segments": [Segment(0, 1, 5, "text")]},
    }[change]
    target.write("n", [replace(replace(made_there, document=document), **other)])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="There is another document 'd' in namespace 'n' there"):
        copy(source, target)
    if change == "written_at":
        merge([target], source)
    else:
        with pytest.raises(
            InputError, match="is not the same in a memory in RAM and in a memory in RAM"
        ):
            merge([target], source)


def test_memories_of_different_keys_are_refused(tmp_path: Path) -> None:
    path = filled_file(tmp_path / "a")
    SQLiteStore(tmp_path / "b", encoder="another-encoder", dimension=5).close()
    open_file(tmp_path / "lazy", lazy=True).close()
    told = (
        r"Encoder test-encoder made the keys of .*a \(8 numbers each\), and another-enco those of .*b "
        r"\(5\); they cannot be compared\. Export one with `larimar export`, and import that with "
    )
    with pytest.raises(EncoderMismatchError, match=rf"^Nothing was copied from .*a to .*b\. {told}"):
        copy(path, tmp_path / "b")
    with pytest.raises(
        EncoderMismatchError, match=r"^The memories cannot be merged\. Encoder another-"
    ):
        merge([path, tmp_path / "b"], tmp_path / "c")
    assert not (tmp_path / "c").exists()
    told = r"The keys of .*lazy are coarse, and those of .*a are the encoder's own\. Export one"
    with pytest.raises(InputError, match=told):
        copy(path, tmp_path / "lazy")
    with pytest.raises(InputError, match=told):
        merge([path, tmp_path / "lazy"], tmp_path / "c")


def test_a_memory_is_not_copied_to_itself(tmp_path: Path, server: Server, address: str) -> None:
    path = filled_file(tmp_path / "a")
    (tmp_path / "link").symlink_to(path)
    open_database(address).close()
    named = address.replace("postgresql://postgres@", "postgres://postgres:any@")
    told = r"It is the same memory\. Name two different memories\."
    for one, other in ((path, path), (path, tmp_path / "link"), (address, named)):
        with pytest.raises(InputError, match=told):
            copy(one, other)
    store = open_file(None)
    with pytest.raises(InputError, match=told):
        copy(store, store)
    told = r"It would be merged into itself: name it after `--into` alone\."
    with pytest.raises(InputError, match=told):
        merge([path, tmp_path / "b"][:1], tmp_path / "link")
    assert named != server.empty("larimar_tests")


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    path = filled_file(tmp_path / "a")
    told = r"There is no rule 'last' for ids that several hold\. Use newer, first or refuse\."
    with pytest.raises(InputError, match=told):
        merge([path], tmp_path / "b", same="last")  # type: ignore[arg-type]
    for sources in ([], path, str(path)):
        with pytest.raises(InputError, match=r"No list of memories was given\. Name those to merge\."):
            merge(sources, tmp_path / "b")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"out/ is a folder, as of an export\. Merge into a file"):
        merge([path], f"{tmp_path}/out/")
    with pytest.raises(MemoryFileError, match=r"There is no memory at .*nowhere"):
        copy(tmp_path / "nowhere", tmp_path / "b")
    with pytest.raises(InputError, match="It is no export of a memory"):
        copy(tmp_path, tmp_path / "b")
    copy(path, f"{tmp_path}/out/")
    store = open_file(path)
    store.write("one", [whole("more", ["since"])])
    store.close()
    with pytest.raises(InputError, match=r"Nothing was copied to .*out\. It is an export of something"):
        copy(path, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["out"]
    assert not (tmp_path / "b").exists()


def test_what_is_damaged_is_not_copied(tmp_path: Path) -> None:
    path = filled_file(tmp_path / "a")
    sql(path, "UPDATE segments SET text = 'other' WHERE position = 2")
    with pytest.raises(MemoryFileError, match=r"is damaged\. What is stored for segment 2"):
        copy(path, tmp_path / "b")


def test_receipts_go_along_or_are_left_behind(tmp_path: Path, address: str) -> None:
    with forgettable(open_memory(tmp_path / "a", keys="eager")) as memory:
        memory.forget(where={**PERSON}, namespace="default", receipt=True)
        kept = memory.store.receipts()
    copy(tmp_path / "a", tmp_path / "b")
    copy(tmp_path / "a", tmp_path / "b")
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    for name in "bc":
        with open_memory(tmp_path / name) as copied:
            assert copied.store.receipts() == kept
            assert len(copied.receipts(verify=True)) == 1
    told = r"There are receipts of what was forgotten, and postgresql://.* can keep none\. Leave them "
    with pytest.raises(InputError, match=told + "behind with `--no-receipts`"):
        copy(tmp_path / "a", address)
    assert copy(tmp_path / "a", address, with_receipts=False).written == 3
    copy(tmp_path / "a", f"{tmp_path}/out/", with_receipts=False)
    assert not (tmp_path / "out" / "receipts.jsonl").exists()


@pytest.mark.parametrize("version", [version_1, version_3])
def test_an_older_file_is_copied_and_stays_as_it_is(
    tmp_path: Path, version: Callable[[Path], Path]
) -> None:
    path = version(tmp_path / "old")
    before = path.read_bytes()
    copy(path, tmp_path / "new")
    assert path.read_bytes() == before
    assert unordered(open_file(tmp_path / "new")) == unordered(open_file(path, read_only=True))


def test_a_merged_memory_is_opened_and_read(tmp_path: Path) -> None:
    for name, text in (("a", "The ferry leaves at nine."), ("b", "Bread is baked in the morning.")):
        with open_memory(tmp_path / name) as memory:
            memory.write([text], [name], episode="day")
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    with Larimar.open(tmp_path / "c", encoder=open_memory(None).encoder) as memory:
        assert memory.read("When does the ferry leave?", threshold=0.0).segments[0].document_id == "a"
        assert [d.episode for d in memory.documents()] == ["day", "day"]
        beside = memory.store.beside("default", ["a"], 3)
        assert [d.id for d in beside[0]] == ["a", "b"]
