"""A memory that mirrors a folder is equal to it after every change, and nothing else is touched."""

from __future__ import annotations

import queue
import random
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from larimar_memory.errors import InputError, MemoryBusyError
from larimar_memory.larimar import Larimar
from larimar_memory.mirror import Changed, Mirror
from larimar_memory.text.files import FileText, Skipped
from tests.quick import QuickEncoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    (folder / "inner" / "deep").mkdir(parents=True)
    for name in ("a.txt", "b.md", "inner/c.txt", "inner/deep/d.txt"):
        (folder / name).write_text(f"The text of {name}.")
    return folder


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Larimar]:
    with Larimar.open(tmp_path / "m.larimar", encoder=QuickEncoder()) as opened:
        yield opened


class Told(list[FileText | Skipped]):
    """What a mirror said of files."""

    def skipped(self) -> list[str]:
        names = [f"{Path(one.name).name}: {one.why}" for one in self if isinstance(one, Skipped)]
        self.clear()
        return names


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def mirror(memory: Larimar, folder: Path, told: Told) -> Mirror:
    mirror = Mirror(memory, folder, on_file=told.append)
    mirror.catch_up()
    told.clear()
    return mirror


def held(memory: Larimar, folder: Path) -> dict[str, str]:
    """The text of each document by the name of its file in the folder."""
    return {Path(d.id).relative_to(folder).as_posix(): memory.text(d.id) for d in memory.documents()}


