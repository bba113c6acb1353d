"""Around the codes of signals: scaling, noise, signal-to-noise ratio, and the threshold that a target asks for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from snnkit.binning import to_numpy
from snnkit.encoders.values import positive, signal_values, signed_dense
from snnkit.errors import UserError
from snnkit.events import EventTensor


@dataclass(frozen=True, eq=False)
class Scale:
    """Every channel's range, learnt from training data, mapped to [0, 1]; what lies outside is clipped.

    >>> import numpy as np
    >>> scale = Scale.fit(np.array([2.0, 4.0]).reshape(2, 1, 1))
    >>> scale.apply(np.array([3.0, 9.0]).reshape(2, 1, 1)).flatten().tolist()
    [0.5, 1.0]
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def fit(cls, training: Any, *, outliers: float = 0.0) -> Scale:
        """From a signal [T, B, *N], per channel: its smallest and largest sample, or leaving out a part `outliers` at each end.

        Take training data only: a range that has seen the test data is a leak.
        """
        if not 0 <= outliers < 0.5:
            raise UserError(f"outliers is the part left out at each end, 0 to 0.5, got {outliers!r}")
        signal = signal_values(training)
        flat = signal.reshape(-1, *signal.shape[2:])
        known = np.where(np.isfinite(flat), flat, np.nan)
        if np.isnan(known).all(axis=0).any():
            raise UserError("a channel of the training data has no finite sample")
        low, high = np.nanquantile(known, [outliers, 1 - outliers], axis=0)
        return cls(low, np.where(high > low, high, low + 1))

    def apply(self, s: Any) -> NDArray[np.float64]:
        """The signal in [0, 1]; NaN stays NaN."""
        return np.clip((signal_values(s) - self.low) / (self.high - self.low), 0, 1)

    def invert(self, s: Any) -> NDArray[np.float64]:
        """The signal in its own unit."""
        return self.low + signal_values(s) * (self.high - self.low)


def snr(s: Any, r: Any) -> float:
    """Signal-to-noise ratio of a reconstruction in decibels: 10 log10(Σ (s - mean)² / Σ (s - r)²), the mean over time."""
    signal, found = (np.asarray(to_numpy(a), dtype=np.float64) for a in (s, r))
    if signal.shape != found.shape or not signal.size:
        raise UserError(f"expected two signals of one shape, got {signal.shape} and {found.shape}")
    power, noise = ((signal - signal.mean(0)) ** 2).sum(), ((signal - found) ** 2).sum()
    if noise == 0:
        return math.inf
    return 10 * math.log10(power / noise) if power > 0 else -math.inf


def noise_rms(s: Any) -> NDArray[np.float64]:
    """The noise under a signal that is mostly silent, such as an EMG: median |s| / 0.6745 per channel, (*N)."""
    signal = np.abs(signal_values(s))
    return np.nanmedian(signal.reshape(-1, *signal.shape[2:]), axis=0) / 0.6745


def spike_rate(events: EventTensor) -> float:
    """Mean number of spikes per second and channel; a value of 3 in a step is three spikes."""
    spikes = events.nnz if events.values is None else float(events.values.abs().sum())
    return spikes / (math.prod(events.shape) * events.dt)


def filtered(events: EventTensor, *, tau: float) -> Tensor:
    """Rates over time in hertz, float64 [T, B, *N], from any spikes: the decoder where there is no better one.

        y[n] = a y[n-1] + (1 - a) o[n]/dt        a = exp(-dt/τ)

    Of a steady Poisson process of rate r it has the mean r and about the variance r/(2τ); it lags by τ.

    Args:
        events: spikes, signed or graded ones as they are.
        tau: time constant τ in seconds, above dt.
    """
    tau = positive("tau", tau, "a time constant in seconds")
    if not events.dt < tau:
        raise UserError(
            f"expected dt < tau, both in seconds, got dt={events.dt:g} and tau={tau:g}; "
            f"for {tau:g} ms write tau={tau * 1e-3:g}"
        )
    keep = math.exp(-events.dt / tau)
    out = signed_dense(events) * ((1 - keep) / events.dt)
    for n in range(1, len(out)):
        out[n] += keep * out[n - 1]
    return out


def threshold_for(
    code: Callable[[float], Any], s: Any, *, dt: float, rate: float | None = None, snr_db: float | None = None
) -> float:
    """The threshold at which a code reaches a spike rate or a signal-to-noise ratio, by bisection.

    Args:
        code: from a threshold to a code, such as `lambda th: SendOnDelta(threshold=th)`; more threshold, fewer spikes.
        s: a signal [T, B, *N], training data.
        dt: time between its samples in seconds.
        rate: wanted spikes per second and channel, at most so many.
        snr_db: wanted signal-to-noise ratio in decibels instead, at least so much; the code decodes with `start`.

    Raises:
        UserError: no threshold from 2^-20 to 1 of the signal's range does.
    """
    if (rate is None) == (snr_db is None):
        raise UserError("give either rate (spikes per second and channel) or snr_db (decibels)")
    signal = signal_values(s)
    span = float(np.nanmax(signal) - np.nanmin(signal))
    if not (span > 0 and math.isfinite(span)):
        raise UserError(f"a signal that spans {span:g} has no threshold")

    def too_fine(part: float) -> bool:
        """Whether the threshold may grow."""
        made = code(span * 2.0**part)
        events = made.encode(signal, dt=dt)
        if rate is not None:
            return spike_rate(events) > rate
        return snr(signal, made.decode(events, start=signal[0])) >= (snr_db or 0.0)

    low, high = -20.0, 0.0
    if not too_fine(low) if snr_db is not None else too_fine(high):
        wanted = f"rate={rate:g} Hz" if rate is not None else f"snr_db={snr_db:g}"
        raise UserError(f"no threshold from {span * 2.0**low:g} to {span:g} gives {wanted} on this signal")
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if too_fine(middle) else (low, middle)
    return span * 2.0 ** (high if rate is not None else low)
