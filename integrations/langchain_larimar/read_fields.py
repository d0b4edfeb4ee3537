"""How a face reads a memory: its fields, which a call can override, as the memory's own options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from numbers import Integral
from typing import Any

from pydantic import BaseModel

from langchain_larimar.given_memory import check_threshold
from larimar_memory.errors import InputError
from larimar_memory.types import DEFAULT_NAMESPACE, ReadOptions
from larimar_memory.validate import check_k, read_options


class ReadFields(BaseModel):
    """The fields of `ReadOptions`, with the threshold as `score_threshold`.

    Args:
        k: most segments to recall; if there are fewer, all of them.
        namespace: the namespace to read.
        where: a metadata filter.
        hybrid: search by words as well as by key.
        neighbours: segments of context to add on either side of each.
        score_threshold: probability below which a question is out of scope, in [0, 1]; None is the
            memory's own.
        explain: say in the documents' metadata, under `larimar_why`, why each was recalled.
        since, until, as_of: only what was said from then on, up to then, or known by then: a date, a
            datetime, or text in ISO 8601; see `ReadOptions`.
    """

    k: int = 5
    namespace: str = DEFAULT_NAMESPACE
    where: dict[str, Any] | None = None
    hybrid: bool = True
    neighbours: int = 0
    explain: bool = False
    score_threshold: float | None = None
    since: str | datetime | date | None = None
    until: str | datetime | date | None = None
    as_of: str | datetime | date | None = None

    def __init__(self, **fields: Any) -> None:
        # pydantic takes True for 1, but no number of NumPy's.
        if isinstance(fields.get("k"), Integral):
            fields["k"] = check_k(fields["k"])
        super().__init__(**fields)

    def settings(
        self, names: Sequence[str], overrides: Mapping[str, Any], face: str, also: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The fields of one call.

        Args:
            names: the fields that a call can override.
            overrides: fields that hold for this call only.
            face: what the error calls the object that has the fields.
            also: further names that a call can use.

        Raises:
            InputError: if a name is unknown.
        """
        if unknown := [name for name in overrides if name not in (*names, *also)]:
            raise InputError(
                f"{face} cannot take {', '.join(map(repr, unknown))}.",
                f"A call can override {', '.join([*also, *names])}.",
                "Leave it out, or correct its name.",
            )
        return {name: overrides.get(name, getattr(self, name)) for name in names}


def reading(settings: Mapping[str, Any], face: str, groundings: Sequence[str]) -> ReadOptions:
    """The read options for the settings of a call.

    Args:
        settings: the fields of `ReadFields`, and `grounding`.
        face: what the error calls the object that has the settings.
        groundings: the possible values of `grounding`.

    Raises:
        InputError: if one of the settings cannot be used.
    """
    grounding, least = settings["grounding"], settings["score_threshold"]
    if grounding not in groundings:
        *others, last = [f'"{known}"' for known in groundings]
        raise InputError(
            f"{face} cannot have grounding={grounding!r}.",
            f"It is {', '.join(others)} or {last}.",
            'Use grounding="text".',
        )
    check_threshold(least, f"{face} cannot have score_threshold={least}.")
    given = {name: settings[name] for name in ReadFields.model_fields if name != "score_threshold"}
    return read_options(None, {**given, "threshold": least})
