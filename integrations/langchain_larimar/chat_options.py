"""How a chat model reads its memory and answers: settings of the model that a call can override."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from langchain_larimar.given_memory import check_threshold
from larimar_memory.errors import InputError
from larimar_memory.validate import check_k, check_name

LANGCHAIN_SWITCHES = ("stream",)
"""Arguments of a call that LangChain has acted on and leaves where they are."""


class ChatOptions(BaseModel):
    """Settings that a call can override.

    Args:
        grounding: "text" puts recalled text into the prompt, "latent" attaches readouts of the memory's
            latents and leaves the text out, and "none" lets the decoder answer without the memory. By
            default "text" where there is a memory, and "none" where there is not.
        k: most segments to recall.
        namespace: where to read.
        where: a metadata filter.
        hybrid: search by words as well as by key.
        neighbours: segments of context to add on either side of each.
        score_threshold: score under which a question is out of scope, in [0, 1]; None is the memory's
            own.
        fallback: when a question is out of scope, let the plain decoder answer.
        context_tokens: most prompt tokens spent on what is recalled.
        max_tokens: most tokens to write.
        temperature: 0 is greedy; above, tokens are sampled.
        seed: makes sampling repeatable.
    """

    grounding: str | None = None
    k: int = 5
    namespace: str = "default"
    where: dict[str, Any] | None = None
    hybrid: bool = True
    neighbours: int = 0
    score_threshold: float | None = None
    fallback: bool = False
    context_tokens: int = 1024
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None

    def options(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of one call.

        Args:
            overrides: what holds for this call only.

        Raises:
            InputError: if one of them is no setting, or cannot be used.
        """
        known = tuple(ChatOptions.model_fields)
        unknown = [name for name in overrides if name not in (*known, *LANGCHAIN_SWITCHES)]
        if unknown:
            raise InputError(
                f"The chat model cannot take {', '.join(map(repr, unknown))}.",
                f"A call can override stop, {', '.join(known)}.",
                "Leave it out, or correct its name.",
            )
        options = {name: overrides.get(name, getattr(self, name)) for name in known}
        check_options(options)
        return options


def check_options(options: Mapping[str, Any]) -> None:
    """Check the settings that can be told to be wrong before a memory is read.

    Raises:
        InputError: if one of them cannot be used.
    """
    check_k(options["k"])
    check_name(options["namespace"], "namespace")
    if options["grounding"] not in ("text", "latent", "none"):
        raise InputError(
            f"A chat model cannot have grounding={options['grounding']!r}.",
            'It is "text", "latent" or "none".',
            'Use grounding="text".',
        )
    least = options["score_threshold"]
    check_threshold(least, f"A chat model cannot have score_threshold={least}.")
    for name, lowest in (("max_tokens", 1), ("context_tokens", 1), ("temperature", 0)):
        if options[name] < lowest:
            raise InputError(
                f"A chat model cannot have {name}={options[name]}.",
                f"It is {lowest} or more.",
                f"Raise it, or leave it out for {ChatOptions.model_fields[name].default}.",
            )
