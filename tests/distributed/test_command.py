"""`larimar ingest --engine ray`: the command uses the cluster that this process is connected to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import FACTS, larimar


@pytest.mark.model
@pytest.mark.slow
def test_files_by_ray_are_read_as_by_one_process(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.md").write_text(FACTS)
    (tmp_path / "in" / "x.jpg").write_bytes(b"\0")
    memory = str(tmp_path / "m.larimar")
    done = larimar(
        "ingest", str(tmp_path / "in"), "-m", memory, "--engine", "ray", "--workers", "1", "--json"
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["documents"], [one["path"][-5:] for one in said["skipped"]]) == (1, ["x.jpg"])
    again = larimar("ingest", str(tmp_path / "in"), "-m", memory, "--json")
    assert json.loads(again.stdout)["new_segments"] == 0
    read = larimar("read", "Who built the lighthouse?", "-m", memory, "--json")
    assert "Odile Marchetti" in json.loads(read.stdout)["segments"][0]["text"]
