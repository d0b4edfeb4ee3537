"""`larimar ingest --engine ray`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import FACTS, larimar

RAYS = "--address, --workers and --gpus are Ray's. Name it with `--engine ray`."


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--engine", "spark"), "There is no engine 'spark'. Choose one of local, ray."),
        (("--engine", "ray", "--watch"), "Ray ingests once, and --watch goes on."),
        (("--address", "auto"), RAYS),
        (("--workers", "2"), RAYS),
        (("--gpus", "1"), RAYS),
        (("--engine", "ray", "--gpus", "-1"), "gpus is -1.0."),
        (("--engine", "ray", "--workers", "0"), "workers is 0."),
    ],
)
def test_what_does_not_go_together(more: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(FACTS)
    done = larimar("ingest", str(tmp_path / "a.md"), "-m", str(tmp_path / "m.larimar"), *more)
    assert done.returncode == 1
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "m.larimar").exists()


@pytest.mark.model
@pytest.mark.slow
def test_files_by_ray_are_read_as_by_one_process(tmp_path: Path) -> None:
    pytest.importorskip("ray.data")
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
