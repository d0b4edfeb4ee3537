"""Sessions of benchmarks that say something in milliseconds, and questions on two articles."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks.haystack import Haystack, prose, token_counter
from benchmarks.session import Session
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from tests.latents.test_latent_memory import random_codec
from tests.tiny import tiny_decoder

DOCUMENTS = {
    "ferry": "The ferry to Ren leaves at nine every morning.",
    "mill": "The mill of Ren has stood beside the river for two hundred years.",
    "bread": "Bread is baked in the village before the sun is up.",
    "bell": "The bell of the school rings at six in the evening.",
    "boats": "Fishing boats are painted blue and white by their owners.",
}


FERRY = "When does the ferry to Ren leave?"


@pytest.fixture(scope="module")
def session(encoder: SentenceEncoder) -> Session:
    """The real encoder, and a decoder that says something in milliseconds."""
    made = Session(0, None, lambda _: None)
    decoder = tiny_decoder(max_position_embeddings=6_000)
    vars(made).update(encoder=encoder, decoder=decoder, codec=random_codec(decoder))
    return made


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def article(passage: str, question: str, answer: str) -> dict[str, object]:
        qa = {"question": question, "answers": [{"text": answer}]}
        return {"paragraphs": [{"context": passage, "qas": [qa]}]}

    path = tmp_path_factory.mktemp("questions") / "q.json"
    data = [
        article(DOCUMENTS["ferry"], FERRY, "nine"),
        article(DOCUMENTS["bell"], "When does the bell of the school ring?", "six"),
    ]
    path.write_text(json.dumps({"data": data}))
    return path


@pytest.fixture(scope="session")
def real_session(encoder: SentenceEncoder, decoder: TransformersDecoder) -> Session:
    """Both real models."""
    made = Session(0, None, lambda _: None)
    vars(made).update(encoder=encoder, decoder=decoder)
    return made


@pytest.fixture(scope="session")
def count(encoder: SentenceEncoder) -> Callable[[Sequence[str]], list[int]]:
    """Counts the tokens of texts."""
    return token_counter(encoder)


@pytest.fixture(scope="session")
def hay(count: Callable[[Sequence[str]], list[int]]) -> Haystack:
    """Five thousand tokens of prose."""
    return prose(5_000, count, seed=3)
