"""The arguments of RetrievalQA's inner chain, as fields of LarimarRetrievalQA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from larimar_memory.errors import InputError

_FIELDS = {
    "prompt": "prompt",
    "document_prompt": "document_prompt",
    "document_separator": "document_separator",
    "memory": "conversation",
    "callbacks": "callbacks",
    "verbose": "verbose",
}


def inner_fields(*given: Mapping[str, Any] | None) -> dict[str, Any]:
    """What `chain_type_kwargs` and `llm_chain_kwargs` say.

    Raises:
        InputError: if they hold anything that has no place here.
    """
    options = {name: value for mapping in given for name, value in (mapping or {}).items()}
    # The only one it may be, as every prompt here has it.
    if options.get("document_variable_name") == "context":
        del options["document_variable_name"]
    if unknown := [name for name in options if name not in _FIELDS]:
        raise InputError(
            "The question answering cannot be made.",
            f"There is no inner chain that would take {', '.join(map(repr, unknown))}.",
            f"Pass {', '.join(_FIELDS)}, and options of a model with `llm.bind(...)`.",
        )
    return {_FIELDS[name]: value for name, value in options.items()}
