"""The commands on a memory in a database, whose password they never show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import FACTS, larimar

pytestmark = pytest.mark.model


def test_a_database_in_place_of_a_file(address: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(FACTS)
    secret = address.replace("postgres@", "postgres:hidden@")
    given = ("-m", secret, "--json")
    said = [
        larimar("ingest", str(tmp_path / "a.md"), *given),
        larimar("read", "Who built the lighthouse?", *given),
        larimar("index", secret, "--json"),
        larimar("stats", *given),
        larimar("export", secret, str(tmp_path / "out"), "--json"),
        larimar("forget", "-n", "default", *given),
        larimar("import", secret, str(tmp_path / "out"), "--json"),
        larimar("ingest", str(tmp_path / "a.md"), "-m", secret),
    ]
    assert [done.returncode for done in said] == [0] * len(said)
    ingested, read, indexed, stats, exported, forgotten, imported = (
        json.loads(done.stdout) for done in said[:-1]
    )
    assert ingested["memory"] == indexed["memory"] == stats["path"] == address
    assert exported["memory"] == imported["memory"] == address
    assert "Odile Marchetti" in read["segments"][0]["text"]
    assert (stats["documents"], stats["keyed"]) == (1, stats["segments"])
    assert (forgotten["forgotten"], imported["documents"]) == (1, 1)
    assert "hidden" not in "".join(done.stdout + done.stderr for done in said)


@pytest.mark.parametrize(
    ("command", "done"), [("check", "checked"), ("repair", "repaired"), ("backup", "copied")]
)
def test_what_a_server_does_itself_is_refused(command: str, done: str, tmp_path: Path) -> None:
    more = [str(tmp_path / "copy")] if command == "backup" else []
    told = larimar(command, "postgresql://u:hidden@h/d", *more)
    assert told.returncode == 1
    assert " ".join(told.stderr.split()) == (
        f"Error: Nothing was {done}. postgresql://u@h/d is a database, which its server keeps whole "
        "and copies itself. Use pg_amcheck and pg_dump; docs/scaling.md says how."
    )
