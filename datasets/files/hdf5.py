"""HDF5 files of event cameras: which layout a file has, and the readers of recordings of cameras.

Prophesee   /CD/events {x, y, p, t}, often compressed with ECF; /EXT_TRIGGER/events        (Metavision SDK, "HDF5 Event Files")
DSEC        /events/{x, y, p, t}, /t_offset; TUM-VIE is alike; {xs, ys, ps, ts} in seconds  (Gehrig 2021, dsec.ifi.uzh.ch)
MVSEC       /davis/{left, right}/events: rows x, y, t in seconds, p = -1 or 1               (Zhu 2018, daniilidis-group.github.io/mvsec)
SHD, SSC    /spikes/{times, units}: many recordings                                        see `hdf5_spikes`
N-TIDIGITS  /{train, test}_{timestamps, addresses}/<label>: many recordings                see `hdf5_spikes`
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files.base import Columns, Damaged, Format, Options, Reader, Size, Stream
from snnkit.datasets.files.ecf import FILTER as ECF
from snnkit.datasets.files.ecf import decode_chunk
from snnkit.datasets.files.hdf5_access import (
    attributes,
    dataset,
    filters,
    geometry,
    h5_errors,
    member,
    opened,
)
from snnkit.datasets.files.hdf5_spikes import NTidigits, Spikes
from snnkit.datasets.files.hdf5_write import write
from snnkit.datasets.files.pieces import part, sound
from snnkit.errors import UserError

MAGIC = b"\x89HDF\r\n\x1a\n"
PIECE = 1 << 18  # events at a time
TRIGGER = np.dtype([("t", "<i8"), ("p", "<i2"), ("id", "<i2")])


class Columnar(Reader):
    """What recordings of cameras have in common: a piece is made of slices of datasets.

    A layout gives `names` of its datasets, `scale`, microseconds in their unit of time, and `slices`.
    """

    layout = ""
    names: tuple[str, ...] = ("",)
    scale = 1.0

    def __init__(self, path: Path, options: Options, file: h5py.File):
        header = {"layout": self.layout, **attributes(file)}
        size = geometry(header)
        super().__init__(
            path,
            options,
            format="HDF5",
            version=self.layout,
            size=Size(*size) if size else None,
            header=header,
        )

    def opened_columns(self, file: h5py.File) -> list[h5py.Dataset]:
        return [dataset(file, name) for name in self.names]

    def slices(self, columns: list[h5py.Dataset], start: int, stop: int) -> tuple[NDArray[Any], ...]:
        """t, x, y and p of some events."""
        raise NotImplementedError

    def columns(self, size: int | None) -> Iterator[Columns]:
        step = PIECE if size is None else max(min(size, PIECE), 1 << 12)
        with opened(self.path) as file:
            columns = self.opened_columns(file)
            lengths = [len(c) for c in columns]
            for start in range(0, min(lengths), step):
                with h5_errors():
                    slices = self.slices(columns, start, min(start + step, min(lengths)))
                yield from sound(*slices, size=self.size, first=start, scale=self.scale)
            if len(set(lengths)) > 1:
                raise Damaged(None, f"truncated: {', '.join(self.names)} have the lengths {lengths}")

    def count(self) -> int | None:
        try:
            with opened(self.path) as file:
                return min(len(c) for c in self.opened_columns(file))
        except (Damaged, UserError):
            return None


class Dsec(Columnar):
    """/events/{x, y, p, t} in microseconds, counted from /t_offset."""

    layout = "DSEC"
    names = ("events/t", "events/x", "events/y", "events/p")

    def __init__(self, path: Path, options: Options, file: h5py.File):
        super().__init__(path, options, file)
        self._offset = 0
        if member(file, "t_offset") is not None:
            with h5_errors():
                self._offset = int(dataset(file, "t_offset", axes=0)[()])
            self.header["t_offset"] = str(self._offset)
        if abs(self._offset) > 1 << 62:
            raise Damaged(None, f"t_offset is {self._offset}")

    def slices(self, columns: list[h5py.Dataset], start: int, stop: int) -> tuple[NDArray[Any], ...]:
        t, x, y, p = (_numbers(c[start:stop]) for c in columns)
        if t.dtype.kind == "f" or (t.size and int(t.max()) > 1 << 62):
            raise Damaged(
                None, f"expected integers below 2^62 as times, got {t.dtype} up to {t.max(initial=0)}"
            )
        return t.astype(np.int64) + self._offset, x, y, p


class Seconds(Columnar):
    """/events/{xs, ys, ps, ts}, as e2vid and ESIM have them: seconds, polarities as truth values."""

    layout = "events/xs, ys, ts, ps"
    names = ("events/ts", "events/xs", "events/ys", "events/ps")
    scale = 1e6

    def slices(self, columns: list[h5py.Dataset], start: int, stop: int) -> tuple[NDArray[Any], ...]:
        t, x, y, p = (_numbers(c[start:stop]) for c in columns)
        return t, x, y, p


class Mvsec(Columnar):
    """/davis/left/events, rows of x, y, t in seconds, p; `sample` is "left" (the default) or "right"."""

    layout = "MVSEC"
    scale = 1e6

    def __init__(self, path: Path, options: Options, file: h5py.File):
        sides = [side for side in ("left", "right") if member(file, f"davis/{side}/events") is not None]
        side = sides[0] if options.sample is None else options.sample
        if side not in sides:
            raise UserError(f"sample is the camera, one of {', '.join(sides)}; got {side!r}")
        self._camera = f"davis/{side}"
        super().__init__(path, options, file)
        self.size = self.size or Size(346, 260, "inferred")
        self.header["camera"] = str(side)

    def opened_columns(self, file: h5py.File) -> list[h5py.Dataset]:
        rows = dataset(file, f"{self._camera}/events", axes=2)
        if rows.shape[1] != 4:
            raise Damaged(None, f"{self._camera}/events has {rows.shape[1]} columns; expected 4")
        return [rows]

    def slices(self, columns: list[h5py.Dataset], start: int, stop: int) -> tuple[NDArray[Any], ...]:
        x, y, t, p = _numbers(columns[0][start:stop]).T
        return t, x, y, p

    def streams(self) -> tuple[Stream, ...]:
        with opened(self.path) as file:
            found = []
            for name, kind, content in (("imu", "imu", "imu"), ("frames", "frames", "image_raw")):
                there = [member(file, f"{self._camera}/{content}{end}") for end in ("", "_ts")]
                if None not in there:
                    found.append(Stream(name, kind, len(dataset(file, f"{self._camera}/{content}_ts"))))
        return tuple(found)

    def records(self, name: str) -> Iterator[NDArray[Any]]:
        content, axes = ("imu", 2) if name == "imu" else ("image_raw", 3)
        with opened(self.path) as file:
            rows = dataset(file, f"{self._camera}/{content}", axes=axes)
            times = dataset(file, f"{self._camera}/{content}_ts")
            field = "values" if name == "imu" else "image"
            dtype = np.dtype([("t", "<i8"), (field, rows.dtype, rows.shape[1:])])
            for start in range(0, len(rows) or 1, 64):
                with h5_errors():
                    values = _numbers(rows[start : start + 64])
                    t = _numbers(times[start : start + 64])[: len(values)].astype(np.float64)
                if not (np.abs(t) < 1e12).all():
                    raise Damaged(None, f"times of {content} are not seconds")
                out = np.empty(len(t), dtype)
                out["t"], out[field] = np.rint(t * 1e6), values[: len(t)]
                yield out


class Prophesee(Columnar):
    """/CD/events, one compound of x, y, p and t in microseconds."""

    layout = "Prophesee"
    names = ("CD/events",)

    def opened_columns(self, file: h5py.File) -> list[h5py.Dataset]:
        rows = dataset(file, "CD/events")
        if not {"t", "x", "y", "p"} <= set(rows.dtype.names or ()):
            raise Damaged(None, f"CD/events has the type {rows.dtype}; expected x, y, p, t")
        return [rows]

    def slices(self, columns: list[h5py.Dataset], start: int, stop: int) -> tuple[NDArray[Any], ...]:
        rows = columns[0][start:stop]
        return tuple(_numbers(rows[name]) for name in ("t", "x", "y", "p"))

    def columns(self, size: int | None) -> Iterator[Columns]:
        with opened(self.path) as file:
            rows = self.opened_columns(file)[0]
            codes = filters(rows)
            if ECF in codes:
                if codes != [ECF]:
                    raise Damaged(None, f"CD/events has the filters {codes}; ECF stands alone")
                yield from self._chunks_of_ecf(rows)
                return
        yield from super().columns(size)

    def _chunks_of_ecf(self, rows: h5py.Dataset) -> Iterator[Columns]:
        step = rows.chunks[0]
        for start in range(0, len(rows), step):
            with h5_errors():
                mask, data = rows.id.read_direct_chunk((start,))
            wanted = min(step, len(rows) - start)
            if mask & 1:  # stored as it is
                if len(data) != step * rows.dtype.itemsize:
                    raise Damaged(None, f"a chunk of {len(data)} bytes; expected {step} events")
                piece = np.frombuffer(data, rows.dtype)[:wanted]
                slices = [_numbers(piece[name]) for name in ("t", "x", "y", "p")]
                yield from sound(*slices, size=self.size, first=start)
                continue
            columns = decode_chunk(data, step)
            if len(columns.t) < wanted:
                raise Damaged(None, f"the chunk at event {start} has {len(columns.t)} of {wanted} events")
            yield from sound(*part(columns, 0, wanted), size=self.size, first=start)

    def streams(self) -> tuple[Stream, ...]:
        with opened(self.path) as file:
            if member(file, "EXT_TRIGGER/events") is None:
                return ()
            return (Stream("triggers", "triggers", len(dataset(file, "EXT_TRIGGER/events"))),)

    def records(self, name: str) -> Iterator[NDArray[Any]]:
        with opened(self.path) as file:
            rows = dataset(file, "EXT_TRIGGER/events")
            if not {"t", "p", "id"} <= set(rows.dtype.names or ()):
                raise Damaged(None, f"EXT_TRIGGER/events has the type {rows.dtype}; expected p, t, id")
            with h5_errors():
                found = rows[:]
                out = np.empty(len(found), TRIGGER)
                for field in ("t", "p", "id"):
                    out[field] = _numbers(found[field])
        yield out


def _numbers(values: NDArray[Any]) -> NDArray[Any]:
    """An array of numbers or truth values (as numbers)."""
    if values.dtype.kind == "b":
        return values.view(np.uint8)
    if values.dtype.kind not in "iuf":
        raise Damaged(None, f"expected numbers, got {values.dtype}")
    return values


LAYOUTS: dict[str, Any] = {  # by a member that only this layout has
    "CD/events": Prophesee,
    "spikes/times": Spikes,
    "train_timestamps": NTidigits,
    "test_timestamps": NTidigits,
    "davis/left/events": Mvsec,
    "davis/right/events": Mvsec,
    "events/t": Dsec,
    "events/ts": Seconds,
}


def _open(path: Path, options: Options) -> Reader:
    with opened(path) as file:
        for name, layout in LAYOUTS.items():
            if member(file, name) is not None:
                return layout(path, options, file)
        with h5_errors():
            there = ", ".join(list(file)[:10])
    known = ", ".join(LAYOUTS)
    raise Damaged(None, f"no known layout: it has {there or 'nothing'}; recordings have one of {known}")


def _recognise(head: bytes, path: Path) -> bool:
    return head.startswith(MAGIC)


FORMATS = (Format("hdf5", "HDF5", (".h5", ".hdf5"), _recognise, _open, write),)
