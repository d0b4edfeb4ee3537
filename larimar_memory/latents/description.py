"""What an answering adapter's folder says of it, apart from its weights; torch is not needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from larimar_memory.errors import ModelError
from larimar_memory.system.files import put_in_place

TENSORS, DESCRIPTION = "adapter.safetensors", "adapter.json"
FORMAT = 1
NEEDED = ("decoder", "rank", "figures")


def describe(folder: Path, **values: Any) -> None:
    """Put what was fitted for an adapter into its description: "refusing" or "judging".

    Raises:
        ModelError: as `described`.
    """
    write(folder, described(folder) | values)


def write(folder: Path, description: dict[str, Any]) -> None:
    """Write a whole description, which appears whole or not."""
    with put_in_place(folder / DESCRIPTION) as new:
        new.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def described(folder: Path) -> dict[str, Any]:
    """The description of an adapter: "decoder", "rank", "figures" and more.

    Raises:
        ModelError: if there is none, it is damaged, or it has another format.
    """
    try:
        description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        format_, *_ = (description[key] for key in ("format", *NEEDED))
    except OSError as error:
        raise missing(folder, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(folder, f"{type(error).__name__}: {error}") from error
    if format_ != FORMAT:
        raise ModelError(
            f"The answering adapter in {folder} cannot be used.",
            f"It has format {format_}, and this version reads {FORMAT}.",
            "Use the version that wrote it, or train it again.",
        )
    return description


def missing(folder: Path, error: OSError) -> ModelError:
    """The error of a folder whose files cannot be read."""
    return ModelError(
        f"There is no answering adapter in {folder}.",
        f"Its {DESCRIPTION} or {TENSORS} cannot be read: {error.strerror}.",
        "Name the folder that training wrote.",
    )


def damaged(folder: Path, reason: str) -> ModelError:
    """The error of a folder whose files are not what they should be."""
    return ModelError(
        f"The answering adapter in {folder} cannot be used.",
        f"It is damaged: {reason}.",
        "Copy it again, or train it again.",
    )
