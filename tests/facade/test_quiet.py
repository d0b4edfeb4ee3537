"""Nothing leaves the machine and nothing of what is stored reaches a log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import larimar_memory
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import LarimarError, ModelError
from larimar_memory.larimar import Larimar
from larimar_memory.models import finding
from tests.network import cut_off

pytestmark = pytest.mark.model

SECRET = "Xanthippe"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every attempt to reach another machine fails, and is noted."""
    return cut_off(monkeypatch)


def test_no_network_and_no_text_in_the_log(
    tmp_path: Path,
    encoder: SentenceEncoder,
    decoder: TransformersDecoder,
    no_network: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        for name in (finding.DEFAULT_ENCODER, finding.DEFAULT_DECODER):
            assert finding.resolve(name).is_dir()
        with Larimar.open(tmp_path / "m.larimar", encoder=encoder, decoder=decoder) as memory:
            memory.write([f"{SECRET} keeps the key of the archive."], [SECRET], [{"of": SECRET}])
            assert memory.read(f"What does {SECRET} keep?").in_scope
            assert memory.answer(f"What does {SECRET} keep?", max_tokens=4).sources
            memory.update(SECRET, f"{SECRET} has lost the key.")
            with pytest.raises(LarimarError):
                memory.write([f"{SECRET}\ud800"])
            memory.forget(ids=[SECRET])
    assert no_network == []
    ours = [r for r in caplog.records if r.name.startswith("larimar_memory")]
    assert any("committed 1 segments" in r.getMessage() for r in ours)
    assert SECRET not in caplog.text


def test_the_log_is_silent_unless_asked_for() -> None:
    handlers = logging.getLogger(larimar_memory.__name__).handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)


def test_a_hub_name_given_offline(tmp_path: Path, no_network: list[str]) -> None:
    message = r"The model 'nobody/no-model' was not found\. It is not a local folder, no wheel"
    with pytest.raises(ModelError, match=message):
        Larimar.open(tmp_path / "m.larimar", encoder="nobody/no-model")
    with pytest.raises(ModelError, match=message):
        TransformersDecoder.load("nobody/no-model")
    # conftest sets HF_HUB_OFFLINE: nothing was even tried.
    assert no_network == []
    assert not (tmp_path / "m.larimar").exists()
