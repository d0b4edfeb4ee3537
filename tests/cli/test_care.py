"""The commands that look after a memory file, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from larimar_memory.stores.sqlite.integrity import check
from tests.cli.command import larimar
from tests.damage import filled, held, sql


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return filled(tmp_path / "m.larimar")


def test_check_and_repair(path: Path) -> None:
    done = larimar("check", str(path))
    assert done.returncode == 0, done.stderr
    assert "22 documents, 62 segments, 30 latents in 2 namespaces, format 4." in done.stdout
    assert "It is sound." in done.stdout
    assert "is sound; nothing was changed." in larimar("repair", str(path)).stdout
    assert json.loads(larimar("check", str(path), "--json").stdout)["sound"] is True
    sql(path, "UPDATE segments SET text = 'x' WHERE text LIKE 'one says 3 and 1%'")
    done = larimar("check", str(path))
    assert done.returncode == 1
    assert "segments that are not what was written" in done.stdout
    assert "It is damaged; see `larimar repair`." in done.stdout
    done = larimar("check", str(path), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["sound"] is False
    done = larimar("repair", str(path))
    assert done.returncode == 0, done.stderr
    assert "lost  1 segments" in done.stdout
    assert "write again  in namespace one: d3" in done.stdout
    assert f"as it was: {path}.before-repair-" in done.stdout
    assert "is sound now." in done.stdout
    assert larimar("check", str(path)).returncode == 0
    sql(path, "DELETE FROM documents WHERE name = 'd5'")
    result = json.loads(larimar("repair", str(path), "--no-backup", "--json").stdout)
    assert (result["changed"], result["backup"], result["lost"]) == (True, None, {"segments": 6})


def test_backup(path: Path, tmp_path: Path) -> None:
    done = larimar("backup", str(path), str(tmp_path / "copy"), "--json")
    assert json.loads(done.stdout)["bytes"] == (tmp_path / "copy").stat().st_size
    assert held(tmp_path / "copy") == held(path)
    done = larimar("backup", str(path), str(tmp_path / "copy"))
    assert done.returncode == 1
    assert "There is something of that name already." in done.stderr


def test_export_and_import(path: Path, tmp_path: Path) -> None:
    out, new = str(tmp_path / "out"), tmp_path / "new.larimar"
    done = larimar("export", str(path), out)
    assert done.returncode == 0, done.stderr
    assert "segments  62" in done.stdout
    done = larimar("import", str(new), out, "--json")
    assert json.loads(done.stdout)["documents"] == 22
    assert held(new) == held(path)
    done = larimar("import", str(new), out)
    assert done.returncode == 1
    assert "has a document 'd0' in namespace 'one' already." in done.stderr
    assert larimar("import", str(new), out, "--replace").returncode == 0
    assert larimar("import", str(new), out, "-n", "one=uno", "-n", "two \u00e9=due").returncode == 0
    assert check(new).segments == 2 * 62
    done = larimar("import", str(new), out, "-n", "one")
    assert "Error: The namespace 'one' cannot be used." in done.stderr


def test_import_encodes_again_where_that_is_asked(path: Path, tmp_path: Path) -> None:
    out, memory = str(tmp_path / "out"), str(tmp_path / "real.larimar")
    (tmp_path / "a.txt").write_text("The ferry to Ren leaves at nine.")
    assert larimar("ingest", str(tmp_path / "a.txt"), "-m", memory).returncode == 0
    assert larimar("export", str(path), out).returncode == 0
    done = larimar("import", memory, out)
    assert done.returncode == 1
    assert "Its keys were made by encoder test-encoder" in done.stderr
    done = larimar("import", memory, out, "--reencode")
    assert done.returncode == 0, done.stderr
    done = larimar("read", "one says 3 and 1", "-k", "1", "-n", "one", "-m", memory, "--json")
    assert json.loads(done.stdout)["segments"][0]["text"].startswith("one says 3 and 1")


@pytest.mark.parametrize("command", ["check", "repair", "backup", "export"])
def test_where_no_memory_is(tmp_path: Path, command: str) -> None:
    out = [str(tmp_path / "out")] if command in ("backup", "export") else []
    done = larimar(command, str(tmp_path / "absent"), *out)
    assert done.returncode == 1
    assert "Error: There is no memory at " in done.stderr
    (tmp_path / "notes").write_text("just some notes, longer than nothing at all")
    done = larimar(command, str(tmp_path / "notes"), *out)
    assert done.returncode == 1
    assert "notes" in done.stderr
    assert done.stdout == ""
