"""Models are loaded by one thread at a time, silently, and also run in a forked child.

While transformers loads a model, it changes settings of the whole process, such as the number format of
new tensors: threads that load at once would leave them changed. And a thread that uses it while it is
being imported gets half of it.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeAlias

from larimar_memory.errors import ModelError, said_by
from larimar_memory.system import forking

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

Announce: TypeAlias = Callable[[str, str], AbstractContextManager[Callable[[int, int], None]]]
"""A function that is given what takes long, as a sentence and as a word; its block gives a function
that is told how much is done, and how much there is."""

_TOKENIZERS = "TOKENIZERS_PARALLELISM"
_loading = forking.Lock("The libraries of models", ModelError)
_in_use = False
_tokenizers_were: str | None = None


def _log_only(sentence: str, word: str) -> AbstractContextManager[Callable[[int, int], None]]:
    log.info("%s", sentence)
    return nullcontext(lambda done, total: None)


announce: Announce = _log_only
"""The function that shows long-running work: the library prints nothing; see `announced_by`."""


@contextmanager
def announced_by(shown: Announce) -> Iterator[None]:
    """Show long-running work with this function, in all threads."""
    global announce
    before, announce = announce, shown
    try:
        yield
    finally:
        announce = before


@contextmanager
def importing() -> Iterator[None]:
    """This thread's turn to import torch, and what is made with it.

    Raises:
        ModelError: if the process was forked while another thread had its turn: what that thread was
            importing stays half imported, and importing it would wait for that thread for ever.
    """
    with forking.inside(), _loading, _uncollected():
        yield


@contextmanager
def loading() -> Iterator[None]:
    """This thread's turn to import from transformers and to load, without its bars and warnings.

    Raises:
        ModelError: as `importing`.
    """
    with importing():
        from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars
        from transformers.utils import logging as said

        logger, bars, hub_silent = (
            said.get_logger(),
            said.is_progress_bar_enabled(),
            are_progress_bars_disabled(),
        )
        level = logger.level
        if level == logging.WARNING:
            # A user who wants to see more has set another level.
            logger.setLevel(logging.ERROR)
        said.disable_progress_bar()
        try:
            yield
        finally:
            logger.setLevel(level)
            if bars:
                said.enable_progress_bar()
                if hub_silent:
                    disable_progress_bars()


@contextmanager
def reading(what: str, remedy: str) -> Iterator[None]:
    """This thread's turn to read a model's files.

    Args:
        what: the model, for the error.
        remedy: what to do if it cannot be read.

    Raises:
        ModelError: as `importing`, or if the files are not those of such a model.
    """
    from safetensors import SafetensorError

    try:
        with importing():
            yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"The {what} could not be loaded.", f"Reading it failed: {said_by(error)}.", remedy
        ) from error


@contextmanager
def _uncollected() -> Iterator[None]:
    """Imports make hundreds of thousands of lasting objects: a search for garbage is wasted on them."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def run_in_children() -> None:
    """Note that a model is going to run, so that what it leaves behind does not stop a forked child."""
    global _in_use
    _in_use = True


def check_forked(device: torch.device) -> None:
    """Raise ModelError if the device cannot be used because the process was forked."""
    import torch

    backend = getattr(torch, device.type, None)
    if getattr(backend, "_is_in_bad_fork", bool)():
        raise ModelError(
            f"The device {device.type!r} cannot be used in this process.",
            "The process was forked from one that had used it, which its driver does not allow.",
            "Load models in the child alone, or start it anew, by 'spawn' in place of 'fork'.",
        )


def _before_fork() -> None:
    global _tokenizers_were
    if _in_use:
        # The tokenizers' threads are not in the child, which would wait for them, or print a warning.
        _tokenizers_were = os.environ.get(_TOKENIZERS)
        os.environ[_TOKENIZERS] = "false"


def _after_fork_in_parent() -> None:
    if _in_use and _tokenizers_were is None:
        os.environ.pop(_TOKENIZERS, None)
    elif _in_use:
        os.environ[_TOKENIZERS] = str(_tokenizers_were)


def _after_fork_in_child() -> None:
    if _in_use:
        import torch

        os.environ[_TOKENIZERS] = "false"
        # The threads of OpenMP are missing, too, and the first product would wait for them.
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
