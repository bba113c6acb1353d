"""Spikes from channels of sound: what stands behind a filter bank.

Each code is a frozen dataclass with one method, `spikes(x, rate)`: x is [T, C] at `rate` samples per second, and what comes out
is time in samples, channel and polarity of every spike. `Fire` takes amplitudes; the others take ln(energy).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from snnkit.encoders.sound import Spikes, decay
from snnkit.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Fire:
    """Leaky integrate-and-fire with an adaptive threshold.

        τ dv/dt = -v + τ gain x        spike when v ≥ 1 + b: v ← 0, b ← b + adapt        τ_b db/dt = -b

    Args:
        gain: how fast x = 1 charges v, 1/s.
        tau: τ in s; `math.inf` integrates without leak, and keeps what is left over a threshold.
        adapt: what a spike adds to the threshold; 0 is a plain neuron. 0.2 to 1 is usual.
        adapt_tau: τ_b in s.
        refractory: rest after a spike in s.
    """

    gain: float = 2000.0
    tau: float = 20e-3
    adapt: float = 0.2
    adapt_tau: float = 0.1
    refractory: float = 1e-3

    logarithmic: ClassVar[bool] = False
    polarities: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _positive(self, "gain", "tau", "adapt_tau")
        _seconds(self, "refractory")
        if self.adapt < 0:
            raise UserError(f"expected adapt >= 0, got {self.adapt}")

    def width(self, channels: int) -> int:
        """How many channels of spikes there are for so many of sound."""
        return channels

    def spikes(self, x: NDArray[np.float64], rate: float) -> Spikes:
        from snnkit.kernels.encoders.cochlea import fire

        keep = 1.0 if np.isinf(self.tau) else decay(1 / rate, self.tau)
        weight = self.gain / rate if np.isinf(self.tau) else self.gain * self.tau * (1 - keep)
        fade, rest = decay(1 / rate, self.adapt_tau), round(self.refractory * rate)
        return fire(np.ascontiguousarray(x), keep, weight, 1.0, self.adapt, fade, rest)


@dataclass(frozen=True, kw_only=True)
class Edges:
    """Onsets and offsets: a fast minus a slow envelope of ln(energy), ON above the threshold, OFF below minus it.

    Args:
        fast, slow: time constants in s.
        threshold: in units of ln(energy), 0.1 to 0.3.
        refractory: of each polarity, in s.
    """

    fast: float = 5e-3
    slow: float = 50e-3
    threshold: float = 0.2
    refractory: float = 20e-3

    logarithmic: ClassVar[bool] = True
    polarities: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _positive(self, "fast", "slow", "threshold")
        _seconds(self, "refractory")
        if not self.fast < self.slow:
            raise UserError(f"expected fast < slow in seconds, got {self.fast} and {self.slow}")

    def width(self, channels: int) -> int:
        return channels

    def spikes(self, x: NDArray[np.float64], rate: float) -> Spikes:
        from snnkit.kernels.encoders.cochlea import edges

        keep = decay(1 / rate, self.fast), decay(1 / rate, self.slow)
        return edges(
            np.ascontiguousarray(x), *keep, self.threshold, max(round(self.refractory * rate) - 1, 0)
        )


@dataclass(frozen=True, kw_only=True)
class Delta:
    """Send-on-delta on ln(energy) (Miskowicz 2006): a spike for every `threshold` up (ON) or down (OFF).

    The sum of the signed spikes times the threshold is the signal less its first value, with an error below the threshold.
    """

    threshold: float = 0.5

    logarithmic: ClassVar[bool] = True
    polarities: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _positive(self, "threshold")

    def width(self, channels: int) -> int:
        return channels

    def spikes(self, x: NDArray[np.float64], rate: float) -> Spikes:
        from snnkit.kernels.encoders.cochlea import delta

        return delta(np.ascontiguousarray(x), self.threshold)


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Fixed levels of ln(energy), one neuron per level and edge: 2 · levels neurons per channel of sound.

    Level j of channel c is channel c · levels + j of the spikes; ON when ln(energy) rises through it, OFF when it falls.

    Args:
        levels: how many.
        low, high: the lowest and the highest, in units of ln(energy).
    """

    levels: int = 8
    low: float = -12.0
    high: float = -3.0

    logarithmic: ClassVar[bool] = True
    polarities: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.levels < 2 or not self.low < self.high:
            raise UserError(
                f"expected levels >= 2 and low < high, got {self.levels}, {self.low}, {self.high}"
            )

    def width(self, channels: int) -> int:
        return channels * self.levels

    def spikes(self, x: NDArray[np.float64], rate: float) -> Spikes:
        from snnkit.kernels.encoders.cochlea import ladder

        step = (self.high - self.low) / (self.levels - 1)
        return ladder(np.ascontiguousarray(x), self.low, step, self.levels)


Code = Fire | Edges | Delta | Ladder


def _positive(code: Code, *names: str) -> None:
    for name in names:
        if not getattr(code, name) > 0:
            raise UserError(f"expected {type(code).__name__}({name}=...) > 0, got {getattr(code, name)}")


def _seconds(code: Code, name: str) -> None:
    if not 0 <= getattr(code, name) < 1:
        raise UserError(f"{name} is in seconds, 0 to 1; got {getattr(code, name)}")
