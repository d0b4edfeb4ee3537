"""`larimar copy` and `larimar merge`, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from larimar_memory.testing.writes import batch
from tests.cli.command import larimar
from tests.damage import filled, held
from tests.stores.test_laws import open_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return filled(tmp_path / "m.larimar")


def test_a_memory_is_copied_to_a_database_an_export_and_back(
    path: Path, tmp_path: Path, address: str
) -> None:
    secret = address.replace("postgres@", "postgres:hidden@")
    out, new = f"{tmp_path}/out/", str(tmp_path / "new.larimar")
    done = [
        larimar("copy", str(path), secret, "--json"),
        larimar("copy", secret, out),
        larimar("copy", out, new, "--json"),
        larimar("copy", secret, new, "--json"),
    ]
    assert [one.returncode for one in done] == [0] * 4, done
    first, _, third, again = (
        json.loads(one.stdout) if one.args[-1] == "--json" else {} for one in done
    )
    assert first == {
        "source": str(path),
        "target": address,
        "written": 22,
        "replaced": 0,
        "kept": 0,
        "segments": 62,
    }
    assert "written  22" in done[1].stdout
    assert "copying" in done[1].stderr
    assert (third["source"], third["written"]) == (out, 22)
    assert (again["written"], again["kept"]) == (0, 22)
    assert held(Path(new)) == held(path)
    assert "hidden" not in "".join(one.stdout + one.stderr for one in done)


def test_one_namespace_is_copied(path: Path, tmp_path: Path) -> None:
    done = larimar("copy", str(path), str(tmp_path / "one"), "-n", "one", "--json")
    assert json.loads(done.stdout)["written"] == 11
    done = larimar("copy", str(path), str(tmp_path / "two"), "--namespace", "two")
    assert done.returncode == 1
    assert f"Error: Nothing was copied. There is no namespace 'two' in {path}." in done.stderr


def test_memories_are_merged_by_a_rule(path: Path, tmp_path: Path) -> None:
    other, into = tmp_path / "other.larimar", tmp_path / "all.larimar"
    store = open_file(other)
    store.write("one", [batch("d3", ["other"]), batch("new", ["more"])])
    store.close()
    done = larimar("merge", str(path), str(other), "--into", str(into))
    assert done.returncode == 1
    assert "Document 'd3' of namespace 'one' is not the same in" in done.stderr
    assert "Say which one stays with `--same newer` or `--same first`" in done.stderr
    assert not into.exists()
    done = larimar("merge", str(path), str(other), "--into", str(into), "--same", "first", "--json")
    assert json.loads(done.stdout) == {
        "sources": [str(path), str(other)],
        "into": str(into),
        "written": 23,
        "replaced": 0,
        "kept": 1,
        "segments": 64,
    }
    done = larimar("merge", str(path), str(other), "--into", str(into), "--same", "first")
    assert done.returncode == 0, done.stderr
    assert "merging" in done.stderr
    assert "kept  24" in done.stdout
    done = larimar("merge", str(path), "--into", str(into), "--same", "last", "--json")
    assert (
        json.loads(done.stderr)["error"]["why"] == "There is no rule 'last' for ids that several hold."
    )
    done = larimar("copy", str(path), str(path))
    assert "It is the same memory. Name two different memories." in done.stderr
