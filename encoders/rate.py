"""Rate codes: a value is how often a channel fires.

Every function takes values x in [0, 1] of shape (B, *N) and gives an `EventTensor` (steps, B, *N); `.dense()` makes a
tensor of it. `rate` is the firing rate at x = 1 in Hz; None is one spike per step. Reading T steps with `decode` has
the error √(x(1-x)/T) for `bernoulli` at full rate, √(x/(T · rate · dt)) for `poisson` and at most 1/T for `regular`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnkit.encoders.values import checked_grid, generators, unit_values
from snnkit.events import EventTensor


def bernoulli(
    x: Any,
    *,
    steps: int,
    dt: float,
    rate: float | None = None,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> EventTensor:
    """A coin in every step: P(spike) = x · rate · dt, independent in time and between channels.

    Mean T·p and Fano factor 1 - p, with p = x · rate · dt.

    Args:
        x: values in [0, 1], (B, *N).
        steps: T.
        dt: length of a step in seconds.
        rate: spikes per second at x = 1; at most 1/dt, which None means.
        seed: of the coins.
        keys: one number per sample that, with `seed`, draws its coins; None is its place in the batch. Give dataset
            indices, and a sample's spikes do not depend on the order of the batch.

    Raises:
        UserError: values outside [0, 1]; more than one spike per step.

    >>> bernoulli([[0.0, 1.0]], steps=3, dt=1e-3).dense()[:, 0].tolist()
    [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    """
    values = unit_values(x)
    steps, dt, per_step = checked_grid(steps, dt, rate, at_most_one=True)
    draws = generators(seed, len(values), keys)
    spikes = [g.random((steps, *v.shape)) < v * per_step for g, v in zip(draws, values, strict=True)]
    return _events(spikes, steps, values.shape, dt)


def poisson(
    x: Any,
    *,
    steps: int,
    dt: float,
    rate: float | None = None,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> EventTensor:
    """Counts of a Poisson process: k ~ Poisson(x · rate · dt) in every step, as values; Fano factor 1.

    Arguments as for `bernoulli`; any positive `rate`, as a step may hold several spikes.
    """
    values = unit_values(x)
    steps, dt, per_step = checked_grid(steps, dt, rate, at_most_one=False)
    draws = generators(seed, len(values), keys)
    spikes = [g.poisson(v * per_step, (steps, *v.shape)) for g, v in zip(draws, values, strict=True)]
    return _events(spikes, steps, values.shape, dt)


def regular(x: Any, *, steps: int, dt: float, rate: float | None = None) -> EventTensor:
    """Evenly spaced spikes: a phase grows by x · rate · dt per step and fires at 1; after t steps floor(t x rate dt)
    spikes have come. No chance in it."""
    values = unit_values(x)
    steps, dt, per_step = checked_grid(steps, dt, rate, at_most_one=True)
    t = np.arange(steps + 1).reshape(-1, *[1] * values.ndim)
    due = np.floor(t * (values * per_step) + 1e-9)  # 10 steps of 0.1 are one spike, whatever rounding says
    return EventTensor.from_dense(torch.from_numpy(np.diff(due, axis=0).astype(np.float32)), dt)


def decode(events: EventTensor, *, rate: float | None = None) -> Tensor:
    """The values behind a rate code, (B, *N): number of spikes / (T · rate · dt)."""
    per_step = 1.0 if rate is None else rate * events.dt
    return events.dense().sum(0) / (len(events) * per_step)


def _events(spikes: list[np.ndarray], steps: int, shape: tuple[int, ...], dt: float) -> EventTensor:
    dense = np.stack(spikes, axis=1) if spikes else np.zeros((steps, *shape))
    return EventTensor.from_dense(torch.from_numpy(dense.astype(np.float32)), dt)
