"""N-MNIST's recordings: 5 bytes an event, no header (also N-Caltech101's .bin and SLAYER's .bs2).

    byte 0: x    byte 1: y    byte 2: polarity in bit 7 (1 is ON), then 23 bits of time in microseconds, big-endian

A record with y = 240 is no event: it adds 2^13 us to all later times. N-MNIST has none, but the format allows it, and
the authors' Python reader applies it (Orchard 2015, https://github.com/gorchard/event-Python).
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.errors import DataNotFound, EventFileError
from snnkit.recordings import Events, Sensor

SENSOR: Sensor = (2, 34, 34)
RECORD = 5  # bytes
OVERFLOW_ROW, OVERFLOW_TIME = 240, 1 << 13


def read_nmnist(path: str | PathLike[str], *, sensor: Sensor = SENSOR) -> Events:
    """Read one recording in N-MNIST's binary layout.

    Args:
        path: a .bin (or .bs2) file.
        sensor: (2, height, width); (2, 180, 240) for N-Caltech101.

    Raises:
        DataNotFound: there is no such file.
        EventFileError: it is truncated, or no recording of this sensor; names file, byte and reason.
    """
    file = Path(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataNotFound(f"cannot read {file}: {error.strerror or error}") from error
    return decode_nmnist(data, str(file), sensor=sensor)


def decode_nmnist(data: bytes, source: str, *, sensor: Sensor = SENSOR) -> Events:
    """Decode the content of a file; `source` names it in errors. See `read_nmnist`."""
    if not data:
        raise EventFileError(source, 0, "the file is empty; download it again")
    rest = len(data) % RECORD
    if rest:
        raise EventFileError(
            source,
            len(data) - rest,
            f"truncated: {rest} of {RECORD} bytes of the last event; download it again",
        )
    raw = np.frombuffer(data, dtype=np.uint8).reshape(-1, RECORD)
    x, y = raw[:, 0], raw[:, 1]
    high, middle, low = (raw[:, k].astype(np.int64) for k in (2, 3, 4))
    t = ((high & 0x7F) << 16) | (middle << 8) | low
    p = raw[:, 2] >> 7
    event = np.ones(len(raw), dtype=bool)
    if sensor[1] <= OVERFLOW_ROW and (y == OVERFLOW_ROW).any():
        event = y != OVERFLOW_ROW
        t += OVERFLOW_TIME * np.cumsum(~event)
    _check(source, t, x, y, event, sensor)
    x, y, p = x[event].astype(np.int16), y[event].astype(np.int16), p[event]
    return Events(t[event], x, y, p, sensor=sensor)


def _check(source: str, t: NDArray, x: NDArray, y: NDArray, event: NDArray, sensor: Sensor) -> None:
    """Name the first record that cannot be an event of this sensor."""
    _, height, width = sensor
    outside = event & ((x >= width) | (y >= height))
    back = np.zeros(len(t), dtype=bool)
    kept = np.flatnonzero(event)
    back[kept[1:]] = np.diff(t[kept]) < 0
    wrong = outside | back
    if not wrong.any():
        return
    k = int(wrong.argmax())
    if outside[k]:
        reason = f"x={x[k]}, y={y[k]} is outside the sensor of {width}x{height} pixels"
    else:
        reason = f"the time goes backwards, to {t[k]} us"
    raise EventFileError(source, k * RECORD, f"{reason}; this is no N-MNIST recording, or it is damaged")
