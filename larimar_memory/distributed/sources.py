"""Datasets of Ray from what is to be ingested: files, Parquet, or a dataset itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from larimar_memory.errors import InputError
from larimar_memory.system.places import exists
from larimar_memory.text.files import STDIN, Skipped, inside, shown, size_of
from larimar_memory.text.formats import unreadable
from larimar_memory.validate import is_many

PATH, NAMED = "path", "named"
"""Columns of a dataset of files: each one's path, and whether it was named or found in a folder."""

COLUMNS = ("text", "id", "metadata")
_PARQUET = ".parquet"
_TASK_BYTES, _TASK_FILES = 1 << 22, 512
"""Most bytes, and most files, that one task reads."""

OnSkipped = Callable[[Skipped], None]


def datasets(ray: Any, given: Any, on_skipped: OnSkipped | None) -> Iterator[Any]:
    """Datasets of what is given, in its order.

    Args:
        given: a dataset of Ray, or one or more paths of files, folders or Parquet, or addresses that
            fsspec knows.

    Raises:
        InputError: if it is neither, or a path does not exist.
    """
    if isinstance(given, ray.data.Dataset):
        yield given
        return
    alone = isinstance(given, str | os.PathLike)
    if not alone and not is_many(given):
        raise InputError(
            "Nothing was ingested.",
            f"It is a {type(given).__name__}.",
            "Give a dataset of Ray, or paths of files, folders or Parquet.",
        )
    found = [*chain.from_iterable(_files(os.fspath(one)) for one in ([given] if alone else given))]
    parquet = [one for one in found if _name(one).endswith(_PARQUET)]
    others = [one for one in found if not _name(one).endswith(_PARQUET)]
    skipped = [one for one in others if isinstance(one, Skipped)]
    files = [one for one in others if not isinstance(one, Skipped)]
    for one in skipped:
        if on_skipped is not None:
            on_skipped(one)
    if not parquet and not files:
        reason = f" The first is {skipped[0].name}: {skipped[0].why}" if skipped else ""
        raise InputError(
            "Nothing was ingested.", f"None of the files can be read.{reason}", "Name other files."
        )
    if files:
        yield _of_files(ray, files)
    if parquet:
        yield _of_parquet(ray, [_name(one) for one in parquet])


def _of_files(ray: Any, files: Sequence[tuple[str, bool]]) -> Any:
    """A dataset of files, whose blocks are about one task's work each."""
    import pyarrow as pa

    blocks, size = list[list[dict[str, Any]]]([[]]), 0
    for path, named in files:
        if blocks[-1] and (size >= _TASK_BYTES or len(blocks[-1]) >= _TASK_FILES):
            blocks.append([])
            size = 0
        blocks[-1].append({PATH: os.fsencode(path), NAMED: named})
        size += _TASK_BYTES // 8 if remote(path) else size_of(Path(path))
    return ray.data.from_arrow([pa.Table.from_pylist(block) for block in blocks])


def _of_parquet(ray: Any, paths: list[str]) -> Any:
    try:
        dataset = ray.data.read_parquet(paths)
        # Small blocks: every worker has work, and a kill costs little.
        dataset.context.target_max_block_size = _TASK_BYTES
        there = set(dataset.columns() or ())
    except (OSError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            "Nothing was ingested.",
            f"{paths[0]} cannot be read as Parquet: {said[:300]}.",
            "Check the path, and that the file is whole.",
        ) from error
    if "text" not in there:
        raise no_text(there)
    return dataset.select_columns([name for name in COLUMNS if name in there])


def no_text(there: Iterable[str]) -> InputError:
    """The error for a dataset without texts."""
    named = ", ".join(sorted(there)) or "none"
    return InputError(
        "The dataset cannot be ingested.",
        f"It has no column text; its columns are {named}.",
        "Rename one with `dataset.rename_columns`; columns id and metadata are read too.",
    )


def _files(name: str) -> Iterator[tuple[str, bool] | Skipped]:
    """Files by their paths or addresses, and the files in folders that are skipped."""
    if name == STDIN:
        raise unreadable("standard input", "Other processes cannot read it.", "Name a file.")
    if remote(name):
        yield from _addresses(name)
        return
    path = Path(name).expanduser()
    if not exists(path):
        raise unreadable(shown(path), "There is no such file or folder.", "Check the path.")
    if not path.is_dir():
        yield str(path), True
        return
    for one in inside(path):
        if isinstance(one, Skipped) and one.name.endswith(_PARQUET):
            yield one.name, False
        else:
            yield one if isinstance(one, Skipped) else (str(one), False)


def _addresses(name: str) -> Iterator[tuple[str, bool]]:
    """The files under an address of object storage."""
    import fsspec

    try:
        storage, place = fsspec.url_to_fs(name)
        folder = storage.isdir(place)
        found = sorted(storage.find(place)) if folder else [place]
        if not folder and not storage.exists(place):
            raise FileNotFoundError("there is nothing of that name")
        for one in found:
            yield storage.unstrip_protocol(one), not folder
    except (OSError, ImportError, ValueError) as error:
        why = f"{type(error).__name__}: {str(error).rstrip('.')}."
        raise unreadable(name, why, "Check the address, and what fsspec needs for it.") from error


def remote(name: str) -> bool:
    """Whether a name is an address rather than a path."""
    return "://" in name


def _name(one: tuple[str, bool] | Skipped) -> str:
    return one.name if isinstance(one, Skipped) else one[0]
