"""Checks of a store that a caller gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from larimar_memory.errors import EncoderMismatchError, InputError
from larimar_memory.stores.base import Store


def check_store(given: Any, path: object, file_options: Mapping[str, Any]) -> Store:
    """The store that a caller gives, checked.

    Args:
        path, file_options: what was given beside the store; both must be empty.

    Raises:
        InputError: if it is not a store, or something was given beside it.
    """
    what = "The memory cannot be opened."
    if not isinstance(given, Store):
        raise InputError(
            what,
            f"Its store is a {type(given).__name__}, not a Store.",
            "Give what keeps the contract `larimar_memory.Store`.",
        )
    if path is not None:
        raise InputError(what, "Both a store and a path were given.", "Give one of them.")
    if file_options:
        named = ", ".join(file_options)
        raise InputError(what, f"{named} is for a file, and a store was given.", "Open the store so.")
    return given


def check_eager(store: Store) -> Store:
    """The store, checked to hold the encoder's keys of all segments, of which slots are made.

    Raises:
        InputError: if it is lazy.
    """
    if store.lazy:
        raise InputError(
            "The memory cannot be used with slots.",
            "It is searched by coarse keys, and slots are made of the encoder's.",
            'Write the texts to a new memory that is opened with keys="eager" from the first.',
        )
    return store


def check_store_encoder(store: Store, encoder: str) -> None:
    """Raise EncoderMismatchError if a store says that another encoder made its keys."""
    if store.encoder is not None and store.encoder != encoder:
        raise EncoderMismatchError(
            "The store cannot be opened with this sentence encoder.",
            f"Encoder {store.encoder[:12]} made its keys, and this one is {encoder[:12]}; they cannot "
            "be compared.",
            "Open it with the encoder it was written with, or write the texts to a new store.",
        )


def mismatch(name: str, written: tuple[str, int], opened: tuple[str, int]) -> EncoderMismatchError:
    """The error for a memory that was written with another encoder.

    Args:
        name: what the memory is called.
        written, opened: fingerprint and dimension of the encoder then and now.
    """
    return EncoderMismatchError(
        f"The memory {name} cannot be opened with this sentence encoder.",
        f"It was written with encoder {(written[0] or 'unknown')[:12]} "
        f"({written[1]} numbers a key), and this one is {opened[0][:12]} "
        f"({opened[1]}); their keys cannot be compared.",
        "Open it with the encoder it was written with, or write the texts to a new memory.",
    )
