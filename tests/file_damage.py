"""Damaged files for the tests of all readers: whatever the bytes are, events or an EventFileError, nothing else."""

import tracemalloc
import warnings
from pathlib import Path

import numpy as np

from snnkit.datasets.errors import EventFileError
from snnkit.datasets.files import inspect
from snnkit.recordings import Events

COLUMNS = ("t", "x", "y", "p")
MOST = 64 << 20  # bytes of memory that reading a small file may take


def same(a: Events, b: Events) -> bool:
    return a.sensor == b.sensor and all(np.array_equal(getattr(a, c), getattr(b, c)) for c in COLUMNS)


def starts_with(whole: Events, part: Events) -> bool:
    return all(np.array_equal(getattr(whole, c)[: len(part)], getattr(part, c)) for c in COLUMNS)


def joined(chunks, sensor) -> Events:
    chunks = list(chunks)
    empty = Events([], [], [], [], sensor=sensor)
    return Events(
        *(np.concatenate([getattr(e, c) for e in [empty, *chunks]]) for c in COLUMNS), sensor=sensor
    )


def read_anyhow(path: Path, **options) -> Events:
    """All that can be read, and a check that it is sound and that chunks are the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = inspect(path, on_error="truncate", **options).events()
        parts = joined(inspect(path, on_error="truncate", **options).chunks(7), whole.sensor)
    assert same(whole, parts)
    polarities, height, width = whole.sensor
    assert not len(whole) or (whole.x.min() >= 0 and whole.x.max() < width)
    assert not len(whole) or (whole.y.min() >= 0 and whole.y.max() < height)
    assert not len(whole) or whole.p.max() < polarities
    return whole


def check_damaged(path: Path, data: bytes, **options) -> Events | None:
    """Write these bytes and read them, streams too; the events, or None if the file is refused."""
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                reader = inspect(path, **options)
                reader.events()
                for stream in reader.info.streams:
                    if stream.kind != "other":
                        reader.stream(stream.name)
            except EventFileError as error:
                assert error.reason and error.format is not None
        try:
            return read_anyhow(path, **options)
        except EventFileError:
            return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MOST, f"{peak} bytes for a file of {len(data)}"


def check_cuts(path: Path, data: bytes, whole: Events, cuts, format: str) -> None:
    """A file cut at any of these places gives a beginning of its events, and the more the later it is cut."""
    last = 0
    for cut in sorted(cuts):
        events = check_damaged(path, data[:cut], sensor=whole.sensor, format=format)
        if events is not None:
            assert starts_with(whole, events)
            assert len(events) >= last
            last = len(events)
