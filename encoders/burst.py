"""Burst codes: information in the number of spikes of a burst and in the time between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnkit.encoders.latency import first_steps
from snnkit.encoders.values import (
    code_grid,
    finite_signal,
    positive,
    sorted_events,
    spikes_to_events,
    totals,
    unit_values,
)
from snnkit.errors import UserError
from snnkit.events import EventTensor


@dataclass(frozen=True, kw_only=True)
class Burst:
    """A burst from step 0 on: the larger the value, the more spikes and the shorter the time between them (Guo et al. 2021).

        n = ⌈N x⌉ spikes,   ISI = ⌈I_max - (I_max - I_min) x⌉ steps apart if n > 1, else I_max

    The decoder reads the time between the first two spikes, x = (I_max - ISI)/(I_max - I_min), which is at most
    1/(I_max - I_min) too small. A lone spike says 0 < x <= 1/N and is read as 1/(2N); no spike is 0.

    Args:
        spikes: N, the most spikes of a burst.
        isi_min, isi_max: I in steps; isi_max None is the number of steps. Spikes after the last step are lost; the decoder
            needs the first two only, and `length` is the number of steps that holds every burst.

    >>> Burst(spikes=3, isi_max=5).encode([[1.0, 0.5]], steps=6, dt=1e-3).dense()[:, 0].T.tolist()
    [[1.0, 0.0, 1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]]
    """

    spikes: int = 5
    isi_min: int = 2
    isi_max: int | None = None

    def __post_init__(self) -> None:
        for name in ("spikes", "isi_min", "isi_max"):
            value = getattr(self, name)
            if value is None and name == "isi_max":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f"{name} is a whole number, at least 1, got {value!r}")
        if self.isi_max is not None and self.isi_max <= self.isi_min:
            raise UserError(f"expected isi_min < isi_max in steps, got {self.isi_min} and {self.isi_max}")

    def encode(self, x: Any, *, steps: int, dt: float) -> EventTensor:
        """Values in [0, 1] (B, *N) to bursts (T, B, *N)."""
        values = unit_values(x)
        steps, dt = code_grid(steps, dt, least=self.isi_min + 2)
        longest = self._longest(steps)
        slowest = self._isi(np.array(1 / self.spikes), longest) if self.spikes > 1 else 0
        if slowest > steps - 1:
            raise UserError(
                f"{steps} steps do not hold the first two spikes of a burst, up to {int(slowest)} steps apart; "
                f"lower isi_max or take steps >= {int(slowest) + 1}"
            )
        flat = values.reshape(-1, 1)
        count = self._count(flat)
        isi = np.where(count > 1, self._isi(flat, longest), longest)
        nth = np.arange(self.spikes)
        when = nth * isi
        fires = (nth < count) & (when < steps)
        place = np.repeat(np.arange(len(flat)), fires.sum(1))
        return spikes_to_events(when[fires].astype(np.int64), place, steps=steps, shape=values.shape, dt=dt)

    def decode(self, events: EventTensor) -> Tensor:
        """The values, (B, *N)."""
        count = totals(events)
        span = _second_steps(events).double()  # the burst begins in step 0
        longest = self._longest(len(events))
        found = ((longest - span) / (longest - self.isi_min)).clamp(0, 1)
        single = torch.where(count > 0, 0.5 / self.spikes, 0.0)
        return torch.where(span > 0, found, single.double()).float()

    def length(self, steps: int) -> int:
        """Steps that hold all spikes of every burst, where `isi_max` counts from `steps` if it is None."""
        longest = self._longest(steps)
        fullest = [
            (n - 1) * int(self._isi(np.array((n - 1) / self.spikes), longest))
            for n in range(2, self.spikes + 1)
        ]
        return 1 + max([0, *fullest])

    def error(self, steps: int) -> float:
        """The decoder's largest error."""
        return max(1 / (self._longest(steps) - self.isi_min), 0.5 / self.spikes)

    def _longest(self, steps: int) -> int:
        return steps if self.isi_max is None else self.isi_max

    def _count(self, x: NDArray) -> NDArray:
        return np.ceil(self.spikes * x - 1e-12)  # 5 · 0.6 is 3, whatever rounding says

    def _isi(self, x: NDArray, longest: int) -> NDArray:
        return np.ceil(longest - (longest - self.isi_min) * x - 1e-12)


@dataclass(frozen=True, kw_only=True)
class GrowingBurst:
    """A neuron whose spikes of a burst weigh more and more, so that a large charge leaves in few steps (Park et al. 2019).

        v ← v + x        g ← β g if it fired in the last step, else 1        v ≥ g θ: send g θ, v ← v - g θ

    For a drive of 0 to θ per step, what is not sent yet stays below `leftover` (2 θ for β = 2), so the mean of what was sent,
    `decode`, is less than leftover/T below the mean of x. For β = 2 a charge of 15 θ leaves in 4 steps: 1 + 2 + 4 + 8.

    Args:
        threshold: θ, in the unit of x.
        beta: β > 1.

    >>> import numpy as np
    >>> drive = np.zeros((5, 1, 1)); drive[0] = 15
    >>> GrowingBurst(threshold=1.0).encode(drive, dt=1e-3).dense().flatten().tolist()
    [1.0, 2.0, 4.0, 8.0, 0.0]
    """

    threshold: float = 0.125
    beta: float = 2.0

    def __post_init__(self) -> None:
        positive("threshold", self.threshold, "the weight of a burst's first spike")
        if not (math.isfinite(self.beta) and self.beta > 1):
            raise UserError(f"expected beta > 1, got {self.beta!r}")

    @property
    def leftover(self) -> float:
        """Bound of v for drives of 0 to θ: β^j θ of the longest burst, j, after which v can be larger than before it."""
        burst, sent = 1, 1.0  # spikes, and their sum in θ; one step more brings at most burst + 1
        while burst + 2 > sent + self.beta**burst:
            sent, burst = sent + self.beta**burst, burst + 1
        return self.beta**burst * self.threshold

    def encode(self, drive: Any, *, dt: float) -> EventTensor:
        """A drive per step [T, B, *N], not negative, to events whose values are g θ."""
        from snnkit.kernels.encoders.signals import growing_burst

        x = finite_signal(drive, 0.0)
        flat = x.reshape(len(x), x.shape[1], -1)
        columns = growing_burst(flat, self.threshold, self.beta)
        return sorted_events(*columns, shape=x.shape, dt=dt)

    def hold(self, x: Any, *, steps: int, dt: float) -> EventTensor:
        """Static values in [0, 1] (B, *N), the drive x · θ in every of `steps`; `decode(events) / θ` are the values."""
        values = unit_values(x)
        steps, dt = code_grid(steps, dt)
        return self.encode(np.broadcast_to(values * self.threshold, (steps, *values.shape)), dt=dt)

    def decode(self, events: EventTensor) -> Tensor:
        """Mean drive per step, (B, *N)."""
        return totals(events) / len(events)


def _second_steps(events: EventTensor) -> Tensor:
    """The step of every channel's second event when the first is in step 0; -1 if there is none."""
    if len(events) < 2:
        return torch.full(events.shape[1:], -1)
    later = first_steps(events[1:])
    return torch.where(later >= 0, later + 1, -1)
