"""The cache goes to a model under the name that the installed transformers has for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from larimar_memory.models import caches


class Earlier:
    def forward(self, input_ids: Any, past_key_values: Any = None) -> None: ...


class Later:
    def forward(self, input_ids: Any, cache: Any = None) -> None: ...


@pytest.mark.parametrize(("kind", "name"), [(Earlier, "past_key_values"), (Later, "cache")])
def test_a_cache_has_the_name_that_the_model_takes(kind: type, name: str) -> None:
    assert caches.given(kind(), 1) == {name: 1}
    for told in ("past_key_values", "cache"):
        assert caches.for_generate(kind(), {"inputs": 2, told: 1}) == {"inputs": 2, name: 1}
    assert caches.for_generate(kind(), {"inputs": 2}) == {"inputs": 2}


def test_the_cache_that_a_model_leaves_is_found_under_both_names() -> None:
    assert caches.left_by(SimpleNamespace(past_key_values=1)) == 1
    assert caches.left_by(SimpleNamespace(cache=2)) == 2
