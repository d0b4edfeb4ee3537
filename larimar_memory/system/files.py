"""The user's folders, and files and folders that appear under their names whole or not at all."""

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
"""How much of a target's name goes into that of its temporary file: file systems allow 255 bytes."""

UNFINISHED = ".tmp"
"""The ending of the names of files that a killed process may leave behind."""


def user_folder(kind: Literal["cache", "data"]) -> Path | None:
    """The package's folder among the user's; None if the home folder cannot be determined."""
    find = platformdirs.user_cache_dir if kind == "cache" else platformdirs.user_data_dir
    with suppress(RuntimeError):
        if (found := Path(find("larimar-memory"))).is_absolute():
            return found
        # By the XDG specification, a relative path is ignored: it would depend on the working folder.
        home = Path.home() / (".cache" if kind == "cache" else ".local/share")
        return home / "larimar-memory" if home.is_absolute() else None
    return None


@contextmanager
def put_in_place(target: Path, *, folder: bool = False) -> Iterator[Path]:
    """A path whose content takes the target's place at the block's end, once it is on the disk.

    Nobody sees it half done. If the block fails, the target stays as it was. A folder takes the place
    only of an empty folder, or of none.

    Raises:
        OSError: if it cannot be written.
    """
    with unfinished(target, folder=folder) as new:
        mode = new.stat().st_mode & 0o666
        yield new
        for file in _files(new):
            # safetensors' files can be read by their owner only, and a folder of models may be shared.
            file.chmod(mode)
        place(new, target)


@contextmanager
def unfinished(target: Path, *, folder: bool = False) -> Iterator[Path]:
    """A file or folder beside the target, which is deleted at the block's end unless it was placed.

    Its name is random, so that no other thread, process or machine has it. Numbers of processes are the
    same in every container.

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
    """Rename what was written to the target, once it is on the disk.

    Raises:
        OSError: if that is not possible.
    """
    for file in _files(new):
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())
    os.replace(new, target)


def _files(new: Path) -> list[Path]:
    return sorted(path for path in new.rglob("*") if path.is_file()) if new.is_dir() else [new]
