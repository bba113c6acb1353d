"""What the cochlea front ends take: checked audio at a known loudness and rate, and recordings made of spikes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.binning import to_numpy
from snnkit.errors import UserError
from snnkit.recordings import Events, Packed

Spikes = tuple[
    NDArray[np.float64], NDArray[np.integer], NDArray[np.uint8]
]  # time in samples, channel, polarity


def checked_audio(audio: Any) -> NDArray[np.float64]:
    """One clip of mono sound as floats; 16-bit integers become [-1, 1)."""
    clip = to_numpy(audio)
    if clip.ndim == 2 and 1 in clip.shape:
        clip = clip.reshape(-1)
    if clip.ndim != 1:
        raise UserError(
            f"expected one clip of mono sound, shape (samples,), got {clip.shape}; for stereo pass audio.mean(1), for "
            "many clips use .batch(clips)"
        )
    if clip.dtype.kind not in "fi":
        raise UserError(f"expected samples as floats or 16-bit integers, got {clip.dtype}")
    scale = 1 / 32768 if clip.dtype == np.int16 else 1.0
    out = clip.astype(np.float64) * scale
    if not np.isfinite(out).all():
        raise UserError(
            f"sample {int(np.flatnonzero(~np.isfinite(out))[0])} of the sound is not a finite number"
        )
    return out


def checked_rate(rate: Any) -> float:
    good = isinstance(rate, int | float | np.number) and not isinstance(rate, bool)
    if not (good and 100 <= rate <= 1e6):
        raise UserError(f"rate is the sound's samples per second, such as 16000; got {rate!r}")
    return float(rate)


def with_rms(clip: NDArray[np.float64], rms: float | None) -> NDArray[np.float64]:
    """The clip at this root mean square; silence stays silence, and None leaves everything as it is."""
    present = float(np.sqrt(np.mean(clip**2))) if rms is not None and len(clip) else 0.0
    return clip * (rms / present) if rms is not None and present > 0 else clip


def resampled(clip: NDArray[np.float64], rate: float, target: float) -> NDArray[np.float64]:
    """The clip at `target` samples per second (band-limited, polyphase)."""
    if rate == target or not len(clip):
        return clip
    from scipy.signal import resample_poly

    ratio = Fraction(target / rate).limit_denominator(1000)
    return resample_poly(clip, ratio.numerator, ratio.denominator)


def highest(high: float | None, usual: float, rate: float, low: float) -> float:
    """The top of a filter bank: `high`, or as much of `usual` as sound at this rate has."""
    top = min(usual, 0.475 * rate) if high is None else float(high)
    if not 0 < low < top:
        raise UserError(
            f"expected 0 < low < high in Hz, got low={low:g}, high={top:g} at {rate:g} samples per second"
        )
    if top > rate / 2:
        raise UserError(
            f"high={top:g} Hz is above {rate / 2:g} Hz, the most that sound at rate={rate:g} has; give high=None"
        )
    return top


def as_events(spikes: Spikes, rate: float, channels: int, polarities: int, start: float = 0.0) -> Events:
    """Spikes as a recording of shape (polarities, 1, channels): the channel is x. Sample 0 is at `start` seconds."""
    when, where, polarity = spikes
    t = np.floor((start + when / rate) * 1e6 + 1e-6).astype(np.int64)
    p = polarity if polarities > 1 else np.zeros(len(t), np.uint8)
    order = np.lexsort((p, where, t))
    x = where[order].astype(np.int16)
    return Events(t[order], x, np.zeros(len(t), np.int16), p[order], sensor=(polarities, 1, channels))


def packed(recordings: Iterable[Events]) -> Packed:
    """Recordings end to end."""
    parts = list(recordings)
    if not parts:
        raise UserError("expected at least one clip")
    offsets = np.cumsum([0, *(len(e) for e in parts)])
    t, x, y, p = (np.concatenate([getattr(e, c) for e in parts]) for c in "txyp")
    return Packed(t, x, y, p, offsets, parts[0].sensor)


def decay(dt: float, tau: float) -> float:
    """What is left after `dt` of a first-order decay with time constant `tau`; 0 if tau is 0."""
    return math.exp(-dt / tau) if tau > 0 else 0.0
