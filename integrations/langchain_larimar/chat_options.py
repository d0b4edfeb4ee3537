"""How a chat model reads its memory and answers: settings of the model that a call can override."""

from __future__ import annotations

from typing import Any

from langchain_larimar.read_fields import ReadFields, reading
from larimar_memory.errors import InputError
from larimar_memory.types import AnswerOptions, ReadOptions, Style
from larimar_memory.validate import check_around, check_beams, check_style

_ANSWERING = (
    "fallback",
    "context_tokens",
    "max_tokens",
    "temperature",
    "seed",
    "style",
    "cite",
    "beams",
    "around",
)
SETTINGS = ("grounding", *ReadFields.model_fields, *_ANSWERING)
"""Fields of the model that a call can override."""


class ChatOptions(ReadFields):
    """Settings that a call can override, those of `ReadFields` among them.

    Args:
        grounding: "text" puts recalled text into the prompt, "latent" attaches recalled latents and
            leaves the text out, "auto" uses the better of both, and "none" lets the decoder answer
            without the memory. The default is "text" with a memory, and "none" without.
        fallback: if a question is out of scope, let the plain decoder answer.
        context_tokens: most prompt tokens spent on recalled text.
        max_tokens: most tokens to write.
        temperature: 0 is greedy; above, tokens are sampled.
        seed: makes sampling repeatable.
        style: "brief", or "full" for whole sentences.
        cite: mark which source each sentence of an answer is from, as in "It is red. [1]".
        beams: as in `AnswerOptions`; 1 streams a brief answer token by token.
        around: show an adapter what is around the best segment, unless there are `neighbours`.
    """

    grounding: str | None = None
    fallback: bool = False
    context_tokens: int = 1024
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None
    style: Style = "brief"
    cite: bool = False
    beams: int = AnswerOptions().beams
    around: bool = True

    def options(self, overrides: dict[str, Any]) -> tuple[ReadOptions, AnswerOptions]:
        """How to read and to answer for one call.

        Args:
            overrides: settings that hold for this call only.

        Raises:
            InputError: if one of them is not a setting, or cannot be used.
        """
        # LangChain has acted on it already, but leaves it among the arguments of a call.
        overrides.pop("stream", None)
        settings = self.settings(SETTINGS, overrides, "The chat model", ("stop",))
        asked = reading(settings, "A chat model", ("text", "latent", "auto", "none"))
        for name, lowest in (("max_tokens", 1), ("context_tokens", 1), ("temperature", 0)):
            if settings[name] < lowest:
                raise InputError(
                    f"A chat model cannot have {name}={settings[name]}.",
                    f"It is {lowest} or more.",
                    f"Raise it, or leave it out for {ChatOptions.model_fields[name].default}.",
                )
        check_style(settings["style"])
        check_beams(settings["beams"])
        check_around(settings["around"])
        return asked, AnswerOptions(**{name: settings[name] for name in ("grounding", *_ANSWERING)})
