"""The basilar membrane as shallow water: velocities at places along the cochlea, from the stapes (high tones) inwards.

At the place c (cm) the membrane has stiffness S, resistance R and mass m per area:

    S(c) = C0 e^(-αc) - a        R(c) = R0 e^(-αc/2),  R0 = δ √(C0 m)        ξ = S - m ω² - i ω R
    g = ω √(ρ/(h ξ))             G(ω, c) = 2 g(ω, 0)/α + ∫₀ᶜ g dc'
    p = √(G/g) H₀⁽¹⁾(G)          velocity/stimulus = 2 ω p(ω, c) Z(ω) / (ξ p(ω, 0))
    Z = √(2 C0/h) (i J₀(k) + Y₀(k)) / (J₁(k) - i Y₁(k)),  k = (2ω/α) √(2/(h C0))

With t = e^(αc'/2) the integral is (2ω/α) √(ρ/(h D)) [arcsin((2 D t + i ω R0)/√(4 D C0 - ω² R0²))], D = a + m ω². A place
resonates at √(S/m)/2π: 22.5 kHz, 5.02 kHz, 1.12 kHz, 246 Hz, 110 Hz at 0, 1, 2, 3, 3.5 cm.

Source: Sieroka, Dosch, Rupp, J. Acoust. Soc. Am. 120 (2006); constants of Cramer et al., IEEE TNNLS 33 (2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.errors import UserError

GONE = 60.0  # waves that have decayed by e^-60 are none
FAR = 25.0  # from here on Hankel's function is its asymptotic series, to 1e-12
SERIES = 10


@dataclass(frozen=True, kw_only=True)
class Membrane:
    """Constants of the membrane in centimetres, grams and seconds; see the top of this module."""

    length: float = 3.5
    C0: float = 1e9
    alpha: float = 3.0
    a: float = 3500.0
    delta: float = 0.15
    m: float = 0.05
    h: float = 0.1
    rho: float = 1.0

    def __post_init__(self) -> None:
        if self.C0 * np.exp(-self.alpha * self.length) <= self.a:
            raise UserError(f"the membrane has no stiffness left at {self.length:g} cm: choose a shorter one")

    def places(self, channels: int) -> NDArray[np.float64]:
        """Where the channels sit, cm; channel 0 is at the stapes and has the highest frequency."""
        return np.linspace(0.0, self.length, channels)

    def resonance(self, place: ArrayLike) -> NDArray[np.float64]:
        """The frequency at which a place resonates, Hz."""
        stiffness = self.C0 * np.exp(-self.alpha * np.asarray(place, dtype=np.float64)) - self.a
        return np.sqrt(stiffness / self.m) / (2 * np.pi)

    def wave(self, omega: NDArray, place: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """ξ, g and G for angular frequencies and places that broadcast."""
        R0 = self.delta * np.sqrt(self.C0 * self.m)
        decay = np.exp(-0.5 * self.alpha * place)
        xi = self.C0 * decay**2 - self.a - self.m * omega**2 - 1j * omega * R0 * decay
        xi0 = self.C0 - self.a - self.m * omega**2 - 1j * omega * R0
        scale = omega * np.sqrt(self.rho / self.h)
        D = self.a + self.m * omega**2
        root = np.sqrt(4 * D * self.C0 - (omega * R0) ** 2)
        way = np.arcsin((2 * D / decay + 1j * omega * R0) / root) - np.arcsin(
            (2 * D + 1j * omega * R0) / root
        )
        G = 2 / self.alpha * scale * (1 / np.sqrt(xi0) + way / np.sqrt(D))
        return xi, scale / np.sqrt(xi), G

    def impedance(self, omega: NDArray) -> NDArray[np.complex128]:
        """Z(ω), the input impedance."""
        from scipy.special import j0, j1, y0, y1

        k = 2 * omega / self.alpha * np.sqrt(2 / (self.h * self.C0))
        return np.sqrt(2 * self.C0 / self.h) * (1j * j0(k) + y0(k)) / (j1(k) - 1j * y1(k))

    def transfer(self, omega: NDArray, place: NDArray) -> NDArray[np.complex128]:
        """Velocity per stimulus, (places, frequencies)."""
        omega, place = np.asarray(omega)[None], np.asarray(place)[:, None]
        xi, g, G = self.wave(omega, place)
        _, g0, G0 = self.wave(omega, np.zeros((1, 1)))
        start = np.sqrt(G0 / g0) * hankel(G0)
        return 2 * omega * np.sqrt(G / g) * hankel(G) * self.impedance(omega) / (xi * start)

    def velocity(
        self, audio: NDArray[np.float64], rate: float, channels: int
    ) -> tuple[NDArray[np.float32], float]:
        """Velocities at the channels' places, (channels, T), and their rate, which is half the sound's.

        The positive half of the spectrum is transformed back with half as many points, and the real part taken, as the tool
        that made the Heidelberg datasets does: above a quarter of the sound's rate the waves alias, their envelopes do not.
        """
        from scipy.fft import fft, ifft, next_fast_len

        step = max(
            round(rate / 8), 1
        )  # clips of one eighth of a second more or less share a transfer function
        half = next_fast_len(-(-(len(audio) // 2 + 2) // step) * step)
        spectrum = fft(audio, 2 * (half - 1))[:half].astype(np.complex64)
        wave = ifft(_transfer(self, half, rate, channels) * spectrum, axis=1).real
        return np.ascontiguousarray(wave[:, : len(audio) // 2]), rate / 2


@lru_cache(maxsize=6)
def _transfer(membrane: Membrane, points: int, rate: float, channels: int) -> NDArray[np.complex64]:
    """The membrane's response on the frequencies of a clip; of all that is computed, the only part that is slow."""
    omega = 2 * np.pi * np.linspace(1, rate / 2, points)  # never 0
    places = membrane.places(channels)
    out = np.empty((channels, points), np.complex64)
    for a in range(0, channels, 50):
        out[a : a + 50] = membrane.transfer(omega, places[a : a + 50])
    out.setflags(write=False)
    return out


def hankel(z: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """H₀⁽¹⁾(z) for Im z >= 0; 0 where it is below e^-60."""
    from scipy.special import hankel1

    out = np.zeros(z.shape, np.complex128)
    near = np.abs(z) < FAR
    out[near] = hankel1(0, z[near])
    far = ~near & (z.imag < GONE)
    w = z[far]
    term, total = np.ones_like(w), np.ones_like(w)
    for k in range(1, SERIES + 1):
        term = term * (-1j * (2 * k - 1) ** 2 / (8 * k)) / w
        total += term
    out[far] = np.sqrt(2 / (np.pi * w)) * np.exp(1j * (w - np.pi / 4)) * total
    return out
