"""Recordings of event cameras: one (`Events`) or many end to end (`Packed`), in microseconds, as sensors write them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from snnkit.binning import bins_of, check_dt, check_steps
from snnkit.errors import UserError
from snnkit.events import EventTensor

Sensor = tuple[int, int, int]  # polarities, height, width


@dataclass(frozen=True, eq=False, repr=False)
class Events:
    """One recording as a structure of arrays: event k is at pixel (x[k], y[k]), polarity p[k], time t[k].

    Args:
        t: times in **microseconds** (int64), not decreasing; where a camera's clock stepped back, `sorted` puts the
            events in order. The unit of event cameras' files; everything that makes steps of them (`tensor`, `frames`,
            `batches`) takes its `dt` in seconds, as all of snnkit does.
        x, y: column (to the right) and row (downwards) of the pixel, from 0.
        p: 1 for ON (brighter), 0 for OFF (darker).
        sensor: (polarities, height, width).

    >>> Events([10, 250], [3, 4], [0, 1], [1, 0], sensor=(2, 8, 8))
    Events(2 events, 8x8 pixels, 0.010 to 0.250 ms, 50% ON)
    """

    t: NDArray[np.int64]
    x: NDArray[np.int16]
    y: NDArray[np.int16]
    p: NDArray[np.uint8]
    sensor: Sensor

    def __init__(self, t: ArrayLike, x: ArrayLike, y: ArrayLike, p: ArrayLike, *, sensor: Sequence[int]):
        columns: dict[str, tuple[ArrayLike, type[np.integer]]]
        columns = {"t": (t, np.int64), "x": (x, np.int16), "y": (y, np.int16), "p": (p, np.uint8)}
        for name, (values, dtype) in columns.items():
            object.__setattr__(self, name, _column(name, values, dtype))
        lengths = {name: len(getattr(self, name)) for name in columns}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"expected t, x, y, p of one length, got {lengths}")
        if len(sensor) != 3 or min(sensor) < 1:
            raise ValueError(f"expected sensor=(polarities, height, width), got {tuple(sensor)}")
        object.__setattr__(self, "sensor", (int(sensor[0]), int(sensor[1]), int(sensor[2])))

    def __len__(self) -> int:
        return len(self.t)

    def __repr__(self) -> str:
        _, height, width = self.sensor
        if not len(self):
            return f"Events(0 events, {width}x{height} pixels)"
        span = f"{self.t[0] / 1e3:.3f} to {self.t[-1] / 1e3:.3f} ms"
        return f"Events({len(self)} events, {width}x{height} pixels, {span}, {np.mean(self.p != 0):.0%} ON)"

    @property
    def duration(self) -> float:
        """Time of the last event in seconds, counted from the zero of the recording; 0 if there is none."""
        return float(self.t[-1]) * 1e-6 if len(self) else 0.0

    def sorted(self) -> Events:
        """The same events in the order of time; those of one time keep their order. Itself if they are in order."""
        if not (self.t[1:] < self.t[:-1]).any():
            return self
        rows = np.argsort(self.t, kind="stable")
        return Events(self.t[rows], self.x[rows], self.y[rows], self.p[rows], sensor=self.sensor)

    def between(self, start: float, stop: float) -> Events:
        """The events with start <= time < stop, in seconds. No copy; times keep their zero."""
        a, b = np.searchsorted(self.t, [round(start * 1e6), round(stop * 1e6)])
        return Events(self.t[a:b], self.x[a:b], self.y[a:b], self.p[a:b], sensor=self.sensor)

    def tensor(self, *, dt: float, steps: int | None = None, binary: bool = False) -> EventTensor:
        """The recording as an `EventTensor` of shape (T, 1, P, H, W); arguments as for `Packed.tensor`."""
        packed = Packed(self.t, self.x, self.y, self.p, np.array([0, len(self)]), self.sensor)
        return packed.tensor(dt=dt, steps=steps, binary=binary)

    def frames(self, dt: float, steps: int | None = None) -> NDArray[np.float32]:
        """Event counts in half-open bins [k dt, (k+1) dt), of shape (T, P, H, W); `dt` in seconds."""
        return self.tensor(dt=dt, steps=steps).dense()[:, 0].numpy()


def _column(name: str, values: ArrayLike, dtype: type[np.integer]) -> NDArray:
    """`values` as one column of `dtype`; no copy if they are one already, no silent wrap-around if they are not."""
    array = np.asarray(values)
    if array.dtype == dtype and array.ndim == 1:
        return array
    if array.ndim != 1:
        raise ValueError(f"expected {name} with one axis, got shape {array.shape}")
    if array.size and array.dtype.kind not in "iub":
        unit = "microseconds as integers; seconds become them by (t * 1e6).astype('int64')"
        raise TypeError(f"expected {name} in {unit if name == 't' else 'integers'}, got {array.dtype}")
    bounds = np.iinfo(dtype)
    if array.size and (array.min() < bounds.min or array.max() > bounds.max):
        raise ValueError(f"{name} goes from {array.min()} to {array.max()}: outside {np.dtype(dtype).name}")
    return array.astype(dtype)


@dataclass(frozen=True, eq=False, repr=False)
class Packed:
    """Many recordings end to end: recording i is rows offsets[i] to offsets[i+1] of the columns, sorted in time."""

    t: NDArray[np.int64]  # microseconds
    x: NDArray[np.int16]
    y: NDArray[np.int16]
    p: NDArray[np.uint8]
    offsets: NDArray[np.int64]  # one more than there are recordings
    sensor: Sensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        _, height, width = self.sensor
        events = int(self.offsets[-1] - self.offsets[0])
        return f"{type(self).__name__}({len(self)} recordings of {width}x{height} pixels, {events} events)"

    def __getitem__(self, i: int) -> Events:
        if not -len(self) <= i < len(self):
            raise IndexError(f"recording {i} of {len(self)}")
        a, b = self.offsets[i % len(self)], self.offsets[i % len(self) + 1]
        return Events(self.t[a:b], self.x[a:b], self.y[a:b], self.p[a:b], sensor=self.sensor)

    def durations(self) -> NDArray[np.float64]:
        """Time of each recording's last event in seconds; 0 for an empty one."""
        out = np.zeros(len(self))
        some = np.flatnonzero(np.diff(self.offsets))
        out[some] = self.t[self.offsets[some + 1] - 1] * 1e-6
        return out

    def gather(self, ids: ArrayLike) -> Packed:
        """The recordings `ids`, in that order, as columns of their own (a copy)."""
        ids = np.asarray(ids, dtype=np.int64).reshape(-1)
        starts, stops = self.offsets[ids], self.offsets[ids + 1]
        offsets = np.concatenate([[0], np.cumsum(stops - starts)])
        slices = [slice(a, b) for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
        t, x, y, p = (_joined(c, slices) for c in (self.t, self.x, self.y, self.p))
        return Packed(t, x, y, p, offsets, self.sensor)

    def owners(self) -> NDArray[np.int64]:
        """For each event, the recording it belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def tensor(
        self, *, dt: float, steps: int | None = None, binary: bool = False, ids: ArrayLike | None = None
    ) -> EventTensor:
        """All recordings as one batch, an `EventTensor` of shape (T, B, P, H, W).

        Step k holds the events with k dt <= time < (k+1) dt. Events in one cell of one step add up, or count once if
        `binary`. Events at or after steps · dt are left out. Slices of the columns go straight into the batch.

        Args:
            dt: length of a step in seconds.
            steps: number of steps T; None takes what the longest recording needs.
            binary: cells hold 0 or 1 instead of counts.
            ids: only these recordings, in this order.

        Raises:
            UserError: `dt` is not positive or as long as the recordings (milliseconds given as seconds?), or an event
                lies outside the sensor or before time zero.
        """
        starts, stops, edges, dt = _grid(self, ids, dt, steps)
        return _collated(self, starts, stops, edges, dt, binary)

    def frames(
        self, *, dt: float, steps: int | None = None, binary: bool = False, ids: ArrayLike | None = None
    ) -> torch.Tensor:
        """All recordings as one dense batch of event counts, float32 (T, B, P, H, W); arguments as for `tensor`."""
        starts, stops, edges, _ = _grid(self, ids, dt, steps)
        out = _framed(self, starts, stops, edges)
        return out.clamp_(max=1) if binary else out


def _joined(column: NDArray, slices: list[slice]) -> NDArray:
    return np.concatenate([column[s] for s in slices]) if slices else column[:0].copy()


def end_to_end(recordings: Iterable[Events]) -> Packed:
    """Recordings of one sensor, one after the other in one set of columns; a single one is not copied.

    Raises:
        UserError: there are none, or their sensors differ.
    """
    parts = list(recordings)
    if not parts:
        raise UserError("expected at least one recording to put end to end, got none")
    for i, part in enumerate(parts):
        if not isinstance(part, Events):
            raise UserError(f"expected recordings (Events), got {type(part).__name__}")
        if part.sensor != parts[0].sensor:
            raise UserError(
                f"the recordings of a batch need one sensor: recording 0 has {parts[0].sensor}, recording {i} has {part.sensor}; "
                "Crop them to one size"
            )
    offsets = np.cumsum([0, *(len(part) for part in parts)])
    if len(parts) == 1:
        only = parts[0]
        return Packed(only.t, only.x, only.y, only.p, offsets, only.sensor)
    t, x, y, p = (np.concatenate([getattr(part, name) for part in parts]) for name in ("t", "x", "y", "p"))
    return Packed(t, x, y, p, offsets, parts[0].sensor)


def steps_for(longest: float, dt: float) -> int:
    """Steps of `dt` that hold an event at `longest` seconds."""
    return int(bins_of(np.array([round(longest * 1e6)]), 1e-6, dt)[0]) + 1


def check_dt_fits(dt: float, longest: float) -> float:
    """`dt` again, unless it puts whole recordings of `longest` seconds into one step, or is finer than their ticks."""
    if longest and isinstance(dt, int | float | np.number) and dt >= longest:
        raise UserError(
            f"dt is in seconds: a step of dt={dt:g} s is as long as the recordings ({longest:.3g} s); "
            f"for {dt:g} ms write dt={dt * 1e-3:g}"
        )
    if isinstance(dt, float | np.floating) and 0 < dt < 1e-6:
        raise UserError(
            f"dt={dt:g} s is finer than the ticks of the recordings, 1 us; for 1 ms write dt=1e-3"
        )
    return dt


@lru_cache(maxsize=16)
def _edges(dt: float, steps: int) -> NDArray[np.int64]:
    """The first tick (microsecond) of every step and of the one after the last: where `bins_of` changes its value."""
    k, per_step = np.arange(steps + 1, dtype=np.int64), dt / 1e-6
    guess = k * per_step
    if guess[-1] > 2.0**53:
        raise UserError(f"{steps} steps of dt={dt:g} s are longer than a recording can be")
    slack = 4 + 2e-7 * per_step + 8e-15 * guess
    low, high = np.maximum(guess - slack, 0).astype(np.int64), (guess + slack).astype(np.int64)
    while (low < high).any():  # bisection for all steps at once
        middle = (low + high) // 2
        late = bins_of(middle, 1e-6, dt) >= k
        low, high = np.where(late, low, middle + 1), np.where(late, middle, high)
    low.setflags(write=False)
    return low


def _grid(
    packed: Packed, ids: ArrayLike | None, dt: float, steps: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], float]:
    """Where these recordings start and stop in the columns, the edges of the steps, and `dt`, all checked."""
    rows = np.arange(len(packed)) if ids is None else np.asarray(ids, dtype=np.int64).reshape(-1)
    starts, stops = packed.offsets[rows], packed.offsets[rows + 1]
    shortest = min(len(packed.t), len(packed.x), len(packed.y), len(packed.p))
    if starts.min(initial=0) < 0 or stops.max(initial=0) > shortest or (stops < starts).any():
        raise UserError("offsets point outside the columns: these recordings are damaged")
    last = packed.t[stops[stops > starts] - 1]
    longest = float(last.max(initial=0)) * 1e-6
    dt = check_dt(check_dt_fits(dt, longest))
    steps = steps_for(longest, dt) if steps is None else check_steps(steps)
    return starts, stops, _edges(dt, steps), dt


def _collated(
    packed: Packed,
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    edges: NDArray[np.int64],
    dt: float,
    binary: bool,
) -> EventTensor:
    """Slices of columns as one batch; see the kernel."""
    from snnkit.kernels import lease
    from snnkit.kernels.events import collate as kernel

    events, cells = int((stops - starts).sum()), math.prod(packed.sensor)
    shape = (len(edges) - 1, len(starts), *packed.sensor)
    counts = np.zeros(cells, np.int32)
    low, high = np.zeros(-(-cells // 64), np.uint64), np.zeros(-(-cells // 4096), np.uint64)
    rowptr, where = np.empty(shape[0] * shape[1] + 1, np.int64), (starts, stops, edges, packed.sensor)
    indices, values = (lease.empty((events,), dtype) for dtype in (torch.int32, torch.float32))
    state, event, n, largest = kernel.collate(
        *_columns(packed), *where, counts, low, high, rowptr, indices.numpy(), values.numpy()
    )
    if state == kernel.BACKWARDS:
        packed = _in_order(packed, starts, stops)
        return _collated(packed, packed.offsets[:-1], packed.offsets[1:], edges, dt, binary)
    if state != kernel.DONE:
        raise UserError(_wrong_event(packed, starts, stops, int(event)))
    graded = None if binary or largest <= 1 else _trimmed(values, n)
    return EventTensor._ready(torch.from_numpy(rowptr), _trimmed(indices, n), graded, shape, dt)


def _framed(
    packed: Packed, starts: NDArray[np.int64], stops: NDArray[np.int64], edges: NDArray[np.int64]
) -> torch.Tensor:
    """Slices of columns as one dense batch; see the kernel."""
    from snnkit.kernels import lease
    from snnkit.kernels.events import collate as kernel

    shape = (len(edges) - 1, len(starts), math.prod(packed.sensor))
    out = lease.empty(shape, torch.float32)
    where = (starts, stops, edges, packed.sensor)
    state, event = kernel.frames(*_columns(packed), *where, out.numpy())
    if state == kernel.BACKWARDS:
        packed = _in_order(packed, starts, stops)
        return _framed(packed, packed.offsets[:-1], packed.offsets[1:], edges)
    if state != kernel.DONE:
        raise UserError(_wrong_event(packed, starts, stops, int(event)))
    return out.view(*shape[:2], *packed.sensor)


def _columns(packed: Packed) -> list[NDArray]:
    return [_readable(column) for column in (packed.t, packed.x, packed.y, packed.p)]


def _readable(column: NDArray) -> NDArray:
    """A plain contiguous read-only view, so that the kernel is compiled once for columns in memory and on disk."""
    view = np.ascontiguousarray(column).view(np.ndarray)
    view.setflags(write=False)
    return view


def _trimmed(found: torch.Tensor, n: int) -> torch.Tensor:
    """The first n entries: a view if not much is left over, otherwise a copy that lets go of the rest."""
    return found[:n] if 2 * n > len(found) else found[:n].clone()


def _in_order(packed: Packed, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Packed:
    """These recordings with their events sorted in time."""
    counts = stops - starts
    offsets = np.concatenate([[0], np.cumsum(counts)])
    rows = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], counts)
    rows = rows[np.lexsort((packed.t[rows], np.repeat(np.arange(len(counts)), counts)))]
    return Packed(packed.t[rows], packed.x[rows], packed.y[rows], packed.p[rows], offsets, packed.sensor)


def _wrong_event(packed: Packed, starts: NDArray[np.int64], stops: NDArray[np.int64], row: int) -> str:
    """Why the event in this row of the columns cannot be placed."""
    b = int(np.flatnonzero((starts <= row) & (row < stops))[0])
    where = f"recording {b}, event {row - int(starts[b])}"
    if packed.t[row] < 0:
        return f"{where} is before time 0; subtract the recording's first time"
    limits = zip("xyp", reversed(packed.sensor), strict=True)
    name, limit = next((n, lim) for n, lim in limits if not 0 <= getattr(packed, n)[row] < lim)
    value = getattr(packed, name)[row]
    return f"{where}: {name}={value} is not in 0..{limit - 1} of shape {packed.sensor}"
