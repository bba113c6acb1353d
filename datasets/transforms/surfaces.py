"""Surfaces of event times: what happened last at every pixel, and how long ago."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.transforms.base import Random, check_count, columns, spans, ticks, whole
from snnkit.datasets.transforms.slices import SliceTime
from snnkit.datasets.transforms.views import View, zeros
from snnkit.errors import UserError
from snnkit.recordings import Events, Packed, end_to_end


@dataclass(frozen=True)
class LastTimes(View):
    """The surface of active events: S(p, y, x) = time of the last event there in seconds, -inf if there is none.

    (P, H, W) float64; of a batch (B, P, H, W).
    """

    def apply(self, packed: Packed) -> NDArray:
        from snnkit.kernels.events.surface import NEVER, last_times

        last = zeros((len(packed), *packed.sensor), np.int64)
        last[:] = NEVER
        last_times(*columns(packed), last)
        return np.where(last == NEVER, -np.inf, last * 1e-6)


@dataclass(frozen=True)
class TimeSurface(View):
    """exp(-(t - S) / τ) of the whole sensor, S being the time of the last event at a pixel; 0 where there was none.

    Seen at the last event: (P, H, W) float32, of a batch (B, P, H, W). With `dt`, seen every `dt` seconds after the first
    event: (K, P, H, W), of a batch (K, B, P, H, W), K of the longest recording; surface k knows the events before t_0 + (k + 1) dt.

    Args:
        tau: decay time in seconds.
        dt: time between surfaces in seconds; None is one surface, at the end.
    """

    tau: float
    dt: float | None = None

    def __post_init__(self) -> None:
        ticks("tau", self.tau)
        if self.dt is not None:
            ticks("dt", self.dt)

    @property
    def batch_axis(self) -> int:  # type: ignore[override]
        return 0 if self.dt is None else 1

    def apply(self, packed: Packed) -> NDArray:
        from snnkit.kernels.events.surface import decayed

        t, x, y, p, offsets = columns(packed)
        stops, at = self._moments(packed)
        out = zeros((len(stops), len(packed), *packed.sensor), np.float32)
        last = np.empty(packed.sensor, np.int64)
        decayed(t, x, y, p, offsets, stops, at, float(ticks("tau", self.tau)), last, out)
        return out if self.dt is not None else out[0]

    def _moments(self, packed: Packed) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Up to which row each surface knows the events, and the time it is seen at; (K, B) both."""
        if self.dt is None:
            return packed.offsets[None, 1:].astype(np.int64), spans(packed)[1][None]
        w = SliceTime(self.dt).windows(packed)
        counts = np.bincount(w.owners, minlength=len(packed))
        shape = (int(counts.max(initial=0)), len(packed))
        steps = np.arange(len(w.owners)) - (np.cumsum(counts) - counts)[w.owners]
        late = spans(packed)[0] + ticks("dt", self.dt) * (np.arange(shape[0])[:, None] + 1)
        stops = np.broadcast_to(packed.offsets[1:], shape).astype(np.int64)
        stops[steps, w.owners] = w.stops
        return stops, late


@dataclass(frozen=True)
class HOTS(View):
    """The time surface around every event, (events, P, 2R+1, 2R+1) float32, for one recording and for a batch alike.

        TS_i(q, v, u) = exp(-(t_i - S(q, y_i + v, x_i + u)) / τ),    -R <= u, v <= R

    S holds the last times, event i included, so the middle of its own polarity is 1. Pixels that never fired, and those
    beyond the border, are 0.

    Source: X. Lagorce et al., "HOTS: a hierarchy of event-based time-surfaces for pattern recognition", IEEE TPAMI
    (2017), doi:10.1109/TPAMI.2016.2574707; its first layer has R = 2 and τ = 20 ms.
    """

    radius: int = 2
    tau: float = 20e-3

    def __post_init__(self) -> None:
        check_count("radius", self.radius, least=0)
        ticks("tau", self.tau)

    def __call__(self, recordings: Events | Packed, rng: Random = None) -> NDArray:
        return self.apply(end_to_end([recordings]) if isinstance(recordings, Events) else whole(recordings))

    def apply(self, packed: Packed) -> NDArray:
        from snnkit.kernels.events.surface import contexts

        side = 2 * self.radius + 1
        out = zeros((len(packed.t), packed.sensor[0], side, side), np.float32)
        last = np.empty(packed.sensor, np.int64)
        contexts(*columns(packed), float(ticks("tau", self.tau)), last, out)
        return out


