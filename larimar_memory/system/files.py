"""Folders of the user, and files and folders that appear under their names whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import platformdirs

_NAME_BYTES = 120
"""Of a target's name in that of what is to take its place: file systems take no more than 255."""

UNFINISHED = ".tmp"
"""What the names end with of what may be left by a process that was killed."""


def user_folder(kind: Literal["cache", "data"]) -> Path | None:
    """The package's folder among the user's; None where the home folder cannot be determined."""
    find = platformdirs.user_cache_dir if kind == "cache" else platformdirs.user_data_dir
    with suppress(RuntimeError):
        if (found := Path(find("larimar-memory"))).is_absolute():
            return found
        # The XDG specification has a relative path ignored: it would be another in every folder.
        home = Path.home() / (".cache" if kind == "cache" else ".local/share")
        return home / "larimar-memory" if home.is_absolute() else None
    return None


@contextmanager
def put_in_place(target: Path, *, folder: bool = False) -> Iterator[Path]:
    """What is written to the path given takes the target's place at the block's end, once on the disk.

    Nobody sees it half done. Where the block fails, the target is as it was. A folder takes the place
    of nothing, or of an empty one.

    Raises:
        OSError: if it cannot be written.
    """
    with unfinished(target, folder=folder) as new:
        mode = new.stat().st_mode & 0o666
        yield new
        for file in _files(new):
            # safetensors' can be read by nobody else, who may share a folder of models.
            file.chmod(mode)
        place(new, target)


@contextmanager
def unfinished(target: Path, *, folder: bool = False) -> Iterator[Path]:
    """A file, or a folder, beside the target, which is gone at the block's end unless it was placed.

    No other has its name: neither a thread's, nor a process's of this or of another machine. Numbers of
    processes are the same in every container.

    Raises:
        OSError: if it cannot be made.
    """
    stem = os.fsdecode(os.fsencode(target.name)[:_NAME_BYTES])
    new = target.with_name(f"{stem}.{secrets.token_hex(8)}{UNFINISHED}")
    new.mkdir() if folder else new.touch(exist_ok=False)
    try:
        yield new
    finally:
        with suppress(OSError):
            shutil.rmtree(new, ignore_errors=True) if folder else new.unlink(missing_ok=True)


def place(new: Path, target: Path) -> None:
    """Give what was written the target's name, once it is on the disk.

    Raises:
        OSError: if that is not possible.
    """
    for file in _files(new):
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())
    os.replace(new, target)


def _files(new: Path) -> list[Path]:
    return sorted(path for path in new.rglob("*") if path.is_file()) if new.is_dir() else [new]
