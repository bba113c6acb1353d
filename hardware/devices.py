"""Resistive memory cells: how a conductance comes about, drifts and is read, and the converters behind a column.

Conductances are siemens, times seconds. A device is a value; what is drawn depends on nothing but the seed, so a chip is
its seed: drawing it again gives the same cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.errors import UserError, nearest

Seed = int | tuple[int, ...] | np.random.Generator
MICRO = 1e-6


@dataclass(frozen=True)
class LogLaw:
    """clip(slope·ln g + offset, low, high) of the relative conductance g = G/high of a cell; a constant has slope 0."""

    offset: float = 0.0
    slope: float = 0.0
    low: float = 0.0
    high: float = math.inf

    def __call__(self, g: NDArray[np.float64]) -> NDArray[np.float64]:
        logarithm = np.log(np.maximum(g, 1e-12)) if self.slope else 0.0
        return np.clip(self.slope * logarithm + self.offset, self.low, self.high) + np.zeros_like(g)


@dataclass(frozen=True, kw_only=True)
class Device:
    """A kind of resistive cell.

        formed      G = max(0, N(mean, (spread·mean)²)): as the first breakdown leaves it, never programmed
        programmed  G = max(0, N(target, σ(target)²)), σ a polynomial of the target
        aged        G(t) = G·(t/t0)^-ν, ν = max(0, N(drift(g), drift_spread(g)²)) of each cell, g = G/high
        read        G' = G(t)·(1 + ρ·N(0, 1)), drawn anew for every inference, ρ = min(read·g^-read_power, read_most),
                    with 1/f noise times sqrt(ln((t + t_read)/(2 t_read)))

    Args:
        low, high: range that cells are programmed to [S].
        mean: of formed cells [S].
        spread: standard deviation of formed cells relative to their mean.
        programming_us: σ [µS] as a polynomial of the target [µS], lowest power first; empty for exact cells.
        drift, drift_spread: mean and standard deviation of ν.
        drift_start: t0, the time at which `form` and `program` state a conductance [s].
        read: relative standard deviation of a read at g = 1.
        read_power, read_most: how it grows as g falls, and where that ends.
        flicker: t_read of 1/f noise [s]; None for noise that does not depend on the age.
        source: where the numbers are from.
    """

    name: str
    low: float
    high: float
    mean: float
    spread: float
    programming_us: tuple[float, ...] = ()
    drift: LogLaw = LogLaw()
    drift_spread: LogLaw = LogLaw()
    drift_start: float = 1.0
    read: float = 0.0
    read_power: float = 0.0
    read_most: float = math.inf
    flicker: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if not (0 <= self.low < self.high and self.mean > 0 and self.spread >= 0 and self.read >= 0):
            raise UserError(
                f"{self.name}: expected siemens 0 <= low < high, mean > 0, and spread, read >= 0; got low={self.low:g}, "
                f"high={self.high:g}, mean={self.mean:g}, spread={self.spread:g}, read={self.read:g}"
            )
        if self.high > 1 or self.mean > 1:
            raise UserError(f"{self.name}: conductances are siemens; 50 microsiemens is 50e-6")
        if not self.drift_start > 0:
            raise UserError(f"{self.name}: drift_start is a time in seconds > 0, got {self.drift_start!r}")

    def replaced(self, **values: Any) -> Device:
        """The same device with other numbers, such as `read=0.05`."""
        return replace(self, **values)

    def form(self, shape: int | tuple[int, ...], seed: Seed) -> NDArray[np.float64]:
        """Conductances of cells after forming [S]."""
        draw = np.random.default_rng(seed).standard_normal(shape)
        return np.maximum(0.0, self.mean * (1 + self.spread * draw))

    def program(self, target: ArrayLike, seed: Seed) -> NDArray[np.float64]:
        """Conductances of cells that were to become `target` [S].

        Raises:
            UserError: a target is outside low..high.
        """
        wanted = np.asarray(target, dtype=np.float64)
        margin = 1e-9 * self.high
        if wanted.size and not (wanted.min() >= self.low - margin and wanted.max() <= self.high + margin):
            raise UserError(
                f"{self.name} is programmed to {self.low:g}..{self.high:g} S, "
                f"got targets {wanted.min():g}..{wanted.max():g} S"
            )
        draw = np.random.default_rng(seed).standard_normal(wanted.shape)
        return np.maximum(0.0, wanted + self.programming_error(wanted) * draw)

    def programming_error(self, target: ArrayLike) -> NDArray[np.float64]:
        """σ of a programmed cell [S]."""
        us = np.asarray(target, dtype=np.float64) / MICRO
        return MICRO * np.maximum(0.0, np.polynomial.polynomial.polyval(us, self.programming_us or (0.0,)))

    def aged(self, conductance: ArrayLike, age: float, seed: Seed) -> NDArray[np.float64]:
        """Conductances `age` seconds after programming; the same seed gives every cell the same ν."""
        cells = np.asarray(conductance, dtype=np.float64)
        if not age >= self.drift_start:
            raise UserError(
                f"{self.name} is known from {self.drift_start:g} s after programming on, got age={age!r}"
            )
        g = cells / self.high
        draw = np.random.default_rng(seed).standard_normal(cells.shape)
        exponent = np.maximum(0.0, self.drift(g) + self.drift_spread(g) * draw)
        return cells * (age / self.drift_start) ** -exponent

    def read_noise(self, conductance: ArrayLike, age: float | None = None) -> NDArray[np.float64]:
        """Standard deviation of one read [S]."""
        cells = np.asarray(conductance, dtype=np.float64)
        relative = np.full_like(cells, self.read)
        if self.read_power:
            relative *= np.maximum(cells / self.high, 1e-12) ** -self.read_power
        relative = np.minimum(relative, self.read_most)
        if self.flicker is not None:
            t = self.drift_start if age is None else age
            relative = relative * math.sqrt(math.log((t + self.flicker) / (2 * self.flicker)))
        return cells * relative

    def read_out(self, conductance: ArrayLike, seed: Seed, age: float | None = None) -> NDArray[np.float64]:
        """Conductances as one inference sees them [S]."""
        cells = np.asarray(conductance, dtype=np.float64)
        return cells + self.read_noise(cells, age) * np.random.default_rng(seed).standard_normal(cells.shape)


@dataclass(frozen=True)
class Converter:
    """An analog-to-digital converter; what is beyond its range saturates.

        signed      y = Δ·clip(round(x/Δ), ±n), n = 2^(bits-1) - 1        Δ = full_scale/n
        unsigned    y = Δ·clip(round(x/Δ), 0, n), n = 2^bits - 1

    Args:
        bits: resolution, sign included.
        full_scale: the largest magnitude, in the unit of what is converted.
        signed: whether x may be negative, as the difference of two columns is.
    """

    bits: int
    full_scale: float
    signed: bool = True

    def __post_init__(self) -> None:
        if not (isinstance(self.bits, int | np.integer) and 1 + self.signed <= self.bits <= 24):
            raise UserError(f"a converter has {1 + self.signed} to 24 bits, got {self.bits!r}")
        if not (self.full_scale > 0 and math.isfinite(self.full_scale)):
            raise UserError(
                f"full_scale is the largest magnitude that is converted, > 0; got {self.full_scale!r}"
            )

    @property
    def levels(self) -> int:
        """n."""
        return 2 ** (self.bits - self.signed) - 1

    @property
    def step(self) -> float:
        """Δ."""
        return self.full_scale / self.levels

    def convert(self, x: ArrayLike) -> NDArray[np.float64]:
        """What comes out, in the unit of x."""
        least = -self.levels if self.signed else 0
        return self.step * np.clip(np.rint(np.asarray(x, dtype=np.float64) / self.step), least, self.levels)


DEVICES: dict[str, Device] = {
    d.name: d
    for d in (
        Device(
            name="rram_formed", low=0.0, high=100e-6, mean=50e-6, spread=0.2, read=0.02,
            source="quasi-normal conductances after forming, σ/μ 0.1 to 0.3, read noise 1 to 3 %: as recalled of Lin et al., arXiv "
            "2307.00771; 50 µS is cells that break down to 20 kΩ, of which only the ratio matters to weights",
        ),
        Device(
            name="rram_wan", low=1e-6, high=39.26e-6, mean=20e-6, spread=0.2, programming_us=(1.053, 0.2374, -1.167e-2, 1.536e-4),
            source="Wan et al., Nature 608, 504 (2022), NeuRRAM after 1 s, as fitted in CrossSim (RRAMWan)",
        ),
        Device(
            name="pcm_joshi", low=0.25e-6, high=25e-6, mean=12.5e-6, spread=0.2, programming_us=(0.28638599, 0.07585724, -0.00178767),
            drift_start=20.0,
            source="Joshi et al., Nat. Commun. 11, 2473 (2020), as fitted in CrossSim (PCMJoshi)",
        ),
        Device(
            name="pcm", low=0.0, high=25e-6, mean=12.5e-6, spread=0.2,
            programming_us=(0.26348, 1.9650 / 25, -1.1731 / 25**2),
            drift=LogLaw(0.0244, -0.0155, 0.049, 0.1), drift_spread=LogLaw(-0.0059, -0.0125, 0.008, 0.045), drift_start=20.0,
            read=0.0088, read_power=0.65, read_most=0.2, flicker=250e-9,
            source="aihwkit's PCMLikeNoiseModel, after Nandakumar et al., IEEE ICECS (2019), and Joshi et al. (2020)",
        ),
    )
}  # fmt: skip


def device(name: str | Device) -> Device:
    """The device of that name; a `Device` is handed back as it is.

    >>> device("rram_wan").high
    3.926e-05
    """
    if isinstance(name, Device):
        return name
    if name not in DEVICES:
        raise UserError(f"there is no device {name!r}; {nearest(str(name), DEVICES)}")
    return DEVICES[name]
