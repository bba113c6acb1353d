"""A leaky integrate-and-fire neuron whose threshold rises with its own spikes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from snnkit.neurons import equations
from snnkit.neurons.base import Neuron, Time, Value
from snnkit.neurons.surrogate import ATan, Surrogate


class AdaptiveLIFState(NamedTuple):
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold
    b: Tensor  # low-pass filtered spikes [B, *N], in 0..1


class AdaptiveLIF(Neuron):
    """Leaky integrate-and-fire with an adaptive threshold (ALIF; Bellec et al. 2018, NeurIPS).

        u = a·v + x        A = θ + β·b        s = [u >= A]        v = u - s·A  (reset "subtract")
        b = ρ·b + (1 - ρ)·s        a = exp(-dt/τ), ρ = exp(-dt/τ_adapt)

    The threshold of a step is that before its own spike. A detached reset detaches the membrane only; the adaptation
    keeps its gradient. `scale_input=True` holds the input over the step: u = a·v + (1 - a)·x, the form of the paper.

    Args:
        tau: membrane time constant τ [s], a number or a tensor that broadcasts to `*N`; dt < τ.
        tau_adapt: time constant of the adaptation [s], likewise.
        dt: time between input samples [s].
        threshold: θ, threshold at rest, likewise.
        beta: β, rise of the threshold at one spike per step, likewise.
        initial_v: membrane at rest, likewise.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau, tau_adapt, threshold, beta.

    >>> import torch
    >>> cell = AdaptiveLIF(tau=20e-3, tau_adapt=0.2, dt=1e-3)
    >>> spikes = cell(torch.full((500, 1, 1), 0.3))
    >>> int(spikes[:50].sum()), int(spikes[-50:].sum())  # slower with time
    (13, 10)
    """

    equation = equations.adaptive_lif
    State = AdaptiveLIFState
    learnable = ("tau", "tau_adapt", "threshold", "beta")
    threshold: Tensor
    beta: Tensor
    initial_v: Tensor

    def __init__(
        self,
        *,
        tau: Time,
        tau_adapt: Time,
        dt: float,
        threshold: Value = 1.0,
        beta: Value = 1.8,
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
            self.equation = equations.adaptive_lif_scaled  # type: ignore[misc]
        self.add_time_constant("tau", tau)
        self.add_time_constant("tau_adapt", tau_adapt)
        self.add_parameter("threshold", threshold)
        self.add_parameter("beta", beta)
        self.add_parameter("initial_v", initial_v)

    @property
    def tau(self) -> Tensor:
        """Membrane time constant [s]."""
        return self.time_constant("tau")

    @property
    def tau_adapt(self) -> Tensor:
        """Time constant of the adaptation [s]."""
        return self.time_constant("tau_adapt")

    def constants(self) -> dict[str, Tensor]:
        return {
            "decay": self.decay(self.tau),
            "decay_adapt": self.decay(self.tau_adapt),
            "theta": self.threshold,
            "beta": self.beta,
        }

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}
