"""LangChain's standard suites for chat models, over text and over latents."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_larimar import ChatLarimar
from larimar_memory.larimar import Larimar


class TestUnit(ChatModelUnitTests):
    chat_model_class = ChatLarimar
    has_tool_calling = has_tool_choice = has_structured_output = False
    # The suite's others are for services: a key, timeouts and retries of requests.
    standard_chat_model_params = {"temperature": 0, "max_tokens": 100, "stop": []}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def _allowed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # LangChain loads a class that it does not list only for a caller who allows that one, and the
        # suite allows those listed.
        path, loader = tuple(ChatLarimar.lc_id()), import_module("langchain_core.load.load")
        monkeypatch.setitem(loader.ALL_SERIALIZABLE_MAPPINGS, path, path)
        monkeypatch.setattr(loader, "_default_class_paths_cache", {})


class Integration(ChatModelIntegrationTests):
    chat_model_class = ChatLarimar
    has_tool_calling = has_tool_choice = has_structured_output = False
    supports_model_override = False
    settings: dict[str, Any]

    @pytest.fixture(autouse=True)
    def _models(self, vault: Larimar) -> None:
        self.memory = vault

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"memory": self.memory, "max_tokens": 2, "score_threshold": 0, **self.settings}


class TestText(Integration):
    settings = {"grounding": "text"}  # noqa: RUF012


class TestLatents(Integration):
    settings = {"grounding": "latent"}  # noqa: RUF012
