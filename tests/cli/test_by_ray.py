"""What `larimar ingest --engine ray` does not take; `tests/distributed` has what it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import FACTS, larimar

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
