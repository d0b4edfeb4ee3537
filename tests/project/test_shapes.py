"""While tests run, functions refuse arrays of another shape, and values of another type."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from larimar_memory.recall import scope, stems
from larimar_memory.slots import blend
from larimar_memory.stores.sqlite import store
from tests.shapes import names_an_array


def test_shapes_that_do_not_fit_are_refused() -> None:
    weights, wide = np.zeros(4), np.zeros((4, 1))
    assert scope.probability(weights, weights, 0.0) == 0.5
    for other in (np.zeros(5), wide):
        with pytest.raises(TypeCheckError, match=r"scope\.probability"):
            scope.probability(weights, other, 0.0)


def test_types_that_do_not_fit_are_refused() -> None:
    wrong: Any = 7
    with pytest.raises(TypeCheckError):
        stems.stem(wrong)


def test_a_function_names_an_array_by_any_name() -> None:
    assert names_an_array(inspect.unwrap(blend.unit_rows))
    assert names_an_array(inspect.unwrap(store.SQLiteStore.keys))
    assert not names_an_array(inspect.unwrap(stems.stem))
