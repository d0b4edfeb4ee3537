"""Ray, if it is there: the package, and a cluster to work on."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from larimar_memory.errors import InputError

_OBJECTS = 1 << 29
"""Bytes that a cluster of our own keeps for what processes pass on: a few blocks of texts at a time."""

_ADDRESS = re.compile(r"(?:ray://)?(\[[^]]+\]|[^:/]+):(\d+)")
_PROBE_SECONDS = 10
_UNREACHABLE = (ConnectionError, TimeoutError, RuntimeError, ValueError, OSError)


def installed() -> ModuleType:
    """Ray, with its part for data.

    Raises:
        InputError: if it is not installed.
    """
    # No usage statistics are sent, unless the user turned them on.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's own lines on standard error are of no use to the user; Ray reads this when it is imported.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError(
            "Nothing was ingested.",
            f"Ray Data is not installed ({error}).",
            'Install it with `pip install "larimar-memory[ray]"`.',
        ) from error
    return ray


@contextmanager
def connected(address: str | None) -> Iterator[ModuleType]:
    """Ray, connected to a cluster: the current one, the one at the address, or a new one.

    Without a current one, an address or `RAY_ADDRESS`, the new cluster is processes of this machine,
    which end with the block.

    Raises:
        InputError: if Ray is not installed, or cannot be reached or started.
    """
    ray = installed()
    if ray.is_initialized():
        yield ray
        return
    where = address or os.environ.get("RAY_ADDRESS")
    options: dict[str, Any] = (
        {} if where else {"object_store_memory": _OBJECTS, "include_dashboard": False}
    )
    try:
        _probe(where)
        ray.init(where, logging_level=logging.ERROR, log_to_driver=False, **options)
    except _UNREACHABLE as error:
        said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise InputError(
            f"Ray cannot be reached at {where}." if where else "Ray cannot be started.",
            f"It says: {said[:300]}.",
            "Check the address and that `ray status` answers there."
            if where
            else "Check that this machine lets it open ports and make files in its temporary folder.",
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield ray
    finally:
        ray.shutdown()


def _probe(address: str | None) -> None:
    """Raise OSError if nobody listens at an address: Ray itself would try for minutes."""
    if address and (found := _ADDRESS.fullmatch(address)):
        place = found[1].strip("[]"), int(found[2])
        socket.create_connection(place, timeout=_PROBE_SECONDS).close()
