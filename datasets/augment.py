"""Changes to the recordings of a batch while training: values, seeded by the caller, which mutate nothing.

Each is called with the `Packed` recordings of a batch and a numpy Generator, and returns new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from snnkit.recordings import Packed


class Augment(Protocol):
    def __call__(self, packed: Packed, rng: np.random.Generator, /) -> Packed: ...


@dataclass(frozen=True)
class Shift:
    """Move every recording by whole pixels, drawn from -pixels..pixels in x and y; events that leave are dropped."""

    pixels: int

    def __call__(self, packed: Packed, rng: np.random.Generator) -> Packed:
        _, height, width = packed.sensor
        move = rng.integers(-self.pixels, self.pixels + 1, size=(2, len(packed)))[:, packed.owners()]
        x, y = packed.x + move[0], packed.y + move[1]
        moved = replace(packed, x=x.astype(np.int16), y=y.astype(np.int16))
        return keep(moved, (x >= 0) & (x < width) & (y >= 0) & (y < height))


@dataclass(frozen=True)
class Drop:
    """Leave out every event with this probability."""

    probability: float

    def __call__(self, packed: Packed, rng: np.random.Generator) -> Packed:
        return keep(packed, rng.random(len(packed.t)) >= self.probability)


@dataclass(frozen=True)
class Jitter:
    """Add normal noise of standard deviation `sigma` seconds to every time, not below zero; sorts anew."""

    sigma: float

    def __call__(self, packed: Packed, rng: np.random.Generator) -> Packed:
        noise = np.rint(rng.normal(0.0, self.sigma * 1e6, len(packed.t))).astype(np.int64)
        t = np.maximum(packed.t + noise, 0)
        order = np.lexsort((t, packed.owners()))
        return replace(packed, t=t[order], x=packed.x[order], y=packed.y[order], p=packed.p[order])


@dataclass(frozen=True)
class Stretch:
    """Play every recording slower or faster, by a factor drawn from [1 - part, 1 + part]."""

    part: float

    def __call__(self, packed: Packed, rng: np.random.Generator) -> Packed:
        factor = rng.uniform(1 - self.part, 1 + self.part, len(packed))[packed.owners()]
        return replace(packed, t=np.rint(packed.t * factor).astype(np.int64))


def keep(packed: Packed, which: NDArray[np.bool_]) -> Packed:
    """Only these events of every recording."""
    kept = np.concatenate([[0], np.cumsum(which)])
    columns = {name: getattr(packed, name)[which] for name in ("t", "x", "y", "p")}
    return replace(packed, **columns, offsets=kept[packed.offsets])
