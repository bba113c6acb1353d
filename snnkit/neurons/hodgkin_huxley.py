"""The neuron of Hodgkin and Huxley."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.errors import UserError
from snnkit.neurons.base import Neuron, Value
from snnkit.neurons.equations import neuron
from snnkit.neurons.language import clip, exp, where
from snnkit.neurons.surrogate import ATan, Surrogate

LONGEST = 0.5e-3  # [s] at 6.3 degrees; exponential Euler is stable beyond, but fires at half the rate at 1 ms
WIDEST = 150.0  # [mV] rates stay those of this distance from 0, so that no exponential overflows

E_HALF, E_MINUS_3_HALVES = math.exp(0.5), math.exp(-1.5)


def _linoid(z, decayed):
    """z / (1 - decayed), decayed = exp(-z); the hole at 0 is filled by the series, exact to rounding within 0.1."""
    near = abs(z) < 0.1
    y = z * z
    series = 1.0 + 0.5 * z + y * (1 / 12 - y * (1 / 720 - y * (1 / 30240 - y * (1 / 1209600))))
    return where(near, series, z / where(near, 1.0, 1.0 - decayed))


def _rates(v):
    """Opening and closing rates [1/ms] of the gates m, h, n at v [mV]."""
    v = clip(v, -WIDEST, WIDEST)
    z = (v + 40.0) * 0.1
    fast, slow = exp(-z), exp((v + 65.0) / -80.0)  # each serves several rates: exponentials are what costs
    return (
        (_linoid(z, fast), 4.0 * exp((v + 65.0) / -18.0)),
        (0.07 * (slow * slow) ** 2, 1.0 / (1.0 + E_HALF * fast)),
        (0.1 * _linoid(z + 1.5, E_MINUS_3_HALVES * fast), 0.125 * slow),
    )


def _gate(y, rates, step):
    """A gate after `step` [ms] of constant rates: it relaxes exponentially."""
    opening, closing = rates
    both = opening + closing
    target = opening / both
    return target + (y - target) * exp(-step * both)


@neuron("x", v=-65.0, m=0.0529, h=0.5961, n=0.3177)
def hodgkin_huxley(x, v, m, h, n, *, step, step_v, g_na, g_k, g_leak, e_na, e_k, e_leak, theta, scale, fire):
    rates_m, rates_h, rates_n = _rates(v)
    m, h, n = _gate(m, rates_m, step), _gate(h, rates_h, step), _gate(n, rates_n, step)
    sodium, potassium = g_na * m**3 * h, g_k * (n * n) ** 2
    g = sodium + potassium + g_leak
    target = (sodium * e_na + potassium * e_k + g_leak * e_leak + x) / g
    u = target + (v - target) * exp(-step_v * g)
    s, _ = fire((u - theta) * scale)
    return where(v < theta, s, 0.0), u, m, h, n


class HodgkinHuxleyState(NamedTuple):
    v: Tensor  # membrane potential [mV] [B, *N]
    m: Tensor  # sodium activation [B, *N], 0..1
    h: Tensor  # sodium inactivation [B, *N], 0..1
    n: Tensor  # potassium activation [B, *N], 0..1


class HodgkinHuxley(Neuron):
    """The squid axon (Hodgkin and Huxley 1952, J Physiol 117:500), in the modern sign, by exponential Euler.

        C dv/dt = x - gNa·m³·h·(v - ENa) - gK·n⁴·(v - EK) - gL·(v - EL)        dy/dt = α(v)·(1 - y) - β(v)·y for m, h, n
        one step: each gate relaxes exponentially at the rates of the old v, then v at the new conductances
        spike when v crosses the threshold upwards: v' >= θ and v < θ; nothing is reset

    The units are physiology's: mV, ms inside, mS/cm², µF/cm², x in µA/cm²; only `dt` is in seconds. It rests at
    -65 mV; a step from rest gives a spike from 2.3 and lasting firing from 6.3 µA/cm². At x = 10 it fires at 68 Hz
    for dt <= 0.1 ms, 67 at 0.2, 63 at 0.5, and 35 at 1 ms: stable but wrong, so that dt above 0.5 ms is refused
    (less at higher temperature). Euler would diverge from 0.08 ms.

    Args:
        dt: time between input samples [s].
        capacitance: C [µF/cm²], a number or a tensor that broadcasts to `*N`.
        g_na, g_k, g_leak: conductances [mS/cm²], likewise.
        e_na, e_k, e_leak: reversal potentials [mV], likewise.
        threshold: θ [mV], likewise.
        temperature: [°C]; all rates are those of 6.3 °C times 3^((temperature - 6.3)/10).
        initial_v: membrane at the start [mV], likewise; the gates begin at their equilibrium for it.
        surrogate, learn: see `Neuron`; learnable: g_na, g_k, g_leak. The surrogate sees (v' - θ)/65 mV; that v was
            below has no derivative.

    >>> import torch
    >>> cell = HodgkinHuxley(dt=0.1e-3)
    >>> spikes = cell(torch.full((5000, 1, 2), 1.0) * torch.tensor([5.0, 10.0]))
    >>> spikes.sum(0).tolist()  # in half a second
    [[1.0, 34.0]]
    """

    equation = hodgkin_huxley
    State = HodgkinHuxleyState
    learnable = ("g_na", "g_k", "g_leak")
    dt: float
    capacitance: Tensor
    threshold: Tensor
    initial_v: Tensor

    def __init__(
        self,
        *,
        dt: float,
        capacitance: Value = 1.0,
        g_na: Value = 120.0,
        g_k: Value = 36.0,
        g_leak: Value = 0.3,
        e_na: Value = 50.0,
        e_k: Value = -77.0,
        e_leak: Value = -54.387,
        threshold: Value = 0.0,
        temperature: float = 6.3,
        initial_v: Value = -65.0,
        surrogate: Surrogate = ATan(),
        learn: str | Sequence[str] = (),
    ):
        super().__init__(dt=dt, surrogate=surrogate, learn=learn)
        self.temperature = float(temperature)
        self.speed = 3.0 ** ((self.temperature - 6.3) / 10.0)
        if not dt * self.speed <= LONGEST * (1 + 1e-9):
            raise UserError(
                f"HodgkinHuxley: dt={dt:g} s is too large, for its rate would be wrong; the limit at "
                f"{self.temperature:g} degrees is {LONGEST / self.speed:.3g} s, and 1e-4 s is accurate"
            )
        self.add_parameter("capacitance", capacitance)
        for name, value in (("g_na", g_na), ("g_k", g_k), ("g_leak", g_leak)):
            self.add_parameter(name, value)
        for name, value in (("e_na", e_na), ("e_k", e_k), ("e_leak", e_leak)):
            self.add_parameter(name, value)
        self.add_parameter("threshold", threshold)
        self.add_parameter("initial_v", initial_v)

    def constants(self) -> dict[str, Any]:
        ms = self.dt * 1e3
        names = ("g_na", "g_k", "g_leak", "e_na", "e_k", "e_leak")
        return {
            "step": torch.full_like(self.capacitance, ms * self.speed),
            "step_v": ms / self.capacitance,
            "theta": self.threshold,
            "scale": torch.full_like(self.capacitance, 1 / 65),
            **{name: getattr(self, name) for name in names},
        }

    def rest(self) -> dict[str, Tensor]:
        gates = [opening / (opening + closing) for opening, closing in _rates(self.initial_v)]
        return dict(zip(("v", "m", "h", "n"), (self.initial_v, *gates), strict=True))
