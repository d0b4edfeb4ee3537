"""Receipts of what was forgotten, as a user of the command line meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from larimar_memory.larimar import Larimar
from tests.cli.command import larimar
from tests.damage import sql
from tests.facade.receipted import filled, left
from tests.quick import QuickEncoder

WHERE = '{"person": "mallory jones"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m.larimar"
    with Larimar.open(path, encoder=QuickEncoder()) as memory:
        filled(memory)
    return path


def test_a_person_is_forgotten_with_a_receipt(path: Path) -> None:
    done = larimar("forget", "-m", str(path), "--where", WHERE, "--everywhere", "--receipt")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 documents forgotten." in done.stdout
    assert "receipt 1: 2 documents" in done.stdout
    assert "default: s\n" in done.stdout
    assert "pieces in m.larimar (" in done.stdout
    assert "nothing is left" in done.stdout
    assert left(path) == []
    done = larimar("forget", "-m", str(path), "--id", "k", "--receipt", "--json")
    said = json.loads(done.stdout)
    assert (said["forgotten"], said["receipt"]["erased"]) == (1, True)
    done = larimar("receipts", "-m", str(path), "--verify", "--json")
    listed = json.loads(done.stdout)
    assert (listed["verified"], listed["receipts"][1]) == (True, said["receipt"])
    done = larimar("receipts", "-m", str(path), "--verify")
    assert done.stdout.endswith("2 receipts, all as they were written.\n")
    sql(path, "DELETE FROM receipts WHERE id = 4")
    assert larimar("receipts", "-m", str(path)).returncode == 0
    done = larimar("receipts", "-m", str(path), "--verify")
    assert (done.returncode, "4 entries were added, and 3 are there" in done.stderr) == (1, True)


def test_what_is_left_is_told_with_status_1(path: Path) -> None:
    with Larimar.open(path, encoder=None) as memory:
        text = memory.text("f", namespace="other")
    path.with_name("m.larimar.before-repair-1").write_text(text)
    done = larimar("forget", "-m", str(path), "--id", "f", "-n", "other", "--receipt")
    assert (done.returncode, "left in m.larimar.before-repair-1" in done.stdout) == (1, True)


def test_everywhere_without_saying_what(path: Path) -> None:
    done = larimar("forget", "-m", str(path), "--everywhere")
    assert (done.returncode, "for what is to be forgotten everywhere" in done.stderr) == (1, True)
    done = larimar("forget", "-m", str(path), "--id", "s", "--id", "t", "--everywhere", "--json")
    assert json.loads(done.stdout) == {"forgotten": 2}
    assert "0 receipts." in larimar("receipts", "-m", str(path)).stdout
