"""A membrane that does not spike, to read a network's answer from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from snnkit.neurons import equations
from snnkit.neurons.base import Neuron, Value


class LeakyIntegratorState(NamedTuple):
    v: Tensor  # membrane potential [B, *N]


class LeakyIntegrator(Neuron):
    """Leaky integrator: the output is the membrane itself.

        v = a·v + x,  a = exp(-dt/τ);  with `scale_input=True` v = a·v + (1 - a)·x

    Its gain for a constant input is 1/(1 - a), or 1 with `scale_input`.

    Args:
        tau: time constant τ [s], a number or a tensor that broadcasts to `*N`; dt < τ.
        dt: time between input samples [s].
        initial_v: membrane at rest, likewise.
        learn: learnable: tau.

    >>> import torch
    >>> LeakyIntegrator(tau=20e-3, dt=1e-3)(torch.ones(1, 1, 2)).tolist()
    [[[1.0, 1.0]]]
    """

    equation = equations.leaky_integrator
    State = LeakyIntegratorState
    learnable = ("tau",)
    initial_v: Tensor

    def __init__(
        self,
        *,
        tau: Value,
        dt: float,
        scale_input: bool = False,
        initial_v: Value = 0.0,
        learn: str | Sequence[str] = (),
    ):
        super().__init__(dt=dt, reset="none", learn=learn)
        self.scale_input = bool(scale_input)
        if scale_input:
            self.equation = equations.leaky_integrator_scaled  # type: ignore[misc]
        self.add_time_constant("tau", tau)
        self.add_parameter("initial_v", initial_v)

    @property
    def tau(self) -> Tensor:
        """Time constant [s]."""
        return self.time_constant("tau")

    def constants(self) -> dict[str, Tensor]:
        return {"decay": self.decay(self.tau)}

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}
