"""Checks of what callers pass in; each failure says what, why, and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from larimar_memory.errors import InputError, MemoryFileError

MAX_QUESTION_CHARS = 20_000
MAX_NAME_CHARS = 1_000
ROLES = ("system", "user", "assistant")


def check_text(text: Any, what: str = "The text") -> str:
    """A non-empty str that can be stored as UTF-8."""
    if not isinstance(text, str):
        raise InputError(
            f"{what} cannot be written.",
            f"It is a {type(text).__name__}, not a str.",
            "Decode bytes first, and pass one str per document.",
        )
    if not text.strip():
        raise InputError(
            f"{what} cannot be written.",
            "It is empty.",
            "Pass text with at least one visible character.",
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{what} cannot be written.",
            f"At character {error.start} it holds half of a surrogate pair, which is no Unicode text.",
            'Decode the source with errors="replace".',
        ) from error
    return text


def check_question(question: Any) -> str:
    """A question that is text and not absurdly long."""
    if not isinstance(question, str) or not question.strip():
        raise InputError(
            "The question cannot be answered.",
            "It is empty." if isinstance(question, str) else "It is not a str.",
            "Ask with at least one word.",
        )
    if len(question) > MAX_QUESTION_CHARS:
        raise InputError(
            "The question cannot be answered.",
            f"It has {len(question):,} characters, and {MAX_QUESTION_CHARS:,} is the most.",
            "Write the long text to memory and ask a short question about it.",
        )
    return _sound(question)


def check_history(history: Iterable[Any]) -> list[dict[str, str]]:
    """The chat before a question, copied: mappings of a role and a text."""
    messages = list(history)
    for n, message in enumerate(messages):
        known = isinstance(message, Mapping) and message.get("role") in ROLES
        if not known or not isinstance(message.get("content"), str):
            raise InputError(
                "The chat before the question cannot be used.",
                f'Its message {n} is no mapping of "role" ({", ".join(ROLES)}) and "content", a str.',
                'Pass messages such as {"role": "user", "content": "Good morning."}.',
            )
    return [{"role": m["role"], "content": _sound(m["content"])} for m in messages]


def check_k(k: Any) -> int:
    """How many segments to read: at least one."""
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= 1000:
        raise InputError(
            f"Memory cannot be read with k={k!r}.",
            "k is the number of segments to read, from 1 to 1000.",
            "Use k=5, the default, or another number in that range.",
        )
    return k


def check_name(name: Any, what: str) -> str:
    """A namespace or a document id."""
    if not isinstance(name, str) or not name or len(name) > MAX_NAME_CHARS or "\0" in name:
        shown = repr(name) if len(repr(name)) < 60 else repr(name)[:57] + "..."
        raise InputError(
            f"{shown} cannot be a {what}.",
            f"A {what} is a str of 1 to {MAX_NAME_CHARS:,} characters without NUL.",
            "Choose another name.",
        )
    return name


def check_metadata(metadata: Any) -> dict[str, Any]:
    """A JSON object, copied, so that later changes by the caller do not reach the memory."""
    try:
        if not isinstance(metadata, Mapping) or not all(isinstance(k, str) for k in metadata):
            raise TypeError("it is no mapping with str keys")
        copied: dict[str, Any] = json.loads(json.dumps(dict(metadata), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(
            "The metadata cannot be kept.",
            f"Metadata is a JSON object, and {error}.",
            "Use str keys and values of text, numbers, booleans, None, lists and mappings.",
        ) from error
    return copied


def check_synchronous(value: object) -> None:
    """Raise InputError unless it is a way of committing."""
    if value not in ("full", "normal"):
        raise InputError(
            f"The memory cannot be opened with synchronous={value!r}.",
            "It is either 'full' or 'normal'.",
            "Use 'full' unless writes may be lost in a power cut.",
        )


def check_file(file: Path | None, *, must_exist: bool) -> None:
    """Raise MemoryFileError where a memory file should be and is not."""
    if file is not None and must_exist and not file.exists():
        raise MemoryFileError(
            f"There is no memory at {file}.",
            "The file does not exist.",
            "Check the path, or write a memory there first.",
        )


def check_something_to_forget(*said: Any) -> None:
    """Raise InputError where nothing says what to forget."""
    if all(value is None for value in said):
        raise InputError(
            "Nothing was forgotten.",
            "Neither ids, nor a filter, nor a namespace was given.",
            "Say what to forget, for example `forget(ids=[...])`.",
        )


def _sound(text: str) -> str:
    # Tokenizers refuse half of a surrogate pair.
    return text.encode("utf-8", "replace").decode("utf-8")
