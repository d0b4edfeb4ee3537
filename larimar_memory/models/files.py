"""Model files: their hashes, their manifests, and the folder of converted models."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import re
from pathlib import Path
from typing import Any

from larimar_memory.errors import ModelError
from larimar_memory.system.files import put_in_place, user_folder

log = logging.getLogger(__name__)

COARSE_KEYS = "coarse_keys.safetensors"
"""A table of coarse keys in a model's folder, which is made from the model and is not part of it."""

_DIGEST = re.compile("[0-9a-f]{64}")


def cache_folder() -> Path:
    """The folder of converted models: `$LARIMAR_CACHE`, or the user's cache folder.

    Raises:
        ModelError: if there is no such folder.
    """
    try:
        named = os.environ.get("LARIMAR_CACHE")
        folder = Path(named).expanduser() if named else user_folder("cache")
    except RuntimeError:
        folder = None
    if folder is None:
        raise ModelError(
            "There is no folder for converted models.",
            "The user's home folder cannot be determined.",
            "Set LARIMAR_CACHE to a folder that can be written.",
        )
    return folder


def not_written(what: str, folder: Path, error: Exception) -> ModelError:
    """The error if a model cannot be put into the cache.

    Args:
        what: the sentence that says what failed.
        folder: the one that was written to.
    """
    return ModelError(
        what,
        f"Writing to {folder} failed: {getattr(error, 'strerror', None) or error}.",
        "Free some space there, or set LARIMAR_CACHE to a folder that can be written.",
    )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a model; empty if there is no such file.

    Raises:
        ValueError: if the file is not JSON.
    """
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, computed once per process while the file does not change."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, size: int, modified: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def verify(path: Path, expected: str) -> None:
    """Raise ModelError unless the file has the expected SHA-256."""
    found = sha256(path)
    if found != expected:
        raise ModelError(
            f"The model file {path} cannot be trusted.",
            f"Its SHA-256 is {found[:16]}..., not {expected[:16]}....",
            "Install the package that brought it again, or delete the file if it is in a cache.",
        )


def fingerprint(folder: Path) -> str:
    """A short hash that identifies a model by its weights and its pooling."""
    digest = hashlib.sha256()
    weights = (path for path in folder.glob("*.safetensors") if path.name != COARSE_KEYS)
    for path in sorted([*weights, *folder.glob("*_Pooling/config.json")]):
        digest.update(f"{path.relative_to(folder).as_posix()}:{_cached_sha256(path)};".encode())
    return digest.hexdigest()[:32]


def _cached_sha256(path: Path) -> str:
    """SHA-256 of a file, remembered per path, size and modification time."""
    stat = path.stat()
    identity = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}".encode()
    name = hashlib.sha256(identity).hexdigest()
    try:
        note = cache_folder() / "sha256" / name
        known = note.read_text(encoding="ascii") if note.is_file() else ""
    except (OSError, ValueError, ModelError):
        known = ""
    # A note that was cut off, or that others have written, is made again.
    if _DIGEST.fullmatch(known):
        return known
    digest = sha256(path)
    try:
        note = cache_folder() / "sha256" / name
        note.parent.mkdir(parents=True, exist_ok=True)
        with put_in_place(note) as new:
            new.write_text(digest, encoding="ascii")
    except (OSError, ModelError) as error:
        _go_on_without_note(str(error))
    return digest


@functools.cache
def _go_on_without_note(why: str) -> None:
    # The note saves a third of a second at the next start, and no more.
    log.info("hashes of models are not kept: %s", why)


def write_manifest(folder: Path, source_sha256: str) -> None:
    """Record the SHA-256 of every file in `folder`, and of its source."""
    files = {p.name: sha256(p) for p in sorted(folder.iterdir()) if p.is_file()}
    manifest = {"source_sha256": source_sha256, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def manifest_holds(folder: Path, source_sha256: str) -> bool:
    """Whether `folder` was made from that source, and all its files are as they were written."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return manifest["source_sha256"] == source_sha256 and all(
            sha256(folder / name) == digest for name, digest in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
