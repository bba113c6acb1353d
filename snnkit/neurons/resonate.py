"""Neurons that resonate: their membrane is a damped oscillation, and they answer the frequency that it has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from snnkit.errors import UserError
from snnkit.neurons.base import Neuron, Value
from snnkit.neurons.equations import neuron
from snnkit.neurons.surrogate import ATan, Surrogate


@neuron("x", p=0.0, q=0.0)
def resonate(x, p, q, *, turn_cos, turn_sin, gain_p, gain_q, theta, p_after, q_after, fire):
    p_new = turn_cos * p - turn_sin * q + gain_p * x
    q_new = turn_sin * p + turn_cos * q + gain_q * x
    s, r = fire(q_new - theta)
    return s, p_new * (1.0 - r) + r * p_after, q_new * (1.0 - r) + r * q_after


@neuron("x", p=0.0, q=0.0)
def resonate_on(x, p, q, *, turn_cos, turn_sin, gain_p, gain_q, theta, fire):
    p_new = turn_cos * p - turn_sin * q + gain_p * x
    q_new = turn_sin * p + turn_cos * q + gain_q * x
    s, _ = fire(q_new - theta)
    return s, p_new, q_new


@neuron("x", u=0.0, v=0.0, q=0.0)
def balanced_resonate(x, u, v, q, *, dt, omega, damping, gamma, theta, fire):
    b = damping - q
    u_new = u + dt * (b * u - omega * v + x)
    v_new = v + dt * (omega * u + b * v)
    s, r = fire(u_new - theta - q)
    return s, u_new, v_new, gamma * q + r


class ResonateAndFireState(NamedTuple):
    p: Tensor  # current-like part [B, *N]
    q: Tensor  # voltage-like part [B, *N], in the unit of the threshold


class BalancedResonateAndFireState(NamedTuple):
    u: Tensor  # membrane, the part that is compared [B, *N]
    v: Tensor  # the part a quarter of a turn away [B, *N]
    q: Tensor  # refractoriness [B, *N]


class ResonateAndFire(Neuron):
    """Resonate-and-fire (Izhikevich 2001, Neural Netw 14:883).

        dz/dt = (-d + i·ω)·z + x, z = p + i·q        spike when q >= θ, then z = after_spike
        one step, exact: z = exp((-d + i·ω)·dt)·z + g·x;  g = 1 for input that jumps at the end of the step, with
        `scale_input=True` g = (exp((-d + i·ω)·dt) - 1)/(-d + i·ω) for input held over the step

    q resonates at √(ω² - d²) and p at √(ω·√(ω² + 4·d²) - d²) rad/s. The step is exact for any dt, unlike Euler, which
    diverges from dt = 2·d/(d² + ω²); but half a turn in one step cannot be told from half a turn back: ω·dt < π.

    Args:
        omega: ω > 0 [rad/s], a number or a tensor that broadcasts to `*N`.
        damping: d >= 0 [1/s], likewise.
        dt: time between input samples [s].
        threshold: θ, likewise.
        after_spike: (p, q) after a spike in units of the threshold: (0, 1) as in the paper, (0, 0) for silence, or
            None to oscillate on.
        surrogate, detach_reset, compare, learn: see `Neuron`; learnable: omega, damping, threshold.

    >>> import torch
    >>> cell = ResonateAndFire(omega=200.0, damping=10.0, dt=1e-3)  # a turn takes 31 ms
    >>> x = torch.zeros(60, 1, 2)
    >>> x[[0, 31], 0, 0] = 0.7  # two pulses one turn apart
    >>> x[[0, 16], 0, 1] = 0.7  # and half a turn
    >>> cell(x).sum(0).tolist()
    [[1.0, 0.0]]
    """

    equation = resonate
    State = ResonateAndFireState
    learnable = ("omega", "damping", "threshold")
    dt: float
    omega: Tensor
    damping: Tensor
    threshold: Tensor

    def __init__(
        self,
        *,
        omega: Value,
        dt: float,
        damping: Value = 10.0,
        threshold: Value = 1.0,
        after_spike: tuple[float, float] | None = (0.0, 1.0),
        scale_input: bool = False,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        learn: str | Sequence[str] = (),
    ):
        super().__init__(dt=dt, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn)
        self.scale_input = bool(scale_input)
        self.after_spike = None if after_spike is None else (float(after_spike[0]), float(after_spike[1]))
        if after_spike is None:
            self.equation = resonate_on  # type: ignore[misc]
        self.add_parameter("omega", omega)
        self.add_parameter("damping", damping)
        self.add_parameter("threshold", threshold)
        _check_frequency(self, math.pi)

    def constants(self) -> dict[str, Any]:
        shrink = torch.exp(-self.damping * self.dt)
        cos, sin = shrink * torch.cos(self.omega * self.dt), shrink * torch.sin(self.omega * self.dt)
        gain_p, gain_q = torch.ones_like(cos), torch.zeros_like(cos)
        if self.scale_input:
            square = self.damping**2 + self.omega**2
            gain_p = (self.omega * sin - self.damping * (cos - 1.0)) / square
            gain_q = (self.omega * (1.0 - cos) - self.damping * sin) / square
        p_after, q_after = self.after_spike or (0.0, 0.0)
        return {
            "turn_cos": cos,
            "turn_sin": sin,
            "gain_p": gain_p,
            "gain_q": gain_q,
            "theta": self.threshold,
            "p_after": p_after * self.threshold,
            "q_after": q_after * self.threshold,
        }


class BalancedResonateAndFire(Neuron):
    """Balanced resonate-and-fire (Higuchi et al. 2024, ICML).

        b = (√(1 - (dt·ω)²) - 1)/dt - |d| - q
        u' = u + dt·(b·u - ω·v + x)        v' = v + dt·(ω·u + b·v)
        s = [u' >= θ + q]        q' = γ·q + s

    The first part of b is where Euler's step neither grows nor shrinks, so that the oscillation cannot diverge and
    d alone is its damping; it needs dt·ω <= 1. There is no reset: a spike raises the threshold and the damping by
    q. The order is this: both places of a step use the q that the spikes of earlier steps left, and the spike of this
    step enters q at its end. Releases of the authors' code differ here.

    Args:
        omega: ω > 0 [rad/s], at most 1/dt, a number or a tensor that broadcasts to `*N`.
        damping: d [1/s], used by its absolute value, likewise.
        dt: time between input samples [s]; 0.01 in the paper.
        threshold: θ, likewise.
        gamma: γ, what is left of q after a step, likewise.
        surrogate, detach_reset, compare, learn: see `Neuron`; learnable: omega, damping, threshold. A detached reset
            detaches q.

    >>> import torch
    >>> time = torch.arange(4000)[:, None, None] * 0.01
    >>> x = 3.0 * torch.sin(time * torch.tensor([10.0, 18.0, 20.0, 22.0, 30.0]))
    >>> BalancedResonateAndFire(omega=20.0, damping=1.0, dt=0.01)(x).sum(0).tolist()  # it hears 20 rad/s
    [[0.0, 0.0, 124.0, 0.0, 0.0]]
    """

    equation = balanced_resonate
    State = BalancedResonateAndFireState
    learnable = ("omega", "damping", "threshold")
    dt: float
    omega: Tensor
    damping: Tensor
    gamma: Tensor
    threshold: Tensor

    def __init__(
        self,
        *,
        omega: Value,
        dt: float,
        damping: Value = 1.0,
        threshold: Value = 1.0,
        gamma: Value = 0.9,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        learn: str | Sequence[str] = (),
    ):
        super().__init__(dt=dt, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn)
        self.add_parameter("omega", omega)
        self.add_parameter("damping", damping)
        self.add_parameter("threshold", threshold)
        self.add_parameter("gamma", gamma)
        _check_frequency(self, 1.0)

    def constants(self) -> dict[str, Any]:
        left = (1.0 - (self.dt * self.omega) ** 2).clamp_min(1e-9)  # learned frequencies may pass 1/dt
        return {
            "dt": torch.full_like(self.omega.detach(), self.dt),
            "omega": self.omega,
            "damping": (torch.sqrt(left) - 1.0) / self.dt - self.damping.abs(),
            "gamma": self.gamma,
            "theta": self.threshold,
        }


def _check_frequency(cell: Any, most: float) -> None:
    """Refuse frequencies above `most` radians per step."""
    name = type(cell).__name__
    if cell.dt is None or not isinstance(cell.dt, float):
        raise UserError(f"{name} needs dt, the time between input samples in seconds, such as dt=1e-3")
    low, high = (float(f(cell.omega.detach())) for f in (torch.min, torch.max))
    if not 0 < low <= high <= most / cell.dt * (1 + 1e-6) or (most > 3 and high * cell.dt >= most):
        raise UserError(
            f"{name} needs 0 < omega*dt {'<' if most > 3 else '<='} {most:.4g}: at dt={cell.dt:g} s the limit is "
            f"omega={most / cell.dt:.4g} rad/s, got {low:g}..{high:g}. A frequency f in Hz is omega=2*pi*f"
        )
