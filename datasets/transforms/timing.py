"""Changes of time: crop, jitter, scale, reverse, drop. Durations are in seconds; recordings count microseconds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.transforms.base import Transform, check_part, keep, retimed, spans, ticks
from snnkit.errors import UserError
from snnkit.recordings import Packed


@dataclass(frozen=True)
class StartAtZero(Transform):
    """t ← t - t_first in every recording: cameras count from when they were switched on, time steps from 0."""

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        return replace(packed, t=packed.t - spans(packed)[0][packed.owners()])


@dataclass(frozen=True)
class CropTime(Transform):
    """The events with start <= time < stop, in seconds from the recording's zero; None is to the end.

    With `rebase`, `start` becomes time 0.
    """

    start: float = 0.0
    stop: float | None = None
    rebase: bool = True

    def __post_init__(self) -> None:
        first = ticks("start", self.start, least=0)
        if self.stop is not None and ticks("stop", self.stop, least=0) < first:
            raise UserError(f"expected start <= stop in seconds, got {self.start:g} and {self.stop:g}")

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        start = ticks("start", self.start, least=0)
        inside = packed.t >= start
        if self.stop is not None:
            inside &= packed.t < ticks("stop", self.stop, least=0)
        kept = keep(packed, inside)
        return replace(kept, t=kept.t - start) if self.rebase else kept


@dataclass(frozen=True)
class RandomCropTime(Transform):
    """A window of `duration` seconds, drawn for every recording from those that lie within it, moved to time 0.

    A recording that is shorter stays whole and is moved to time 0.
    """

    duration: float
    random = True

    def __post_init__(self) -> None:
        ticks("duration", self.duration)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        length, owners = ticks("duration", self.duration), packed.owners()
        first, last = spans(packed)
        latest = np.maximum(last + 1 - length, first)
        start = rng.integers(first, latest + 1)[owners]
        t = packed.t - start
        return keep(replace(packed, t=t), (t >= 0) & (t < length))


@dataclass(frozen=True)
class Jitter(Transform):
    """Add normal noise of standard deviation `sigma` seconds to every time, not below zero; sorts anew."""

    sigma: float
    random = True

    def __post_init__(self) -> None:
        ticks("sigma", self.sigma, least=0)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        noise = np.rint(rng.normal(0.0, self.sigma * 1e6, len(packed.t))).astype(np.int64)
        return retimed(packed, np.maximum(packed.t + noise, 0))


@dataclass(frozen=True)
class Stretch(Transform):
    """Play every recording slower or faster, by a factor drawn from [1 - part, 1 + part]."""

    part: float
    random = True

    def __post_init__(self) -> None:
        check_part("part", self.part)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        factor = rng.uniform(1 - self.part, 1 + self.part, len(packed))[packed.owners()]
        return replace(packed, t=_scaled(packed.t, factor))


@dataclass(frozen=True)
class ScaleTime(Transform):
    """t ← factor · t, rounded to microseconds: 2 plays at half the speed."""

    factor: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise UserError(f"expected a factor > 0, got {self.factor!r}; ReverseTime() plays backwards")

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        return replace(packed, t=_scaled(packed.t, np.float64(self.factor)))


def _scaled(t: NDArray[np.int64], factor: NDArray[np.float64] | np.float64) -> NDArray[np.int64]:
    scaled = np.rint(t * factor)
    if len(scaled) and np.abs(scaled).max() >= 2.0**62:
        raise UserError(f"times reach {np.abs(scaled).max() * 1e-6:g} s: longer than a recording can be")
    return scaled.astype(np.int64)


@dataclass(frozen=True)
class ReverseTime(Transform):
    """Play backwards: t ← t_first + t_last - t, in every recording.

    What became brighter becomes darker then, so ON and OFF change places unless `flip_polarity` is False.
    """

    flip_polarity: bool = True

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        if self.flip_polarity and packed.sensor[0] > 2:
            raise UserError(f"polarity flips between 2 polarities, but the sensor is {packed.sensor}")
        first, last = spans(packed)
        starts, stops = packed.offsets[:-1], packed.offsets[1:]
        owners = packed.owners()
        mirror = (starts + stops - 1)[owners] - np.arange(packed.offsets[0], packed.offsets[-1])
        t = (first + last)[owners] - packed.t[mirror]
        p = packed.p[mirror]
        if self.flip_polarity and packed.sensor[0] == 2:
            p = (1 - p).astype(np.uint8)
        return replace(packed, t=t, x=packed.x[mirror], y=packed.y[mirror], p=p)


@dataclass(frozen=True)
class DownsampleTime(Transform):
    """Make the clock coarser: t ← ⌊t / tick⌋ · tick, with `tick` in seconds.

    With `merge`, events of one pixel and polarity that fall on one tick become one, the first.
    """

    tick: float
    merge: bool = False

    def __post_init__(self) -> None:
        ticks("tick", self.tick)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        tick = ticks("tick", self.tick)
        coarse = replace(packed, t=packed.t // tick * tick)
        if not self.merge:
            return coarse
        order = np.lexsort((packed.p, packed.x, packed.y, coarse.t, packed.owners()))
        owners = packed.owners()
        columns = [c[order] for c in (owners, coarse.t, packed.y, packed.x, packed.p)]
        again = np.zeros(len(order), bool)
        again[1:] = np.logical_and.reduce([c[1:] == c[:-1] for c in columns])
        which = np.ones(len(order), bool)
        which[order[again]] = False
        return keep(coarse, which)


@dataclass(frozen=True)
class Drop(Transform):
    """Leave out every event with this probability."""

    probability: float
    random = True

    def __post_init__(self) -> None:
        check_part("probability", self.probability)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        return keep(packed, rng.random(len(packed.t)) >= self.probability)


@dataclass(frozen=True)
class DropTime(Transform):
    """Leave out a stretch of this share of the duration, placed by chance in every recording.

    EventDrop: Gu et al., IJCAI 2021, doi:10.24963/ijcai.2021/97.
    """

    part: float
    random = True

    def __post_init__(self) -> None:
        check_part("part", self.part)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        first, last = spans(packed)
        owners, span = packed.owners(), np.maximum(last + 1 - first, 0)
        length = np.rint(span * self.part).astype(np.int64)
        start = rng.integers(first, first + span - length + 1)
        late = packed.t - start[owners]
        return keep(packed, (late < 0) | (late >= length[owners]))


MOST_NOISE = 2e9  # events: more do not fit into memory


@dataclass(frozen=True)
class Noise(Transform):
    """Add background activity: Poisson events of `rate` per second and pixel from the first event to the last.

    Polarities are drawn with equal chance. To train for noise, or to test a filter on.
    """

    rate: float
    random = True

    def __post_init__(self) -> None:
        check_part("rate", self.rate, below=1e6)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        polarities, height, width = packed.sensor
        first, last = spans(packed)
        expected = self.rate * height * width * np.maximum(last + 1.0 - first, 0) * 1e-6
        if expected.sum() > MOST_NOISE:
            raise UserError(
                f"{self.rate:g} events per second and pixel are {expected.sum():.3g} events here; take a lower rate or "
                "CropTime first"
            )
        counts = rng.poisson(expected)
        total = int(counts.sum())
        owners = np.repeat(np.arange(len(packed)), counts)
        t = rng.integers(first[owners], last[owners] + 1)
        t = np.concatenate([packed.t, t])
        x = np.concatenate([packed.x, rng.integers(0, width, total, dtype=np.int16)])
        y = np.concatenate([packed.y, rng.integers(0, height, total, dtype=np.int16)])
        p = np.concatenate([packed.p, rng.integers(0, polarities, total, dtype=np.uint8)])
        order = np.lexsort((t, np.concatenate([packed.owners(), owners])))
        offsets = packed.offsets + np.concatenate([[0], np.cumsum(counts)])
        return Packed(t[order], x[order], y[order], p[order], offsets, packed.sensor)
