"""Checks of what callers pass in; each failure says what, why, and what to do."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from larimar_memory.errors import InputError
from larimar_memory.system.moments import written
from larimar_memory.system.plain import NO_UNICODE as NO_UNICODE
from larimar_memory.system.plain import NotPlainError, Plain
from larimar_memory.system.plain import lone_surrogate as lone_surrogate
from larimar_memory.types import AnswerOptions, ReadOptions, Where

MAX_QUESTION_CHARS = 20_000
"""The longest question that is answered: the decoder has to read it."""

MAX_QUERY_CHARS = 1_000_000
"""The longest question that is only read: it may be a whole text to look for."""

MAX_NAME_CHARS = 1_000
MAX_BEAMS = 64
ROLES = ("system", "user", "assistant")

MAX_DEPTH = 200
"""Deepest nesting of metadata, in levels; SQLite's JSON functions stop at 1,000."""

_Options = TypeVar("_Options", ReadOptions, AnswerOptions)

READ_NAMES = frozenset(field.name for field in fields(ReadOptions))


def check_question(question: Any, most: int = MAX_QUERY_CHARS) -> str:
    """A question that is text and not absurdly long; lone surrogates in it become "?".

    Args:
        most: most characters that it may have.

    Raises:
        InputError: if it cannot be used.
    """
    if not isinstance(question, str):
        why, remedy = "It is not a str.", "Ask with at least one word."
    elif not question.strip():
        why, remedy = "It is empty.", "Ask with at least one word."
    elif len(question) > most:
        why = f"It has {len(question):,} characters, and {most:,} is the most."
        remedy = "Write the long text to memory and ask a short question about it."
    else:
        return sound(question)
    raise InputError("The question cannot be answered.", why, remedy)


def check_begin(begin: Any) -> str:
    """The beginning of an answer: a str of valid Unicode."""
    if not isinstance(begin, str):
        why = f"begin is a {type(begin).__name__}, not a str."
    elif lone_surrogate(begin) is not None:
        why = f"It holds {NO_UNICODE}."
    else:
        return begin
    remedy = "Pass the words that the answer is to begin with."
    raise InputError("The answer cannot be begun.", why, remedy)


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
    return [{"role": m["role"], "content": sound(m["content"])} for m in messages]


def check_k(k: Any, name: str = "k", use: str = "to read") -> int:
    """How many segments to read: at least one; any number above what is stored means all.

    Args:
        name: name of the argument, for the error.
        use: what it counts segments for, for the error.

    Raises:
        InputError: if it is not a whole number above 0.
    """
    number = whole_number(k)
    if number is None or number < 1:
        raise InputError(
            f"Memory cannot be read with {name}={k!r}.",
            f"{name} is the number of segments {use}, a whole number from 1 on.",
            f"Use such a number, as in {name}=5; one above what is there reads all.",
        )
    return number


def check_threshold(threshold: Any) -> None:
    """Raise InputError unless it is a probability, or None."""
    try:
        if threshold is None or 0 <= threshold <= 1:
            return
    except (TypeError, ValueError):
        pass
    raise InputError(
        f"Memory cannot be read with threshold={threshold!r}.",
        "threshold is the probability under which an answer is not in memory, from 0 to 1.",
        "Use such a number: 0 always reads the best segments, and higher ones read less often.",
    )


