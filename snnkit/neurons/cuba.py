"""A leaky integrate-and-fire neuron driven by a decaying synaptic current."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from snnkit.neurons import equations
from snnkit.neurons.base import Neuron, Value
from snnkit.neurons.surrogate import ATan, Surrogate


class CubaLIFState(NamedTuple):
    i: Tensor  # synaptic current [B, *N]
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold


class CubaLIF(Neuron):
    """Current-based leaky integrate-and-fire: an exponential synapse before the membrane (Gerstner et al. 2014).

        i = α·i + x        u = β·v + i        α = exp(-dt/τ_syn), β = exp(-dt/τ_mem)        s = [u >= θ]

    The membrane sees the new current. A unit pulse at step 0 gives v[n] = (βⁿ⁺¹ - αⁿ⁺¹)/(β - α). The reset acts on
    the membrane alone. `scale_input=True` holds inputs over the step: i = α·i + (1-α)·x, u = β·v + (1-β)·i.

    Args:
        tau_syn: time constant of the synapse [s], a number or a tensor that broadcasts to `*N`; dt < τ.
        tau_mem: time constant of the membrane [s], likewise.
        dt: time between input samples [s].
        threshold, initial_v: as in `LIF`.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau_syn, tau_mem, threshold.

    >>> import torch
    >>> cell = CubaLIF(tau_syn=5e-3, tau_mem=10e-3, dt=1e-3, threshold=10.0)
    >>> spikes, state = cell.scan(torch.ones(1, 1, 1))
    >>> state
    CubaLIFState(i=tensor([[1.]]), v=tensor([[1.]]))
    """

    equation = equations.cuba_lif
    State = CubaLIFState
    learnable = ("tau_syn", "tau_mem", "threshold")
    threshold: Tensor
    initial_v: Tensor

    def __init__(
        self,
        *,
        tau_syn: Value,
        tau_mem: Value,
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
            self.equation = equations.cuba_lif_scaled  # type: ignore[misc]
        self.add_time_constant("tau_syn", tau_syn)
        self.add_time_constant("tau_mem", tau_mem)
        self.add_parameter("threshold", threshold)
        self.add_parameter("initial_v", initial_v)

    @property
    def tau_syn(self) -> Tensor:
        """Time constant of the synapse [s]."""
        return self.time_constant("tau_syn")

    @property
    def tau_mem(self) -> Tensor:
        """Time constant of the membrane [s]."""
        return self.time_constant("tau_mem")

    @property
    def tau(self) -> Tensor:
        """Time constant of the membrane [s]; the same as `tau_mem`."""
        return self.tau_mem

    def constants(self) -> dict[str, Tensor]:
        return {
            "decay_syn": self.decay(self.tau_syn),
            "decay": self.decay(self.tau_mem),
            "theta": self.threshold,
        }

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}
