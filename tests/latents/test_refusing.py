"""How readily a question is refused, by how what was read is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from larimar_memory.decoders.prompt import NOT_IN_MEMORY
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.latents.answering import new_adapters, save_adapter
from larimar_memory.latents.description import describe
from tests.latents.test_latent_memory import FACTS, QUESTION, opened, random_codec
from tests.tiny import tiny_decoder

WAYS = {"around": 1.0, "alone": 3.0, "latent": 5.0}


@pytest.mark.parametrize(
    ("how", "shown"),
    [
        ({}, "around"),
        ({"around": False}, "alone"),
        ({"neighbours": 1}, "alone"),
        ({"grounding": "latent"}, "latent"),
        ({"grounding": "latent", "around": False}, "latent"),
    ],
)
@pytest.mark.parametrize("speaker", ["", "Ada"])
def test_what_is_shown_alone_or_as_latents_is_refused_by_weights_of_its_own(
    tmp_path: Path,
    encoder: SentenceEncoder,
    monkeypatch: pytest.MonkeyPatch,
    how: dict[str, Any],
    shown: str,
    speaker: str,
) -> None:
    codec = random_codec(tiny_decoder(max_position_embeddings=1024))
    decoder = codec.decoder
    save_adapter(new_adapters(decoder, 2), decoder, tmp_path, {})
    weights = {
        name: {"bias": bias, "scope": 0.0, "talked": {"bias": bias + 1, "scope": 0.0}}
        for name, bias in WAYS.items()
    }
    describe(tmp_path, refusing={**weights.pop("around"), **weights})
    given, generate = list[Any](), type(decoder).generate

    def spy(self: Any, tokens: list[int], **options: Any) -> Any:
        given.append(options["conditioning"].first)
        return generate(self, tokens, **options)

    monkeypatch.setattr(type(decoder), "generate", spy)
    with opened(codec, encoder, latents=codec, adapter=tmp_path) as memory:
        memory.write(FACTS, metadatas=[{"speaker": speaker}] * len(FACTS))
        memory.answer(QUESTION, threshold=0.0, max_tokens=2, **how)
        # Of a readout alone it is not known what else may be shown.
        memory.answer(memory.read(QUESTION, threshold=0.0), max_tokens=2)
    refusal, more = decoder.plain_tokens(NOT_IN_MEMORY)[0], 1.0 if speaker else 0.0
    assert given == [{refusal: WAYS[name] + more} for name in (shown, "alone")]
