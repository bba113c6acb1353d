"""Mel bands of sound: short-time energy on the scale mel(f) = 2595 log10(1 + f/700), and its two usual compressions.

Sources: Young et al., The HTK Book (2006), for the scale; Wang et al., ICASSP (2017), for PCEN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def mel(frequency: ArrayLike) -> NDArray[np.float64]:
    """Pitch in mel: 1 000 at (very nearly) 1 kHz."""
    return 2595 * np.log10(1 + np.asarray(frequency, dtype=np.float64) / 700)


def from_mel(pitch: ArrayLike) -> NDArray[np.float64]:
    """Frequency in Hz of a pitch in mel."""
    return 700 * (10 ** (np.asarray(pitch, dtype=np.float64) / 2595) - 1)


def mel_centres(bands: int, low: float, high: float) -> NDArray[np.float64]:
    """Centres of the bands in Hz, ascending."""
    return from_mel(np.linspace(mel(low), mel(high), bands + 2))[1:-1]


def mel_filters(bands: int, low: float, high: float, size: int, rate: float) -> NDArray[np.float64]:
    """Triangles over the bins of a Fourier transform of `size` points, (bins, bands); each is 1 at its centre."""
    pitch = np.linspace(mel(low), mel(high), bands + 2)
    bins = mel(np.fft.rfftfreq(size, 1 / rate))[:, None]
    rising = (bins - pitch[:-2]) / (pitch[1:-1] - pitch[:-2])
    falling = (pitch[2:] - bins) / (pitch[2:] - pitch[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling))


def mel_energy(
    audio: NDArray[np.float64], rate: float, *, bands: int, low: float, high: float, window: float, hop: float
) -> NDArray[np.float64]:
    """Energy of every band, (frames, bands). A sine of amplitude a at a band's centre has about a²/2.

    Frame k looks at `window` seconds from k · hop on. Sound shorter than a window is followed by silence.
    """
    length, stride = max(round(window * rate), 2), max(round(hop * rate), 1)
    size = 1 << (4 * length - 1).bit_length()  # fine enough for the lowest triangles
    clip = np.pad(audio, (0, max(0, length - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(clip, length)[::stride]
    taper = np.hanning(length + 1)[:-1]
    spectrum = np.fft.rfft(frames * taper, size, axis=1)
    power = 2 * (spectrum.real**2 + spectrum.imag**2) / (size * (taper**2).sum())
    return power @ mel_filters(bands, low, high, size, rate)


def pcen(
    energy: NDArray[np.float64],
    hop: float,
    *,
    alpha: float = 0.98,
    delta: float = 2.0,
    power: float = 0.5,
    smooth: float = 0.025,
    eps: float = 1e-6,
) -> NDArray[np.float64]:
    """Per-channel energy normalisation, (E/(eps + M)^α + δ)^r - δ^r, where M is a slow mean of E.

    `smooth` is the mean's coefficient for a hop of 10 ms; it is adapted to other hops.
    """
    from snnkit.kernels.encoders.cochlea import pcen as kernel

    out = np.empty_like(energy)
    kernel(np.ascontiguousarray(energy), (1 - smooth) ** (hop / 10e-3), alpha, delta, power, eps, out)
    return out
