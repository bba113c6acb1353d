"""Changes of place: crop, flip, rotate, shift, jitter, downsample. x goes to the right, y downwards, both from 0."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.transforms.base import Transform, check_count, check_part, columns, keep, moved, ticks
from snnkit.errors import UserError
from snnkit.recordings import Packed


@dataclass(frozen=True)
class Crop(Transform):
    """A window of `width` x `height` pixels whose corner is at (x, y); None is in the middle.

    A window larger than the sensor, or beside it, adds empty pixels: so recordings get one size.
    """

    width: int
    height: int
    x: int | None = None
    y: int | None = None

    def __post_init__(self) -> None:
        _check_window(self.width, self.height)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        _, height, width = packed.sensor
        left = (width - self.width) // 2 if self.x is None else self.x
        top = (height - self.height) // 2 if self.y is None else self.y
        x, y = packed.x.astype(np.int64) - left, packed.y.astype(np.int64) - top
        return moved(packed, x, y, (0, self.height, self.width))


@dataclass(frozen=True)
class RandomCrop(Transform):
    """A window of `width` x `height` pixels, anywhere on the sensor, drawn for every recording."""

    width: int
    height: int
    random = True

    def __post_init__(self) -> None:
        _check_window(self.width, self.height)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        _, height, width = packed.sensor
        if self.width > width or self.height > height:
            raise UserError(
                f"a window of {self.width}x{self.height} pixels does not fit on a sensor of {width}x{height}; "
                f"Crop({self.width}, {self.height}) adds empty pixels"
            )
        owners, n = packed.owners(), len(packed)
        left = rng.integers(0, width - self.width + 1, n)[owners]
        top = rng.integers(0, height - self.height + 1, n)[owners]
        return moved(packed, packed.x - left, packed.y - top, (0, self.height, self.width))


def _check_window(width: int, height: int) -> None:
    for name, size in (("width", width), ("height", height)):
        check_count(name, size)
        if size > 2**15:
            raise UserError(f"expected {name} of at most {2**15} pixels, got {size}")


@dataclass(frozen=True)
class Shift(Transform):
    """Move every recording by whole pixels, drawn from -pixels..pixels in x and y; events that leave are dropped."""

    pixels: int
    random = True

    def __post_init__(self) -> None:
        check_count("pixels", self.pixels, least=0)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        move = rng.integers(-self.pixels, self.pixels + 1, size=(2, len(packed)))[:, packed.owners()]
        return moved(packed, packed.x + move[0], packed.y + move[1], packed.sensor)


@dataclass(frozen=True)
class _Flip(Transform):
    """With this probability for every recording; 1 needs no `rng`."""

    probability: float = 1.0

    def __post_init__(self) -> None:
        check_part("probability", self.probability)

    @property
    def random(self) -> bool:
        return 0 < self.probability < 1

    def _chosen(self, packed: Packed, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which events are flipped."""
        return (rng.random(len(packed)) < self.probability)[packed.owners()]


@dataclass(frozen=True)
class FlipLeftRight(_Flip):
    """x ← W - 1 - x, with this probability for every recording."""

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        mirrored = packed.sensor[2] - 1 - packed.x
        return replace(packed, x=np.where(self._chosen(packed, rng), mirrored, packed.x).astype(np.int16))


@dataclass(frozen=True)
class FlipUpDown(_Flip):
    """y ← H - 1 - y, with this probability for every recording."""

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        mirrored = packed.sensor[1] - 1 - packed.y
        return replace(packed, y=np.where(self._chosen(packed, rng), mirrored, packed.y).astype(np.int16))


@dataclass(frozen=True)
class FlipPolarity(_Flip):
    """ON becomes OFF and OFF becomes ON, with this probability for every recording."""

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        if packed.sensor[0] != 2:
            raise UserError(f"polarity flips between 2 polarities, but the sensor is {packed.sensor}")
        return replace(packed, p=np.where(self._chosen(packed, rng), 1 - packed.p, packed.p).astype(np.uint8))


@dataclass(frozen=True)
class MergePolarity(Transform):
    """Forget the polarity: p ← 0, on a sensor of one polarity. Every event stays."""

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        return replace(packed, p=np.zeros_like(packed.p), sensor=(1, *packed.sensor[1:]))


@dataclass(frozen=True)
class Rotate(Transform):
    """Turn by an angle in degrees, clockwise as seen on the screen, about the middle of the sensor.

        x' = c_x + (x - c_x) cos φ - (y - c_y) sin φ        y' = c_y + (x - c_x) sin φ + (y - c_y) cos φ

    rounded to the nearest pixel; events that leave the sensor are dropped. Quarter turns lose nothing: 90 and 270 exchange
    width and height.
    """

    degrees: float

    def __post_init__(self) -> None:
        _check_angle(self.degrees)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        quarters, rest = divmod(self.degrees, 90)
        if not rest:
            return _quarter_turns(packed, int(quarters) % 4)
        return _turned(packed, np.full(len(packed), math.radians(self.degrees)))


@dataclass(frozen=True)
class RandomRotate(Transform):
    """Turn every recording by an angle drawn from [-degrees, degrees]; see `Rotate`."""

    degrees: float
    random = True

    def __post_init__(self) -> None:
        _check_angle(self.degrees)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        limit = math.radians(abs(self.degrees))
        return _turned(packed, rng.uniform(-limit, limit, len(packed)))


