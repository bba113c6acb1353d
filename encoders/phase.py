"""Phase code: the binary digits of a value, one per phase of an oscillation (Kim et al. 2018)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnkit.encoders.values import code_grid, sorted_events, unit_values
from snnkit.errors import UserError
from snnkit.events import EventTensor


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A spike in phase k = 0 .. K-1 of every period if digit K-1-k of ⌊x · 2^K⌋ is 1; it weighs w_k = 2^-(1+k).

    The decoder's error is in [0, 2^-K), √(1/3) · 2^-K rms over uniform x; x = 1 becomes 1 - 2^-K. The receiving neuron
    has to scale its threshold or its input with the same w_k: `weighted=True` puts w_k into the events, as values, and
    `weights(steps)` are the factors over time.

    Args:
        phases: K, length of a period in steps, 1 to 24.
        weighted: events carry w_k instead of 1.

    >>> Phase(phases=3).encode([[0.625]], steps=3, dt=1e-3).dense().flatten().tolist()  # 5/8 is 101
    [1.0, 0.0, 1.0]
    """

    phases: int = 8
    weighted: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.phases, bool) or not isinstance(self.phases, int) or not 1 <= self.phases <= 24:
            raise UserError(f"expected phases from 1 to 24, got {self.phases!r}")

    def encode(self, x: Any, *, steps: int, dt: float) -> EventTensor:
        """Values in [0, 1] (B, *N) over `steps`, a whole number of periods."""
        values = unit_values(x)
        steps, dt = code_grid(steps, dt)
        if steps % self.phases:
            raise UserError(
                f"expected steps as whole periods of {self.phases} phases, got {steps}; "
                f"take {-(-steps // self.phases) * self.phases}"
            )
        flat = values.reshape(len(values), math.prod(values.shape[1:]))
        whole = np.minimum(np.floor(flat * 2**self.phases), 2**self.phases - 1).astype(np.int64)
        found = [(whole >> (self.phases - 1 - k)) & 1 for k in range(self.phases)]
        lengths = np.concatenate([digit.sum(1) for digit in found])
        indices = np.concatenate([np.nonzero(digit)[1] for digit in found]).astype(np.int32)
        periods = steps // self.phases
        rowptr = np.zeros(steps * len(values) + 1, np.int64)
        np.cumsum(np.tile(lengths, periods), out=rowptr[1:])
        graded = None
        if self.weighted:
            per_step = np.repeat(self.weights(steps).numpy(), len(values))
            graded = np.repeat(per_step, np.diff(rowptr)).astype(np.float32)
        return sorted_events(rowptr, np.tile(indices, periods), graded, shape=(steps, *values.shape), dt=dt)

    def decode(self, events: EventTensor) -> Tensor:
        """Σ w_k · spike, mean over the periods, (B, *N)."""
        steps, batch, *channels = events.shape
        if steps % self.phases:
            raise UserError(f"expected whole periods of {self.phases} steps, got {steps} steps")
        row, size = events.rows(), math.prod(channels)
        weights = self.weights(steps).to(events.device)[row // batch]
        place = row % batch * size + events.indices
        sums = torch.zeros(batch * size, dtype=torch.float64, device=events.device)
        sums.index_add_(0, place, weights * self.phases / steps)
        return sums.float().view(batch, *channels)

    def weights(self, steps: int) -> Tensor:
        """w of every step, float64 (steps,): 1/2, 1/4, ..., 2^-K, 1/2, ..."""
        return 2.0 ** -(1 + torch.arange(steps, dtype=torch.float64) % self.phases)
