"""Forget: delete documents, and erase them from the files."""

from __future__ import annotations

from collections.abc import Iterable

from larimar_memory import validate
from larimar_memory.stores.base import Store
from larimar_memory.types import DEFAULT_NAMESPACE, Where


def forget(
    store: Store,
    ids: str | Iterable[str] | None,
    where: Where | None,
    namespace: str | None,
    purge: bool,
) -> int:
    """Delete documents as `Larimar.forget` says; returns how many.

    Raises:
        InputError: if nothing says what to forget, or an id is no str.
        MemoryBusyError: if it is forgotten, but others use the files and keep it from being erased.
    """
    named = validate.check_what_to_forget(ids, where, namespace)
    space = DEFAULT_NAMESPACE if namespace is None else validate.check_name(namespace, "namespace")
    count = store.delete(space, ids=named, where=where, to_purge=purge)
    if purge and count:
        store.purge()
    elif purge:
        store.clear()
    return count
