"""Refractory time for any neuron: while it lasts, the membrane is held and nothing is sent."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from snnkit.errors import UserError, nearest
from snnkit.neurons.base import Neuron, Value
from snnkit.neurons.equations import Equation
from snnkit.neurons.language import maximum, where

_STATES: dict[tuple[str, ...], Callable[..., tuple[Tensor, ...]]] = {}


class _Gated:
    """`fire` that is silent while the neuron is refractory, and remembers what it sent."""

    def __init__(self, fire: Callable, free: Any):
        self._fire, self._free, self.sent = fire, free, None

    def __call__(self, u: Any) -> tuple[Any, Any]:
        return self._gate(*self._fire(u))

    def count(self, u: Any) -> tuple[Any, Any]:
        return self._gate(*self._fire.count(u))  # type: ignore[attr-defined]

    def _gate(self, s: Any, r: Any) -> tuple[Any, Any]:
        s, r = s * self._free, r * self._free
        self.sent = s if self.sent is None else self.sent + s
        return s, r


@cache
def hold(equation: Equation, held: tuple[str, ...]) -> Equation:
    """The same neuron with a counter of the steps for which the states `held` keep their value after a spike."""

    def step(*given: Any, refractory_steps: Any, fire: Callable, **k: Any) -> tuple:
        *values, left = given
        resting = left > 0.0
        gated = _Gated(fire, where(resting, 0.0, 1.0))
        found = equation.step(*values, fire=gated, **k)
        if gated.sent is None:
            raise TypeError(f"{equation.name} sends no spikes, so it has no refractory time")
        cut = len(found) - len(equation.rest)
        before = values[len(equation.ports) :]
        after = [
            where(resting, old, new) if name in held else new
            for name, old, new in zip(equation.states, before, found[cut:], strict=True)
        ]
        return *found[:cut], *after, where(gated.sent > 0.5, refractory_steps, maximum(left - 1.0, 0.0))

    return Equation(
        name=f"refractory_{equation.name}",
        step=step,
        ports=equation.ports,
        rest={**equation.rest, "left": 0.0},
        constants=(*equation.constants, "refractory_steps"),
        handed_in=equation.handed_in,
        made_by=(hold, (equation, held)),
    )


class Refractory(Neuron):
    """A neuron that rests for a while after each spike: absolute refractory time (Gerstner et al. 2014).

        left = n after a spike, else max(left - 1, 0)        while left > 0: no spike, and v stays where the reset put it

    n = t_ref/dt, rounded. It adds n steps to each interval between spikes. Input that comes meanwhile does not reach the
    membrane; synaptic currents and adaptation go on. This is one more state around the equation of the other neuron, and
    runs on the same kernels: nothing is written twice, and it works for neurons of your own. It takes over the neuron's
    surrogate, reset, compare and detach_reset; to change them later, assign them here.

    Args:
        neuron: what has the equation and the parameters, such as `LIF(...)`; it has a dt.
        t_ref: refractory time [s], a number or a tensor that broadcasts to `*N`.
        held: states that are held; default v.

    The state is that of the neuron and, last, `left`, the steps left [B, *N].

    >>> from snnkit.neurons.lif import LIF
    >>> cell = Refractory(LIF(tau=20e-3, dt=1e-3, reset="zero"), t_ref=2e-3)
    >>> cell(torch.full((8, 1, 1), 0.6)).flatten().tolist()
    [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    """

    t_ref: Tensor

    def __init__(self, neuron: Neuron, t_ref: Value, *, held: str | Sequence[str] = ("v",)):
        if not isinstance(neuron, Neuron) or "fire" not in neuron.equation.handed_in:
            raise TypeError(f"Refractory needs a spiking neuron such as LIF(...), got {neuron!r}")
        held = (held,) if isinstance(held, str) else tuple(held)
        for word in held:
            if word not in neuron.equation.states:
                raise UserError(
                    f"Refractory: {type(neuron).__name__} has no state {word!r}; {nearest(word, neuron.equation.states)}"
                )
        self.__dict__["equation"] = hold(neuron.equation, held)  # asked for before modules can be set
        if neuron.dt is None:
            raise UserError(f"Refractory counts steps: give {type(neuron).__name__} a dt")
        super().__init__(
            dt=neuron.dt,
            reset=neuron._reset_word(),
            surrogate=neuron.surrogate,
            detach_reset=neuron.detach_reset,
            compare=neuron.compare,
        )
        self.neuron = neuron
        self.add_parameter("t_ref", t_ref)
        if not bool((self.t_ref >= 0).all()):
            raise UserError(f"Refractory needs t_ref >= 0 in seconds, got {t_ref!r}")

    def form(self) -> Equation:
        states = self.equation.states
        if states not in _STATES:
            _STATES[states] = namedtuple("RefractoryState", states)
        return self.equation

    def State(self, *states: Tensor) -> tuple[Tensor, ...]:
        return _STATES[self.equation.states](*states)

    @property
    def threshold(self) -> Tensor:
        """Threshold of the neuron."""
        return self.neuron.threshold  # type: ignore[return-value]

    def constants(self) -> dict[str, Tensor]:
        return {**self.neuron.constants(), "refractory_steps": torch.round(self.t_ref / self.dt)}  # type: ignore[operator]

    def rest(self) -> dict[str, Any]:
        return self.neuron.rest()
