"""Inner hair cells: rectified, compressed and smoothed vibration; and Meddis' model of transmitter release.

Meddis' cell turns the vibration s(t) of its place on the membrane into the rate at which a nerve fibre releases:

    k = g (s + A)/(s + A + B) if s + A > 0, else 0
    dq/dt = y (M - q)⁺ + x w - k q        free transmitter
    dc/dt = k q - (l + r) c               in the cleft
    dw/dt = r c - x w                     on the way back            rate = h c

In silence a fibre fires at 64.8 Hz; under full drive it settles at 100 Hz. Sources: Meddis, J. Acoust. Soc. Am. 79 (1986) and
83 (1988); Cramer et al., IEEE TNNLS 33 (2022) for the constants.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.encoders.sound import decay
from snnkit.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Meddis:
    """Constants of the hair cell, 1/s; A, B in units of the vibration, M of the store. See the top of this module."""

    y: float = 5.05
    g: float = 2000.0
    l: float = 2500.0
    r: float = 6580.0
    x: float = 66.3
    A: float = 5.0
    B: float = 300.0
    h: float = 50000.0
    M: float = 1.0

    def constants(self) -> NDArray[np.float64]:
        return np.array(astuple(self))

    def spontaneous(self) -> float:
        """Release rate in silence, Hz."""
        return self.steady(0.0)

    def steady(self, s: float) -> float:
        """Release rate after long under a constant s, Hz."""
        k = self.g * (s + self.A) / (s + self.A + self.B) if s + self.A > 0 else 0.0
        return self.h * self.M * self.y * k / (self.l * k + self.y * (self.l + self.r))

    def check_step(self, dt: float) -> None:
        """Refuse steps in which Euler's rule would not settle."""
        fastest = max(self.l + self.r, self.g, self.x)
        if dt * fastest > 1.5:
            raise UserError(
                f"steps of {dt:g} s are too long for a hair cell that empties its cleft at {fastest:g}/s: use steps below "
                f"{1.5 / fastest:.1g} s"
            )


def release(s: ArrayLike, dt: float, cell: Meddis = Meddis()) -> NDArray[np.float64]:
    """Release rates in Hz of hair cells, (channels, T), that begin in silence and see the vibration s, (channels, T)."""
    from snnkit.kernels.encoders.nerve import hair

    cell.check_step(dt)
    vibration = np.ascontiguousarray(np.atleast_2d(np.asarray(s, dtype=np.float64)))
    out = np.empty_like(vibration)
    hair(vibration, dt, cell.constants(), out)
    return out


def amplitude(y: NDArray[np.float64], rate: float, *, power: float, cutoff: float) -> NDArray[np.float64]:
    """Half-wave rectified, compressed by a power law, smoothed by a first-order low-pass: (T, C) to (T, C).

    Args:
        y: vibration of the channels.
        power: 0.3 is usual; 1 compresses nothing.
        cutoff: of the low-pass in Hz; 1 to 3 kHz for a hair cell, 50 to 200 Hz for an envelope, 0 for none.
    """
    from snnkit.kernels.encoders.cochlea import smooth

    out = np.maximum(y, 0.0)
    if power != 1:
        np.power(out, power, out=out)
    if cutoff:
        smooth(out, decay(1 / rate, 1 / (2 * np.pi * cutoff)), out)
    return out
