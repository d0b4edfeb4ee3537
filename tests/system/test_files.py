"""Files and folders that appear whole or not at all, whoever else writes them; the user's folders."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from larimar_memory.system.files import put_in_place, unfinished, user_folder


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "note"
    with put_in_place(target) as new:
        new.write_text("one")
        assert not target.exists()
    assert target.read_text() == "one"
    with pytest.raises(ZeroDivisionError), put_in_place(target) as new:
        new.write_text("half" + str(1 // 0))
    assert target.read_text() == "one"
    assert os.listdir(tmp_path) == ["note"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with pytest.raises(ZeroDivisionError), put_in_place(target, folder=True) as new:
        (new / "a").write_text("half" + str(1 // 0))
    assert os.listdir(tmp_path) == []
    with put_in_place(target, folder=True) as new:
        (new / "a").write_text("whole")
    with pytest.raises(OSError), put_in_place(target, folder=True) as new:
        (new / "b").write_text("other")
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(target) == ["a"]


def test_no_two_have_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor in two containers, where the numbers of processes and of objects are the same."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    target = tmp_path / "note"
    with unfinished(target) as one, unfinished(target) as other:
        assert one != other
    wrong, start = [], threading.Barrier(8)

    def write(text: str) -> None:
        start.wait()
        try:
            for _ in range(50):
                with put_in_place(target) as new:
                    new.write_text(text)
                assert target.read_text()[1:] == "x" * 1000
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=write, args=(f"{n}" + "x" * 1000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert os.listdir(tmp_path) == ["note"]


def test_who_shares_a_folder_can_read_what_is_in_it(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with put_in_place(tmp_path / "m", folder=True) as new:
            (new / "weights").write_bytes(b"w")
            (new / "weights").chmod(0o600)
        with put_in_place(tmp_path / "f") as new:
            new.write_bytes(b"f")
    finally:
        os.umask(before)
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "m" / "weights").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["n" * 255, "ж" * 127, "🎂" * 63])
def test_a_name_as_long_as_the_file_system_takes(tmp_path: Path, name: str) -> None:
    with put_in_place(tmp_path / name) as new:
        new.write_text("x")
    assert (tmp_path / name).read_text() == "x"


@pytest.mark.parametrize(("kind", "usual"), [("cache", ".cache"), ("data", ".local/share")])
def test_folders_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, usual: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    variable = f"XDG_{kind.upper()}_HOME"
    monkeypatch.delenv(variable, raising=False)
    assert user_folder(kind) == tmp_path / usual / "larimar-memory"  # type: ignore[arg-type]
    monkeypatch.setenv(variable, str(tmp_path / "x"))
    assert user_folder(kind) == tmp_path / "x" / "larimar-memory"  # type: ignore[arg-type]
    # The specification has it ignored.
    monkeypatch.setenv(variable, "relative")
    assert user_folder(kind) == tmp_path / usual / "larimar-memory"  # type: ignore[arg-type]


def no_home(*_: object) -> str:
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize("said", [no_home, lambda _: "~/.cache/larimar-memory"])
def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch, said: Callable[..., str]) -> None:
    monkeypatch.setattr("platformdirs.user_cache_dir", said)
    monkeypatch.setattr(Path, "home", no_home)
    assert user_folder("cache") is None
