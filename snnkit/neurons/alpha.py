"""A neuron whose membrane answers a spike with an alpha function or a difference of two exponentials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from snnkit.neurons.base import Neuron, Value
from snnkit.neurons.equations import neuron
from snnkit.neurons.surrogate import ATan, Surrogate


@neuron("x", i=0.0, v=0.0)
def alpha(x, i, v, *, decay_syn, decay, gain, theta, fire, reset):
    u = decay * v + gain * i
    s, r = fire(u - theta)
    return s, decay_syn * i + x, reset(u, r, theta)


class AlphaState(NamedTuple):
    i: Tensor  # synaptic current [B, *N]
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold


class Alpha(Neuron):
    """Spike response neuron with a double-exponential kernel of peak 1 (Gerstner and Kistler 2002).

        u = a·v + κ·i        s = [u >= θ]        v = u - s·θ  (reset "subtract")        i = α·i + x
        a = exp(-dt/τ_mem), α = exp(-dt/τ_syn)

    A pulse x = 1 moves the membrane by K(t) = c·(exp(-t/τ_mem) - exp(-t/τ_syn)) from the step after it on, c such
    that the peak of K, at t* = ln(τ_mem/τ_syn)·τ_mem·τ_syn/(τ_mem - τ_syn), is 1: a weight of θ just makes it spike.
    κ = c·(a - α). For τ_syn = τ_mem = τ, K is the alpha function t/τ·exp(1 - t/τ) and κ = e·a·dt/τ. A reset decays
    with τ_mem and leaves i. It is CubaLIF with the input one step later and a kernel of height one.

    Args:
        tau_mem: membrane time constant [s], a number or a tensor that broadcasts to `*N`; dt < τ.
        tau_syn: synaptic time constant [s], likewise; None is tau_mem.
        dt: time between input samples [s].
        threshold: θ, likewise.
        initial_v: membrane at the start, likewise.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau_mem, tau_syn, threshold.

    >>> import torch
    >>> cell = Alpha(tau_mem=5e-3, dt=1e-3, threshold=10.0)
    >>> state, seen = None, []
    >>> for x_t in [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]:
    ...     _, state = cell.step(torch.full((1, 1), x_t), state)
    ...     seen.append(round(state.v.item(), 3))
    >>> seen  # the peak after 5 ms
    [0.0, 0.445, 0.729, 0.895, 0.977, 1.0, 0.982]
    """

    equation = alpha
    State = AlphaState
    learnable = ("tau_mem", "tau_syn", "threshold")
    dt: float
    threshold: Tensor
    initial_v: Tensor

    def __init__(
        self,
        *,
        tau_mem: Value,
        dt: float,
        tau_syn: Value | None = None,
        threshold: Value = 1.0,
        reset: str = "subtract",
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        initial_v: Value = 0.0,
        learn: str | Sequence[str] = (),
    ):
        super().__init__(
            dt=dt, reset=reset, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn
        )
        self.add_time_constant("tau_mem", tau_mem)
        self.add_time_constant("tau_syn", tau_mem if tau_syn is None else tau_syn)
        self.add_parameter("threshold", threshold)
        self.add_parameter("initial_v", initial_v)

    @property
    def tau_mem(self) -> Tensor:
        """Membrane time constant [s]."""
        return self.time_constant("tau_mem")

    @property
    def tau_syn(self) -> Tensor:
        """Synaptic time constant [s]."""
        return self.time_constant("tau_syn")

    @property
    def tau(self) -> Tensor:
        """Membrane time constant [s]."""
        return self.tau_mem

    def constants(self) -> dict[str, Tensor]:
        return {
            "decay": self.decay(self.tau_mem),
            "decay_syn": self.decay(self.tau_syn),
            "gain": self._gain(),
            "theta": self.threshold,
        }

    def _gain(self) -> Tensor:
        """κ; close to equal time constants by its limit, where the quotient has no digits left."""
        mem, syn = self.tau_mem, self.tau_syn
        close = (mem / syn).log().abs() < torch.finfo(torch.promote_types(mem.dtype, syn.dtype)).eps ** (
            1 / 3
        )
        middle = (mem * syn).sqrt()
        limit = math.e * self.dt / middle * self.decay(middle)
        other = torch.where(close, 0.5 * mem, syn)  # no 0/0, nor its derivative
        peak = (mem / other).log() * mem * other / (mem - other)
        c = 1.0 / (torch.exp(-peak / mem) - torch.exp(-peak / other))
        return torch.where(close, limit, c * (self.decay(mem) - self.decay(other)))

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}
