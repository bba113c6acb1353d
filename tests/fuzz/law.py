"""What a reader keeps to, whatever the file: events that fit their sensor, or one clear error; in bounded time and memory."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path
from random import Random

import numpy as np

from snnkit.datasets import Events, files
from snnkit.datasets.errors import EventFileError
from snnkit.datasets.files.base import Reader
from snnkit.errors import UserError

SECONDS = 5.0  # for one file of up to 64 KiB; the slowest good ones take 10 ms
FIXED, PER_BYTE = (
    24 << 20,
    250,
)  # bytes of memory: blocks and libraries; EVT3's vectors alone are 78 for a byte


class Broken(AssertionError):
    """A reader did what it must not."""


def read_all(path: Path, name: str | None, random: Random, seconds: float = SECONDS) -> int:
    """Read a file in one of several ways; the number of its events, or -1 for an error.

    Raises:
        Broken: the law is broken.
    """
    start = time.perf_counter()
    try:
        count = _read(path, name, random)
    except EventFileError as error:
        count = -1
        if error.offset is not None and not 0 <= error.offset <= path.stat().st_size:
            raise Broken(f"byte {error.offset} of a file of {path.stat().st_size}: {error}") from error
        if not error.reason or not error.source:
            raise Broken(f"an error without a reason: {error!r}") from error
    except UserError:
        count = -1
    if time.perf_counter() - start > seconds:
        raise Broken(f"it took {time.perf_counter() - start:.1f} s")
    return count


def _read(path: Path, name: str | None, random: Random) -> int:
    way = random.random()
    if way < 0.15:
        return len(_sound(files.read(path, format=name)))
    recording = files.inspect(path, format=name, on_error="truncate")
    if way < 0.35:
        for stream in recording.info.streams:
            recording.stream(stream.name)
        return 0
    events = _sound(recording.events())
    if way < 0.5:
        _same_in_chunks(recording, events, random)
    return len(events)


def _sound(events: Events) -> Events:
    """Every event lies within the sensor."""
    polarities, height, width = events.sensor
    for name, values, limit in (("x", events.x, width), ("y", events.y, height), ("p", events.p, polarities)):
        if len(values) != len(events.t):
            raise Broken(f"{len(values)} of {name}, {len(events.t)} of t")
        if len(values) and (values.min() < 0 or values.max() >= limit):
            raise Broken(f"{name} is {values.min()} to {values.max()}, not 0 to {limit - 1}")
    return events


def _same_in_chunks(recording: Reader, events: Events, random: Random) -> None:
    size, start = random.choice((1, 3, 50, 10**9)), 0
    for k, chunk in enumerate(recording.chunks(size)):
        stop = start + len(chunk)
        for name in "txyp":
            if not np.array_equal(getattr(chunk, name), getattr(events, name)[start:stop]):
                raise Broken(f"chunk {k} of {size} differs from the whole in {name}")
        start = stop
        if k == 200:  # enough of a long one
            return
    if start != len(events):
        raise Broken(f"{start} events in chunks of {size}, {len(events)} in the whole")


def within_memory(path: Path, name: str | None, random: Random, seconds: float = SECONDS) -> int:
    """As `read_all`, with the peak of memory held against the size of the file."""
    tracemalloc.start()
    try:
        count = read_all(path, name, random, seconds)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    allowed = FIXED + PER_BYTE * path.stat().st_size
    if peak > allowed:
        raise Broken(f"{peak >> 20} MiB for a file of {path.stat().st_size} bytes")
    return count
