"""The files of a memory, any of which another process may delete while they are looked at."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from larimar_memory.stores.sqlite.listed import index_folder


def bytes_on_disk(path: Path | None) -> int:
    """Bytes of a memory file, its log and its indexes; what is deleted meanwhile does not count."""
    if path is None:
        return 0
    files, size = [path], 0
    for folder, pattern in ((path.parent, f"{path.name}-*"), (index_folder(path), "*")):
        with suppress(FileNotFoundError):
            files += [file for file in folder.glob(pattern) if file.is_file()]
    for file in files:
        with suppress(FileNotFoundError):
            size += file.stat().st_size
    return size


def repairing(path: Path) -> Path:
    """What a repair of a memory file writes first, beside it."""
    return path.with_name(f"{path.name}.repairing")


def remove(path: Path, *, but_file: bool = False) -> None:
    """Delete a database, as far as it is there, and its log; or the log alone."""
    for suffix in ("-wal", "-shm") if but_file else ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
