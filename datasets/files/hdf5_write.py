"""Writing recordings as HDF5, in the layout of Prophesee or of DSEC; see `hdf5`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files.base import Columns
from snnkit.datasets.files.ecf import FILTER, LARGEST, encode_chunk
from snnkit.errors import UserError
from snnkit.recordings import Events

CHUNK = 16384  # events
EVENT = np.dtype(
    {
        "names": ["x", "y", "p", "t"],
        "formats": ["<u2", "<u2", "<i2", "<i8"],
        "offsets": [0, 2, 4, 8],
        "itemsize": 16,
    }
)
TRIGGER = np.dtype(
    {"names": ["p", "t", "id"], "formats": ["<i2", "<i8", "<i2"], "offsets": [0, 8, 16], "itemsize": 24}
)
INDEX = np.dtype([("id", "<u8"), ("ts", "<i8")])
INDEX_STEP = 2000  # microseconds
MOST_INDEXES = 1 << 24
LAYOUTS = {"prophesee": ("gzip", "ecf", "none"), "dsec": ("gzip", "none")}


def write(events: Events, path: Path, *, layout: str = "prophesee", compression: str = "gzip") -> None:
    """Write events as HDF5.

    Args:
        events: sorted in time. They read back with two polarities.
        path: where to.
        layout: "prophesee" (Metavision's tools read it) or "dsec".
        compression: "gzip", "none", or, for Prophesee, "ecf": smaller and faster, but other programs need its plugin.
    """
    if layout not in LAYOUTS:
        raise UserError(f"layout is one of {', '.join(LAYOUTS)}; got {layout!r}")
    if compression not in LAYOUTS[layout]:
        raise UserError(
            f"compression of {layout} is one of {', '.join(LAYOUTS[layout])}; got {compression!r}"
        )
    if (events.t[1:] < events.t[:-1]).any():
        raise UserError("this layout has an index of times, so events must be sorted; write events.sorted()")
    _, height, width = events.sensor
    if compression == "ecf" and max(height, width) > LARGEST + 1:
        raise UserError(
            f"ECF has 11 bits for a coordinate, but the sensor is {width}x{height}; use compression='gzip'"
        )
    span = int(events.t[-1]) - int(events.t[0]) if len(events) else 0
    if layout == "dsec" and span >= 1 << 32:
        raise UserError(f"DSEC has 32 bits for times, 4295 s; these events last {span * 1e-6:.0f} s")
    if span // INDEX_STEP > MOST_INDEXES:
        raise UserError(
            f"these events last {span * 1e-6:.0f} s; the index of times would be larger than they are"
        )
    with h5py.File(path, "w") as file:
        file.attrs["geometry"] = f"{width}x{height}"
        if layout == "dsec":
            _dsec(file, events, compression)
        else:
            _prophesee(file, events, compression, span)


def _dsec(file: h5py.File, events: Events, compression: str) -> None:
    offset = int(events.t[0]) if len(events) else 0
    t = (events.t - offset).astype(np.uint32)
    for name, values in (("t", t), ("x", events.x), ("y", events.y), ("p", events.p != 0)):
        dtype = {"t": "<u4", "p": "u1"}.get(name, "<u2")
        _column(file, f"events/{name}", values.astype(dtype), compression)
    milliseconds = np.arange(0, int(t[-1]) // 1000 + 1 if len(t) else 0) * 1000
    file["ms_to_idx"] = np.searchsorted(t, milliseconds).astype("<u8")
    file["t_offset"] = np.int64(offset)


def _prophesee(file: h5py.File, events: Events, compression: str, span: int) -> None:
    file.attrs["version"] = "1.0"
    if compression == "ecf":
        file.attrs["format"] = "ECF"
        _ecf(file, events)
    else:
        rows = np.zeros(len(events), EVENT)
        for name in ("t", "x", "y", "p"):
            rows[name] = getattr(events, name)
        _column(file, "CD/events", rows, compression)
    indexes = file.create_dataset(
        "CD/indexes", data=_indexes(events.t, span), maxshape=(None,), chunks=(CHUNK,)
    )
    indexes.attrs["offset"] = str(-int(events.t[0]) if len(events) else 0)
    file.create_dataset("EXT_TRIGGER/events", (0,), TRIGGER, maxshape=(None,), chunks=(CHUNK,))
    file.create_dataset("EXT_TRIGGER/indexes", (0,), INDEX, maxshape=(None,), chunks=(CHUNK,))


def _ecf(file: h5py.File, events: Events) -> None:
    """Chunks that are compressed here and stored as they are; the last one is filled up with its last event."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((CHUNK,))
    plist.set_filter(FILTER, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((len(events),), (h5py.h5s.UNLIMITED,))
    group = file.create_group("CD")
    identifier = h5py.h5d.create(group.id, b"events", h5py.h5t.py_create(EVENT), space, plist)
    for start in range(0, len(events), CHUNK):
        part = [getattr(events, name)[start : start + CHUNK] for name in ("t", "x", "y", "p")]
        missing = CHUNK - len(part[0])
        part = [np.concatenate([c, np.repeat(c[-1:], missing)]) for c in part]
        identifier.write_direct_chunk((start,), encode_chunk(Columns(*part)))


def _indexes(t: NDArray[np.int64], span: int) -> NDArray[Any]:
    """The first event of every 2 ms, and its time, both counted from the first event; one row before that says none."""
    if not len(t):
        return np.zeros(0, INDEX)
    starts = t[0] + INDEX_STEP * np.arange(span // INDEX_STEP + 1)
    out = np.zeros(len(starts) + 1, INDEX)
    out["ts"][0] = -1
    out["id"][1:] = np.searchsorted(t, starts)
    out["ts"][1:] = t[np.searchsorted(t, starts)] - t[0]
    return out


def _column(file: h5py.File, name: str, values: NDArray[Any], compression: str) -> None:
    how = {"compression": "gzip", "compression_opts": 4, "shuffle": True} if compression == "gzip" else {}
    file.create_dataset(name, data=values, maxshape=(None,), chunks=(CHUNK,), **how)