@dataclass(frozen=True)
class HATS(View):
    """Histograms of averaged time surfaces, (rows, columns, P, 2R+1, 2R+1) float32 over cells of K x K pixels.

    An event's memory surface sums over the events of its polarity and cell in [t_i - window, t_i):

        T_i(v, u) = Σ_j exp(-(t_i - t_j) / τ),   event j at (y_i + v, x_i + u)
        h(cell, p) = (1 / events in the cell) Σ_i T_i   over the cell's events of polarity p

    Of a batch: (B, rows, columns, P, 2R+1, 2R+1). Cells at the right and lower border may be smaller.

    Source: A. Sironi et al., "HATS: histograms of averaged time surfaces", CVPR (2018), doi:10.1109/CVPR.2018.00186. Public
    settings differ, so treat cell, radius, tau and window as hyper-parameters.
    """

    cell: int = 10
    radius: int = 3
    tau: float = 0.5
    window: float = 0.1

    def __post_init__(self) -> None:
        check_count("cell", self.cell)
        check_count("radius", self.radius, least=0)
        ticks("tau", self.tau)
        ticks("window", self.window)

    def apply(self, packed: Packed) -> NDArray:
        from snnkit.kernels.events.grid import hats

        polarities, height, width = packed.sensor
        t, x, y, p, _ = columns(packed)
        rows, across, side = -(-height // self.cell), -(-width // self.cell), 2 * self.radius + 1
        cells = (packed.owners() * rows + y // self.cell) * across + x // self.cell
        keys = cells * polarities + p
        order = np.argsort(keys, kind="stable")
        found, starts = np.unique(keys[order], return_index=True)
        out = zeros((len(packed) * rows * across * polarities, side, side), np.float32)
        groups = np.append(starts, len(order))
        hats(t, x, y, order, groups, found, ticks("window", self.window), float(ticks("tau", self.tau)), out)
        counts = np.maximum(np.bincount(cells, minlength=len(packed) * rows * across), 1)
        out = out.reshape(len(counts), polarities, side, side)
        out /= counts[:, None, None, None].astype(np.float32)
        return out.reshape(len(packed), rows, across, polarities, side, side)


@dataclass(frozen=True)
class SITS(View):
    """The speed-invariant time surface, (P, H, W) int32 in 0..(2r+1)²; of a batch (B, P, H, W).

    At an event, every pixel of the window that is not below the event's own counts down by one, never below 0; the event's
    pixel becomes (2r+1)². Only the order of events matters: the same motion at another speed gives the same surface.

    Source: J. Manderscheid et al., "Speed invariant time surface for learning to detect corner points", CVPR (2019),
    doi:10.1109/CVPR.2019.01049, with r = 6.
    """

    radius: int = 6

    def __post_init__(self) -> None:
        check_count("radius", self.radius)
        if self.radius > 1000:
            raise UserError(f"expected a radius in pixels, at most 1000; got {self.radius}")

    def apply(self, packed: Packed) -> NDArray:
        from snnkit.kernels.events.surface import speed_invariant

        _, x, y, p, offsets = columns(packed)
        out = zeros((len(packed), *packed.sensor), np.int32)
        speed_invariant(x, y, p, offsets, self.radius, out)
        return out


@dataclass(frozen=True)
class TORE(View):
    """How long ago the last `k` events of every pixel were, on a logarithmic scale: (k, P, H, W) float32.

        V(k, p, y, x) = ln(1 + Δt) - ln(1 + Δt_min),    Δt_min <= Δt <= τ in microseconds

    Δt is the time from event k before the last there to the recording's last event. 0 is now, ln((1 + τ) / (1 + Δt_min)) is
    τ ago or never. Of a batch: (B, k, P, H, W).

    Args:
        k: events remembered per pixel and polarity.
        tau: age that counts as never, in seconds.
        least: age that counts as now, in seconds.

    Source: R. Baldwin et al., "Time-ordered recent event (TORE) volumes for event cameras", IEEE TPAMI (2023),
    doi:10.1109/TPAMI.2022.3172212, with k = 3, τ = 5 s and 150 µs.
    """

    k: int = 3
    tau: float = 5.0
    least: float = 150e-6

    def __post_init__(self) -> None:
        check_count("k", self.k)
        if ticks("least", self.least, least=0) >= ticks("tau", self.tau):
            raise UserError(f"expected least < tau in seconds, got {self.least:g} and {self.tau:g}")

    def apply(self, packed: Packed) -> NDArray:
        from snnkit.kernels.events.surface import NEVER, recent

        last = zeros((len(packed), self.k, *packed.sensor), np.int64)
        last[:] = NEVER
        recent(*columns(packed), last)
        low, high = ticks("least", self.least, least=0), ticks("tau", self.tau)
        now = spans(packed)[1].reshape(-1, 1, 1, 1, 1)
        age = np.where(last == NEVER, high, np.clip(now - np.maximum(last, now - high), low, high))
        return (np.log1p(age) - math.log1p(low)).astype(np.float32)