def on_disk(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_the_first_catching_up_and_the_next(memory: Larimar, folder: Path) -> None:
    mirror = Mirror(memory, folder, episode="notes")
    assert mirror.catch_up() == Changed(4, ())
    assert held(memory, folder) == on_disk(folder)
    assert {d.episode for d in memory.documents()} == {"notes"}
    written = {d.id: d.written_at for d in memory.documents()}
    generation = memory.store.generation("default")
    assert mirror.catch_up() == Changed(4, ())
    assert {d.id: d.written_at for d in memory.documents()} == written
    # While nobody watches: changed, moved, deleted, new.
    (folder / "a.txt").write_text("Other text.")
    (folder / "b.md").rename(folder / "inner" / "moved.md")
    shutil.rmtree(folder / "inner" / "deep")
    (folder / "new.txt").write_text("New text.")
    done = mirror.catch_up()
    assert {Path(id).name for id in done.forgotten} == {"b.md", "d.txt"}
    assert held(memory, folder) == on_disk(folder)
    assert memory.store.generation("default") != generation


def test_changes_are_taken_one_by_one(mirror: Mirror, memory: Larimar, folder: Path) -> None:
    steps = [
        lambda: [_written(folder / "a.txt", "changed")],
        lambda: [_written(folder / "new.txt", "new")],
        lambda: [_gone(folder / "b.md")],
        lambda: [folder / "inner" / "c.txt", (folder / "inner" / "c.txt").rename(folder / "e.txt")],
        lambda: [_tree_gone(folder / "inner")],
        lambda: [_written(folder / "x" / "y" / "z.txt", "deep").parent.parent],
        lambda: [folder / "x", (folder / "x").rename(folder / "w")],
        lambda: [_written(folder / "w" / "y" / "z.txt", ""), folder / "absent.txt", folder / "absent"],
        lambda: [_written(folder / "w" / "y" / "z.txt", "again")],
        lambda: [_gone(folder / "e.txt"), _written(folder / "e.txt" / "now a folder.txt", "text")],
        lambda: [],
    ]
    for step in steps:
        mirror.take(step())
        wanted = {name: text for name, text in on_disk(folder).items() if text}
        assert held(memory, folder) == wanted


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _gone(path: Path) -> Path:
    path.unlink()
    return path


def _tree_gone(path: Path) -> Path:
    shutil.rmtree(path)
    return path


def test_any_changes_in_any_sets(mirror: Mirror, memory: Larimar, folder: Path) -> None:
    draw = random.Random(7)
    for _ in range(40):
        touched = list[Path]()
        for _ in range(draw.randrange(1, 4)):
            path = folder / draw.choice("pqr") / draw.choice(["s", "t"]) / f"{draw.randrange(3)}.txt"
            kind = draw.randrange(3)
            if kind < 2:
                touched.append(_written(path, f"text {draw.random()}"))
            elif path.exists():
                touched.append(_gone(path))
            elif path.parent.exists():
                touched.append(_tree_gone(path.parent))
        # A watcher may tell more, twice, in any order, and folders in place of what is in them.
        touched += [draw.choice([path, path.parent]) for path in touched]
        draw.shuffle(touched)
        mirror.take(touched)
        assert held(memory, folder) == on_disk(folder)


def test_what_git_would_ignore_is_no_part(
    mirror: Mirror, memory: Larimar, folder: Path, told: Told
) -> None:
    _written(folder / ".gitignore", "*.log\ninner/deep/\n")
    _written(folder / "x.log", "ignored")
    assert mirror.take([folder / ".gitignore", folder / "x.log"]).forgotten == (
        str(folder / "inner" / "deep" / "d.txt"),
    )
    mirror.take([_written(folder / "inner" / "deep" / "e.txt", "ignored too")])
    assert held(memory, folder).keys() == {"a.txt", "b.md", "inner/c.txt"}
    _written(folder / "inner" / ".gitignore", "c.*\n")
    mirror.take([folder / "inner" / ".gitignore"])
    assert held(memory, folder).keys() == {"a.txt", "b.md"}
    mirror.take([_gone(folder / ".gitignore"), _gone(folder / "inner" / ".gitignore")])
    assert held(memory, folder) == on_disk(folder)
    mirror.catch_up()
    assert held(memory, folder) == on_disk(folder)
    assert told.skipped() == []


def test_hidden_files_and_junk_are_no_part(mirror: Mirror, memory: Larimar, folder: Path) -> None:
    before = held(memory, folder)
    names = [".hidden.txt", ".git/x.txt", "__pycache__/x.py", "~$a.docx", "inner/.x/y.txt"]
    assert mirror.take([_written(folder / name, "text") for name in names]) == Changed(0, ())
    assert held(memory, folder) == before


def test_one_file_that_cannot_be_read_is_told_and_ends_nothing(
    mirror: Mirror, memory: Larimar, folder: Path, told: Told
) -> None:
    (folder / "a.txt").write_bytes(b"\xff\xfd\xff")
    (folder / "inner" / "c.txt").write_text("changed")
    done = mirror.take([folder / "a.txt", folder / "inner" / "c.txt"])
    assert (done, told.skipped()) == (Changed(1, ()), ["a.txt: At byte 0 it is not utf-8."])
    # What is known of it stays, until it is gone.
    assert held(memory, folder)["a.txt"] == "The text of a.txt."
    assert held(memory, folder)["inner/c.txt"] == "changed"
    (folder / "a.txt").unlink()
    assert mirror.take([folder / "a.txt"]).forgotten == (str(folder / "a.txt"),)
    # The memory's own file, or a picture, is not told of whenever it changes.
    (folder / "m.larimar").write_bytes(b"\0")
    assert mirror.take([folder / "m.larimar"]) == Changed(0, ())
    assert told.skipped() == []
    mirror.catch_up()
    assert told.skipped() == ["m.larimar: Files of the kind .larimar are not read."]


def test_a_file_that_changes_while_it_is_read_is_told_and_ends_nothing(
    mirror: Mirror, memory: Larimar, folder: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("larimar_memory.text.files.WHOLE_BYTES", 10)
    names = [f"{n}.txt" for n in range(4)]
    for name in names:
        _written(folder / name, f"This is the text of {name}. " * 9)

    def changes(one: FileText | Skipped) -> None:
        told.append(one)
        if isinstance(one, FileText) and one.id.endswith("1.txt"):
            (folder / "1.txt").write_text("It is another one now. " * 9)

    mirror._on_file = changes
    assert mirror.take([folder / name for name in names]).read == 4
    assert told.skipped() == ["1.txt: It changed while it was being read."]
    mirror._on_file = told.append
    mirror.take([folder / "1.txt"])
    assert held(memory, folder) == on_disk(folder)


def test_a_folder_that_cannot_be_read_keeps_its_documents(
    mirror: Mirror, memory: Larimar, folder: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = __import__("os").listdir

    def fails(path: Path) -> list[str]:
        if Path(path).name == "inner":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr("os.listdir", fails)
    assert mirror.catch_up() == Changed(2, ())
    assert told.skipped() == ["inner: The system said: Permission denied."]
    assert mirror.take([folder / "inner"]) == Changed(0, ())
    assert held(memory, folder) == on_disk(folder)


def test_other_documents_are_left_alone(memory: Larimar, folder: Path, tmp_path: Path) -> None:
    other = _written(tmp_path / "notes 2" / "a.txt", "Beside it.")
    Mirror(memory, other.parent).catch_up()
    memory.write(["By hand."], [str(folder / "by hand.txt")])
    memory.write(
        ["Elsewhere."], [str(folder / "a.txt")], [{"source": str(folder / "a.txt")}], namespace="n"
    )
    mirror = Mirror(memory, folder)
    mirror.catch_up()
    shutil.rmtree(folder / "inner")
    (folder / "a.txt").unlink()
    mirror.take([tmp_path / "notes 2", folder / "inner", folder / "a.txt"])
    ids = {d.id for d in memory.documents()}
    assert ids == {str(other), str(folder / "by hand.txt"), str(folder / "b.md")}
    assert memory.stats("n").documents == 1


def test_what_is_forgotten_is_erased(mirror: Mirror, memory: Larimar, folder: Path) -> None:
    mirror.take([_written(folder / "s.txt", "The quixotic zymurgy.")])
    mirror.take([_gone(folder / "s.txt")])
    assert b"zymurgy" not in b"".join(p.read_bytes() for p in folder.parent.glob("m.larimar*"))


def test_what_cannot_be_watched(memory: Larimar, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (folder / "a.txt", folder / "absent"):
        with pytest.raises(InputError, match=r"cannot be watched\. There is no such folder"):
            Mirror(memory, path)
    with pytest.raises(InputError, match="cannot be a namespace"):
        Mirror(memory, folder, namespace="")
    for name in ("watchfiles", "pathspec"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, name, None)
            with pytest.raises(InputError, match=r"larimar-memory\[watch\] must be installed"):
                Mirror(memory, folder)


# --- following ---


def test_where_the_folder_is_gone_the_memory_stays(
    mirror: Mirror, memory: Larimar, folder: Path
) -> None:
    def sets(*_: object, **__: object) -> Iterator[set[tuple[int, str]]]:
        yield set()
        shutil.rmtree(folder)
        yield {(3, str(folder))}

    mirror._watch = sets  # type: ignore[assignment]
    with pytest.raises(InputError, match="where it is gone, the memory is left as it is"):
        mirror.follow()
    assert memory.stats().documents == 4


def test_where_the_memory_is_busy_it_catches_up_later(
    mirror: Mirror, memory: Larimar, folder: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, changed = memory.write_each, list[Changed]()

    def busy(*_: object, **__: object) -> None:
        raise MemoryBusyError("It is busy.", "Another writes.", "Try again.")

    def sets(*_: object, **__: object) -> Iterator[set[tuple[int, str]]]:
        yield set()
        monkeypatch.setattr(memory, "write_each", busy)
        yield {(2, str(_written(folder / "a.txt", "changed")))}
        yield set()
        monkeypatch.setattr(memory, "write_each", write)
        yield set()
        yield set()

    mirror._watch = sets  # type: ignore[assignment]
    mirror.follow(on_change=changed.append)
    assert held(memory, folder) == on_disk(folder)
    assert changed == [Changed(4, ()), Changed(4, ())]
    assert told.skipped() == ["notes: It is busy. Another writes."] * 2


def test_a_folder_is_followed_until_it_is_stopped(
    memory: Larimar, folder: Path, tmp_path: Path
) -> None:
    # By a link: what the watcher names is elsewhere.
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    stop, changed = threading.Event(), queue.Queue[Changed]()
    mirror = Mirror(memory, link)
    following = threading.Thread(target=mirror.follow, args=(stop, changed.put, 50), daemon=True)
    following.start()

    def equal() -> bool:
        changed.get(timeout=60)
        return held(memory, link) == on_disk(folder)

    try:
        assert equal()
        for change in (
            lambda: _written(folder / "new.txt", "new"),
            lambda: (folder / "new.txt").rename(folder / "inner" / "moved.txt"),
            lambda: _written(folder / "more" / "and" / "more.txt", "more"),
            lambda: _tree_gone(folder / "inner"),
            lambda: _gone(folder / "a.txt"),
        ):
            change()
            # As many events as it takes: a change may come in several.
            while not equal():
                pass
    finally:
        stop.set()
        following.join(60)
    assert not following.is_alive()
