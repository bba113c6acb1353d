"""Datasets that are not events yet: pictures, and signals such as audio and motion. An encoder makes events of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.dataset import EventDataset, Labelled
from snnkit.datasets.progress import track
from snnkit.errors import UserError
from snnkit.recordings import Events, end_to_end


@dataclass(frozen=True, eq=False, repr=False)
class _Encodable(Labelled):
    """A dataset whose samples are arrays."""

    def encode(self, encoder: Callable[[Any], Events], *, progress: bool = True) -> EventDataset:
        """The same samples as recordings: `encoder(array) -> Events` for each, kept in memory.

        `snnkit.datasets.pack` writes them to disk instead: `pack(range(len(ds)), lambda i: encoder(ds[i][0]), folder)`.
        """
        recordings = []
        for sample, _ in track(self, f"encoding {self.name}", total=len(self), show=progress):
            recordings.append(encoder(sample))
        about = {name: self.column(name) for name in self.about}
        return EventDataset(self.name, end_to_end(recordings), self.labels, self.classes, about=about)


@dataclass(frozen=True, eq=False, repr=False)
class ArrayDataset(_Encodable):
    """Labelled arrays of one shape, such as pictures: `ds[i] -> (float32 array, int)`, ready for torch's DataLoader.

    Args:
        arrays: all stored samples, memory-mapped or not, (samples, *shape).
        scale: what they are multiplied with; 1/255 brings bytes to [0, 1].
        extras: arrays about the whole set, such as a ground truth between its samples.
        name, targets, classes, ids, about, transform: as for every dataset.
    """

    arrays: NDArray = field(kw_only=True)
    scale: float = field(default=1.0, kw_only=True)
    extras: Mapping[str, NDArray] = field(default_factory=dict, kw_only=True)

    kind: ClassVar[str] = "arrays"

    def _stored(self) -> int:
        return len(self.arrays)

    def _sample(self, row: int) -> NDArray[np.float32]:
        return np.multiply(self.arrays[row], self.scale, dtype=np.float32)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        return f"ArrayDataset({self.name}: {len(self)} arrays of {size}, {len(self.classes)} classes)"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.arrays.shape[1:])

    @property
    def images(self) -> NDArray[np.float32]:
        """All samples as one array, float32 (len, *shape), scaled."""
        return np.multiply(self.arrays[self._ids], self.scale, dtype=np.float32)


@dataclass(frozen=True, eq=False, repr=False)
class SignalDataset(_Encodable):
    """Labelled signals of any length: `ds[i] -> (float32 (samples,) or (samples, channels), int)`.

    Args:
        signal: all stored signals end to end.
        starts, stops: rows of `signal` where each begins and ends.
        rate: samples per second; nominal where they are not evenly spaced.
        channels: what each channel is, with its unit.
        scale: what they are multiplied with; 1/32768 brings 16-bit audio to [-1, 1).
        times: time of every row in seconds, counted from the start of its recording, where it was measured.
        name, targets, classes, ids, about, transform: as for every dataset.
    """

    signal: NDArray = field(kw_only=True)
    starts: NDArray[np.int64] = field(kw_only=True)
    stops: NDArray[np.int64] = field(kw_only=True)
    rate: float = field(kw_only=True)
    channels: tuple[str, ...] = field(default=("sound",), kw_only=True)
    scale: float = field(default=1.0, kw_only=True)
    times: NDArray[np.float64] | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "signals"

    def _stored(self) -> int:
        return len(self.starts)

    def _sample(self, row: int) -> NDArray[np.float32]:
        part = self.signal[int(self.starts[row]) : int(self.stops[row])]
        return np.multiply(part, self.scale, dtype=np.float32)

    def __repr__(self) -> str:
        return (
            f"SignalDataset({self.name}: {len(self)} signals, {self.lengths.sum() / self.rate:.0f} s at {self.rate:g} Hz, "
            f"{len(self.channels)} channels, {len(self.classes)} classes)"
        )

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows of every sample."""
        return (self.stops - self.starts)[self._ids]

    def windows(self, length: float, hop: float | None = None) -> SignalDataset:
        """Every stretch of `length` seconds that fits into a sample, one each `hop` seconds (default: `length`).

        A view: nothing is copied. Each window keeps its sample's label and all that is known of it, so that
        `split(..., by=...)` still keeps speakers and persons apart.
        """
        rows, step = round(length * self.rate), round((length if hop is None else hop) * self.rate)
        if rows < 1 or step < 1:
            raise UserError(
                f"expected length and hop of at least one sample ({1 / self.rate:g} s), got {length}, {hop}"
            )
        counts = np.maximum((self.lengths - rows) // step + 1, 0)
        owner = np.repeat(self._ids, counts)
        first = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        starts = self.starts[owner] + first * step
        about = {name: np.asarray(column)[owner] for name, column in self.about.items()}
        targets = np.asarray(self.targets)[owner]
        return replace(self, ids=None, starts=starts, stops=starts + rows, targets=targets, about=about)

    def padded(self, length: float) -> ArrayDataset:
        """All samples with `length` seconds: cut, or followed by zeros; in memory."""
        rows = round(length * self.rate)
        out = np.zeros((len(self), rows, *self.signal.shape[1:]), self.signal.dtype)
        for i, row in enumerate(self._ids):
            part = self.signal[
                int(self.starts[row]) : min(int(self.stops[row]), int(self.starts[row]) + rows)
            ]
            out[i, : len(part)] = part
        about = {name: self.column(name) for name in self.about}
        return ArrayDataset(
            self.name,
            self.labels,
            self.classes,
            about=about,
            transform=self.transform,
            arrays=out,
            scale=self.scale,
        )
