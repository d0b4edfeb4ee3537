"""Consecutive items in groups up to a given size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_Thing = TypeVar("_Thing")


def in_groups(
    things: Iterable[_Thing], size_of: Callable[[_Thing], int], most: int
) -> Iterator[list[_Thing]]:
    """Groups, each as large as it may be; an item larger than `most` is alone."""
    group, size = list[_Thing](), 0
    for thing in things:
        own = size_of(thing)
        if group and size + own > most:
            yield group
            group, size = [], 0
        group.append(thing)
        size += own
    if group:
        yield group