def whole_number(value: Any) -> int | None:
    """A whole number, from Python or NumPy, as an int; None for anything else, including True."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def read_options(k: int | None, how: Mapping[str, Any]) -> ReadOptions:
    """The options of a read, with the fields that a call overrides, all checked.

    Args:
        how: `options`, and fields that override its own.

    Raises:
        InputError: if a value cannot be used.
        TypeError: if there is no field of that name.
    """
    changes = dict(how)
    options: ReadOptions = _of_kind(ReadOptions, changes.pop("options", ReadOptions()))
    if k is not None:
        changes["k"] = k
    options = replace(options, **changes) if changes else options
    neighbours = 0 if options.neighbours is None else options.neighbours
    options = replace(options, k=check_k(options.k), neighbours=neighbours)
    check_name(options.namespace, "namespace")
    check_where(options.where)
    check_threshold(options.threshold)
    return replace(
        options,
        since=check_time(options.since, "since"),
        until=check_time(options.until, "until"),
        as_of=check_time(options.as_of, "as_of"),
    )


def check_time(value: Any, name: str) -> str | None:
    """A day or a moment as ISO 8601 text; None if none is given.

    Args:
        name: name of the argument, for the error.

    Raises:
        InputError: if it is neither.
    """
    text = written(value)
    if value is None or text is not None:
        return text
    raise InputError(
        f"Memory cannot be read with {name}={value!r:.60}.",
        f"{name} is a day or a moment: a date, a datetime, or text in ISO 8601.",
        f'Use such as {name}="2026-05-03", or "2026-05-03T09:30+02:00"; without a zone it is UTC.',
    )


def answer_options(k: int | None, how: Mapping[str, Any]) -> tuple[ReadOptions, AnswerOptions]:
    """The options of an answer, with the fields that a call overrides, all checked.

    Args:
        how: `reading`, `options`, and fields that override those of either.

    Raises:
        InputError: if a value cannot be used.
        TypeError: if there is no field of that name.
    """
    of_read = {name: value for name, value in how.items() if name in READ_NAMES}
    changes = {name: value for name, value in how.items() if name not in READ_NAMES}
    reading = read_options(k, {"options": changes.pop("reading", ReadOptions()), **of_read})
    options = _of_kind(AnswerOptions, changes.pop("options", AnswerOptions()))
    options = replace(options, **changes)
    if options.grounding not in ("text", "latent", "auto"):
        what = f"An answer cannot have grounding={options.grounding!r}."
        raise InputError(what, 'It is "text", "latent" or "auto".', 'Use grounding="text".')
    check_style(options.style)
    check_beams(options.beams)
    check_around(options.around)
    history, begin = check_history(options.history), check_begin(options.begin)
    return reading, replace(options, history=history, begin=begin)


def check_style(style: Any) -> None:
    """Raise InputError unless it is "brief" or "full"."""
    if style not in ("brief", "full"):
        raise InputError(
            f"An answer cannot have style={style!r}.",
            'It is "brief", or "full" for whole sentences.',
            'Use style="brief".',
        )


def check_around(around: Any) -> None:
    """Raise InputError unless it is true or false."""
    if not isinstance(around, bool):
        raise InputError(
            f"An answer cannot have around={around!r:.60}.",
            "It says whether the text around the best segment is shown, too: True or False.",
            "Use around=False for the segments alone, or leave it out.",
        )


def check_beams(beams: Any) -> None:
    """Raise InputError unless it is a whole number from 1 to `MAX_BEAMS`."""
    if isinstance(beams, bool) or not isinstance(beams, int) or not 1 <= beams <= MAX_BEAMS:
        raise InputError(
            f"An answer cannot be chosen with beams={beams!r:.60}.",
            f"It is a whole number from 1 to {MAX_BEAMS}: so many answers are made side by side.",
            "Use beams=1 for one answer, token by token, or leave it out.",
        )


def _of_kind(kind: type[_Options], given: Any) -> _Options:
    """The options, or an error if they are of another kind."""
    if not isinstance(given, kind):
        raise InputError(
            "The options cannot be used.",
            f"A {kind.__name__} is wanted, and a {type(given).__name__} was given.",
            "Pass ReadOptions to `read`; to `answer`, ReadOptions as `reading` and AnswerOptions as "
            "`options`.",
        )
    return given


def check_name(name: Any, what: str) -> str:
    """A namespace or a document id, unchanged, so that names that differ at all stay different."""
    if not isinstance(name, str) or not name or len(name) > MAX_NAME_CHARS or "\0" in name:
        why = f"A {what} is a str of 1 to {MAX_NAME_CHARS:,} characters without NUL."
    elif (at := lone_surrogate(name)) is not None:
        why = f"At character {at} it holds {NO_UNICODE}."
    else:
        return name
    shown = repr(name) if len(repr(name)) < 60 else repr(name)[:57] + "..."
    raise InputError(f"{shown} cannot be a {what}.", why, "Choose another name.")


def check_episode(episode: Any) -> str | None:
    """The name of an episode; None if there is none."""
    return None if episode is None else check_name(episode, "name of an episode")


def check_metadata(metadata: Any, of: str = "a document") -> dict[str, Any]:
    """A JSON object, copied, so that later changes by the caller do not reach the memory.

    Args:
        of: what the metadata belongs to, for the error.

    Raises:
        InputError: if it cannot be kept.
    """
    try:
        copied = json_object(metadata, "metadata")
        for entry in copied.items():
            # SQLite ends a text in JSON at a NUL: a filter would see a shorter one.
            if any("\0" in text for text in entry if isinstance(text, str)):
                remedy = "Take the NUL out."
                raise NotPlainError("the name or text of one of its entries holds a NUL", remedy)
        return copied
    except NotPlainError as error:
        raise InputError(
            f"The metadata of {of} cannot be kept.",
            f"Metadata is a JSON object, and {error.why}.",
            error.remedy,
        ) from error


def json_object(value: Any, name: str, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """A copy of a mapping, as a JSON object.

    Args:
        name: what an error calls the value when it names a part of it.

    Raises:
        NotPlainError: if JSON cannot express a part of it.
    """
    if not isinstance(value, Mapping):
        raise NotPlainError(f"it is a {type(value).__name__}")
    made = Plain(name, max_depth).of(value, ())
    copied: dict[str, Any] = json.loads(json.dumps(made, ensure_ascii=False, allow_nan=False))
    return copied


def check_where(where: Any) -> Where | None:
    """A metadata filter; only its type is checked here, and the store checks its content."""
    if where is not None and not isinstance(where, Mapping):
        raise InputError(
            "The metadata filter cannot be used.",
            f"A filter is a mapping, and it is a {type(where).__name__}.",
            'Give a mapping such as {"source": "a.txt"}.',
        )
    return where


def check_ids(ids: Any, what: str) -> list[str]:
    """Ids of any number of documents, given as one str or as an iterable.

    Args:
        what: the error's sentence that says what was not done.

    Raises:
        InputError: if an id is not a str: it would silently match no document.
    """
    if isinstance(ids, str):
        return [str(ids)]
    if not is_many(ids):
        why = f"The ids are a {type(ids).__name__}, and not a list of str."
        raise InputError(what, why, 'Give a list of ids, such as ["7"].')
    listed = list(ids)
    for id in listed:
        if not isinstance(id, str):
            why = f"The id {id!r:.60} is a {type(id).__name__}, and ids are str."
            raise InputError(what, why, "Give the ids that were written; `write` returns them.")
    return listed


def is_many(given: Any) -> bool:
    """Whether a value yields several; text, a mapping and an array without an axis do not."""
    alone = isinstance(given, str | bytes | bytearray | Mapping) or getattr(given, "shape", None) == ()
    return isinstance(given, Iterable) and not alone


def same_json(one: Any, other: Any) -> bool:
    """Whether two JSON values are written alike; to Python, True equals 1, and 1 equals 1.0."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_json(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same_json, one, other))
    # Unlike ==, their repr tells 0.0 from -0.0.
    return type(one) is type(other) and repr(one) == repr(other)