def _check_angle(degrees: float) -> None:
    if not math.isfinite(degrees):
        raise UserError(f"expected an angle in degrees, got {degrees!r}")


def _quarter_turns(packed: Packed, quarters: int) -> Packed:
    polarities, height, width = packed.sensor
    x, y = packed.x, packed.y
    for _ in range(quarters):
        x, y, width, height = (height - 1 - y).astype(np.int16), x, height, width
    return replace(packed, x=x, y=y, sensor=(polarities, height, width))


def _turned(packed: Packed, angles: NDArray[np.float64]) -> Packed:
    owners = packed.owners()
    cos, sin = np.cos(angles)[owners], np.sin(angles)[owners]
    cx, cy = (packed.sensor[2] - 1) / 2, (packed.sensor[1] - 1) / 2
    dx, dy = packed.x - cx, packed.y - cy
    x, y = np.rint(cx + dx * cos - dy * sin), np.rint(cy + dx * sin + dy * cos)
    return moved(packed, x.astype(np.int64), y.astype(np.int64), packed.sensor)


@dataclass(frozen=True)
class SpaceJitter(Transform):
    """Add normal noise of standard deviation `sigma` pixels to every x and y, rounded; events that leave are dropped."""

    sigma: float
    random = True

    def __post_init__(self) -> None:
        check_part("sigma", self.sigma, below=1e4)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        noise = np.rint(rng.normal(0.0, self.sigma, (2, len(packed.t)))).astype(np.int64)
        return moved(packed, packed.x + noise[0], packed.y + noise[1], packed.sensor)


@dataclass(frozen=True)
class Downsample(Transform):
    """Pool `factor` x `factor` pixels into one: x ← ⌊x / factor⌋, y ← ⌊y / factor⌋. Every event stays.

    With `refractory` > 0 seconds, a pooled pixel is then silent for that long after each event it lets through, so that
    its rate does not grow with the pixels it stands for; see `Refractory`.
    """

    factor: int
    refractory: float = 0.0

    def __post_init__(self) -> None:
        check_count("factor", self.factor)
        ticks("refractory", self.refractory, least=0)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        polarities, height, width = packed.sensor
        x, y = (packed.x // self.factor).astype(np.int16), (packed.y // self.factor).astype(np.int16)
        sensor = (polarities, -(-height // self.factor), -(-width // self.factor))
        pooled = replace(packed, x=x, y=y, sensor=sensor)
        if not self.refractory:
            return pooled
        from snnkit.kernels.events.denoise import refractory

        dead = ticks("refractory", self.refractory)
        return keep(pooled, refractory(*columns(pooled), pooled.sensor, dead, False))


@dataclass(frozen=True)
class Decimate(Transform):
    """Keep every n-th event of each pixel and polarity: the n-th, the 2n-th, and so on."""

    every: int

    def __post_init__(self) -> None:
        check_count("every", self.every)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        from snnkit.kernels.events.denoise import decimate

        return keep(packed, decimate(*columns(packed), packed.sensor, self.every))


@dataclass(frozen=True)
class DropArea(Transform):
    """Leave out the events in a rectangle of this share of the sensor's area, placed by chance in every recording.

    It has the sensor's proportions (EventDrop: Gu et al., IJCAI 2021, doi:10.24963/ijcai.2021/97).
    """

    part: float
    random = True

    def __post_init__(self) -> None:
        check_part("part", self.part)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        owners, n = packed.owners(), len(packed)
        inside = np.ones(len(packed.t), bool)
        for column, size in ((packed.x, packed.sensor[2]), (packed.y, packed.sensor[1])):
            side = round(size * math.sqrt(self.part))
            start = rng.integers(0, size - side + 1, n)[owners]
            inside &= (column >= start) & (column < start + side)
        return keep(packed, ~inside)


@dataclass(frozen=True)
class DropSomePixels(Transform):
    """Silence this share of the pixels, drawn for every recording: both polarities, the whole time."""

    part: float
    random = True

    def __post_init__(self) -> None:
        check_part("part", self.part)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        columns(packed)  # refuses events off the sensor
        _, height, width = packed.sensor
        stays = np.ones(len(packed.t), bool)
        for a, b in zip(packed.offsets[:-1].tolist(), packed.offsets[1:].tolist(), strict=True):
            silent = np.zeros(height * width, bool)
            silent[rng.permutation(height * width)[: round(self.part * height * width)]] = True
            stays[a:b] = ~silent[packed.y[a:b].astype(np.int64) * width + packed.x[a:b]]
        return keep(packed, stays)


@dataclass(frozen=True)
class DropPixels(Transform):
    """Silence these pixels (x, y), both polarities: hot ones that were found in another recording, for example."""

    pixels: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", tuple((int(x), int(y)) for x, y in self.pixels))

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        _, height, width = packed.sensor
        silent = np.zeros((height, width), bool)
        for x, y in self.pixels:
            if not (0 <= x < width and 0 <= y < height):
                raise UserError(f"pixel ({x}, {y}) is not on a sensor of {width}x{height} pixels")
            silent[y, x] = True
        columns(packed)  # refuses events off the sensor
        return keep(packed, ~silent[packed.y, packed.x])
