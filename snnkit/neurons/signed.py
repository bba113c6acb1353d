"""Neurons that send spikes of both signs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from torch import Tensor

from snnkit.errors import UserError
from snnkit.neurons import forms
from snnkit.neurons.base import Neuron, Time, Value
from snnkit.neurons.equations import Equation, neuron
from snnkit.neurons.language import where
from snnkit.neurons.membrane import Membrane
from snnkit.neurons.surrogate import ATan, Surrogate


@cache
def ternary(solver: str | None, scaled: bool) -> Equation:
    """A membrane with two thresholds; without a solver it does not leak."""
    constant = None if solver is None else forms.SOLVERS[solver]

    def step(x: Any, v: Any, *, theta: Any, below: Any, fire: Callable, reset: Callable, **k: Any) -> tuple:
        u = v + x if constant is None else forms.charge(v, x, k[constant], None, str(solver), scaled)
        up, r = fire(u - theta)
        down, q = fire(-u - below)
        return up - down, reset(reset(u, r, theta), q, -below)

    return Equation(
        name="ternary_lif" if solver else "ternary_if",
        step=step,
        ports=("x",),
        rest={"v": 0.0},
        constants=tuple(filter(None, (constant, "theta", "below"))),
        handed_in=("fire", "reset"),
        made_by=(ternary, (solver, scaled)),
    )


@neuron("x", v=0.0, sent=0.0)
def signed_if(x, v, sent, *, theta, fire):
    u = v + x
    up, r = fire(u - theta)
    down, q = fire(-u - theta)
    owed = where(sent > 0.5, 1.0, 0.0)
    s = up - down * owed
    return s, u - (r - q * owed) * theta, sent + s


class TernaryIFState(NamedTuple):
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold


class TernaryIF(Neuron):
    """Integrate-and-fire with spikes of both signs.

        u = v + x        s = [u >= θ] - [u <= -θ₋]        v = u - θ·[u >= θ] + θ₋·[u <= -θ₋]  (reset "subtract")

    With |x| <= θ and subtraction, θ times the sum of what was sent never differs from the sum of the input by θ or more.
    The derivative has a bump of the surrogate at either threshold. A reset to "zero" follows spikes of both signs.

    Args:
        threshold: θ, a number or a tensor that broadcasts to `*N`.
        threshold_below: θ₋ > 0, likewise; θ if not given.
        initial_v: membrane at the beginning, likewise.
        dt: time between input samples [s]; not needed for the dynamics, kept for exporters.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: threshold, threshold_below (if given).

    >>> import torch
    >>> TernaryIF()(torch.tensor([0.6, 0.6, -0.9, -0.9]).view(4, 1, 1)).flatten().tolist()
    [0.0, 1.0, 0.0, -1.0]
    """

    equation = ternary(None, False)
    State = TernaryIFState
    learnable = ("threshold", "threshold_below")
    threshold: Tensor
    initial_v: Tensor

    def __init__(
        self,
        *,
        threshold: Value = 1.0,
        threshold_below: Value | None = None,
        reset: str = "subtract",
        initial_v: Value = 0.0,
        dt: float | None = None,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        learn: str | Sequence[str] = (),
    ):
        super().__init__(
            dt=dt, reset=reset, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn
        )
        self.add_parameter("initial_v", initial_v)
        _add_thresholds(self, threshold, threshold_below)

    def constants(self) -> dict[str, Tensor]:
        return _thresholds(self)

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}


class TernaryLIFState(NamedTuple):
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold


class TernaryLIF(Membrane):
    """Leaky integrate-and-fire with spikes of both signs: `TernaryIF` with u = a·v + x, a = exp(-dt/τ).

    Args:
        tau: τ [s], a number or a tensor that broadcasts to `*N`; dt < τ.
        dt: time between input samples [s].
        threshold, threshold_below: θ and θ₋ > 0, likewise; see `TernaryIF`.
        scale_input, solver, initial_v: see `Membrane`.
        reset, surrogate, detach_reset, compare, learn: see `Neuron`; learnable: tau, threshold, threshold_below (if given).

    >>> import torch
    >>> TernaryLIF(tau=20e-3, dt=1e-3)(torch.tensor([0.6, 0.6, -0.9, -0.9]).view(4, 1, 1)).flatten().tolist()
    [0.0, 1.0, 0.0, -1.0]
    """

    equation = ternary("exact", False)
    State = TernaryLIFState
    resets = ("subtract", "zero", "none")
    learnable = ("tau", "threshold", "threshold_below")

    def __init__(
        self,
        *,
        tau: Time,
        dt: float,
        threshold: Value = 1.0,
        threshold_below: Value | None = None,
        reset: str = "subtract",
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        scale_input: bool = False,
        initial_v: Value | None = None,
        solver: str = "exact",
        learn: str | Sequence[str] = (),
    ):
        super().__init__(
            dt=dt, reset=reset, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn,
            scale_input=scale_input, solver=solver, initial_v=initial_v,
        )  # fmt: skip
        self.add_time_constant("tau", tau)
        _add_thresholds(self, threshold, threshold_below)

    @property
    def tau(self) -> Tensor:
        """Membrane time constant [s]."""
        return self.time_constant("tau")

    def form(self) -> Equation:
        return ternary(self.solver, bool(self.scale_input))

    def constants(self) -> dict[str, Tensor]:
        return {forms.SOLVERS[self.solver]: self.per_step(self.tau), **_thresholds(self)}


class SignedIFState(NamedTuple):
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold
    sent: Tensor  # sum of the spikes sent [B, *N], never negative


class SignedIF(Neuron):
    """Signed neuron with memory, for converted networks (SNM; Wang et al. 2022, IJCAI).

        u = v + x        s = [u >= θ] - [u <= -θ and m > 0]        v = u - θ·s        m = m + s

    A negative spike takes back one that was sent too early, and only such: m, the sum of the spikes sent, is never negative, as
    the activation of a rectified unit is not. θ is the largest activation of each neuron.

    Args:
        threshold: θ, a number or a tensor that broadcasts to `*N`.
        initial_v: membrane at the beginning, likewise.
        dt: time between input samples [s]; not needed for the dynamics, kept for exporters.
        surrogate, detach_reset, compare, learn: see `Neuron`; learnable: threshold.

    >>> import torch
    >>> x = torch.tensor([-1.5, 2.5, -1.5, -2.0]).view(4, 1, 1)
    >>> SignedIF()(x).flatten().tolist()  # one spike to take back, and no more
    [0.0, 1.0, -1.0, 0.0]
    """

    equation = signed_if
    State = SignedIFState
    learnable = ("threshold",)
    threshold: Tensor
    initial_v: Tensor

    def __init__(
        self,
        *,
        threshold: Value = 1.0,
        initial_v: Value = 0.0,
        dt: float | None = None,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        learn: str | Sequence[str] = (),
    ):
        super().__init__(dt=dt, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn)
        self.add_parameter("threshold", threshold)
        self.add_parameter("initial_v", initial_v)

    def constants(self) -> dict[str, Tensor]:
        return {"theta": self.threshold}

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}


def _add_thresholds(cell: Any, above: Value, below: Value | None) -> None:
    cell.add_parameter("threshold", above)
    if below is not None:
        cell.add_parameter("threshold_below", below)
    elif "threshold_below" in cell._learn:
        raise UserError(f"{type(cell).__name__} learns threshold_below apart from threshold if it is given")
    else:
        cell.threshold_below = None
    for word, tensor in (("threshold", cell.threshold), ("threshold_below", cell.threshold_below)):
        if tensor is not None and not bool((tensor > 0).all()):
            raise UserError(f"{type(cell).__name__} needs a positive {word}, got {tensor.tolist()}")


def _thresholds(cell: Any) -> dict[str, Tensor]:
    below = cell.threshold if cell.threshold_below is None else cell.threshold_below
    return {"theta": cell.threshold, "below": below}
