"""Fixtures: the real small models, loaded once; shapes and types are checked at run time."""

from __future__ import annotations

import ctypes
import gc
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

from tests import scratch, shapes

scratch.in_memory()

# Only where tensors pass: elsewhere, tests hand in wrong types on purpose to read the error.
shapes.checked_in(
    [
        f"larimar_memory.{name}"
        for name in (
            "decoders.choosing",
            "decoders.packed",
            "decoders.steps",
            "decoders.llama",
            "encoders.bert",
            "encoders.fast_cpu",
            "encoders.flat",
            "encoders.pooling",
            "encoders.sentence",
            "latents",
            "recall",
            "slots",
            "stores.packing",
            "stores.sqlite.store",
            "stores.sqlite.vectors",
            "train",
        )
    ]
)

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar
from larimar_memory.stores.sqlite import parts, vectors
from tests import loaded, order
from tests.postgres import Server, served

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def encoder() -> SentenceEncoder:
    """The bundled sentence encoder."""
    return loaded.encoder()


@pytest.fixture(scope="session")
def decoder() -> TransformersDecoder:
    """The bundled decoder."""
    return loaded.decoder()


@pytest.fixture(scope="session", autouse=True)
def _loaded_once() -> Iterator[None]:
    """Whoever names a bundled model gets the one that is loaded; `loaded.anew` loads it."""
    with loaded.once():
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server, one for each process of the tests."""
    with served() as running:
        yield running


@pytest.fixture
def address(server: Server) -> str:
    """A database that holds no memory."""
    return server.empty("larimar_tests")


@pytest.fixture
def memory(tmp_path: Path, encoder: SentenceEncoder) -> Iterator[Larimar]:
    """An empty memory in a file; its decoder is loaded when first used."""
    with Larimar.open(tmp_path / "memory.larimar", encoder=encoder) as opened:
        yield opened


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexes have a part for some twenty segments."""
    monkeypatch.setattr(vectors, "EXACT_LIMIT", 16)
    monkeypatch.setattr(vectors, "_TAIL_LIMIT", 8)
    monkeypatch.setattr(parts, "LIMIT", 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that is given a real model; others that load one carry the mark themselves."""
    for item in items:
        if {"encoder", "decoder"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.model)
    order.first_the_slowest(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Workers take files, as `--dist loadfile` has it, and those that share something together."""
    from xdist.scheduler import LoadFileScheduling

    class ByGroup(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return order.group_of(order.file_of(nodeid))

    return ByGroup(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """What was imported stays: it is not looked through again at each collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _memory_is_given_back() -> Iterator[None]:
    """What a file of tests has allocated and freed goes back to the machine: it was gigabytes."""
    yield
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
