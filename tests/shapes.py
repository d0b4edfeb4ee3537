"""Types of arguments and results, and the shapes of arrays among them, checked at each call."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, beartype

_jaxtyped = jaxtyping.jaxtyped
_TYPES = BeartypeConf(violation_type=jaxtyping.TypeCheckError)


def checked_in(modules: list[str]) -> None:
    """Check all calls in modules that are not imported yet.

    For each call jaxtyping binds the arguments anew, which takes longer than most functions do: only
    those that name an array go through it. Types alone are checked by beartype, with the same error.
    """
    jaxtyping.jaxtyped = _checked
    jaxtyping.install_import_hook(modules, "beartype.beartype")


def _checked(function: Any = None, *, typechecker: Callable[..., Any]) -> Any:
    """Take the place of `jaxtyping.jaxtyped`, which the import hook puts before all there is."""
    if function is None:
        return functools.partial(_checked, typechecker=typechecker)
    if isinstance(function, type):
        if dataclasses.is_dataclass(function) and "__init__" in vars(function):
            function.__init__ = _checked(function.__init__, typechecker=typechecker)  # type: ignore[misc]
        return function
    if names_an_array(function):
        return _jaxtyped(function, typechecker=typechecker)
    return beartype(conf=_TYPES)(function)


def names_an_array(function: Any) -> bool:
    """Whether an annotation of a function has an array's shape, itself or by another name."""
    names = re.findall(r"\w+", " ".join(map(str, function.__annotations__.values())))
    return any(_has_shape(function.__globals__.get(name)) for name in names)


def _has_shape(hint: Any) -> bool:
    """Whether a hint is a type of jaxtyping's, such as `Float`, or made of one."""
    return getattr(hint, "__module__", "") == "jaxtyping" or any(map(_has_shape, get_args(hint)))
