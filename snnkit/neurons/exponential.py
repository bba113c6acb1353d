"""Neurons with an exponential upswing: EIF, and AdEx, which adds an adaptation current."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.errors import UserError, nearest
from snnkit.neurons.base import Value
from snnkit.neurons.equations import neuron
from snnkit.neurons.language import exp, minimum
from snnkit.neurons.peaked import Peaked
from snnkit.neurons.surrogate import ATan, Surrogate

STEEPEST = 50.0  # the exponent goes to that of v_peak and not beyond this, so that float32 stays finite


@neuron("x", v=-65e-3)
def exponential(x, v, *, gain, resistance, v_rest, v_threshold, delta, cap, v_peak, v_reset, scale, fire):
    upswing = delta * exp(minimum((v - v_threshold) / delta, cap))
    u = v + gain * (v_rest - v + upswing + resistance * x)
    s, r = fire((u - v_peak) * scale)
    return s, u * (1.0 - r) + r * v_reset


@neuron("x", v=-70.6e-3, w=0.0)
def adaptive_exponential(
    x, v, w, *, gain, leak, v_rest, v_threshold, delta, cap, gain_w, a, b, v_peak, v_reset, scale, fire
):
    upswing = delta * exp(minimum((v - v_threshold) / delta, cap))
    u = v + gain * (leak * (v_rest - v + upswing) - w + x)
    s, r = fire((u - v_peak) * scale)
    return s, u * (1.0 - r) + r * v_reset, w + gain_w * (a * (v - v_rest) - w) + b * s


class EIFState(NamedTuple):
    v: Tensor  # membrane potential [V] [B, *N]


class AdExState(NamedTuple):
    v: Tensor  # membrane potential [V] [B, *N]
    w: Tensor  # adaptation current [A] [B, *N]


class _Exponential(Peaked):
    """The upswing and its three potentials."""

    v_rest: Tensor
    v_threshold: Tensor
    delta: Tensor
    v_reset: Tensor

    def _add_upswing(self, v_rest: Value, v_threshold: Value, delta: Value) -> None:
        self.add_parameter("v_rest", v_rest)
        self.add_parameter("v_threshold", v_threshold)
        self.add_parameter("delta", delta)
        self.needs(self.delta > 0, "delta, in volts", delta)

    def _upswing_constants(self) -> dict[str, Tensor]:
        cap = (self.v_peak - self.v_threshold) / self.delta
        return {
            "v_rest": self.v_rest,
            "v_threshold": self.v_threshold,
            "delta": self.delta,
            "cap": cap.clamp_max(STEEPEST),
            **self.peak_constants(),
        }


class EIF(_Exponential):
    """Exponential integrate-and-fire (Fourcaud-Trocmé et al. 2003, J Neurosci 23:11628).

        τ dv/dt = v_rest - v + Δ·exp((v - v_T)/Δ) + R·x        spike when v >= v_peak, then v = v_reset
        one step (Euler): u = v + dt/τ·(v_rest - v + Δ·exp((v - v_T)/Δ) + R·x)

    Volts, amperes, ohms. A slow ramp starts firing at R·x = v_T - v_rest - Δ, where v has come to v_T. With Δ → 0
    it is a LIF with the threshold v_T. Euler needs dt < τ, which is checked; dt <= τ/100 is a rule of thumb for
    accurate spike times. The exponent ends at that of v_peak, and at 50: where a spike is sent hardly matters.

    Args:
        tau: membrane time constant τ [s], a number or a tensor that broadcasts to `*N`.
        dt: time between input samples [s].
        resistance: R [ohm], likewise.
        v_rest, v_threshold, delta, v_peak, v_reset: potentials and sharpness Δ [V], likewise.
        initial_v: membrane at the start [V], likewise; None is v_rest.
        surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau, v_threshold, delta, v_reset. The surrogate
            sees (u - v_peak)/(v_peak - v_reset).

    >>> import torch
    >>> cell = EIF(tau=10e-3, dt=1e-4)
    >>> [int(cell(torch.full((5000, 1, 1), pA * 1e-12)).sum()) for pA in (125.0, 200.0)]  # rheobase 130 pA
    [0, 25]
    """

    equation = exponential
    State = EIFState
    learnable = ("tau", "v_threshold", "delta", "v_reset")
    resistance: Tensor

    def __init__(
        self,
        *,
        tau: Value,
        dt: float,
        resistance: Value = 100e6,
        v_rest: Value = -65e-3,
        v_threshold: Value = -50e-3,
        delta: Value = 2e-3,
        v_peak: Value = 0.0,
        v_reset: Value = -65e-3,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        initial_v: Value | None = None,
        learn: str | Sequence[str] = (),
    ):
        super().__init__(dt=dt, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn)
        self.add_time_constant("tau", tau)
        self.add_parameter("resistance", resistance)
        self._add_upswing(v_rest, v_threshold, delta)
        self.add_peak(v_peak, v_reset, v_rest if initial_v is None else initial_v)

    @property
    def tau(self) -> Tensor:
        """Membrane time constant [s]."""
        return self.time_constant("tau")

    def constants(self) -> dict[str, Any]:
        return {"gain": self.dt / self.tau, "resistance": self.resistance, **self._upswing_constants()}


# Gerstner et al. 2014, Neuronal Dynamics, table 6.1: tau_m [ms], a [nS], tau_w [ms], b [pA], v_reset [mV]; with
# R = 500 MOhm, rest -70 mV, threshold -50 mV, delta 2 mV, peak 0 mV.
PATTERNS = {
    "tonic": (20.0, 0.0, 30.0, 60.0, -55.0),
    "adapting": (200.0, 0.0, 100.0, 5.0, -55.0),
    "initial burst": (5.0, 0.5, 100.0, 7.0, -51.0),
    "bursting": (5.0, -0.5, 100.0, 7.0, -46.0),
    "irregular": (9.9, -0.5, 100.0, 7.0, -46.0),
    "transient": (10.0, 1.0, 100.0, 10.0, -60.0),
    "delayed": (5.0, -1.0, 100.0, 10.0, -60.0),
}


class AdEx(_Exponential):
    """Adaptive exponential integrate-and-fire (Brette and Gerstner 2005, J Neurophysiol 94:3637; Naud et al. 2008).

        C dv/dt = g·(v_rest - v) + g·Δ·exp((v - v_T)/Δ) - w + x        τ_w dw/dt = a·(v - v_rest) - w
        spike when v >= v_peak, then v = v_reset, w = w + b
        one step (Euler): both from the old v and w; b is added after the spike

    Volts, amperes, siemens, farads; the defaults are the constants of 2005. A slow ramp starts firing at
    (g + a)·(v_T - v_rest - Δ + Δ·ln(1 + a/g)) if a/g < τ/τ_w, τ = C/g, else at
    (g + a)·(v_T - v_rest - Δ + Δ·ln(1 + τ/τ_w)) + Δ·g·(a/g - τ/τ_w): 627 pA by default. A step fires it earlier.
    Euler needs dt < C/g and dt < τ_w, which is checked; dt <= C/g/100 is a rule of thumb.

    Args:
        dt: time between input samples [s].
        capacitance: C [F], a number or a tensor that broadcasts to `*N`.
        leak: g [S], likewise.
        tau_w: time constant of the adaptation [s], likewise.
        a: adaptation below threshold [S], likewise.
        b: adaptation of a spike [A], likewise.
        v_rest, v_threshold, delta, v_peak, v_reset: potentials and sharpness Δ [V], likewise; v_reset None is v_rest.
        initial_v: membrane at the start [V], likewise; None is v_rest.
        surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau_w, a, b, v_threshold, delta, v_reset. The
            surrogate sees (u - v_peak)/(v_peak - v_reset); a detached reset detaches v only.

    >>> import torch
    >>> cell = AdEx.of("bursting", dt=1e-5)
    >>> times = torch.nonzero(cell(torch.full((30_000, 1, 1), 65e-12)).flatten()).flatten() * 1e-5
    >>> times = times[times < 0.085]  # eight spikes, a pause of 65 ms, four spikes
    >>> len(times), round(float(times.diff().max()), 3)
    (12, 0.065)
    """

    equation = adaptive_exponential
    State = AdExState
    learnable = ("tau_w", "a", "b", "v_threshold", "delta", "v_reset")
    capacitance: Tensor
    leak: Tensor
    a: Tensor
    b: Tensor

    def __init__(
        self,
        *,
        dt: float,
        capacitance: Value = 281e-12,
        leak: Value = 30e-9,
        tau_w: Value = 144e-3,
        a: Value = 4e-9,
        b: Value = 80.5e-12,
        v_rest: Value = -70.6e-3,
        v_threshold: Value = -50.4e-3,
        delta: Value = 2e-3,
        v_peak: Value = 20e-3,
        v_reset: Value | None = None,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        initial_v: Value | None = None,
        learn: str | Sequence[str] = (),
    ):
        super().__init__(dt=dt, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn)
        self.add_time_constant("tau_w", tau_w)
        self.add_parameter("capacitance", capacitance)
        self.add_parameter("leak", leak)
        self.needs(self.capacitance > 0, "capacitance, in farads", capacitance)
        self.needs(self.leak > 0, "leak, in siemens", leak)
        self.add_parameter("a", a)
        self.add_parameter("b", b)
        self._add_upswing(v_rest, v_threshold, delta)
        self.add_peak(
            v_peak, v_rest if v_reset is None else v_reset, v_rest if initial_v is None else initial_v
        )
        limit = float(self.tau.min())
        if not dt < limit:
            raise UserError(
                f"AdEx: dt={dt:g} is too large for an Euler step; the limit is capacitance/leak = {limit:.3g} s"
            )

    @classmethod
    def of(cls, kind: str, *, dt: float, **options: Any) -> AdEx:
        """A firing pattern of the textbook: "tonic", "adapting", "initial burst", "bursting", "irregular",
        "transient" or "delayed".

        Most show at a step of 65 pA; "transient" needs 45 pA, "delayed" 25 pA.
        """
        if kind not in PATTERNS:
            raise UserError(f"AdEx has no pattern {kind!r}; {nearest(str(kind), PATTERNS)}")
        tau, a, tau_w, b, v_reset = PATTERNS[kind]
        given: dict[str, Any] = {
            "capacitance": tau * 1e-3 / 500e6,
            "leak": 1 / 500e6,
            "tau_w": tau_w * 1e-3,
            "a": a * 1e-9,
            "b": b * 1e-12,
            "v_rest": -70e-3,
            "v_threshold": -50e-3,
            "delta": 2e-3,
            "v_peak": 0.0,
            "v_reset": v_reset * 1e-3,
        }
        return cls(dt=dt, **(given | options))

    @property
    def tau(self) -> Tensor:
        """Membrane time constant C/g [s]."""
        return self.capacitance / self.leak

    @property
    def tau_w(self) -> Tensor:
        """Time constant of the adaptation [s]."""
        return self.time_constant("tau_w")

    def rheobase(self) -> Tensor:
        """The current [A] at which a slow ramp starts firing (Naud et al. 2008, Biol Cybern 99:335)."""
        g, a, delta = self.leak, self.a, self.delta
        lift, speed = self.v_threshold - self.v_rest - delta, self.tau / self.tau_w
        saddle = (g + a) * (lift + delta * torch.log1p(a / g))
        hopf = (g + a) * (lift + delta * torch.log1p(speed)) + delta * g * (a / g - speed)
        return torch.where(a / g < speed, saddle, hopf)

    def constants(self) -> dict[str, Any]:
        return {
            "gain": self.dt / self.capacitance,
            "leak": self.leak,
            "gain_w": self.dt / self.tau_w,
            "a": self.a,
            "b": self.b,
            **self._upswing_constants(),
        }

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}
