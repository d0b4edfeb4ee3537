"""The way of a latent answer through the house: from the question to the decoder's first step."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

import larimar_memory
from larimar_memory import Larimar
from larimar_memory.encoders.sentence import SentenceEncoder
from tests.latents.test_latent_memory import random_codec
from tests.tiny import tiny_decoder

HOUSE = Path(larimar_memory.__file__).parent
READING = ("encoders", "recall", "slots", "stores", "text")
"""Rooms that find what is recalled; the answer itself does not lead through them."""

BENEATH = ("system",)
"""Locks and files, on which all rooms stand as they do on the standard library."""


@contextmanager
def entered(files: set[str]) -> Iterator[None]:
    """Note the package's files whose functions are called meanwhile, in every thread."""

    def note(frame: FrameType, event: str, _: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(str(HOUSE)):
            files.add(str(Path(path).relative_to(HOUSE)))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def test_a_latent_answer_leads_through_few_files(
    encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = random_codec(tiny_decoder(max_position_embeddings=512))
    with Larimar.open(encoder=encoder, decoder=codec.decoder, latents=codec) as memory:
        memory.write(["The pass key of the vault is 71432.", "The baker sells rye bread on Mondays."])
        question = "What is the pass key of the vault?"
        memory.answer(question, grounding="latent", max_tokens=1)
        files, at_first_step = set[str](), set[str]()
        generate = codec.decoder.model.generate

        def first_step(*given: object, **options: object) -> object:
            at_first_step.update(files)
            return generate(*given, **options)

        monkeypatch.setattr(codec.decoder.model, "generate", first_step)
        with entered(files):
            answer = memory.answer(question, grounding="latent", max_tokens=1)
    assert answer.grounding == "latent"
    passed = {name for name in at_first_step if name.split("/")[0] not in READING + BENEATH}
    assert "latents/prefix.py" in passed
    # The twelve of a readout, and the adapter that answers.
    assert len(passed) <= 13, sorted(passed)
