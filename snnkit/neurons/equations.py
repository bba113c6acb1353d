"""The neurons, each one short step function: charge, fire, reset.

A step takes its input ports, its states, then by keyword its constants and what is handed in: `fire(g)` sends a spike
where g >= 0 and answers the pair (s, r), the spike sent and the spike that resets (without a derivative when the
reset is detached); `reset(u, r, theta)` is the membrane after the spike. It answers the outputs, then the next states.
The words it may use are in `snnkit.neurons.language`. Everything else follows: reference, kernels, adjoint.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

HANDED_IN = ("fire", "reset")


@dataclass(frozen=True, eq=False)
class Equation:
    """A step function and what its signature declares."""

    name: str
    step: Callable[..., Any]
    ports: tuple[str, ...]
    rest: Mapping[str, float]  # state -> value at rest
    constants: tuple[str, ...]
    handed_in: tuple[str, ...]
    made_by: tuple[Callable[..., Any], tuple] | None = (
        None  # function and arguments, if put together by options
    )

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(self.rest)

    def __deepcopy__(self, memo: dict) -> Equation:
        return self

    def __reduce__(self) -> tuple:
        """By name, as functions are, or by the options that it was made of; where no other process would find the name
        (a notebook), by value, which cloudpickle can carry."""
        name = self.step.__module__, self.step.__qualname__
        if self.made_by is None and ("<locals>" in name[1] or name[0] == "__main__"):
            return Equation, tuple(getattr(self, field.name) for field in fields(self))
        return self.made_by or (_find, name)


def _find(module: str, name: str) -> Equation:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def neuron(ports: str, **rest: float) -> Callable[[Callable[..., Any]], Equation]:
    """Declare a step function: its input ports (names in one string) and its states with their values at rest.

    >>> @neuron("x", v=0.0)
    ... def integrator(x, v, *, gain):
    ...     v = v + gain * x
    ...     return v, v
    >>> integrator.ports, integrator.states, integrator.constants
    (('x',), ('v',), ('gain',))
    """

    def declare(step: Callable[..., Any]) -> Equation:
        name = getattr(step, "__name__", "step")
        inputs = tuple(ports.split())
        parameters = inspect.signature(step).parameters.values()
        positional = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        keywords = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        expected = (*inputs, *rest)
        if not inputs or positional != expected or len(positional) + len(keywords) != len(parameters):
            raise TypeError(
                f"{name} should begin `def {name}({', '.join(expected)}, *, ...)`: ports, then states in the order "
                f"of the decorator, then constants by keyword; it has ({', '.join(p.name for p in parameters)})"
            )
        return Equation(
            name=name,
            step=step,
            ports=inputs,
            rest=dict(rest),
            constants=tuple(k for k in keywords if k not in HANDED_IN),
            handed_in=tuple(k for k in keywords if k in HANDED_IN),
        )

    return declare


RESETS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "subtract": lambda u, r, theta: u - r * theta,
    "zero": lambda u, r, theta: u * (1.0 - r),
    "none": lambda u, r, theta: u,
}


@neuron("x", v=0.0)
def integrate_and_fire(x, v, *, theta, fire, reset):
    u = v + x
    s, r = fire(u - theta)
    return s, reset(u, r, theta)


@neuron("x", v=0.0)
def lif(x, v, *, decay, theta, fire, reset):
    u = decay * v + x
    s, r = fire(u - theta)
    return s, reset(u, r, theta)


@neuron("x", i=0.0, v=0.0)
def cuba_lif(x, i, v, *, decay_syn, decay, theta, fire, reset):
    i = decay_syn * i + x
    u = decay * v + i
    s, r = fire(u - theta)
    return s, i, reset(u, r, theta)


@neuron("x", v=0.0, b=0.0)
def adaptive_lif(x, v, b, *, decay, decay_adapt, theta, beta, fire, reset):
    u = decay * v + x
    level = theta + beta * b
    s, r = fire(u - level)
    return s, reset(u, r, level), decay_adapt * b + (1.0 - decay_adapt) * s


@neuron("x", v=0.0, b=0.0)
def adaptive_lif_scaled(x, v, b, *, decay, decay_adapt, theta, beta, fire, reset):
    u = decay * v + (1.0 - decay) * x
    level = theta + beta * b
    s, r = fire(u - level)
    return s, reset(u, r, level), decay_adapt * b + (1.0 - decay_adapt) * s


@neuron("x", v=0.0)
def leaky_integrator(x, v, *, decay):
    v = decay * v + x
    return v, v
