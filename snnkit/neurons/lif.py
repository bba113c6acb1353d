"""Integrate-and-fire neurons with one membrane: IF and LIF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from snnkit.neurons import equations
from snnkit.neurons.base import Neuron, Value
from snnkit.neurons.surrogate import ATan, Surrogate


class IFState(NamedTuple):
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold


class IF(Neuron):
    """Integrate-and-fire without leak (Lapicque 1907; Abbott 1999, Brain Res Bull 50:303).

        u = v + x        s = [u >= θ]        v = u - s·θ  (reset "subtract")

    Under a constant input x < θ it fires x/θ spikes per step. Starting at v = θ/2 rounds this rate where v = 0
    floors it, which is what converted networks want.

    Args:
        threshold: θ, a number or a tensor that broadcasts to `*N`.
        initial_v: membrane at rest, likewise.
        dt: time between input samples [s]; not needed for the dynamics, kept for exporters.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: threshold.

    >>> import torch
    >>> IF()(torch.full((8, 1, 1), 0.25)).sum().item()
    2.0
    """

    equation = equations.integrate_and_fire
    State = IFState
    learnable = ("threshold",)
    threshold: Tensor
    initial_v: Tensor

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
        learn: str | Sequence[str] = (),
    ):
        super().__init__(
            dt=dt, reset=reset, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn
        )
        self.add_parameter("threshold", threshold)
        self.add_parameter("initial_v", initial_v)

    def constants(self) -> dict[str, Tensor]:
        return {"theta": self.threshold}

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}


class LIFState(NamedTuple):
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold


class LIF(Neuron):
    """Leaky integrate-and-fire, exact between samples (Stein 1965; Gerstner et al. 2014, Neuronal Dynamics).

        τ dv/dt = -v        u = a·v + x,  a = exp(-dt/τ)        s = [u >= θ]        v = u - s·θ  (reset "subtract")

    The input is a jump of the membrane at the end of its step, so its gain at rest is 1/(1 - a); `scale_input=True`
    holds it over the step instead, u = a·v + (1 - a)·x, with gain 1. Under a constant input and reset "zero" the
    interval between spikes is n = ceil(ln(1 - θ(1 - a)/x) / ln a) steps.

    Args:
        tau: membrane time constant τ [s], a number or a tensor that broadcasts to `*N`; dt < τ.
        dt: time between input samples [s].
        threshold: θ, in the unit of the membrane, likewise.
        initial_v: membrane at rest, likewise.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau, threshold.

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
    initial_v: Tensor

    def __init__(
        self,
        *,
        tau: Value,
        dt: float,
        threshold: Value = 1.0,
        reset: str = "subtract",
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        scale_input: bool = False,
        initial_v: Value = 0.0,
        learn: str | Sequence[str] = (),
    ):
        super().__init__(
            dt=dt, reset=reset, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn
        )
        self.scale_input = bool(scale_input)
        if scale_input:
            self.equation = equations.lif_scaled  # type: ignore[misc]
        self.add_time_constant("tau", tau)
        self.add_parameter("threshold", threshold)
        self.add_parameter("initial_v", initial_v)

    @property
    def tau(self) -> Tensor:
        """Membrane time constant [s]."""
        return self.time_constant("tau")

    def constants(self) -> dict[str, Tensor]:
        return {"decay": self.decay(self.tau), "theta": self.threshold}

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}
