"""Two recordings into one with a label between theirs, to train on.

`change(packed, targets, rng)` mixes every recording of a batch with another one and returns (`Packed`, targets), where
targets are one row per recording with the share of every class; `one_hot` makes them of class numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.datasets.transforms.base import check_count, check_part, parameters, whole
from snnkit.errors import UserError
from snnkit.recordings import Events, Packed, end_to_end


def one_hot(labels: ArrayLike, classes: int) -> NDArray[np.float32]:
    """Class numbers as rows with a 1 at their class, float32 (n, classes)."""
    numbers = np.asarray(labels, dtype=np.int64).reshape(-1)
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < classes):
        raise UserError(f"expected labels in 0..{classes - 1}, got {numbers.min()} to {numbers.max()}")
    out = np.zeros((len(numbers), classes), np.float32)
    out[np.arange(len(numbers)), numbers] = 1
    return out


class Mix:
    """A way to mix two recordings; subclasses say which events of each stay, and what part of the label is the first's."""

    version = 1
    random = True

    def masks(
        self, a: Events, b: Events, rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], float]:
        """Which events of `a` and of `b` stay, and λ, the share of `a` in the label."""
        raise NotImplementedError

    def pair(
        self, a: Events, target_a: ArrayLike, b: Events, target_b: ArrayLike, rng: np.random.Generator | int
    ) -> tuple[Events, NDArray[np.float32]]:
        """One recording of two, sorted in time, and its target λ · target_a + (1 - λ) · target_b."""
        if a.sensor != b.sensor:
            raise UserError(
                f"expected recordings of one sensor, got {a.sensor} and {b.sensor}; Crop them to one size"
            )
        from_a, from_b, part = self.masks(a, b, np.random.default_rng(rng))
        t, x, y, p = (
            np.concatenate([getattr(a, name)[from_a], getattr(b, name)[from_b]])
            for name in ("t", "x", "y", "p")
        )
        order = np.argsort(t, kind="stable")
        target = part * np.asarray(target_a, np.float32) + (1 - part) * np.asarray(target_b, np.float32)
        return Events(t[order], x[order], y[order], p[order], sensor=a.sensor), target.astype(np.float32)

    def __call__(
        self, packed: Packed, targets: ArrayLike, rng: np.random.Generator | int
    ) -> tuple[Packed, NDArray[np.float32]]:
        """Every recording mixed with a partner, drawn as a permutation of the batch."""
        rows = np.asarray(targets, np.float32)
        if rows.ndim != 2 or len(rows) != len(packed):
            raise UserError(
                f"expected targets of shape ({len(packed)}, classes), got {rows.shape}; "
                "class numbers become them by one_hot(labels, classes)"
            )
        draw, packed = np.random.default_rng(rng), whole(packed)
        partner = draw.permutation(len(packed))
        mixed = [
            self.pair(packed[i], rows[i], packed[int(j)], rows[j], draw)
            for i, j in enumerate(partner.tolist())
        ]
        if not mixed:
            return packed, rows
        return end_to_end(events for events, _ in mixed), np.stack([target for _, target in mixed])

    def parameters(self) -> dict[str, Any]:
        """Name, version and parameters as JSON."""
        return parameters(self)


@dataclass(frozen=True)
class CutMix(Mix):
    """A rectangle of the sensor shows the other recording, for its whole length.

    Its area is 1 - λ of the sensor's, λ drawn from Beta(alpha, alpha), its middle anywhere; it is cut off at the border. The
    label's λ is the area that remains (S. Yun et al., "CutMix", ICCV 2019, doi:10.1109/ICCV.2019.00612).
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < math.inf:
            raise UserError(f"expected alpha > 0, got {self.alpha!r}")

    def masks(
        self, a: Events, b: Events, rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], float]:
        _, height, width = a.sensor
        side = math.sqrt(1 - rng.beta(self.alpha, self.alpha))
        left, right = _cut(width, side, rng)
        top, bottom = _cut(height, side, rng)
        inside = [(e.x >= left) & (e.x < right) & (e.y >= top) & (e.y < bottom) for e in (a, b)]
        return ~inside[0], inside[1], 1 - (right - left) * (bottom - top) / (width * height)


def _cut(size: int, side: float, rng: np.random.Generator) -> tuple[int, int]:
    middle, half = int(rng.integers(size)), size * side / 2
    return max(0, round(middle - half)), min(size, round(middle + half))


@dataclass(frozen=True)
class EventMix(Mix):
    """A random region of space and time shows the other recording: where a mixture of Gaussians is high.

    `gaussians` bumps exp(-|(u - μ) / σ|² / 2) lie in the box of x, y and t, scaled to 1, with centres anywhere and widths σ
    drawn from `widths`. An event whose place is among the `part` of the region's highest values comes from the other
    recording, part being drawn from Beta(alpha, alpha). The label's λ is the share of the first recording's events.

    Source: G. Shen, D. Zhao, Y. Zeng, "EventMix: an efficient data augmentation strategy for event-based learning",
    Information Sciences 644 (2023), doi:10.1016/j.ins.2023.119170.
    """

    alpha: float = 1.0
    gaussians: int = 3
    widths: tuple[float, float] = (0.1, 0.5)

    def __post_init__(self) -> None:
        if not 0 < self.alpha < math.inf:
            raise UserError(f"expected alpha > 0, got {self.alpha!r}")
        check_count("gaussians", self.gaussians)
        object.__setattr__(self, "widths", tuple(self.widths))
        low, high = self.widths
        check_part("widths", low, above=1e-3, below=high)

    def masks(
        self, a: Events, b: Events, rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], float]:
        centres = rng.random((self.gaussians, 3))
        widths = rng.uniform(*self.widths, (self.gaussians, 3))
        times = [int(e.t[k]) for e in (a, b) if len(e) for k in (0, -1)] or [0]
        begin, length = min(times), max(times) - min(times) + 1
        sample = _bumps(rng.random((SAMPLES, 3)), centres, widths)
        level = np.quantile(sample, 1 - rng.beta(self.alpha, self.alpha))
        high = [_bumps(_places(e, begin, length), centres, widths) > level for e in (a, b)]
        kept = np.count_nonzero(~high[0]), np.count_nonzero(high[1])
        return ~high[0], high[1], kept[0] / sum(kept) if sum(kept) else 0.5


SAMPLES = 1024  # points of the box that tell how high a level a given part of it exceeds


def _places(e: Events, begin: int, length: int) -> NDArray[np.float64]:
    """Where the events are in the box of x, y, t, scaled to 1; (n, 3)."""
    _, height, width = e.sensor
    return np.stack([(e.x + 0.5) / width, (e.y + 0.5) / height, (e.t - begin) / length], axis=1)


def _bumps(
    at: NDArray[np.float64], centres: NDArray[np.float64], widths: NDArray[np.float64]
) -> NDArray[np.float64]:
    far = sum(((at[:, d, None] - centres[:, d]) / widths[:, d]) ** 2 for d in range(3))
    return np.exp(-far / 2).sum(axis=1)
