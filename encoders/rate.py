"""Rate codes: a value is how often a channel fires.

Every function takes values x in [0, 1] of shape (B, *N) and gives an `EventTensor` (steps, B, *N); `.dense()` makes a
tensor of it. `rate` is the firing rate at x = 1 in Hz; None is one spike per step. Reading T steps with `decode` has
the error √(x(1-x)/T) for `bernoulli` at full rate (√(1/(6T)) over uniform x), √(x/(T · rate · dt)) for `poisson` and at
most 1/(T · rate · dt) for `regular`. Draws are counter-based: equal seeds give equal spikes in a batch of any order, and
a longer run begins with the shorter one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from snnkit.encoders.times import SpikeTimes
from snnkit.encoders.values import (
    checked_grid,
    checked_seed,
    positive,
    sample_keys,
    spikes_to_events,
    totals,
    unit_values,
)
from snnkit.errors import UserError
from snnkit.events import EventTensor

SLACK = 1e-9  # 10 steps of 0.1 are one spike, whatever rounding says


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

    Mean T·p and Fano factor 1 - p, with p = x · rate · dt. Channels that fire rarely draw their gaps, which are geometric,
    so the work goes with the number of spikes.

    Args:
        x: values in [0, 1], (B, *N).
        steps: T.
        dt: length of a step in seconds.
        rate: spikes per second at x = 1; at most 1/dt, which None means.
        seed: of the coins.
        keys: one number per sample that, with `seed`, draws its coins; None is its place in the batch. Give dataset
            indices, and a sample's spikes do not depend on the order of the batch.

    Raises:
        UserError: values outside [0, 1]; more than one spike per step; dt of half a second or more.

    >>> bernoulli([[0.0, 1.0]], steps=3, dt=1e-3).dense()[:, 0].tolist()
    [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    """
    from snnkit.kernels.encoders.codes import bernoulli as kernel

    values = unit_values(x)
    steps, dt, per_step = checked_grid(steps, dt, rate, at_most_one=True)
    seeds = checked_seed(seed), sample_keys(len(values), keys)
    when, place = kernel(_flat(values) * per_step, *seeds, steps)
    return spikes_to_events(when, place, steps=steps, shape=values.shape, dt=dt)


def poisson(
    x: Any,
    *,
    steps: int,
    dt: float,
    rate: float | None = None,
    refractory: float = 0.0,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> EventTensor:
    """Counts of a Poisson process: k ~ Poisson(x · rate · dt) in every step, as values; Fano factor 1.

    Arguments as for `bernoulli`; any positive `rate`, as a step may hold several spikes. `refractory` as for `times`.
    """
    from snnkit.kernels.encoders.codes import merge
    from snnkit.kernels.encoders.codes import poisson as kernel

    values = unit_values(x)
    steps, dt, per_step = checked_grid(steps, dt, rate, at_most_one=False)
    rates = _compensated(_flat(values) * per_step, refractory / dt, dt)
    seeds = checked_seed(seed), sample_keys(len(values), keys)
    when, place = kernel(rates, refractory / dt, float(steps), *seeds)
    cells = merge(when.astype(np.int32), place)
    return spikes_to_events(*cells, steps=steps, shape=values.shape, dt=dt)


def times(
    x: Any,
    *,
    duration: float,
    rate: float,
    refractory: float = 0.0,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> SpikeTimes:
    """Exact times of a Poisson process: gaps -ln(u)/(x · rate), bound to no grid.

    With a refractory time t_ref the gaps are t_ref - ln(u)/r', r' = r/(1 - r·t_ref), so that the mean rate is still
    r = x · rate. The first gap has no dead time.

    Args:
        x: values in [0, 1], (B, *N).
        duration: of the process in seconds.
        rate: spikes per second at x = 1.
        refractory: t_ref in seconds, with rate · t_ref < 1.
        seed, keys: as for `bernoulli`.
    """
    from snnkit.kernels.encoders.codes import poisson as kernel

    values = unit_values(x)
    rate = positive("rate", rate, "the spikes per second at x = 1")
    duration = positive("duration", duration, "the length in seconds")
    rates = _compensated(_flat(values) * rate, refractory, 1.0)
    when, place = kernel(rates, refractory, duration, checked_seed(seed), sample_keys(len(values), keys))
    return SpikeTimes.from_places(when, place, shape=values.shape)


def regular(x: Any, *, steps: int, dt: float, rate: float | None = None) -> EventTensor:
    """Evenly spaced spikes: a phase grows by x · rate · dt per step and fires at 1; after t steps floor(t x rate dt)
    spikes have come. No chance in it: the error of `decode` is at most 1/(T · rate · dt)."""
    from snnkit.kernels.encoders.codes import regular as kernel

    values = unit_values(x)
    steps, dt, per_step = checked_grid(steps, dt, rate, at_most_one=True)
    when, place = kernel(_flat(values) * per_step, steps, SLACK)
    return spikes_to_events(when, place, steps=steps, shape=values.shape, dt=dt)


def decode(events: EventTensor, *, rate: float | None = None) -> Tensor:
    """The values behind a rate code, (B, *N): number of spikes / (T · rate · dt)."""
    per_step = 1.0 if rate is None else rate * events.dt
    return totals(events) / (len(events) * per_step)


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), math.prod(values.shape[1:]))


def _compensated(rates: np.ndarray, refractory: float, dt: float) -> np.ndarray:
    """r/(1 - r·t_ref): the rate between dead times that makes r the rate of all. `refractory` counts in `dt` seconds."""
    if not refractory >= 0:
        raise UserError(f"refractory is a time in seconds, at least 0, got {refractory * dt:g}")
    busy = rates * refractory
    if (busy >= 1).any():
        raise UserError(
            f"a rate of {rates.max() / dt:g} Hz does not fit a refractory time of {refractory * dt:g} s: expected "
            f"rate * refractory < 1; times are in seconds, for {refractory * dt:g} ms write {refractory * dt * 1e-3:g}"
        )
    return rates / (1 - busy)
