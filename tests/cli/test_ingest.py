"""What `larimar ingest` says of files that it does not read, and how it takes a password."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from larimar_memory.cli.passed_over import PassedOver
from larimar_memory.larimar import Larimar
from larimar_memory.text.files import Skipped
from tests.cli.command import larimar
from tests.text.test_folders import encrypted


@pytest.mark.model
def test_what_is_not_read_is_listed_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("The ferry leaves at nine.")
    for n in range(5):
        (tmp_path / "docs" / f"p{n}.jpg").write_bytes(b"\0")
        (tmp_path / "docs" / f"{n}.txt").write_bytes(b"x" * n + b"\xff")
    memory = str(tmp_path / "m.larimar")
    done = larimar("ingest", str(tmp_path / "docs"), "-m", memory)
    assert done.returncode == 0
    summary = done.stderr[done.stderr.index("10 skipped:") :].split("\n")
    assert [line.split("  ")[1:3] for line in summary[1:3]] == [
        ["5", "At byte 0 it is not utf-8. Name its encoding with --encoding, for example latin-1."],
        ["5", "Files of the kind .jpg are not read. Convert it to text, or to PDF."],
    ]
    assert summary[2].endswith("p2.jpg, ...")
    done = larimar("ingest", str(tmp_path / "docs"), "-m", memory, "--json")
    skipped = json.loads(done.stdout)["skipped"]
    assert (len(skipped), done.stderr) == (10, "")
    assert skipped[-1]["why"] == "Files of the kind .jpg are not read."


@pytest.mark.model
def test_a_password_by_option_or_variable(tmp_path: Path) -> None:
    path = str(encrypted(tmp_path / "a.pdf", "AES-256", "user-Zq7"))
    memory = str(tmp_path / "m.larimar")
    done = larimar("ingest", path, "-m", memory)
    assert done.returncode == 1
    assert (
        "It is encrypted and needs a password. Give it with --password or LARIMAR_PASSWORD"
        in done.stderr
    )
    done = larimar("ingest", path, "-m", memory, LARIMAR_PASSWORD="other-Zq7")
    assert (done.returncode, "Zq7" in done.stderr) == (1, False)
    done = larimar("ingest", path, "-m", memory, "--json", LARIMAR_PASSWORD="user-Zq7")
    assert (done.returncode, "Zq7" in done.stdout + done.stderr) == (0, False)
    assert larimar("ingest", path, "-m", memory, "--password", "user-Zq7").returncode == 0
    assert b"Zq7" not in (tmp_path / "m.larimar").read_bytes()
    assert "Zq7" not in larimar("ingest", "--help", LARIMAR_PASSWORD="user-Zq7").stdout


def test_a_million_that_are_not_read_are_counted_in_flat_memory(
    capsys: pytest.CaptureFixture[str],
) -> None:
    passed = PassedOver(as_json=False)
    tracemalloc.start()
    try:
        for n in range(100_000):
            passed.take(
                Skipped(f"{n}.x", f"Files of the kind .{chr(97 + n % 26) * (n % 40)} are not read.")
            )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    assert passed.listed == []
    passed.print_notes()
    said = capsys.readouterr().err
    assert said.startswith("100,000 skipped:")
    assert "For other reasons; --json lists each." in said


@pytest.mark.model
def test_files_of_an_episode(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.txt").write_text(f"Chapter {n} tells of the ferry.")
    memory = tmp_path / "m.larimar"
    first, second, third = (str(tmp_path / f"{n}.txt") for n in range(3))

    def held() -> dict[str, str | None]:
        with Larimar.open(memory, encoder=None) as opened:
            return {Path(document.id).name: document.episode for document in opened.documents()}

    assert larimar("ingest", first, second, "-m", str(memory), "--episode", "book").returncode == 0
    assert larimar("ingest", third, "-m", str(memory)).returncode == 0
    assert held() == {"0.txt": "book", "1.txt": "book", "2.txt": None}
    done = larimar("ingest", second, third, "-m", str(memory), "--episode", "other", "--json")
    assert json.loads(done.stdout)["new_segments"] == 0
    assert held() == {"0.txt": "book", "1.txt": "other", "2.txt": "other"}
    done = larimar("ingest", first, "-m", str(tmp_path / "new"), "--episode", "")
    assert (done.returncode, (tmp_path / "new").exists()) == (1, False)
    assert "'' cannot be a name of an episode." in done.stderr


@pytest.mark.model
def test_a_folder_is_watched_until_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs, memory = tmp_path / "docs", str(tmp_path / "m.larimar")
    docs.mkdir()
    (docs / "a.txt").write_text("The ferry leaves at nine.")
    (docs / "b.txt").write_text("The bus leaves at ten.")
    (docs / "c.jpg").write_bytes(b"\0")

    def sets(*_: object, **__: object) -> Iterator[set[tuple[int, str]]]:
        yield set()
        (docs / "a.txt").unlink()
        (docs / "b.txt").write_bytes(b"\xff")
        yield {(3, str(docs / "a.txt")), (2, str(docs / "b.txt"))}
        raise KeyboardInterrupt

    monkeypatch.setattr("watchfiles.watch", sets)
    done = larimar("ingest", str(docs), "-m", memory, "--watch")
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "LARIMAR" not in line] == [
        f"Watching {docs}; Ctrl-C ends it.",
        "1 skipped:",
        f"  1  Files of the kind .jpg are not read. Convert it to text, or to PDF.  {docs}/c.jpg",
        "2 files read, 0 documents forgotten.",
        f"{docs}/b.txt: At byte 0 it is not utf-8. "
        "Name its encoding with --encoding, for example latin-1.",
        "0 files read, 1 documents forgotten.",
    ]
    assert done.stdout == "2 files were read, 1 documents forgotten; 1 are there.\n"
    (docs / "b.txt").unlink()
    monkeypatch.setattr("watchfiles.watch", lambda *_, **__: iter([set()]))
    done = larimar("ingest", str(docs), "-m", memory, "--watch", "--json")
    said = json.loads(done.stdout)
    assert (said["folder"], said["forgotten"], said["documents"]) == (str(docs), 1, 0)
    for paths, why in (([str(docs), str(docs)], "2 paths were given"), (["-"], "no such folder")):
        done = larimar("ingest", *paths, "-m", memory, "--watch")
        assert (done.returncode, why in done.stderr) == (1, True)
