"""Looking at paths that somebody else named."""

from __future__ import annotations

from pathlib import Path


def exists(path: Path) -> bool:
    """Whether there is a file or folder; nothing has a name that is too long, or holds a NUL."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder of that name."""
    return exists(path) and path.is_dir()
