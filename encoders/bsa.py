"""Spikes that a filter turns back into the signal: Ben's spiker (BSA) and Hough's.

    r[n] = Σ_k h[k] · spike[n - k]

Signals are [T, B, *N] in [0, 1], time first; h is a low-pass of L taps with Σ h = 1, so that a spike in every step is the signal 1. The last L - 1
samples start no spike, and the first L are decoded from fewer than L: judge what lies between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from snnkit.binning import check_dt, check_steps
from snnkit.encoders.values import finite_signal, positive, spikes_to_events
from snnkit.errors import UserError
from snnkit.events import EventTensor

SLACK = 1e-12  # equality of sums counts as reached, whatever rounding says


def lowpass(*, taps: int, cutoff: float, dt: float) -> NDArray[np.float64]:
    """A low-pass filter of `taps` taps with Σ h = 1: a sinc in a Hamming window.

    Args:
        taps: L, at least 2.
        cutoff: frequency in hertz where the amplitude is a half; below 1/(2 dt).
        dt: time between samples in seconds.
    """
    taps, dt = check_steps(taps), check_dt(dt)
    cutoff = positive("cutoff", cutoff, "a frequency in hertz")
    if taps < 2 or cutoff * dt >= 0.5:
        raise UserError(
            f"expected taps >= 2 and cutoff below half the sample rate, {0.5 / dt:g} Hz, got taps={taps}, cutoff={cutoff:g} Hz"
        )
    n = np.arange(taps) - (taps - 1) / 2
    h = np.sinc(2 * cutoff * dt * n) * np.hamming(taps)
    return h / h.sum()


@dataclass(frozen=True, eq=False, kw_only=True)
class _Filtered:
    """A code whose decoder is a filter."""

    filter: ArrayLike

    def __post_init__(self) -> None:
        h = np.asarray(self.filter, dtype=np.float64)
        if h.ndim != 1 or len(h) < 1 or not np.isfinite(h).all() or abs(h.sum() - 1) > 1e-6:
            raise UserError(
                f"filter is a low-pass of one axis whose taps sum to 1, got shape {h.shape} with sum {h.sum():g}; "
                "bsa.lowpass(taps=20, cutoff=25, dt=1e-3) makes one"
            )

    @property
    def taps(self) -> NDArray[np.float64]:
        """h[0] .. h[L-1]."""
        return np.ascontiguousarray(self.filter, dtype=np.float64)

    def decode(self, events: EventTensor) -> Tensor:
        """The spikes convolved with h, float64 [T, B, *N]."""
        from snnkit.kernels.encoders.signals import convolve

        steps, batch, *channels = events.shape
        out = np.zeros((steps, batch, math.prod(channels)))
        values = np.empty(0, np.float32) if events.values is None else events.values.numpy()
        convolve(events.rowptr.numpy(), events.indices.numpy(), values, self.taps, batch, out)
        return torch.from_numpy(out).view(events.shape)

    def _rows(self, s: Any) -> tuple[NDArray, tuple[int, ...]]:
        signal = finite_signal(s, 0.0, 1.0)
        if len(signal) < len(self.taps):
            raise UserError(
                f"the signal has {len(signal)} samples, fewer than the filter's {len(self.taps)} taps"
            )
        return np.ascontiguousarray(signal.reshape(len(signal), -1).T, dtype=np.float64), signal.shape


@dataclass(frozen=True, eq=False, kw_only=True)
class BSA(_Filtered):
    """Ben's spiker algorithm (Schrauwen and Van Campenhout 2003).

        Σ_k |s[n+k] - h[k]|  <=  Σ_k |s[n+k]| - θ:   spike at n, s[n+k] -= h[k] for all k

    Args:
        filter: h, with Σ h = 1; see `lowpass`.
        threshold: θ on the scale of Σ |h|. The paper's optimum for 20 taps is 0.955; scan 0.85 to 0.99 for a filter, with `scan`. A
            value near 0 spikes far too often. Slow signals within the filter's band come back with 17 to 24 dB.
    """

    threshold: float = 0.955

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.threshold <= 1:
            raise UserError(f"expected 0 <= threshold <= 1 (about 0.955), got {self.threshold!r}")

    def encode(self, s: Any, *, dt: float) -> EventTensor:
        """A signal [T, B, *N] in [0, 1], one sample every `dt` seconds, to spikes, at most one per step."""
        from snnkit.kernels.encoders.signals import bens_spiker

        rows, shape = self._rows(s)
        when, place = bens_spiker(rows, self.taps, self.threshold, SLACK)
        return spikes_to_events(when, place, steps=shape[0], shape=shape[1:], dt=dt)


@dataclass(frozen=True, eq=False, kw_only=True)
class Hough(_Filtered):
    """Hough's spiker (1999): a spike where s[n+k] >= h[k] for every k, then s[n+k] -= h[k]. Never overshoots, so biased low."""

    def encode(self, s: Any, *, dt: float) -> EventTensor:
        """A signal [T, B, *N] in [0, 1], one sample every `dt` seconds, to spikes, at most one per step."""
        from snnkit.kernels.encoders.signals import hough_spiker

        rows, shape = self._rows(s)
        when, place = hough_spiker(rows, self.taps, SLACK / len(self.taps))
        return spikes_to_events(when, place, steps=shape[0], shape=shape[1:], dt=dt)


def scan(
    filter: ArrayLike,
    s: Any,
    *,
    dt: float,
    thresholds: Sequence[float] = tuple(np.arange(0.80, 0.996, 0.005)),
) -> BSA:
    """The `BSA` whose threshold gives the best signal-to-noise ratio on `s`, away from both ends."""
    from snnkit.encoders.signals import snr

    signal = torch.from_numpy(finite_signal(s, 0.0, 1.0).copy())
    cut = len(np.asarray(filter))
    if len(signal) <= 2 * cut:
        raise UserError(f"expected more than {2 * cut} samples for a filter of {cut} taps, got {len(signal)}")
    codes = [BSA(filter=filter, threshold=float(theta)) for theta in thresholds]
    return max(codes, key=lambda c: snr(signal[cut:-cut], c.decode(c.encode(s, dt=dt))[cut:-cut]))
