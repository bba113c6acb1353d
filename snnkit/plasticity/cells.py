"""Neurons that plastic networks are made of: thresholds that follow a target rate."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from snnkit.errors import UserError
from snnkit.neurons.base import Neuron, Time, Value
from snnkit.neurons.equations import neuron
from snnkit.neurons.surrogate import ATan, Surrogate


class TargetRateLIFState(NamedTuple):
    v: Tensor  # membrane potential [B, *N]
    theta: Tensor  # threshold


@neuron("x", v=0.0, theta=1.0)
def target_rate_lif(x, v, theta, *, decay, eta, target, fire, reset):
    u = decay * v + x
    s, r = fire(u - theta)
    return s, reset(u, r, theta), theta + eta * (s - target)


class TargetRateLIF(Neuron):
    """LIF whose threshold follows its rate: intrinsic plasticity (after Zhang and Linden 2003, Nat Rev Neurosci 4:885).

        u = exp(-dt/τ)·v + x        s = [u >= θ]        θ ← θ + η·(s - ρ·dt)

    In the long run it fires ρ spikes per second on any input that can make it. θ is a state: it goes on from sample to sample with
    `Liquid.learn(..., carry=["theta"])`.

    Args:
        tau: membrane time constant [s].
        dt: time between input samples [s].
        rate: ρ [Hz].
        eta: what a spike adds to θ.
        threshold: θ at the beginning.
        reset, surrogate, compare: see `Neuron`.
    """

    equation = target_rate_lif
    State = TargetRateLIFState
    rate: Tensor
    eta: Tensor
    threshold: Tensor

    def __init__(
        self, *, tau: Time, dt: float, rate: Value, eta: Value = 0.01, threshold: Value = 1.0, reset: str = "zero",
        surrogate: Surrogate = ATan(), compare: str = ">=",
    ):  # fmt: skip
        super().__init__(dt=dt, reset=reset, surrogate=surrogate, compare=compare)
        self.add_time_constant("tau", tau)
        for name, value in (("rate", rate), ("eta", eta), ("threshold", threshold)):
            self.add_parameter(name, value)
        if not bool(((self.rate > 0) & (self.rate * dt < 1)).all()):
            raise UserError(f"TargetRateLIF needs 0 < rate < 1/dt = {1 / dt:g} Hz, got rate={rate!r}")

    @property
    def tau(self) -> Tensor:
        """Membrane time constant [s]."""
        return self.time_constant("tau")

    def constants(self) -> dict[str, Tensor]:
        return {"decay": self.decay(self.tau), "eta": self.eta, "target": self.rate * self.dt}  # type: ignore[operator]

    def rest(self) -> dict[str, Any]:
        return {"theta": self.threshold}
