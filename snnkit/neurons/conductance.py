"""Neurons whose synapses open conductances, as in the network of Diehl and Cook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from snnkit.errors import UserError
from snnkit.neurons.base import Neuron, Value
from snnkit.neurons.equations import neuron
from snnkit.neurons.language import exp
from snnkit.neurons.surrogate import ATan, Surrogate


@neuron("excitatory inhibitory", v=-65e-3, ge=0.0, gi=0.0, a=0.0)
def conductance_lif(
    excitatory, inhibitory, v, ge, gi, a, *,
    rate, decay_e, decay_i, decay_a, e_l, e_e, e_i, v_reset, theta, jump, scale, fire,
):  # fmt: skip
    ge = ge + excitatory
    gi = gi + inhibitory
    g = 1.0 + ge + gi
    pull = (e_l + ge * e_e + gi * e_i) / g
    u = pull + (v - pull) * exp(-rate * g)
    s, r = fire((u - theta - a) * scale)
    return s, u * (1.0 - r) + r * v_reset, decay_e * ge, decay_i * gi, decay_a * a + jump * s


class ConductanceLIFState(NamedTuple):
    v: Tensor  # membrane potential [V] [B, *N]
    ge: Tensor  # excitatory conductance, in leak conductances [B, *N]
    gi: Tensor  # inhibitory conductance, likewise [B, *N]
    a: Tensor  # what adaptation adds to the threshold [V] [B, *N]


class ConductanceLIF(Neuron):
    """Leaky integrate-and-fire with conductance-based synapses and an adaptive threshold (Diehl & Cook 2015, Front Comput
    Neurosci 9:99).

        τ dv/dt = (E_l - v) + ge (E_e - v) + gi (E_i - v)        τe dge/dt = -ge, τi dgi/dt = -gi, τa da/dt = -a
        spike when v >= θ + a, then v = v_reset and a = a + jump; input adds to ge and gi

    Volts; conductances in units of the leak. It takes a tuple of two inputs: `cell((excitatory, inhibitory))`, or spikes at
    two ports. A step takes the conductances as constant and solves the membrane exactly, v = v∞ + (v - v∞)·exp(-dt·(1 + ge +
    gi)/τ): plain Euler overshoots and diverges once dt·(1 + ge + gi) > 2τ, which a dozen inhibitory spikes of that network are
    enough for. The defaults are its excitatory neurons, which also rest for 5 ms: `Refractory(ConductanceLIF(dt=dt), 5e-3)`.

    Args:
        dt: time between input samples [s].
        tau: membrane time constant τ [s], a number or a tensor that broadcasts to `*N`.
        tau_e, tau_i: time constants of the conductances [s], likewise.
        e_l, e_e, e_i: potentials that leak, excitation and inhibition pull to [V], likewise.
        threshold: θ [V], likewise.
        v_reset: potential after a spike [V], likewise; below θ.
        jump: what a spike adds to the threshold [V], likewise.
        tau_a: time constant of this adaptation [s], likewise.
        initial_a: adaptation at the start [V], likewise.
        surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau, threshold. The surrogate sees
            (v - θ - a)/(θ - E_l).

    >>> import torch
    >>> cell = ConductanceLIF(dt=0.5e-3, initial_a=0.0)
    >>> open_ = torch.full((2000, 1, 1), 0.2)
    >>> int(cell((open_, 0 * open_)).sum()) > int(cell((open_, 5 * open_)).sum())
    True
    """

    equation = conductance_lif
    State = ConductanceLIFState
    learnable = ("tau", "threshold")
    dt: float
    e_l: Tensor
    e_e: Tensor
    e_i: Tensor
    threshold: Tensor
    v_reset: Tensor
    jump: Tensor
    initial_a: Tensor
    scale: Tensor

    def __init__(
        self,
        *,
        dt: float,
        tau: Value = 100e-3,
        tau_e: Value = 1e-3,
        tau_i: Value = 2e-3,
        e_l: Value = -65e-3,
        e_e: Value = 0.0,
        e_i: Value = -100e-3,
        threshold: Value = -72e-3,
        v_reset: Value = -65e-3,
        jump: Value = 0.05e-3,
        tau_a: Value = 1e4,
        initial_a: Value = 20e-3,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        learn: str | Sequence[str] = (),
    ):
        super().__init__(dt=dt, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn)
        self.add_time_constant("tau", tau)
        for name, value in {"tau_e": tau_e, "tau_i": tau_i, "tau_a": tau_a}.items():
            self.add_time_constant(name, value)
        plain = {
            "e_l": e_l, "e_e": e_e, "e_i": e_i, "threshold": threshold, "v_reset": v_reset, "jump": jump,
            "initial_a": initial_a,
        }  # fmt: skip
        for name, value in plain.items():
            self.add_parameter(name, value)
        height = self.threshold.detach() + self.initial_a - self.e_l
        if not bool((height > 0).all()):
            raise UserError(
                "ConductanceLIF needs a threshold, with initial_a, above e_l: in volts, such as -52e-3"
            )
        self.register_buffer("scale", 1.0 / height)

    @property
    def tau(self) -> Tensor:
        """Membrane time constant [s]."""
        return self.time_constant("tau")

    @property
    def tau_e(self) -> Tensor:
        """Time constant of excitatory conductances [s]."""
        return self.time_constant("tau_e")

    @property
    def tau_i(self) -> Tensor:
        """Time constant of inhibitory conductances [s]."""
        return self.time_constant("tau_i")

    @property
    def tau_a(self) -> Tensor:
        """Time constant of the adaptation [s]."""
        return self.time_constant("tau_a")

    def constants(self) -> dict[str, Any]:
        return {
            "rate": self.dt / self.tau,
            "decay_e": self.decay(self.tau_e),
            "decay_i": self.decay(self.tau_i),
            "decay_a": self.decay(self.tau_a),
            "e_l": self.e_l,
            "e_e": self.e_e,
            "e_i": self.e_i,
            "v_reset": self.v_reset,
            "theta": self.threshold,
            "jump": self.jump,
            "scale": self.scale,
        }

    def rest(self) -> dict[str, Any]:
        return {"v": self.e_l, "a": self.initial_a}
