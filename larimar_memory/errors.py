"""The exceptions of the package: each says what happened, why, and what to do next."""

from __future__ import annotations


class LarimarError(Exception):
    """Base of every error raised on purpose by this package.

    Args:
        what: what happened, one sentence.
        why: the cause, one sentence.
        remedy: what the caller can do next, one sentence.
    """

    def __init__(self, what: str, why: str, remedy: str) -> None:
        self.what, self.why, self.remedy = what, why, remedy
        super().__init__(f"{what} {why} {remedy}")


class InputError(LarimarError, ValueError):
    """An argument, a text or a file given by the caller cannot be used."""


class MemoryFileError(LarimarError, OSError):
    """The memory's file or database cannot be opened, read or written."""


class MemoryBusyError(MemoryFileError):
    """Another process keeps the memory from being written."""


class EncoderMismatchError(LarimarError):
    """The memory was written with another sentence encoder."""


class ModelError(LarimarError):
    """A model cannot be found, converted or loaded."""


class LatentsUnavailableError(LarimarError):
    """Latent grounding was asked for where there are no latents."""


class ClosedError(LarimarError):
    """A memory was used after `close`."""


def said_by(error: BaseException) -> str:
    """The first line of what another library's error says, without a period at its end."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
