"""A neuron with a second, slower membrane that deepens the reset and carries gradients over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from snnkit.neurons.base import Neuron, Time, Value
from snnkit.neurons.equations import neuron
from snnkit.neurons.language import sigmoid
from snnkit.neurons.surrogate import ATan, Surrogate


@neuron("x", v=0.0, m=0.0)
def complementary_lif(x, v, m, *, rate, theta, fire):
    u = v - rate * v + x
    s, r = fire(u - theta)
    m = m * sigmoid(rate * u) + s
    return s, u - r * (theta + sigmoid(m)), m


class ComplementaryLIFState(NamedTuple):
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold
    m: Tensor  # complementary potential [B, *N], a slow count of spikes


class ComplementaryLIF(Neuron):
    """Complementary leaky integrate-and-fire (CLIF; Huang et al. 2024, ICML).

        u = (1 - q)·v + x, q = dt/τ        s = [u >= θ]        m = m·sigmoid(q·u) + s        v = u - s·(θ + sigmoid(m))

    m rises with every spike and falls the slower, the more the membrane is charged; it takes up to 1 more off the membrane
    after frequent spikes, and gives gradients a second path through time that vanishes later. Nothing more is learned than in
    LIF. The step is Euler's. The authors leave the reset attached; a detached one detaches the membrane only.

    Args:
        tau: τ [s], a number or a tensor that broadcasts to `*N`; dt < τ. In the paper 2·dt.
        dt: time between input samples [s].
        threshold: θ, likewise.
        initial_v: membrane at the beginning, likewise.
        surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau, threshold.

    >>> import torch
    >>> cell = ComplementaryLIF(tau=2e-3, dt=1e-3)
    >>> _, state = cell.scan(torch.full((1, 1, 1), 1.2))
    >>> round(state.v.item(), 4), state.m.item()  # 1.2 - 1 - sigmoid(1)
    (-0.5311, 1.0)
    """

    equation = complementary_lif
    State = ComplementaryLIFState
    solver = "euler"
    learnable = ("tau", "threshold")
    threshold: Tensor
    initial_v: Tensor

    def __init__(
        self,
        *,
        tau: Time,
        dt: float,
        threshold: Value = 1.0,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        initial_v: Value = 0.0,
        learn: str | Sequence[str] = (),
    ):
        super().__init__(dt=dt, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn)
        self.add_time_constant("tau", tau)
        self.add_parameter("threshold", threshold)
        self.add_parameter("initial_v", initial_v)

    @property
    def tau(self) -> Tensor:
        """Membrane time constant [s]."""
        return self.time_constant("tau")

    def constants(self) -> dict[str, Tensor]:
        return {"rate": self.per_step(self.tau), "theta": self.threshold}

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}
