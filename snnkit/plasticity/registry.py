"""Rules and modulators found by name: what a saved liquid names must be known, for loading a file runs no code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

from snnkit.errors import UserError, nearest
from snnkit.plasticity.rule import Modulators, Rule

Made = TypeVar("Made", Rule, Modulators)
_KNOWN: dict[str, Callable[..., Any]] = {}


def register(factory: Callable[..., Made]) -> Callable[..., Made]:
    """Decorate a function that makes a `Rule` or `Modulators`, so that liquids with it can be saved and loaded.

    Its name and options are what a file holds: numbers, strings, booleans, None, tuples and arrays.
    """
    name = factory.__name__
    if name in _KNOWN and _KNOWN[name].__module__ != factory.__module__:
        raise UserError(f"a rule called {name!r} is already registered, by {_KNOWN[name].__module__}")

    @wraps(factory)
    def make(*args: Any, **options: Any) -> Made:
        bound = inspect.signature(factory).bind(*args, **options)
        return replace(factory(*args, **options), made_by=(name, dict(bound.arguments)))

    _KNOWN[name] = make
    return make


def made(name: str, options: dict[str, Any]) -> Any:
    """The rule or the modulators of this name."""
    if name not in _KNOWN:
        raise UserError(
            f"no rule called {name!r} is registered here; import the module that decorates it with "
            f"snnkit.plasticity.register. {nearest(name, _KNOWN)}"
        )
    try:
        return _KNOWN[name](**options)
    except TypeError as error:
        raise UserError(f"the options of {name} do not fit: {error}") from None


def names() -> tuple[str, ...]:
    """All registered rules and modulators."""
    return tuple(sorted(_KNOWN))
