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

    Its name and options are what a file holds: numbers, strings, booleans, None, tuples and arrays. A function that makes a rule
    also takes `pairing`, of `Rule`.
    """
    name = factory.__name__
    if name in _KNOWN and _KNOWN[name].__module__ != factory.__module__:
        raise UserError(f"a rule called {name!r} is already registered, by {_KNOWN[name].__module__}")

    signature = inspect.signature(factory)
    taken = "pairing" in signature.parameters

    @wraps(factory)
    def make(*args: Any, **options: Any) -> Made:
        more = {} if taken or "pairing" not in options else {"pairing": options.pop("pairing")}
        bound = signature.bind(*args, **options)
        owner = factory(*args, **options)
        if more and not isinstance(owner, Rule):
            raise UserError(
                f"{name} makes no rule, so it pairs no spikes: give pairing=... to the rule beside it"
            )
        return replace(owner, made_by=(name, dict(bound.arguments)), **more)

    if not taken and signature.return_annotation in (Rule, "Rule"):
        make.__signature__ = _with_pairing(signature)  # type: ignore[attr-defined]
    _KNOWN[name] = make
    return make


def _with_pairing(signature: inspect.Signature) -> inspect.Signature:
    pairing = inspect.Parameter(
        "pairing", inspect.Parameter.KEYWORD_ONLY, default="departure", annotation="str"
    )
    return signature.replace(parameters=[*signature.parameters.values(), pairing])


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
