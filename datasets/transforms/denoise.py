"""Filters against the noise of event cameras. All are causal and see one recording at a time.

Which one: `HotPixels` for pixels that never stop, then `BackgroundActivity` or `SpatioTemporalCorrelation` for noise that
comes anywhere, `Refractory` to thin out bursts. An event that stays is not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.transforms.base import Transform, check_count, check_part, columns, keep, ticks
from snnkit.errors import UserError
from snnkit.recordings import Events, Packed


@dataclass(frozen=True)
class BackgroundActivity(Transform):
    """Keep an event if one of the 8 pixels around had one less than `tau` seconds ago.

    Poisson noise of r events per second and pixel passes with probability 1 - exp(-8 r τ): 0.181 for 1 Hz and 25 ms. The
    pixel itself does not count, or a hot pixel would pass; `own=True` counts it, as jAER does by default.

    Args:
        tau: correlation time in seconds; jAER's default is 25 ms.
        neighbours: 8, or 4 for those that share an edge.
        own: whether the pixel's own last event counts.

    Source: T. Delbruck, "Frame-free dynamic digital vision", Int. Symp. on Secure-Life Electronics (2008).
    """

    tau: float = 25e-3
    neighbours: int = 8
    own: bool = False

    def __post_init__(self) -> None:
        ticks("tau", self.tau)
        _check_neighbours(self.neighbours)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        tau, diagonal = ticks("tau", self.tau), self.neighbours == 8
        return keep(packed, _kernels().correlation(*_input(packed), tau, 1, False, diagonal, self.own))


@dataclass(frozen=True)
class SpatioTemporalCorrelation(Transform):
    """STCF: keep an event if at least `k` of the pixels around had one less than `tau` seconds ago.

    Poisson noise passes with the binomial probability P(X ≥ k), X of n = 8 trials with q = 1 - exp(-r τ): 0.0155 for 1 Hz,
    25 ms and k = 2.

    Args:
        tau: correlation time in seconds.
        k: supporters an event needs.
        same_polarity: only a neighbour whose last event had the same polarity counts (jAER's default).
        neighbours: 8, or 4 for those that share an edge.
        own: whether the pixel's own last event counts.

    Source: S. Guo, T. Delbruck, "Low cost and latency event camera background activity denoising", IEEE TPAMI (2022),
    doi:10.1109/TPAMI.2022.3152999.
    """

    tau: float = 25e-3
    k: int = 2
    same_polarity: bool = False
    neighbours: int = 8
    own: bool = False

    def __post_init__(self) -> None:
        ticks("tau", self.tau)
        check_count("k", self.k)
        _check_neighbours(self.neighbours)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        tau, diagonal = ticks("tau", self.tau), self.neighbours == 8
        kernel = _kernels().correlation
        return keep(packed, kernel(*_input(packed), tau, self.k, self.same_polarity, diagonal, self.own))


def _check_neighbours(neighbours: int) -> None:
    if neighbours not in (4, 8):
        raise UserError(f"a pixel has 4 or 8 neighbours, got {neighbours!r}")


@dataclass(frozen=True)
class OrderN(Transform):
    """A background-activity filter with one memory cell per column and per row instead of one per pixel.

    The last event of each column keeps (t, y), that of each row (t, x). An event passes if its own column or one beside it, or
    its own row or one beside it, has an entry less than `tau` seconds old whose coordinate differs by at most 1, unless that
    is the event's own pixel (`own=True` counts it). Later events elsewhere overwrite an entry, so it passes less than
    `BackgroundActivity`, never more.

    Source: A. Khodamoradi, R. Kastner, "O(N)-space spatiotemporal filter for reducing noise in neuromorphic vision
    sensors", IEEE Trans. Emerging Topics in Computing (2018), doi:10.1109/TETC.2017.2788865.
    """

    tau: float = 25e-3
    own: bool = False

    def __post_init__(self) -> None:
        ticks("tau", self.tau)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        return keep(packed, _kernels().order_n(*_input(packed), ticks("tau", self.tau), self.own))


@dataclass(frozen=True)
class Refractory(Transform):
    """Drop an event less than `period` seconds after the last one of its pixel, whatever the polarity.

    An event that is dropped does not prolong the silence. With `retriggerable` it does: a burst is then cut down to its
    first event, however long it is.
    """

    period: float
    retriggerable: bool = False

    def __post_init__(self) -> None:
        ticks("period", self.period)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        dead = ticks("period", self.period)
        return keep(packed, _kernels().refractory(*_input(packed), dead, self.retriggerable))


@dataclass(frozen=True)
class ShotNoisePairs(Transform):
    """Drop both events of a pair of opposite polarity that follow each other at one pixel within less than `within` seconds.

    Shot noise comes in such pairs: the first moves the pixel's reference, the second brings it back.
    """

    within: float = 1e-3

    def __post_init__(self) -> None:
        ticks("within", self.within)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        return keep(packed, _kernels().shot_pairs(*_input(packed), ticks("within", self.within)))


@dataclass(frozen=True)
class HotPixels(Transform):
    """Drop all events of the pixels that fire far more than the others, in every recording by itself; see `hot_pixels`.

    `DropPixels` drops known ones.
    """

    sigmas: float | None = 5.0
    rate: float | None = None
    top: int | None = None
    calibration: float | None = None

    def __post_init__(self) -> None:
        _check_hot(self.sigmas, self.rate, self.top, self.calibration)

    def apply(self, packed: Packed, rng: np.random.Generator) -> Packed:
        columns(packed)  # refuses events off the sensor
        stays = np.ones(len(packed.t), bool)
        for i in range(len(packed)):
            a, b = packed.offsets[i], packed.offsets[i + 1]
            hot = hot_pixels(packed[i], self.sigmas, self.rate, self.top, self.calibration)
            stays[a:b] = ~hot[packed.y[a:b], packed.x[a:b]]
        return keep(packed, stays)


ROUNDS = 3  # of finding pixels: the first ones hide others


def hot_pixels(
    events: Events,
    sigmas: float | None = 5.0,
    rate: float | None = None,
    top: int | None = None,
    calibration: float | None = None,
) -> NDArray[np.bool_]:
    """Which pixels are hot, as a mask (H, W). With several criteria, a pixel that meets one of them is.

    Args:
        events: a recording, if possible of a scene without motion.
        sigmas: hot is a pixel with n > mean + sigmas · std events, both over the pixels that have events; repeated
            three times without those that were found.
        rate: hot is a pixel with more events per second, from the first event to the last; 10 is usual for still scenes.
        top: hot are the pixels with most events, so many.
        calibration: count only in the first so many seconds; None counts everywhere.
    """
    _check_hot(sigmas, rate, top, calibration)
    _, height, width = events.sensor
    t, x, y, _, _ = columns(
        Packed(events.t, events.x, events.y, events.p, np.array([0, len(events)]), events.sensor)
    )
    hot = np.zeros(height * width, bool)
    if not len(t):
        return hot.reshape(height, width)
    stop = len(t) if calibration is None else np.searchsorted(t, t[0] + ticks("calibration", calibration))
    counts = np.bincount(y[:stop].astype(np.int64) * width + x[:stop], minlength=height * width)
    if sigmas is not None:
        hot |= outliers(counts, sigmas)
    if rate is not None:
        span = (t[-1] - t[0] + 1) * 1e-6 if calibration is None else calibration
        hot |= counts > rate * span
    if top:
        order = np.argsort(-counts, kind="stable")[:top]
        hot[order[counts[order] > 0]] = True
    return hot.reshape(height, width)


def outliers(counts: NDArray[np.int64], sigmas: float = 5.0) -> NDArray[np.bool_]:
    """Which of these counts of events are above mean + sigmas · std of those that are not 0; see `hot_pixels`."""
    hot = np.zeros(len(counts), bool)
    for _ in range(ROUNDS):
        others = counts[(counts > 0) & ~hot]
        if not len(others):
            break
        hot |= counts > others.mean() + sigmas * others.std()
    return hot


def _check_hot(sigmas: float | None, rate: float | None, top: int | None, calibration: float | None) -> None:
    if sigmas is None and rate is None and top is None:
        raise UserError("expected one of sigmas, rate (events per second) and top (number of pixels)")
    for name, value in (("sigmas", sigmas), ("rate", rate)):
        if value is not None:
            check_part(name, value, below=float("inf"))
    if top is not None:
        check_count("top", top, least=0)
    if calibration is not None:
        ticks("calibration", calibration)


def _kernels() -> Any:
    from snnkit.kernels.events import denoise  # imports numba, so not before it is used

    return denoise


def _input(packed: Packed) -> tuple[Any, ...]:
    return *columns(packed), packed.sensor
