"""Latency codes: a value is how early a channel fires its only spike (time to first spike; Gollisch and Meister 2008).

`linear` with `decode`, `Log` and `Charging` with decoders of their own. Steps are rounded to the nearest, so a decoder is
off by what half a step is worth. A channel that never fires is not one that fires last: decoders give NaN for it, and
`report` counts silent channels and ties.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnkit.encoders.values import code_grid, positive, spikes_to_events, unit_values
from snnkit.errors import UserError
from snnkit.events import EventTensor


def linear(x: Any, *, steps: int, dt: float, silent_zero: bool = False) -> EventTensor:
    """One spike per channel, the sooner the larger its value: step t = round((T - 1)(1 - x)).

    `decode` inverts it with an error of at most 1/(2(T - 1)).

    Args:
        x: values in [0, 1], (B, *N).
        steps: T, at least 2.
        dt: length of a step in seconds.
        silent_zero: channels with x = 0 do not fire at all, instead of in the last step.

    Returns:
        `EventTensor` of shape (T, B, *N).

    Raises:
        UserError: values outside [0, 1], steps < 2 or dt of half a second or more.

    >>> linear([[1.0, 0.5, 0.0]], steps=3, dt=1e-3).dense()[:, 0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    values = unit_values(x)
    steps, dt = code_grid(steps, dt, least=2)
    step = np.rint((steps - 1) * (1 - values))
    return _fire(step, values > 0 if silent_zero else np.ones(values.shape, bool), steps, dt)


def decode(events: EventTensor) -> Tensor:
    """The values behind a linear latency code, (B, *N): 1 - t/(T - 1) of a channel's first spike, NaN if it has none."""
    first = first_steps(events)
    return torch.where(first >= 0, 1 - first / (len(events) - 1), torch.nan)


@dataclass(frozen=True, kw_only=True)
class Log:
    """Latency by logarithm: t = (T - 1) · ln(high/x) / ln(high/low), and no spike below `low`.

    The resolution is relative: decoded/x lies within exp(± ln(high/low)/(2(T - 1))).

    Args:
        low: the smallest value that fires, in the last step.
        high: the value that fires in the first step.

    >>> code = Log(low=0.01)
    >>> code.decode(code.encode([[1.0, 0.1, 0.001]], steps=3, dt=1e-3))
    tensor([[1.0000, 0.1000,    nan]])
    """

    low: float = 1 / 255
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high <= 1:
            raise UserError(f"expected 0 < low < high <= 1, got low={self.low!r}, high={self.high!r}")

    def encode(self, x: Any, *, steps: int, dt: float) -> EventTensor:
        """One spike or none per channel; x in [0, 1] (B, *N), values above `high` fire at once."""
        values = unit_values(x)
        steps, dt = code_grid(steps, dt, least=2)
        fires = values >= self.low
        ratio = np.log(self.high / np.where(fires, np.minimum(values, self.high), self.high))
        return _fire(np.rint((steps - 1) * ratio / math.log(self.high / self.low)), fires, steps, dt)

    def decode(self, events: EventTensor) -> Tensor:
        """high · (low/high)^(t/(T - 1)) of a channel's first spike, NaN if it has none."""
        first = first_steps(events)
        found = self.high * (self.low / self.high) ** (first / (len(events) - 1))
        return torch.where(first >= 0, found, torch.nan)

    def relative_error(self, steps: int) -> float:
        """The largest |decoded/x - 1|."""
        return math.expm1(math.log(self.high / self.low) / (2 * (steps - 1)))


@dataclass(frozen=True, kw_only=True)
class Charging:
    """Latency of a membrane charged by the current x: τ dv/dt = x - v from 0, one spike when v reaches θ.

        t = τ ln(x / (x - θ))   for x > θ, none otherwise

    as in snnTorch's spikegen, but what is too dark stays silent; snnTorch lifts it to θ + 1e-7 and fires it after about
    ln(θ·1e7) time constants unless told to clip. The decoder's error is about x(x - θ)/(θ τ) · dt/2, worst at x = 1.

    Args:
        tau: time constant τ in seconds.
        threshold: θ, from 0 to 1.
        normalize: stretch time so that x = 1 fires in step 0 and `faintest` in the last one.
        faintest: the value above θ at which `normalize` ends; darker ones count as late.
        keep_late: fire spikes after the last step in the last step, instead of not at all.

    >>> round(Charging(tau=1e-3, threshold=0.2).time(1.0) * 1e3, 4)
    0.2231
    """

    tau: float
    threshold: float = 0.01
    normalize: bool = False
    faintest: float | None = None
    keep_late: bool = False

    def __post_init__(self) -> None:
        positive("tau", self.tau, "a time constant in seconds")
        if not 0 < self.threshold < 1:
            raise UserError(f"expected 0 < threshold < 1, got {self.threshold!r}")
        if not self.threshold < self._faintest <= 1:
            raise UserError(f"expected threshold < faintest <= 1, got faintest={self.faintest!r}")

    def encode(self, x: Any, *, steps: int, dt: float) -> EventTensor:
        """One spike or none per channel; x in [0, 1] (B, *N)."""
        values = unit_values(x)
        steps, dt = self._grid(steps, dt)
        step = np.rint(self._scale(self.time(values), steps, dt))
        fires = values > self.threshold
        if self.keep_late:
            step = np.minimum(step, steps - 1)
        return _fire(step, fires & (step < steps), steps, dt)

    def decode(self, events: EventTensor) -> Tensor:
        """θ / (1 - exp(-t/τ)) of a channel's first spike, at most 1; NaN if it has none."""
        first, steps = first_steps(events), len(events)
        t = self._unscale(first.double(), steps, events.dt)
        found = (self.threshold / -torch.expm1(-t / self.tau)).clamp(max=1.0)
        return torch.where(first >= 0, found, torch.nan).float()

    def time(self, x: Any) -> Any:
        """The exact time of the spike in seconds, before any grid; infinite for x <= θ."""
        values = np.asarray(x, dtype=np.float64)
        fires = values > self.threshold
        part = np.where(fires, self.threshold / np.where(fires, values, 1.0), 0.0)
        t = np.where(fires, -self.tau * np.log1p(-part), np.inf)
        return t if t.ndim else float(t)

    @property
    def _faintest(self) -> float:
        return min(1.0, self.threshold + 1 / 255) if self.faintest is None else self.faintest

    def _grid(self, steps: int, dt: float) -> tuple[int, float]:
        steps, dt = code_grid(steps, dt, least=2)
        if not self.normalize and dt > 10 * self.tau:
            raise UserError(
                f"dt={dt:g} s is more than 10 time constants (tau={self.tau:g} s): all would fire in step 0; "
                f"both are in seconds, for {dt:g} ms write dt={dt * 1e-3:g}"
            )
        return steps, dt

    def _scale(self, t: NDArray, steps: int, dt: float) -> NDArray:
        """Seconds to steps, not rounded."""
        if not self.normalize:
            return t / dt
        first, last = self.time(1.0), self.time(self._faintest)
        return np.maximum((t - first) / max(last - first, 1e-300), 0.0) * (steps - 1)

    def _unscale(self, step: Tensor, steps: int, dt: float) -> Tensor:
        if not self.normalize:
            return step * dt
        first, last = self.time(1.0), self.time(self._faintest)
        return first + step / (steps - 1) * (last - first)


# -- what was fired ---------------------------------------------------------------------------------------------------


class Report(NamedTuple):
    """Per sample (B,): channels that never fired, and channels that share their first step with another."""

    silent: Tensor
    tied: Tensor


def first_steps(events: EventTensor) -> Tensor:
    """The step of every channel's first event, int64 (B, *N); -1 where there is none."""
    from snnkit.kernels.encoders.codes import first_steps as kernel

    steps, batch, *channels = events.shape
    values = np.empty(0, np.float32) if events.values is None else events.values.cpu().numpy()
    rowptr, indices = events.rowptr.cpu().numpy(), events.indices.cpu().numpy()
    first = kernel(rowptr, indices, values, steps, batch, math.prod(channels))
    return torch.from_numpy(first).view(batch, *channels)


def report(events: EventTensor) -> Report:
    """What a latency code cannot tell apart: channels that are silent, and ties.

    >>> report(linear([[0.0, 0.0, 1.0, 0.01]], steps=3, dt=1e-3, silent_zero=True))
    Report(silent=tensor([2]), tied=tensor([0]))
    """
    first = first_steps(events).flatten(1)
    cells = torch.zeros(len(first), len(events) + 1, dtype=torch.int64)
    cells.scatter_add_(1, first + 1, torch.ones_like(first))
    fired = cells[:, 1:]
    return Report(cells[:, 0], (fired * (fired > 1)).sum(1))


def ranks(events: EventTensor) -> Tensor:
    """Rank order code (Thorpe 2001): how many channels of the sample fired before, float (B, *N).

    Ties share their mean rank; NaN for silent channels. Keeps the order of the values, whatever their scale.
    """
    first = first_steps(events)
    flat = first.flatten(1)
    cells = torch.zeros(len(flat), len(events) + 1, dtype=torch.float64)
    cells.scatter_add_(1, flat + 1, torch.ones_like(flat, dtype=torch.float64))
    cells[:, 0] = 0
    mean = cells.cumsum(1) - cells + (cells - 1) / 2
    found = mean.gather(1, flat + 1).view(first.shape)
    return torch.where(first >= 0, found, torch.nan).float()


def _fire(step: NDArray, fires: NDArray, steps: int, dt: float) -> EventTensor:
    """One spike of the channels that fire."""
    place = np.flatnonzero(fires)
    when = step.reshape(-1)[place].astype(np.int64)
    return spikes_to_events(when, place, steps=steps, shape=fires.shape, dt=dt)
