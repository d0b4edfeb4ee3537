"""Where a memory of a test is."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file alone in its folder."""
    (tmp_path / "m").mkdir()
    return tmp_path / "m" / "m.larimar"
