"""A bank of gammatone filters on the ERB scale, Slaney's four-biquad form.

    ERB(f) = 24.7 (4.37 f/1000 + 1)        impulse response t³ e^(-2π b t) cos(2π f t),  b = 1.019 ERB(f)

Sources: Glasberg, Moore, Hear. Res. 47 (1990); Slaney, Apple Technical Report 35 (1993) and Interval 1998-010 (1998).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.errors import UserError

EAR_Q, MIN_BANDWIDTH = 9.26449, 24.7


def erb(frequency: ArrayLike) -> NDArray[np.float64]:
    """Equivalent rectangular bandwidth in Hz: 132.6 Hz at 1 kHz."""
    return 24.7 * (4.37e-3 * np.asarray(frequency, dtype=np.float64) + 1)


def erb_centres(channels: int, low: float, high: float) -> NDArray[np.float64]:
    """Centre frequencies that are evenly spaced on the ERB scale, descending; `low` is the last, `high` is left out."""
    if channels < 1 or not 0 <= low < high:
        raise UserError(f"expected channels >= 1 and 0 <= low < high in Hz, got {channels}, {low}, {high}")
    offset = EAR_Q * MIN_BANDWIDTH
    share = np.arange(1, channels + 1) / channels
    return -offset + np.exp(share * np.log((low + offset) / (high + offset))) * (high + offset)


def gammatone(audio: NDArray[np.float64], rate: float, centres: ArrayLike) -> NDArray[np.float64]:
    """Sound through the bank, (T, channels). Every filter has gain 1 at its centre.

    Args:
        audio: samples, (T,).
        rate: samples per second.
        centres: centre frequencies in Hz, below rate/2.
    """
    from snnkit.kernels.encoders.cochlea import gammatone as kernel

    centres = np.atleast_1d(np.asarray(centres, dtype=np.float64))
    if not (centres > 0).all() or not (centres < rate / 2).all():
        raise UserError(
            f"expected centre frequencies between 0 and {rate / 2:g} Hz, got up to {centres.max():g}"
        )
    out = np.empty((len(audio), len(centres)))
    kernel(np.ascontiguousarray(audio, dtype=np.float64), *coefficients(centres, rate), out)
    return out


def coefficients(centres: NDArray[np.float64], rate: float) -> tuple:
    """a0, a1 (4, channels), b1, b2 and the gain of each channel, spread over nothing: it multiplies the input."""
    T = 1 / rate
    angle, shrink = 2 * np.pi * centres * T, np.exp(-2 * np.pi * 1.019 * erb(centres) * T)
    roots = [s * np.sqrt(3 + r * 2**1.5) for r in (1, -1) for s in (1, -1)]
    a1 = np.stack([-T * shrink * (np.cos(angle) + root * np.sin(angle)) for root in roots])
    b1, b2 = -2 * np.cos(angle) * shrink, shrink**2
    z = np.exp(-1j * angle)
    response = np.prod((T + a1 * z) / (1 + b1 * z + b2 * z * z), axis=0)
    return T, a1, b1, b2, 1 / np.abs(response)
