"""One recording into many: by time, by number of events, or into so many parts. Windows may overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.dataset import EventDataset
from snnkit.datasets.transforms.base import check_count, check_part, parameters, ticks, whole
from snnkit.errors import UserError
from snnkit.recordings import Events, Packed, end_to_end

MAX_WINDOWS = 10_000_000  # more than this from one recording is a wrong unit of time


def check_order(t: NDArray[np.int64]) -> None:
    """Refuse times that go backwards: windows of them would be anything."""
    back = t[1:] < t[:-1]
    if back.any():
        row = int(back.argmax()) + 1
        raise UserError(f"event {row} is earlier than the one before it; events.sorted() puts them in order")


@dataclass(frozen=True)
class Windows:
    """Where the windows of recordings lie: rows starts[k] to stops[k] of the columns, window k of recording owners[k].

    `begins` and `ends` are their borders in microseconds; the end does not belong to the window.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    owners: NDArray[np.int64]


class Slicer:
    """What cuts recordings into windows.

    `cut(events)` gives a list of `Events`, `cut(packed)` gives (`Packed`, owners): for every piece the recording it comes
    from. `cut(dataset)` gives a dataset whose pieces have their recording's label. Pieces begin at time 0 unless `rebase`
    is False.
    """

    version = 1
    rebase: bool

    def borders(self, t: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        """(starts, stops, begins, ends) of the windows of one recording, which has events; see `Windows`."""
        raise NotImplementedError

    def windows(self, packed: Packed) -> Windows:
        """The windows of all recordings, in order; a recording without events has none."""
        found: list[tuple[NDArray[np.int64], ...]] = []
        for i, (a, b) in enumerate(
            zip(packed.offsets[:-1].tolist(), packed.offsets[1:].tolist(), strict=True)
        ):
            if b > a:
                check_order(packed.t[a:b])
                starts, stops, begins, ends = self.borders(np.asarray(packed.t[a:b]))
                found.append((starts + a, stops + a, begins, ends, np.full(len(starts), i)))
        empty = np.zeros(0, np.int64)
        return (
            Windows(*(np.concatenate([empty, *parts]) for parts in zip(*found, strict=True)))
            if found
            else Windows(*(empty,) * 5)
        )

    @overload
    def __call__(self, recordings: Events) -> list[Events]: ...
    @overload
    def __call__(self, recordings: Packed) -> tuple[Packed, NDArray[np.int64]]: ...
    @overload
    def __call__(self, recordings: EventDataset) -> EventDataset: ...
    def __call__(self, recordings: Any) -> Any:
        if isinstance(recordings, Events):
            pieces, _ = self._cut(end_to_end([recordings]))
            return [pieces[i] for i in range(len(pieces))]
        if isinstance(recordings, Packed):
            return self._cut(whole(recordings))
        if isinstance(recordings, EventDataset):
            return self._dataset(recordings)
        raise UserError(
            f"{type(self).__name__} cuts Events, Packed or a dataset, got {type(recordings).__name__}"
        )

    def _dataset(self, ds: EventDataset) -> EventDataset:
        ids = np.arange(len(ds.packed)) if ds.ids is None else ds.ids
        recordings = ds.packed.gather(ids) if ds.transform is None else end_to_end(sample for sample, _ in ds)
        pieces, owners = self._cut(recordings)
        about = {name: np.asarray(column)[ids][owners] for name, column in ds.about.items()}
        return EventDataset(ds.name, pieces, ds.labels[owners], ds.classes, about=about)

    def _cut(self, packed: Packed) -> tuple[Packed, NDArray[np.int64]]:
        w = self.windows(packed)
        counts = w.stops - w.starts
        offsets = np.concatenate([[0], np.cumsum(counts)])
        rows = np.arange(offsets[-1]) + np.repeat(w.starts - offsets[:-1], counts)
        t = packed.t[rows]
        if self.rebase:
            t = t - np.repeat(w.begins, counts)
        return Packed(t, packed.x[rows], packed.y[rows], packed.p[rows], offsets, packed.sensor), w.owners

    def parameters(self) -> dict[str, Any]:
        """Name, version and parameters as JSON."""
        return parameters(self)


@dataclass(frozen=True)
class SliceTime(Slicer):
    """Windows [t0 + k · stride, t0 + k · stride + window), in seconds, from the first event t0 on.

    Args:
        window: length of a window in seconds.
        stride: from one window's begin to the next's; None is `window`, less overlaps.
        start: where the first window begins, in seconds of the recording's clock; None is at its first event. Events
            before it are in no window.
        incomplete: keep windows that end after the last event. Without them the end of most recordings is lost.
        rebase: whether a piece's times count from its window's begin.
    """

    window: float
    stride: float | None = None
    start: float | None = None
    incomplete: bool = True
    rebase: bool = True

    def __post_init__(self) -> None:
        ticks("window", self.window)
        if self.stride is not None:
            ticks("stride", self.stride)
        if self.start is not None:
            ticks("start", self.start, least=0)

    def borders(self, t: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        window = ticks("window", self.window)
        stride = window if self.stride is None else ticks("stride", self.stride)
        t0 = int(t[0]) if self.start is None else ticks("start", self.start, least=0)
        span = int(t[-1]) - t0  # the last window begins at or before the last event
        count = span // stride + 1 if self.incomplete else (span + 1 - window) // stride + 1
        if count > MAX_WINDOWS:
            raise UserError(
                f"stride={stride * 1e-6:g} s cuts a recording of {span * 1e-6:g} s into {count} windows"
            )
        begins = t0 + stride * np.arange(max(count, 0))
        ends = begins + window
        return np.searchsorted(t, begins), np.searchsorted(t, ends), begins, ends


@dataclass(frozen=True)
class SliceCount(Slicer):
    """Windows of `count` events each, the next one `stride` events later; None is `count`.

    A window's time runs from its first event until right after its last. `incomplete` keeps a last one with fewer events.
    """

    count: int
    stride: int | None = None
    incomplete: bool = True
    rebase: bool = True

    def __post_init__(self) -> None:
        check_count("count", self.count)
        if self.stride is not None:
            check_count("stride", self.stride)

    def borders(self, t: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        n, stride = len(t), self.count if self.stride is None else self.stride
        last = n - 1 if self.incomplete else n - self.count
        if (
            self.incomplete and stride < self.count
        ):  # what the window before already has whole is no window of its own
            last = max(0, math.ceil((n - self.count) / stride) * stride)
        starts = np.arange(0, last + 1, stride)
        stops = np.minimum(starts + self.count, n)
        return starts, stops, t[starts], t[stops - 1] + 1


@dataclass(frozen=True)
class SliceNumber(Slicer):
    """So many windows of equal length, from the first event to the last, both included.

    With `overlap` o in [0, 1), each shares that part of its length with the next: the length is span / (1 + (n - 1)(1 - o)).
    Borders are rounded down to microseconds. `by_count` divides the events instead of the time.
    """

    number: int
    overlap: float = 0.0
    by_count: bool = False
    rebase: bool = True

    def __post_init__(self) -> None:
        check_count("number", self.number)
        check_part("overlap", self.overlap)
        if self.overlap == 1 or self.number > MAX_WINDOWS:
            raise UserError(f"expected overlap < 1 and at most {MAX_WINDOWS} windows, got {self}")

    def borders(self, t: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        span = len(t) if self.by_count else int(t[-1]) - int(t[0]) + 1
        length = span / (1 + (self.number - 1) * (1 - self.overlap))
        at = np.arange(self.number) * (length * (1 - self.overlap))
        starts, stops = (np.floor(border + 1e-6).astype(np.int64) for border in (at, at + length))
        if not self.overlap:
            stops[:-1] = starts[1:]  # and no rounding between them
        stops[-1] = span
        if not self.by_count:
            begins, ends = t[0] + starts, t[0] + stops
            return np.searchsorted(t, begins), np.searchsorted(t, ends), begins, ends
        begins = t[np.minimum(starts, len(t) - 1)]
        ends = np.where(stops > starts, t[np.maximum(stops, 1) - 1] + 1, begins)
        return starts, stops, begins, ends
