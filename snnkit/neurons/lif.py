"""Integrate-and-fire neurons with one membrane: IF and LIF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from snnkit.neurons import equations, forms
from snnkit.neurons.base import Time, Value
from snnkit.neurons.equations import Equation
from snnkit.neurons.membrane import Membrane
from snnkit.neurons.surrogate import ATan, Surrogate


class IFState(NamedTuple):
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold


class IF(Membrane):
    """Integrate-and-fire without leak (Lapicque 1907; Abbott 1999, Brain Res Bull 50:303).

        u = v + x        s = [u >= θ]        v = u - s·θ  (reset "subtract")

    Under a constant input x < θ it fires x/θ spikes per step. Starting at v = θ/2 rounds this rate where v = 0
    floors it, which is what converted networks want.

    Args:
        threshold: θ, a number or a tensor that broadcasts to `*N`.
        initial_v: membrane at rest, likewise.
        dt: time between input samples [s]; not needed for the dynamics, kept for exporters.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: threshold.
        v_reset, reset_timing: see `Membrane`.

    >>> import torch
    >>> IF()(torch.full((8, 1, 1), 0.25)).sum().item()
    2.0
    """

    equation = equations.integrate_and_fire
    State = IFState
    learnable = ("threshold",)
    threshold: Tensor

    def __init__(
        self,
        *,
        threshold: Value = 1.0,
        reset: str = "subtract",
        initial_v: Value = 0.0,
        dt: float | None = None,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        v_reset: Value | None = None,
        reset_timing: str = "same",
        learn: str | Sequence[str] = (),
    ):
        super().__init__(
            dt=dt, reset=reset, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn,
            v_reset=v_reset, reset_timing=reset_timing, initial_v=initial_v,
        )  # fmt: skip
        self.add_parameter("threshold", threshold)

    def form(self) -> Equation:
        if self.is_default():
            return type(self).equation
        return forms.lif(None, False, False, self.targets, self.reset_timing)

    def constants(self) -> dict[str, Tensor]:
        return {"theta": self.threshold, **self.potentials()}


class LIFState(NamedTuple):
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold


class LIF(Membrane):
    """Leaky integrate-and-fire, exact between samples (Stein 1965; Gerstner et al. 2014, Neuronal Dynamics).

        τ dv/dt = -v        u = a·v + x,  a = exp(-dt/τ)        s = [u >= θ]        v = u - s·θ  (reset "subtract")

    The input is a jump of the membrane at the end of its step, so its gain at rest is 1/(1 - a); `scale_input=True`
    holds it over the step instead, u = a·v + (1 - a)·x, with gain 1. `solver="euler"` takes a = 1 - dt/τ. Under a constant input and reset "zero" the
    interval between spikes is n = ceil(ln(1 - θ(1 - a)/x) / ln a) steps.

    Args:
        tau: membrane time constant τ [s], a number or a tensor that broadcasts to `*N`; dt < τ. Or the factor per step
            instead, such as `Decay(0.9)`.
        dt: time between input samples [s].
        threshold: θ, in the unit of the membrane, likewise.
        initial_v: membrane at the beginning, likewise; `v_leak` if not given.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau, threshold.
        scale_input, solver, v_leak, v_reset, reset_timing: see `Membrane`.

    >>> import torch
    >>> lif = LIF(tau=20e-3, dt=1e-3)
    >>> spikes, state = lif.scan(torch.tensor([[[0.5, 1.5]]]))
    >>> spikes.tolist(), state.v.tolist()
    ([[[0.0, 1.0]]], [[0.5, 0.5]])
    """

    equation = equations.lif
    State = LIFState
    learnable = ("tau", "threshold")
    threshold: Tensor

    def __init__(
        self,
        *,
        tau: Time,
        dt: float,
        threshold: Value = 1.0,
        reset: str = "subtract",
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        scale_input: bool = False,
        initial_v: Value | None = None,
        solver: str = "exact",
        v_leak: Value = 0.0,
        v_reset: Value | None = None,
        reset_timing: str = "same",
        learn: str | Sequence[str] = (),
    ):
        super().__init__(
            dt=dt, reset=reset, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn,
            scale_input=scale_input, solver=solver, v_leak=v_leak, v_reset=v_reset, reset_timing=reset_timing,
            initial_v=initial_v,
        )  # fmt: skip
        self.add_time_constant("tau", tau)
        self.add_parameter("threshold", threshold)

    @property
    def tau(self) -> Tensor:
        """Membrane time constant [s]."""
        return self.time_constant("tau")

    def form(self) -> Equation:
        if self.is_default():
            return type(self).equation
        return forms.lif(self.solver, bool(self.scale_input), self.leaks, self.targets, self.reset_timing)

    def constants(self) -> dict[str, Tensor]:
        leak = {forms.SOLVERS[self.solver]: self.per_step(self.tau)}
        return {**leak, "theta": self.threshold, **self.potentials()}
