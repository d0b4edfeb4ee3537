"""The encoder and the store that a memory is opened with, and whether its keys are lazy."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from larimar_memory.encoders.base import Encoder, check_encoder, coarse_table
from larimar_memory.encoders.none import NoEncoder
from larimar_memory.errors import InputError
from larimar_memory.models.loading import importing
from larimar_memory.stores.base import Store
from larimar_memory.stores.given import check_eager, check_store, check_store_encoder
from larimar_memory.stores.opening import Place, check_place, open_store, written_with
from larimar_memory.types import WhenKeys

log = logging.getLogger(__name__)


def assemble(
    place: Place,
    store: Store | None,
    encoder: Encoder | str | os.PathLike[str] | None,
    keys: WhenKeys | None,
    slots: int | None,
    file_options: Mapping[str, Any],
) -> tuple[Store, Encoder]:
    """The store and the encoder that `Larimar.open` is asked for.

    Raises:
        InputError, MemoryFileError, EncoderMismatchError, ModelError: as `Larimar.open`.
    """
    if keys not in (None, "lazy", "eager"):
        raise _refused(f"Its keys are {keys!r}.", 'Give "lazy", "eager", or None for what is usual.')
    if store is not None:
        check_store(store, place, file_options)
    # The place first: one that cannot be used is refused before a model is loaded.
    old = not file_options.get("create", True) or file_options.get("read_only", False)
    check_place(place, must_exist=old or encoder is None)
    if encoder is None:
        encoder = NoEncoder(*written_with(place))
    elif isinstance(encoder, str | os.PathLike):
        # Imported on first use, as what a memory without models does not wait for.
        with importing():
            from larimar_memory.encoders.sentence import SentenceEncoder
        encoder = SentenceEncoder.load(os.fspath(encoder))
    else:
        check_encoder(encoder)
    table = not isinstance(encoder, NoEncoder) and coarse_table(encoder) is not None
    _check_wish(encoder, keys, slots, table)
    if store is not None:
        check_store_encoder(store, encoder.fingerprint)
        _check_keys(store, keys, slots)
        return store, encoder
    lazy = table and keys != "eager" and slots is None
    opened = open_store(
        place, encoder=encoder.fingerprint, dimension=encoder.dimension, lazy=lazy, **file_options
    )
    try:
        _check_keys(opened, keys, slots)
    except InputError:
        opened.close()
        raise
    if not opened.lazy and not table and not isinstance(encoder, NoEncoder):
        said = "encoder %s has no table of coarse keys: its own are made while writing"
        log.info(said, encoder.fingerprint[:12])
    return opened, encoder


def _check_wish(encoder: Encoder, keys: WhenKeys | None, slots: int | None, table: bool) -> None:
    """Raise InputError if keys are to be lazy, but cannot be in any file."""
    if keys == "lazy" and slots is not None:
        raise _refused("It has slots, which are made of eager keys.", "Leave keys out, or the slots.")
    if keys == "lazy" and not table and not isinstance(encoder, NoEncoder):
        raise _refused(
            f"Encoder {encoder.fingerprint[:12]} has no table of coarse keys, which a lazy memory is "
            "searched by.",
            "Make one with `larimar train-keys`, or leave keys out.",
        )


def _check_keys(store: Store, keys: WhenKeys | None, slots: int | None) -> None:
    """Raise InputError if the store's keys do not suit the keys or slots that were asked for."""
    if slots is not None:
        check_eager(store)
    if keys == "lazy" and not store.lazy:
        raise _refused(
            "It was begun with eager keys.", "Leave keys out, or write the texts to a new memory."
        )


def _refused(why: str, remedy: str) -> InputError:
    return InputError("The memory cannot be opened.", why, remedy)
