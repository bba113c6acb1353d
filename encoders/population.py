"""Population code: a value is shared out to neurons with overlapping receptive fields (Bohte, Kok and La Poutré 2002)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnkit.encoders.latency import first_steps
from snnkit.encoders.values import bounded_values, code_grid, spikes_to_events
from snnkit.errors import UserError
from snnkit.events import EventTensor


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """m Gaussian receptive fields per value; the better a field fits, the sooner its neuron fires.

        μ_i = low + (2i - 3)/2 · (high - low)/(m - 2)      i = 1 .. m
        σ = (high - low) / (β (m - 2))      a_i = exp(-(x - μ_i)²/(2σ²))      t_i = round((1 - a_i) T)

    and no spike where t_i > (1 - silent) T. The outermost centres lie outside of the range: that is meant. The decoder,
    Σ a_i μ_i / Σ a_i with a_i = 1 - t_i/T, has an rms error of 0.0065 of the range (at most 0.02) for 8 fields and
    10 steps.

    Args:
        fields: m, at least 3.
        low, high: range of the values.
        beta: β, narrower fields for larger ones; 1 to 2 in the paper.
        silent: part of the time at the end in which nothing fires.

    >>> Gaussian(fields=8).respond([[0.37]])[0, 0, 2:5].round(3).tolist()
    [0.558, 0.916, 0.158]
    """

    fields: int = 8
    low: float = 0.0
    high: float = 1.0
    beta: float = 1.5
    silent: float = 0.1

    def __post_init__(self) -> None:
        if isinstance(self.fields, bool) or not isinstance(self.fields, int) or self.fields < 3:
            raise UserError(f"expected fields >= 3, got {self.fields!r}")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UserError(f"expected low < high, got low={self.low!r}, high={self.high!r}")
        if not (self.beta > 0 and 0 <= self.silent < 1):
            raise UserError(f"expected beta > 0 and 0 <= silent < 1, got {self.beta!r}, {self.silent!r}")

    @property
    def centres(self) -> NDArray[np.float64]:
        """μ_1 .. μ_m."""
        i = np.arange(1, self.fields + 1)
        return self.low + (2 * i - 3) / 2 * (self.high - self.low) / (self.fields - 2)

    @property
    def width(self) -> float:
        """σ."""
        return (self.high - self.low) / (self.beta * (self.fields - 2))

    def respond(self, x: Any) -> NDArray[np.float64]:
        """a of every field, in [0, 1], (B, *N, m); a rate code takes them too, as `rate.bernoulli(code.respond(x), ...)`."""
        values = bounded_values(x, self.low, self.high)
        return np.exp(-((values[..., None] - self.centres) ** 2) / (2 * self.width**2))

    def encode(self, x: Any, *, steps: int, dt: float) -> EventTensor:
        """Values in [low, high] (B, *N) to spikes (T, B, *N, m), at most one per field. The paper has 10 steps."""
        response = self.respond(x)
        steps, dt = code_grid(steps, dt, least=2)
        step = np.rint((1 - response) * steps)
        place = np.flatnonzero((step <= (1 - self.silent) * steps + 1e-9) & (step < steps))
        when = step.reshape(-1)[place].astype(np.int64)
        return spikes_to_events(when, place, steps=steps, shape=response.shape, dt=dt)

    def decode(self, events: EventTensor) -> Tensor:
        """The weighted mean of the centres that fired, (B, *N); NaN where none did."""
        if events.shape[-1] != self.fields:
            raise UserError(f"expected events of shape (T, B, *N, {self.fields}), got {events.shape}")
        first = first_steps(events)
        weight = torch.where(first >= 0, 1 - first.double() / len(events), 0.0)
        return ((weight * torch.from_numpy(self.centres)).sum(-1) / weight.sum(-1)).float()
