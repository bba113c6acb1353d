"""Spikes at exact times, before any grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnkit.binning import bins_of, check_dt, check_steps, infer_steps
from snnkit.encoders.values import spikes_to_events
from snnkit.errors import UserError
from snnkit.events import EventTensor


@dataclass(frozen=True, eq=False, repr=False)
class SpikeTimes:
    """Spikes of a batch at exact times, sample after sample, sorted by time within each (ties by channel).

    Args:
        t: times in seconds, float64.
        channel: flat position in `*N`.
        value: +1 or -1 (or a weight) of every spike, float32.
        offsets: where each sample begins, one more than there are samples.
        shape: (B, *N).
    """

    t: NDArray[np.float64]
    channel: NDArray[np.int64]
    value: NDArray[np.float32]
    offsets: NDArray[np.int64]
    shape: tuple[int, ...]

    @classmethod
    def from_places(
        cls, t: NDArray, place: NDArray, value: NDArray | None = None, *, shape: tuple[int, ...]
    ) -> SpikeTimes:
        """From times in any order at flat places b · size + channel."""
        size = math.prod(shape[1:])
        sample, channel = np.divmod(place, size)
        order = np.lexsort((channel, t, sample))
        weights = np.ones(len(t), np.float32) if value is None else value
        offsets = np.zeros(shape[0] + 1, np.int64)
        np.cumsum(np.bincount(sample, minlength=shape[0]), out=offsets[1:])
        return cls(t[order], channel[order], weights[order], offsets, tuple(shape))

    def __len__(self) -> int:
        return len(self.t)

    def __repr__(self) -> str:
        last = f", up to {self.t.max():.4g} s" if len(self) else ""
        return f"SpikeTimes({len(self)} spikes, B={self.shape[0]}, N={self.shape[1:]}{last})"

    def sample(self, b: int) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float32]]:
        """Times, channels and values of one sample, as `EventTensor.from_events` takes them."""
        if not -self.shape[0] <= b < self.shape[0]:
            raise IndexError(f"sample {b} of {self.shape[0]}")
        a, z = self.offsets[b % self.shape[0]], self.offsets[b % self.shape[0] + 1]
        return self.t[a:z], self.channel[a:z], self.value[a:z]

    def tensor(self, *, dt: float, steps: int | None = None) -> EventTensor:
        """The spikes on a grid, (T, B, *N): a spike at t is in step floor(t / dt), spikes in one cell are added up.

        Args:
            dt: length of a step in seconds.
            steps: T; None ends with the last spike. Later spikes are left out.
        """
        dt = check_dt(dt)
        bins = bins_of(self.t, 1.0, dt)
        if steps is None:
            order = np.argsort(self.t, kind="stable")
            steps = infer_steps(self.t[order], bins[order], 1.0, dt)
        steps = check_steps(steps)
        size = math.prod(self.shape[1:])
        place = np.repeat(np.arange(self.shape[0]), np.diff(self.offsets)) * size + self.channel
        kept = bins < steps
        if len(bins) and not kept.any() and dt >= 0.5:
            raise UserError(f"dt is in seconds: no spike lies before {steps} steps of dt={dt:g} s")
        cell, inverse = np.unique(place[kept] * steps + bins[kept], return_inverse=True)
        total = np.bincount(inverse, weights=self.value[kept], minlength=len(cell)).astype(np.float32)
        cell, total = cell[total != 0], total[total != 0]  # an up and a down crossing of one step cancel
        return spikes_to_events(cell % steps, cell // steps, total, steps=steps, shape=self.shape, dt=dt)
