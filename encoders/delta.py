"""Codes of signals by their changes: send-on-delta, step-forward, delta modulator, moving window, temporal contrast.

Signals are [T, B, *N], time first, in any unit; so are thresholds. Events are signed whole numbers (+1 up, -1 down). Thresholds
are numbers or broadcast to `*N`, one per channel. Samples that are NaN or infinite are missing: they emit nothing and change
nothing; neither do samples on or beyond `limits`, where a sensor clips. `polarities` makes two channels, down and up, of signed events.

| code | decoder | error |
|---|---|---|
| `SendOnDelta` | start + θ Σ o | below θ at every sample; SNR about 10 log10(3 var(s)/θ²) |
| `StepForward` | the same | at most θ while |s[n] - s[n-1]| <= θ, else it lags behind |
| `DeltaModulator` | start + Σ θ± o | not bounded: every event forgets by how much it was late |
| `MovingWindow` | the same recursion on r | 0 to 7 dB: robust to noise, not made for waveforms |
| `TemporalContrast` | start + θ Σ o | drifts, about 8 dB: for onsets, not for waveforms |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from snnkit.binning import check_dt
from snnkit.encoders.times import SpikeTimes
from snnkit.encoders.values import (
    LARGEST_COUNT,
    finite_signal,
    per_channel,
    signal_values,
    signed_dense,
    sorted_events,
    start_values,
)
from snnkit.errors import UserError
from snnkit.events import EventTensor

EVERYTHING = (-math.inf, math.inf)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Levels:
    """What send-on-delta and step-forward share: a base that moves in whole thresholds."""

    threshold: ArrayLike
    eps: float | None = None
    limits: tuple[float, float] = EVERYTHING

    def __post_init__(self) -> None:
        per_channel("threshold", self.threshold, np.shape(self.threshold))
        _check_limits(self.limits)
        if self.eps is not None and not self.eps >= 0:
            raise UserError(f"eps is added to the signal before the logarithm, at least 0, got {self.eps!r}")

    def decode(self, events: EventTensor, *, start: ArrayLike = 0.0) -> Tensor:
        """The signal as far as the events tell, float64 [T, B, *N]: r = start + θ Σ o.

        Args:
            events: of `encode`.
            start: the signal's first sample, which the events do not tell: s[0], or `first(s)` where that may be missing.
        """
        theta = _thresholds(self.threshold, events.shape[2:])
        base = start_values(self._level(start), events.shape[1:])
        r = base + theta * signed_dense(events).cumsum(0)
        return r if self.eps is None else r.exp() - self.eps

    def _level(self, s: Any) -> Any:
        """The signal, or its logarithm."""
        if self.eps is None:
            return s
        shifted = np.asarray(s, dtype=np.float64) + self.eps
        if np.nanmin(shifted, initial=np.inf) <= 0:
            raise UserError(
                f"ln(s + eps) needs s + eps > 0, got {np.nanmin(shifted):g} with eps={self.eps:g}"
            )
        return np.log(shifted)

    def _prepared(self, s: Any, start: Any) -> tuple[NDArray, NDArray, NDArray]:
        """Flat signal, thresholds and start, as the kernels take them."""
        signal = self._level(known_samples(s, self.limits))
        theta = per_channel("threshold", self.threshold, signal.shape[2:])
        flat = signal.reshape(*signal.shape[:2], -1)
        base = np.full(flat.shape[1:], np.nan)
        if start is not None:
            base = start_values(self._level(start), signal.shape[1:]).numpy().reshape(base.shape).copy()
        return flat, theta, base

    def _events(
        self, columns: tuple[NDArray, NDArray, NDArray], shape: tuple[int, ...], dt: float
    ) -> EventTensor:
        if columns[0][0] < 0:
            raise _too_fine(self.threshold)
        return sorted_events(*columns, shape=shape, dt=dt)


@dataclass(frozen=True, eq=False, kw_only=True)
class SendOnDelta(_Levels):
    """Send-on-delta, or level crossing: every threshold crossed is an event (Miśkowicz 2006).

        base = s[0]        k = trunc((s - base)/θ): emit k signed events, base += k θ

    The number of events is the total variation of s over θ, less at most one per turning point.

    Args:
        threshold: θ, in the unit of the signal; a number or one per channel.
        eps: code the contrast instead, ln(s + eps): θ is then a relative change.
        limits: (low, high) of the sensor; samples on or beyond them emit nothing.

    >>> import numpy as np
    >>> code, s = SendOnDelta(threshold=1.0), np.array([0.0, 2.5, 2.0, 0.4]).reshape(4, 1, 1)
    >>> events = code.encode(s, dt=1e-2)
    >>> events.dense().flatten().tolist(), code.decode(events, start=s[0]).flatten().tolist()
    ([0.0, 2.0, 0.0, -1.0], [0.0, 2.0, 2.0, 1.0])
    """

    def encode(self, s: Any, *, dt: float, start: ArrayLike | None = None) -> EventTensor:
        """A signal [T, B, *N] sampled every `dt` seconds to signed counts.

        `start` is the base to begin with, None the first sample. The end of the decoded signal is the start that
        continues a recording where it was cut.
        """
        from snnkit.kernels.encoders.signals import send_on_delta

        return self._events(send_on_delta(*self._prepared(s, start)), np.shape(s), dt)

    def crossings(self, s: Any, *, dt: float, start: ArrayLike | None = None) -> SpikeTimes:
        """The same events at the times of the crossings, on the straight lines between the samples n · dt."""
        from snnkit.kernels.encoders.signals import crossings

        signal, theta, base = self._prepared(s, start)
        _check_counts(signal, theta)
        return SpikeTimes.from_places(*crossings(signal, theta, base, check_dt(dt)), shape=np.shape(s)[1:])


@dataclass(frozen=True, eq=False, kw_only=True)
class StepForward(_Levels):
    """Step-forward: at most one step of one threshold per sample (Kasabov 2016).

        base = s[0]        s > base + θ: +1, base += θ        s < base - θ: -1, base -= θ

    The same as `SendOnDelta` while no sample moves by more than θ; faster signals overload it, so take θ >= `steepest(s)`.
    Arguments as for `SendOnDelta`.
    """

    def encode(self, s: Any, *, dt: float, start: ArrayLike | None = None) -> EventTensor:
        """A signal [T, B, *N] sampled every `dt` seconds to events of +1 and -1; `start` as for `SendOnDelta`."""
        from snnkit.kernels.encoders.signals import step_forward

        return self._events(step_forward(*self._prepared(s, start)), np.shape(s), dt)


@dataclass(frozen=True, eq=False, kw_only=True)
class DeltaModulator:
    """The asynchronous delta modulator of neuromorphic front ends (Corradi and Indiveri 2015; Sharifshazileh 2021).

        s - base >= up: +1        base - s >= down: -1        each only if t - t_last >= t_ref, then base ← s

    The base jumps to the signal, not by a threshold, and the refractory time caps the rate, so steep slopes overload it.

    Args:
        up, down: thresholds, in the unit of the signal; down None is up.
        refractory: t_ref in seconds; 0.1 to 1 ms on silicon.
        limits: (low, high) of the sensor; samples on or beyond them emit nothing.
    """

    up: ArrayLike
    down: ArrayLike | None = None
    refractory: float = 0.0
    limits: tuple[float, float] = EVERYTHING

    def __post_init__(self) -> None:
        for name in ("up", "down"):
            if getattr(self, name) is not None:
                per_channel(name, getattr(self, name), np.shape(getattr(self, name)))
        if not (self.refractory >= 0 and math.isfinite(self.refractory)):
            raise UserError(f"refractory is a time in seconds, at least 0, got {self.refractory!r}")
        _check_limits(self.limits)

    def encode(self, s: Any, *, dt: float) -> EventTensor:
        """A signal [T, B, *N] sampled every `dt` seconds to events of +1 and -1, at most one per sample."""
        from snnkit.kernels.encoders.signals import delta_modulator

        signal, dt = known_samples(s, self.limits), check_dt(dt)
        dead = self.refractory / dt
        if dead >= len(signal) > 1:
            raise UserError(
                f"refractory={self.refractory:g} s is as long as the signal, {len(signal)} samples of dt={dt:g} s; "
                f"both are in seconds, for {self.refractory:g} ms write refractory={self.refractory * 1e-3:g}"
            )
        up = per_channel("up", self.up, signal.shape[2:])
        down = up if self.down is None else per_channel("down", self.down, signal.shape[2:])
        flat = signal.reshape(*signal.shape[:2], -1)
        columns = delta_modulator(flat, up, down, math.ceil(dead - 1e-9))
        return sorted_events(*columns, shape=signal.shape, dt=dt)

    def decode(self, events: EventTensor, *, start: ArrayLike = 0.0) -> Tensor:
        """start + Σ (up for +1, -down for -1), float64 [T, B, *N]; what lay beyond the thresholds is lost."""
        o, channels = signed_dense(events), events.shape[2:]
        up = _thresholds(self.up, channels)
        down = up if self.down is None else _thresholds(self.down, channels)
        return start_values(start, events.shape[1:]) + torch.where(o > 0, up * o, down * o).cumsum(0)


@dataclass(frozen=True, eq=False, kw_only=True)
class MovingWindow:
    """±1 where the signal leaves the mean of its last samples (Kasabov 2016).

        base[n] = mean(s[n-W .. n-1]), fewer at the start        s > base + θ: +1        s < base - θ: -1

    Args:
        threshold: θ, in the unit of the signal.
        window: W in samples.
    """

    threshold: ArrayLike
    window: int

    def __post_init__(self) -> None:
        per_channel("threshold", self.threshold, np.shape(self.threshold))
        if isinstance(self.window, bool) or not isinstance(self.window, int) or self.window < 1:
            raise UserError(f"window is a number of samples, at least 1, got {self.window!r}")

    def encode(self, s: Any, *, dt: float) -> EventTensor:
        """A signal [T, B, *N] of finite samples, one every `dt` seconds, to events of +1 and -1."""
        from snnkit.kernels.encoders.signals import moving_window

        signal = finite_signal(s)
        theta = per_channel("threshold", self.threshold, signal.shape[2:])
        columns = moving_window(signal.reshape(*signal.shape[:2], -1), theta, self.window)
        return sorted_events(*columns, shape=signal.shape, dt=dt)

    def decode(self, events: EventTensor, *, start: ArrayLike = 0.0) -> Tensor:
        """r[0] = start, r[n] = mean(r[n-W .. n-1]) + θ o[n], float64 [T, B, *N]. A plain sum of the events would run away."""
        from snnkit.kernels.encoders.signals import window_decode

        o = signed_dense(events).flatten(2).numpy()
        theta = per_channel("threshold", self.threshold, events.shape[2:])
        r = np.zeros_like(o)
        if len(r):
            r[0] = start_values(start, events.shape[1:]).reshape(o.shape[1:]).numpy()
        window_decode(o, theta, self.window, r)
        return torch.from_numpy(r).view(events.shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class TemporalContrast:
    """±1 where the signal changes by unusually much, "threshold-based representation" (Petro, Kasabov and Kiss 2020).

        d[n] = s[n] - s[n-1]        θ = mean(d) + f std(d)        d > θ: +1        d < -θ: -1

    Args:
        factor: f, 0.5 to 1.5. `thresholds(s)` gives θ of every sample and channel.
        threshold: θ itself instead, a number or one per channel; for a θ from training data.
        limits: (low, high) of the sensor; samples on or beyond them emit nothing.
    """

    factor: float = 1.0
    threshold: ArrayLike | None = None
    limits: tuple[float, float] = EVERYTHING

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise UserError(f"expected factor > 0, got {self.factor!r}")
        if self.threshold is not None:
            per_channel("threshold", self.threshold, np.shape(self.threshold))
        _check_limits(self.limits)

    def thresholds(self, s: Any) -> NDArray[np.float64]:
        """θ of every sample and channel, (B, *N)."""
        signal = known_samples(s, self.limits).astype(np.float64)
        if self.threshold is not None:
            theta = per_channel("threshold", self.threshold, signal.shape[2:])
            return np.broadcast_to(theta.reshape(signal.shape[2:]), signal.shape[1:])
        with np.errstate(invalid="ignore"):  # inf - inf
            d = np.diff(signal, axis=0)
        known = np.isfinite(d)
        count = np.maximum(known.sum(0), 1)
        mean = np.where(known, d, 0).sum(0) / count
        spread = np.sqrt((np.where(known, d - mean, 0) ** 2).sum(0) / count)
        theta = mean + self.factor * spread
        if (theta < 0).any():
            at = tuple(int(i) for i in np.argwhere(theta < 0)[0])
            raise UserError(
                f"θ = mean(d) + factor · std(d) is {theta[at]:g} for sample and channel {list(at)}, whose signal mostly "
                "falls; remove the trend, raise factor, or give threshold"
            )
        return theta

    def encode(self, s: Any, *, dt: float) -> EventTensor:
        """A signal [T, B, *N] sampled every `dt` seconds to events of +1 and -1."""
        from snnkit.kernels.encoders.signals import changes

        signal = known_samples(s, self.limits).astype(np.float64)
        theta = np.ascontiguousarray(self.thresholds(signal)).reshape(signal.shape[1], -1)
        columns = changes(signal.reshape(*signal.shape[:2], -1), theta)
        return sorted_events(*columns, shape=signal.shape, dt=dt)

    def decode(self, events: EventTensor, *, thresholds: ArrayLike, start: ArrayLike = 0.0) -> Tensor:
        """start + θ Σ o, float64 [T, B, *N], with the `thresholds` of the signal. It drifts."""
        theta = start_values(thresholds, events.shape[1:])
        return start_values(start, events.shape[1:]) + theta * signed_dense(events).cumsum(0)


# -- two channels instead of a sign -----------------------------------------------------------------------------------


def polarities(events: EventTensor) -> EventTensor:
    """Signed events as two channels, (T, B, 2, *N): 0 what goes down, 1 what goes up, as event cameras have it."""
    if events.values is None:
        up = torch.ones(events.nnz, dtype=torch.bool, device=events.device)
    else:
        up = events.values > 0
    size = math.prod(events.shape[2:])
    index, row = events.indices + up * size, events.rows()
    order = torch.argsort(row * (2 * size) + index)
    values = None if events.values is None else events.values.abs()[order]
    if values is not None and bool((values == 1).all()):
        values = None
    shape = (*events.shape[:2], 2, *events.shape[2:])
    return EventTensor._ready(events.rowptr, index[order].to(torch.int32), values, shape, events.dt)


def signed(events: EventTensor) -> EventTensor:
    """The inverse of `polarities`: (T, B, 2, *N) to signed events (T, B, *N)."""
    if len(events.shape) < 4 or events.shape[2] != 2:
        raise UserError(f"expected events of shape (T, B, 2, *N), got {events.shape}")
    dense = events.dense()
    return EventTensor.from_dense(dense[:, :, 1] - dense[:, :, 0], events.dt)


def first(s: Any) -> NDArray[np.float64]:
    """The first finite sample of every channel, (B, *N): the start of a signal with missing samples; 0 if it has none."""
    signal = signal_values(s).astype(np.float64)
    found = np.isfinite(signal)
    at = np.take_along_axis(signal, found.argmax(0)[None], axis=0)[0]
    return np.where(found.any(0), at, 0.0)


def steepest(s: Any) -> NDArray[np.float64]:
    """max |s[n] - s[n-1]| of every channel over time and batch, (*N): the least θ that `StepForward` follows without overload."""
    with np.errstate(invalid="ignore"):  # inf - inf
        d = np.abs(np.diff(signal_values(s).astype(np.float64), axis=0))
    return np.where(np.isfinite(d), d, 0.0).max(axis=(0, 1), initial=0.0)


# -- checks -----------------------------------------------------------------------------------------------------------


def _check_limits(limits: tuple[float, float]) -> None:
    if len(tuple(limits)) != 2 or not limits[0] < limits[1]:
        raise UserError(f"limits are (low, high) with low < high, in the unit of the signal, got {limits!r}")


def known_samples(s: Any, limits: tuple[float, float]) -> NDArray[np.floating]:
    """The signal [T, B, *N] with NaN for what lies on or beyond the limits."""
    signal = signal_values(s)
    if tuple(limits) == EVERYTHING:
        return signal
    return np.where((signal > limits[0]) & (signal < limits[1]), signal, np.nan)


def _check_counts(s: NDArray, theta: NDArray) -> None:
    """A hostile sample would make billions of crossings."""
    finite = np.where(np.isfinite(s), s, np.nan)
    if (np.nanmax(finite, initial=-np.inf) - np.nanmin(finite, initial=np.inf)) / theta.min() > LARGEST_COUNT:
        raise _too_fine(theta.min())


def _too_fine(threshold: ArrayLike) -> UserError:
    return UserError(
        f"the signal goes further than 2^24 thresholds of {np.asarray(threshold)}; raise threshold, or give the sensor's limits"
    )


def _thresholds(threshold: ArrayLike, channels: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(per_channel("threshold", threshold, channels).copy()).view(channels)
