"""A membrane that does not spike, to read a network's answer from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from snnkit.neurons import equations, forms
from snnkit.neurons.base import Time, Value
from snnkit.neurons.equations import Equation
from snnkit.neurons.membrane import Membrane


class LeakyIntegratorState(NamedTuple):
    v: Tensor  # membrane potential [B, *N]


class LeakyIntegrator(Membrane):
    """Leaky integrator: the output is the membrane itself.

        v = a·v + x,  a = exp(-dt/τ);  with `scale_input=True` v = a·v + (1 - a)·x

    Its gain for a constant input is 1/(1 - a), or 1 with `scale_input`.

    Args:
        tau: time constant τ [s], a number or a tensor that broadcasts to `*N`; dt < τ. Or the factor per step instead, such as
            `Decay(0.9)`.
        dt: time between input samples [s].
        initial_v: membrane at the beginning, likewise; `v_leak` if not given.
        scale_input, solver, v_leak: see `Membrane`.
        learn: learnable: tau.

    >>> import torch
    >>> LeakyIntegrator(tau=20e-3, dt=1e-3)(torch.ones(1, 1, 2)).tolist()
    [[[1.0, 1.0]]]
    """

    equation = equations.leaky_integrator
    State = LeakyIntegratorState
    learnable = ("tau",)

    def __init__(
        self,
        *,
        tau: Time,
        dt: float,
        scale_input: bool = False,
        initial_v: Value | None = None,
        solver: str = "exact",
        v_leak: Value = 0.0,
        learn: str | Sequence[str] = (),
    ):
        super().__init__(
            dt=dt, reset="none", learn=learn, scale_input=scale_input, solver=solver, v_leak=v_leak,
            initial_v=initial_v,
        )  # fmt: skip
        self.add_time_constant("tau", tau)

    @property
    def tau(self) -> Tensor:
        """Time constant [s]."""
        return self.time_constant("tau")

    def form(self) -> Equation:
        if self.is_default():
            return type(self).equation
        return forms.leaky_integrator(self.solver, bool(self.scale_input), self.leaks)

    def constants(self) -> dict[str, Tensor]:
        return {forms.SOLVERS[self.solver]: self.per_step(self.tau), **self.potentials()}