def check_synchronous(value: object) -> None:
    """Raise InputError unless it is "full" or "normal"."""
    if value not in ("full", "normal"):
        raise InputError(
            f"The memory cannot be opened with synchronous={value!r}.",
            "It is either 'full' or 'normal'.",
            "Use 'full' unless writes may be lost in a power cut.",
        )


def check_what_to_forget(
    ids: Any, where: Any, namespace: Any, everywhere: bool = False
) -> list[str] | None:
    """The ids of what to forget, if any.

    Raises:
        InputError: if nothing says what to forget, an id is not a str, or the filter not a mapping.
    """
    if everywhere and (namespace is not None or (ids is None and not where)):
        given = "Neither ids nor a filter were" if namespace is None else "A namespace was"
        raise InputError(
            "Nothing was forgotten.",
            f"{given} given for what is to be forgotten everywhere.",
            "Give ids or a filter, and no namespace, such as `forget(where={...}, everywhere=True)`.",
        )
    if all(value is None for value in (ids, where, namespace)):
        raise InputError(
            "Nothing was forgotten.",
            "Neither ids, nor a filter, nor a namespace was given.",
            "Say what to forget, for example `forget(ids=[...])`.",
        )
    check_where(where)
    return None if ids is None else check_ids(ids, "Nothing was forgotten.")


def sound(text: str) -> str:
    """The text with "?" for each lone surrogate, which tokenizers refuse."""
    return text.encode("utf-8", "replace").decode("utf-8")
