"""Leaky integrate-and-fire neurons that learn how they leak and how strongly they charge: PLIF and KLIF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.neurons import forms
from snnkit.neurons.base import Time, Value
from snnkit.neurons.equations import RESETS, Equation
from snnkit.neurons.language import where
from snnkit.neurons.lif import LIF
from snnkit.neurons.membrane import Membrane
from snnkit.neurons.surrogate import ATan, Surrogate


class ParametricLIF(LIF):
    """Leaky integrate-and-fire with a learned time constant (PLIF; Fang et al. 2021, ICCV).

        u = v + q·(x - (v - v_leak)), q = dt/τ = sigmoid(w)        s = [u >= θ]        v = 0 after a spike
        with `scale_input=False`  u = v - q·(v - v_leak) + x

    What is learned is w, so that 0 < q < 1 at any value of it: Euler's step stays stable, where a learned τ could
    fall below dt. It is `LIF(solver="euler", ...)` with τ held in another way. Threshold and reset potential can be
    learned as well, and each can have one value per neuron: `threshold=torch.ones(n)`.

    Args:
        tau: τ at the beginning [s], a number or a tensor that broadcasts to `*N`; dt < τ. In the paper 2·dt.
        dt: time between input samples [s].
        threshold: θ, likewise.
        v_reset: with reset="value", the potential after a spike, likewise.
        scale_input, v_leak, reset_timing, initial_v: see `Membrane`.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau, threshold, v_reset.

    >>> cell = ParametricLIF(tau=2e-3, dt=1e-3)
    >>> cell.w_tau.item(), round(cell.tau.item(), 6)
    (0.0, 0.002)
    """

    learnable = ("tau", "threshold", "v_reset")  # type: ignore[assignment]

    def __init__(
        self,
        *,
        tau: Time,
        dt: float,
        threshold: Value = 1.0,
        reset: str = "zero",
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        scale_input: bool = True,
        initial_v: Value | None = None,
        v_leak: Value = 0.0,
        v_reset: Value | None = None,
        reset_timing: str = "same",
        learn: str | Sequence[str] = ("tau",),
    ):
        if "v_reset" in ((learn,) if isinstance(learn, str) else learn) and v_reset is None:
            raise UserError('ParametricLIF learns v_reset with reset="value" and v_reset, where it begins')
        super().__init__(
            tau=tau, dt=dt, threshold=threshold, reset=reset, surrogate=surrogate, detach_reset=detach_reset,
            compare=compare, scale_input=scale_input, initial_v=initial_v, solver="euler", v_leak=v_leak,
            v_reset=v_reset, reset_timing=reset_timing, learn=learn,
        )  # fmt: skip

    def add_time_constant(self, name: str, value: Time) -> None:
        learned, self._learn = self._learn, ()
        super().add_time_constant(name, value)  # checked, and held as a buffer
        self._learn = learned
        if name in learned:
            tau = getattr(self, f"fixed_{name}")
            delattr(self, f"fixed_{name}")
            q = (self.dt / tau).clamp_max(1.0 - 1e-7)
            setattr(self, f"w_{name}", nn.Parameter(q.logit().to(torch.get_default_dtype())))

    def time_constant(self, name: str) -> Tensor:
        if name not in self._learn:
            return super().time_constant(name)
        return self.dt / self.per_step_learned(name)  # type: ignore[operator, arg-type]

    def per_step_learned(self, name: str) -> Tensor:
        """q = sigmoid(w) of a learned time constant."""
        return torch.sigmoid(getattr(self, f"w_{name}"))

    def constants(self) -> dict[str, Tensor]:
        given = super().constants()
        return {**given, "rate": self.per_step_learned("tau")} if "tau" in self._learn else given


@cache
def klif(solver: str, scaled: bool, scale_reset: bool) -> Equation:
    """The membrane of `KLIF` with these options."""
    constant = forms.SOLVERS[solver]

    def step(x: Any, v: Any, *, k: Any, theta: Any, fire: Callable, reset: Callable, **leak: Any) -> tuple:
        h = forms.charge(v, x, leak[constant], None, solver, scaled)
        u = where(h > 0.0, k * h, 0.0)
        s, r = fire(u - theta)
        v = reset(u, r, theta)
        return s, v / k if scale_reset else v

    return Equation(
        name="klif",
        step=step,
        ports=("x",),
        rest={"v": 0.0},
        constants=(constant, "k", "theta"),
        handed_in=("fire", "reset"),
        made_by=(klif, (solver, scaled, scale_reset)),
    )


class KLIFState(NamedTuple):
    v: Tensor  # membrane potential after the reset [B, *N], never negative


class KLIF(Membrane):
    """Leaky integrate-and-fire whose charged membrane passes a learned slope and a rectifier (Jiang and Zhang 2023).

        h = a·v + x        u = max(k·h, 0)        s = [u >= θ]        v = u - s·θ  (reset "subtract"), u·(1 - s)  ("zero")
        with `scale_reset=True`, v is divided by k

    The membrane is never below 0, and below 0 there is no gradient. The paper's form is `solver="euler",
    scale_input=True, reset="zero"` with τ = 2·dt. With k = 1 and positive input it is `LIF`.

    Args:
        tau: τ [s], a number or a tensor that broadcasts to `*N`; dt < τ.
        dt: time between input samples [s].
        k: slope at the beginning, likewise, positive.
        threshold: θ, likewise.
        scale_reset: keep h instead of u as the state, so that k does not compound over time.
        scale_input, solver, initial_v: see `Membrane`.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: k, tau, threshold.

    >>> KLIF(tau=2e-3, dt=1e-3, k=2.0)(torch.full((4, 1, 1), 0.4)).flatten().tolist()
    [0.0, 1.0, 1.0, 1.0]
    """

    equation = klif("exact", False, False)
    State = KLIFState
    resets = tuple(RESETS)
    learnable = ("k", "tau", "threshold")
    k: Tensor
    threshold: Tensor

    def __init__(
        self,
        *,
        tau: Time,
        dt: float,
        k: Value = 1.0,
        threshold: Value = 1.0,
        reset: str = "subtract",
        scale_reset: bool = False,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        scale_input: bool = False,
        initial_v: Value | None = None,
        solver: str = "exact",
        learn: str | Sequence[str] = ("k",),
    ):
        self.scale_reset = bool(scale_reset)
        super().__init__(
            dt=dt, reset=reset, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn,
            scale_input=scale_input, solver=solver, initial_v=initial_v,
        )  # fmt: skip
        self.add_time_constant("tau", tau)
        self.add_parameter("k", k)
        self.add_parameter("threshold", threshold)
        if not bool((self.k > 0).all()):
            raise UserError(f"KLIF needs a positive k, got {k!r}")

    @property
    def tau(self) -> Tensor:
        """Membrane time constant [s]."""
        return self.time_constant("tau")

    def form(self) -> Equation:
        return klif(self.solver, bool(self.scale_input), self.scale_reset)

    def constants(self) -> dict[str, Tensor]:
        return {
            forms.SOLVERS[self.solver]: self.per_step(self.tau),
            "k": self.k,
            "theta": self.threshold,
        }
