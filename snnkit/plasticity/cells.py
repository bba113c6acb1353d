"""Neurons that plastic networks are made of: thresholds that follow a target rate, and conductances with an exact step."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.errors import UserError
from snnkit.neurons.base import Neuron, Time, Value
from snnkit.neurons.equations import neuron
from snnkit.neurons.language import exp
from snnkit.neurons.surrogate import ATan, Surrogate

ms, mV = 1e-3, 1e-3


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


class ConductanceLIFState(NamedTuple):
    v: Tensor  # membrane potential [V], [B, *N]
    g_e: Tensor  # excitatory conductance, in units of the leak
    g_i: Tensor  # inhibitory
    theta: Tensor  # adaptive part of the threshold [V]


@neuron("excite inhibit", v=-65e-3, g_e=0.0, g_i=0.0, theta=0.0)
def conductance_lif(
    excite, inhibit, v, g_e, g_i, theta,
    *, step, keep_e, keep_i, keep_theta, theta_plus, v_rest, e_exc, e_inh, v_threshold, v_reset, fire
):  # fmt: skip
    g_e = g_e + excite
    g_i = g_i + inhibit
    total = 1.0 + g_e + g_i
    goal = (v_rest + g_e * e_exc + g_i * e_inh) / total
    u = goal + (v - goal) * exp(-(step * total))
    s, r = fire(u - (v_threshold + theta))
    return s, u + r * (v_reset - u), keep_e * g_e, keep_i * g_i, keep_theta * theta + theta_plus * s


class ConductanceLIF(Neuron):
    """Two conductances, an adaptive threshold, and the exact step for conductances held over it (Diehl and Cook 2015).

        τ dv/dt = (v_rest - v) + g_e·(E_e - v) + g_i·(E_i - v)        v ← v_∞ + (v - v_∞)·exp(-dt·(1 + g_e + g_i)/τ)
        spike when v > v_threshold + θ:  v ← v_reset, θ ← θ + θ₊        dθ/dt = -θ/τ_θ

    Weights are conductances in units of the leak. Euler's step, v + dt/τ·(...), diverges where dt·(1 + g_e + g_i) > 2τ, which a
    dozen inhibitory spikes of that network's strength reach; this one stays between the potentials. The values are those of the
    network's excitatory neurons; an input port "excite" and one "inhibit". For its refractory time put it into `Refractory(cell, t_ref)`.

    Args:
        dt: time between input samples [s].
        tau: membrane time constant [s].
        tau_e, tau_i: time constants of the conductances [s].
        v_rest, e_exc, e_inh, v_threshold, v_reset: potentials [V].
        theta: θ at the beginning [V]; v_threshold is without it.
        theta_plus: what a spike adds [V].
        tau_theta: time constant of θ [s].
        surrogate: see `Neuron`.
    """

    equation = conductance_lif
    State = ConductanceLIFState
    theta: Tensor

    def __init__(
        self, *, dt: float, tau: Time = 100 * ms, tau_e: Time = 1 * ms, tau_i: Time = 2 * ms, v_rest: Value = -65 * mV,
        e_exc: Value = 0.0, e_inh: Value = -100 * mV, v_threshold: Value = -72 * mV, v_reset: Value = -65 * mV,
        theta: Value = 20 * mV, theta_plus: Value = 0.05 * mV, tau_theta: Time = 1e4, surrogate: Surrogate = ATan(),
    ):  # fmt: skip
        super().__init__(dt=dt, surrogate=surrogate, compare=">")
        for name, value in (("tau", tau), ("tau_e", tau_e), ("tau_i", tau_i), ("tau_theta", tau_theta)):
            self._conductance_time(name, value)
        values = {
            "v_rest": v_rest, "e_exc": e_exc, "e_inh": e_inh, "v_threshold": v_threshold, "v_reset": v_reset,
            "theta": theta, "theta_plus": theta_plus,
        }  # fmt: skip
        for name, value in values.items():
            self.add_parameter(name, value)

    def _conductance_time(self, name: str, value: Time) -> None:
        """A time constant, which may be as short as dt: g is a sum of exact exponentials."""
        tensor = torch.as_tensor(value, dtype=torch.float64)
        if not bool((tensor > 0).all()) or float(tensor.min()) < 0.1 * float(self.dt or math.inf):
            raise UserError(
                f"ConductanceLIF needs {name} of at least a tenth of dt={self.dt:g} s, got {value!r}"
            )
        self.add_parameter(name, tensor)

    def constants(self) -> dict[str, Tensor]:
        dt: Any = self.dt
        found = {
            "step": dt / self.tau,
            "keep_e": torch.exp(-dt / self.tau_e),
            "keep_i": torch.exp(-dt / self.tau_i),
            "keep_theta": torch.exp(-dt / self.tau_theta),
        }
        names = ("theta_plus", "v_rest", "e_exc", "e_inh", "v_threshold", "v_reset")
        return found | {name: getattr(self, name) for name in names}

    def rest(self) -> dict[str, Any]:
        return {"v": self.v_rest, "theta": self.theta}
