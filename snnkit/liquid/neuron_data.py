"""A neuron as names and numbers: its class, and the options that build one with the same constants."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from snnkit import neurons, plasticity
from snnkit.errors import UserError, nearest
from snnkit.neurons import surrogate
from snnkit.neurons.base import Neuron
from snnkit.neurons.surrogate import Surrogate


def neuron_options(neuron: Neuron) -> dict[str, Any]:
    """Class and options of a neuron, from which `neuron_from` builds its equal.

    Raises:
        UserError: it is not one of `snnkit.neurons`, or an option of it left no trace.
    """
    name = type(neuron).__name__
    if _known().get(name) is not type(neuron):
        raise UserError(
            f"{name} is not a neuron of snnkit.neurons or snnkit.plasticity, so a file cannot name it"
        )
    options: dict[str, Any] = {}
    for option in _parameters(type(neuron)):
        value = neuron._learn if option == "learn" else getattr(neuron, option, None)
        if isinstance(value, Neuron):
            options[option] = {"neuron": neuron_options(value)}
        elif isinstance(value, Surrogate):
            options[option] = {"surrogate": type(value).__name__, "hyper": _fields(value)}
        elif value is not None and not callable(value):
            options[option] = value
    found = {"class": name, "options": options}
    if not _same(neuron, neuron_from(found)):
        raise UserError(f"{name} has options that it does not keep by name, so it cannot be saved")
    return found


def neuron_from(data: Mapping[str, Any]) -> Neuron:
    """The neuron that `neuron_options` described."""
    known = _known()
    if data["class"] not in known:
        raise UserError(f"unknown neuron {data['class']!r}; {nearest(str(data['class']), known)}")
    options = {}
    for name, value in data["options"].items():
        if isinstance(value, Mapping) and "neuron" in value:
            value = neuron_from(value["neuron"])
        elif isinstance(value, Mapping) and "surrogate" in value:
            value = _surrogate(value)
        options[name] = value
    return known[data["class"]](**options)


def _known() -> dict[str, type[Neuron]]:
    """Neurons that a file may name."""
    public = {name: getattr(room, name) for room in (neurons, plasticity) for name in room.__all__}
    return {n: c for n, c in public.items() if isinstance(c, type) and issubclass(c, Neuron)}


def _surrogate(value: Mapping[str, Any]) -> Surrogate:
    known = {n: c for n, c in vars(surrogate).items() if isinstance(c, type) and issubclass(c, Surrogate)}
    if value["surrogate"] not in known:
        raise UserError(f"unknown surrogate {value['surrogate']!r}; {nearest(value['surrogate'], known)}")
    return known[value["surrogate"]](**value["hyper"])


def _fields(value: Surrogate) -> dict[str, Any]:
    return {k: v for k, v in vars(value).items() if isinstance(v, bool | int | float | str)}


def _parameters(cls: type[Neuron]) -> list[str]:
    """Options of the class and of those to which it hands its **options on."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if base is torch.nn.Module or "__init__" not in base.__dict__:
            continue
        parameters = inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]
        kinds = {p.kind for p in parameters}
        names |= {p.name: None for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    names.pop("self", None)
    return list(names)


def _same(a: Neuron, b: Neuron) -> bool:
    like = torch.zeros(1, 1, dtype=torch.float64)
    if a._key != b._key:
        return False
    mine, yours = a.constants(), b.constants()
    pairs = [(mine[k], yours[k]) for k in a.equation.constants]
    rest_a, rest_b = ({**n.equation.rest, **n.rest()} for n in (a, b))
    pairs += [(torch.as_tensor(rest_a[k]), torch.as_tensor(rest_b[k])) for k in a.equation.states]
    return all(p.shape == q.shape and torch.equal(p.to(like.dtype), q.to(like.dtype)) for p, q in pairs)
