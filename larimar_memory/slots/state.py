"""A fixed-slot memory as one safetensors file: saved and loaded exactly, to the last bit."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from larimar_memory.errors import MemoryFileError
from larimar_memory.slots.slots import SlotMemory
from larimar_memory.system.files import put_in_place

_FORMAT = "larimar-slots"
_VERSION = 1


def save_slots(memory: SlotMemory, path: str | os.PathLike[str]) -> None:
    """Write the state, and what exact forgetting needs, to the file; an existing file is replaced.

    Raises:
        MemoryFileError: if the file cannot be written.
    """
    target = Path(path)
    settings = {
        "alpha": memory.alpha,
        "ridge": memory.ridge,
        "when_full": memory.when_full,
        "version": _VERSION,
    }
    state, described = memory.state(), json.dumps(settings)
    about = {"format": _FORMAT, "settings": described, "checksum": _checksum(described, state)}
    blob = save(state, metadata=about)
    try:
        with put_in_place(target) as new:
            new.write_bytes(blob)
    except OSError as error:
        raise MemoryFileError(
            f"The slot memory cannot be saved to {target}.",
            f"The system said: {error.strerror or error}.",
            "Check the path, its permissions and the free space.",
        ) from error


def load_slots(path: str | os.PathLike[str]) -> SlotMemory:
    """The memory that `save_slots` wrote; its readouts have the same bits.

    Raises:
        MemoryFileError: if the file is missing, damaged or of a newer release.
    """
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise MemoryFileError(
            f"The slot memory {path} cannot be opened.",
            f"The file is missing or damaged: {error}.",
            "Check the path, or restore it from a backup.",
        ) from error
    if about.get("format") != _FORMAT:
        raise _unusable(path, "It is not a file of slots.")
    try:
        settings = json.loads(about["settings"])
        version = settings.pop("version")
        if version > _VERSION:
            raise _unusable(path, f"Its format is version {version}, newer than this release's.")
        if about["checksum"] != _checksum(about["settings"], tensors):
            raise _unusable(path, "Its checksum is not that of its contents: it is damaged.")
        reference, cross = tensors["reference"], tensors["cross"]
        slots, dimension = reference.shape
        memory = SlotMemory(slots, dimension, cross.shape[1], reference=reference, **settings)
        memory.restore(tensors)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise _unusable(path, f"Its contents do not fit together ({error}).") from error
    return memory


def _checksum(settings: str, tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.blake2b(settings.encode(), digest_size=16)
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name])
        digest.update(f"|{name}|{values.dtype.str}|{values.shape}|".encode())
        digest.update(values.data)
    return digest.hexdigest()


def _unusable(path: str | os.PathLike[str], why: str) -> MemoryFileError:
    return MemoryFileError(
        f"The slot memory {path} cannot be opened.",
        why,
        "Restore it from a backup, or write the items again.",
    )
