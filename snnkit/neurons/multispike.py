"""Neurons that send several spikes in one step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from torch import Tensor

from snnkit.errors import UserError
from snnkit.neurons.base import Neuron, Time, Value
from snnkit.neurons.equations import Equation
from snnkit.neurons.language import clip, detach, maximum, minimum, through
from snnkit.neurons.surrogate import ATan, Surrogate


@cache
def multi_spike(limited: bool, floored: bool) -> Equation:
    """Integrate-and-fire with as many spikes a step as there are thresholds in the membrane."""

    def step(x: Any, v: Any, *, theta: Any, fire: Any, **k: Any) -> tuple:
        u = v + x
        s, r = fire.count((u - theta) / theta)
        if limited:
            s, r = minimum(s, k["n_max"]), minimum(r, k["n_max"])
        v = u - r * theta
        return s, maximum(v, k["v_min"]) if floored else v

    return Equation(
        name="multi_spike_if",
        step=step,
        ports=("x",),
        rest={"v": 0.0},
        constants=tuple(filter(None, ("theta", "n_max" if limited else "", "v_min" if floored else ""))),
        handed_in=("fire",),
        made_by=(multi_spike, (limited, floored)),
    )


@cache
def integer_lif(detached: bool) -> Equation:
    """Leaky integrate-and-fire with a rounded, clipped output and a straight-through derivative."""

    def step(x: Any, v: Any, *, decay: Any, theta: Any, n_max: Any, fire: Any) -> tuple:
        u = decay * v + x
        n, _ = fire.count(u / theta - 0.5)
        s = through(minimum(n, n_max), clip(u / theta, 0.0, n_max))
        return s, u - (detach(s) if detached else s) * theta

    return Equation(
        name="integer_lif",
        step=step,
        ports=("x",),
        rest={"v": 0.0},
        constants=("decay", "theta", "n_max"),
        handed_in=("fire",),
        made_by=(integer_lif, (detached,)),
    )


class MultiSpikeIFState(NamedTuple):
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold


class MultiSpikeIF(Neuron):
    """Integrate-and-fire with several spikes in one step (the IAF of sinabs).

        u = v + x        s = min(floor(u/θ), n_max) for u > 0, else 0        v = max(u - θ·s, v_min)

    Under input that is never negative, without n_max, it sends floor(sum of the input/θ) spikes in all, at any dt: rates do not
    saturate at one spike per step. The derivative is the surrogate's, in units of θ, at the nearest of the thresholds θ, 2·θ,
    3·θ, ...

    Args:
        threshold: θ, a number or a tensor that broadcasts to `*N`.
        n_max: most spikes in one step, likewise; None for any number.
        v_min: the membrane does not fall below, likewise; None for no bound.
        initial_v: membrane at the beginning, likewise.
        dt: time between input samples [s]; not needed for the dynamics, kept for exporters.
        surrogate, detach_reset, compare, learn: see `Neuron`; learnable: threshold. With compare=">", a membrane of exactly n·θ
            sends n - 1 spikes.

    >>> import torch
    >>> MultiSpikeIF()(torch.tensor([0.5, 3.25, -2.0, 3.0]).view(4, 1, 1)).flatten().tolist()
    [0.0, 3.0, 0.0, 1.0]
    """

    equation = multi_spike(False, False)
    State = MultiSpikeIFState
    learnable = ("threshold",)
    threshold: Tensor
    initial_v: Tensor

    def __init__(
        self,
        *,
        threshold: Value = 1.0,
        n_max: Value | None = None,
        v_min: Value | None = None,
        initial_v: Value = 0.0,
        dt: float | None = None,
        surrogate: Surrogate = ATan(),
        detach_reset: bool = False,
        compare: str = ">=",
        learn: str | Sequence[str] = (),
    ):
        self._bounds = {"n_max": n_max, "v_min": v_min}
        super().__init__(dt=dt, surrogate=surrogate, detach_reset=detach_reset, compare=compare, learn=learn)
        self.add_parameter("threshold", threshold)
        self.add_parameter("initial_v", initial_v)
        for name, value in self._bounds.items():
            if value is not None:
                self.add_parameter(name, value)
        _check_positive(self, "threshold", "n_max")

    def form(self) -> Equation:
        return multi_spike(*(value is not None for value in self._bounds.values()))

    def constants(self) -> dict[str, Tensor]:
        return {
            "theta": self.threshold,
            **{k: getattr(self, k) for k, b in self._bounds.items() if b is not None},
        }

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}


class IntegerLIFState(NamedTuple):
    v: Tensor  # membrane potential [B, *N], in the unit of the threshold


class IntegerLIF(Neuron):
    """Leaky integrate-and-fire with whole-number activations (I-LIF; Luo et al. 2024, ECCV).

        u = (1 - dt/τ)·v + x        s = round(clip(u/θ, 0, D))        v = u - θ·s

    For training; on spiking hardware a step unrolls into D steps of one spike each. Halves round upwards (with compare=">"
    downwards), where the authors' code takes the even number. The derivative is 1/θ for 0 <= u <= D·θ and 0 elsewhere, not that
    of a surrogate.

    Args:
        tau: τ [s], a number or a tensor that broadcasts to `*N`; dt < τ. In the paper 4/3·dt.
        dt: time between input samples [s].
        n_max: D, likewise.
        threshold: θ, likewise.
        initial_v: membrane at the beginning, likewise.
        detach_reset, compare, learn: see `Neuron`; learnable: tau, threshold.

    >>> import torch
    >>> IntegerLIF(tau=4e-3 / 3, dt=1e-3)(torch.tensor([0.4, 2.2, 9.0]).view(3, 1, 1)).flatten().tolist()
    [0.0, 2.0, 4.0]
    """

    equation = integer_lif(False)
    State = IntegerLIFState
    solver = "euler"
    learnable = ("tau", "threshold")
    threshold: Tensor
    n_max: Tensor
    initial_v: Tensor

    def __init__(
        self,
        *,
        tau: Time,
        dt: float,
        n_max: Value = 4.0,
        threshold: Value = 1.0,
        initial_v: Value = 0.0,
        detach_reset: bool = False,
        compare: str = ">=",
        learn: str | Sequence[str] = (),
    ):
        super().__init__(dt=dt, detach_reset=detach_reset, compare=compare, learn=learn)
        self.add_time_constant("tau", tau)
        self.add_parameter("threshold", threshold)
        self.add_parameter("n_max", n_max)
        self.add_parameter("initial_v", initial_v)
        _check_positive(self, "threshold", "n_max")

    @property
    def tau(self) -> Tensor:
        """Membrane time constant [s]."""
        return self.time_constant("tau")

    def form(self) -> Equation:
        return integer_lif(self.detach_reset)

    def constants(self) -> dict[str, Tensor]:
        return {"decay": self.decay(self.tau), "theta": self.threshold, "n_max": self.n_max}

    def rest(self) -> dict[str, Tensor]:
        return {"v": self.initial_v}


def _check_positive(cell: Any, *names: str) -> None:
    for name in names:
        tensor = getattr(cell, name, None)
        if tensor is not None and not bool((tensor > 0).all()):
            raise UserError(f"{type(cell).__name__} needs a positive {name}, got {tensor.tolist()}")
