"""Izhikevich's neuron: a quadratic membrane and a recovery variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.errors import UserError, nearest
from snnkit.neurons.base import Value
from snnkit.neurons.equations import neuron
from snnkit.neurons.peaked import Peaked
from snnkit.neurons.surrogate import ATan, Surrogate

CELLS = {  # a, b, c, d (Izhikevich 2003)
    "RS": (0.02, 0.2, -65.0, 8.0),  # regular spiking
    "IB": (0.02, 0.2, -55.0, 4.0),  # intrinsically bursting
    "CH": (0.02, 0.2, -50.0, 2.0),  # chattering
    "FS": (0.1, 0.2, -65.0, 2.0),  # fast spiking
    "LTS": (0.02, 0.25, -65.0, 2.0),  # low-threshold spiking
    "TC": (0.02, 0.25, -65.0, 0.05),  # thalamo-cortical
    "RZ": (0.1, 0.26, -65.0, 2.0),  # resonator
}


def _slope(v, u, x, square, linear, offset):
    """dv/dt in mV/ms."""
    return square * v * v + linear * v + offset - u + x


@neuron("x", v=-65.0, u=-13.0)
def izhikevich_halves(x, v, u, *, half, rate, b, d, square, linear, offset, v_peak, v_reset, scale, fire):
    v = v + half * _slope(v, u, x, square, linear, offset)
    v = v + half * _slope(v, u, x, square, linear, offset)
    u = u + rate * (b * v - u)
    s, r = fire((v - v_peak) * scale)
    return s, v * (1.0 - r) + r * v_reset, u + d * s


@neuron("x", v=-65.0, u=-13.0)
def izhikevich_sequential(x, v, u, *, step, rate, b, d, square, linear, offset, v_peak, v_reset, scale, fire):
    v = v + step * _slope(v, u, x, square, linear, offset)
    u = u + rate * (b * v - u)
    s, r = fire((v - v_peak) * scale)
    return s, v * (1.0 - r) + r * v_reset, u + d * s


@neuron("x", v=-65.0, u=-13.0)
def izhikevich_euler(x, v, u, *, step, rate, b, d, square, linear, offset, v_peak, v_reset, scale, fire):
    charged = v + step * _slope(v, u, x, square, linear, offset)
    u = u + rate * (b * v - u)
    s, r = fire((charged - v_peak) * scale)
    return s, charged * (1.0 - r) + r * v_reset, u + d * s


SCHEMES = {  # equation and the longest step [s]
    "halves": (izhikevich_halves, 1e-3),
    "sequential": (izhikevich_sequential, 0.5e-3),
    "euler": (izhikevich_euler, 0.5e-3),
}


class IzhikevichState(NamedTuple):
    v: Tensor  # membrane potential [mV] [B, *N]
    u: Tensor  # recovery [mV/ms] [B, *N]


class Izhikevich(Peaked):
    """Izhikevich's two-variable neuron (Izhikevich 2003, IEEE Trans Neural Netw 14:1569; 2004, 15:1063).

        dv/dt = 0.04·v² + 5·v + 140 - u + x        du/dt = a·(b·v - u)
        spike when v >= 30, then v = c, u = u + d

    The units are the paper's: v in mV, time in ms inside, x dimensionless; only `dt` is in seconds. What it does
    depends on the scheme, for it is meant to be computed coarsely; spikes in one second for a RS cell at x = 10:

    * "halves" (the script of 2003): two half steps of v, then a step of u with the new v; dt <= 1 ms. 20 at 1 ms, 22 at 0.5 ms.
    * "sequential" (the scripts of 2004): one step of v, then one of u with the new v; dt <= 0.5 ms.
    * "euler": one step of both from the old values; dt <= 0.5 ms. 23 at 0.25 and at 0.05 ms.

    Rates have converged at dt = 0.1 ms. Strong inhibition, far below v = -100 mV, makes explicit schemes jump upwards.
    At rest (x = 0) v = (b - 5 - √((5 - b)² - 22.4))/0.08: -70 mV for b = 0.2. A slow ramp starts firing at
    -(0.04·h² + (5 - b)·h + 140), h = (a - 5)/0.08, if b > a (a Hopf bifurcation), else at (5 - b)²/0.16 - 140.

    Args:
        dt: time between input samples [s].
        a: rate of recovery [1/ms], a number or a tensor that broadcasts to `*N`.
        b: its sensitivity to v [1/ms], likewise.
        c: v after a spike [mV], likewise.
        d: what a spike adds to u [mV/ms], likewise.
        scheme: "halves", "sequential" or "euler".
        v_peak: where a spike is sent [mV], likewise.
        quadratic: the three coefficients of v², v and 1; (0.04, 4.1, 108.0) is the paper's form for class 1 and
            integrator cells.
        initial_v: v at the start [mV], likewise.
        initial_u: u at the start, likewise; None is b·initial_v.
        surrogate, detach_reset, compare, learn: see `Neuron`; learnable: a, b, c, d. The surrogate sees
            (v - v_peak)/(v_peak - c); a detached reset detaches v only.

    >>> import torch
    >>> cell = Izhikevich.of("RS", dt=1e-3)
    >>> int(cell(torch.full((1000, 1, 1), 10.0)).sum())
    20
    """

    equation = izhikevich_halves
    State = IzhikevichState
    learnable = ("a", "b", "c", "d")
    restart = "c"
    a: Tensor
    b: Tensor
    c: Tensor
    d: Tensor
    initial_u: Tensor

    def __init__(
        self,
        *,
        dt: float,
        a: Value = 0.02,
        b: Value = 0.2,
        c: Value = -65.0,
        d: Value = 8.0,
        scheme: str = "halves",
        v_peak: Value = 30.0,
        quadratic: tuple[float, float, float] = (0.04, 5.0, 140.0),
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        initial_v: Value = -65.0,
        initial_u: Value | None = None,
        learn: str | Sequence[str] = (),
    ):
        super().__init__(dt=dt, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn)
        if scheme not in SCHEMES:
            raise UserError(f"Izhikevich: unknown scheme {scheme!r}; {nearest(str(scheme), SCHEMES)}")
        equation, limit = SCHEMES[scheme]
        if dt > limit:
            raise UserError(
                f'Izhikevich: dt={dt:g} s is too large for the scheme "{scheme}", whose limit is {limit:g} s; '
                'scheme="halves" has 1e-3 s'
            )
        self.scheme = scheme
        self.equation = equation  # type: ignore[misc]
        self.quadratic = tuple(float(q) for q in quadratic)
        self.add_parameter("a", a)
        self.add_parameter("b", b)
        self.add_parameter("d", d)
        self.add_peak(v_peak, c, initial_v)
        at_rest = self._as_tensor("b", b) * self._as_tensor("initial_v", initial_v)
        self.add_parameter("initial_u", at_rest if initial_u is None else initial_u)

    @classmethod
    def of(cls, kind: str, *, dt: float, **options: Any) -> Izhikevich:
        """A cell of the paper's table: "RS", "IB", "CH", "FS", "LTS", "TC" or "RZ"."""
        if kind not in CELLS:
            raise UserError(f"Izhikevich has no cell {kind!r}; {nearest(str(kind), CELLS)}")
        return cls(dt=dt, **(dict(zip("abcd", CELLS[kind], strict=True)) | options))

    def constants(self) -> dict[str, Any]:
        ms = self.dt * 1e3
        like = torch.ones_like(self.a.detach())
        square, linear, offset = (q * like for q in self.quadratic)
        return {
            "half": 0.5 * ms * like,
            "step": ms * like,
            "rate": ms * self.a,
            "b": self.b,
            "d": self.d,
            "square": square,
            "linear": linear,
            "offset": offset,
            **self.peak_constants(),
        }

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v, "u": self.initial_u}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scheme={self.scheme!r}"
