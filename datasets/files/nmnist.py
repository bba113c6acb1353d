"""N-MNIST's and N-Caltech101's .bin (and SLAYER's .bs2): 5 bytes an event, nothing else (Orchard 2015).

    byte 0: x    byte 1: y    byte 2: polarity in bit 7 (1 is ON), then 23 bits of time in microseconds, big-endian

A record with y = 240 is no event: it adds 2^13 us to all later times. N-MNIST has none, but the format allows it, and
the authors' Python reader applies it (https://github.com/gorchard/event-Python). Sensors taller than 240 rows have
events there.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from snnkit.datasets.errors import DataNotFound, EventFileError
from snnkit.datasets.files.base import Format, Options, Size, check_writable
from snnkit.datasets.files.blocks import EVENTS, BlockReader, Loop, room
from snnkit.errors import UserError
from snnkit.recordings import Events, Sensor

SENSOR: Sensor = (2, 34, 34)
RECORD = 5  # bytes
LAST_TIME = (1 << 23) - 1
ENOUGH = 1 << 13  # bytes at the beginning that must make sense
TOLERATED = 0.02  # share of wrong records in a file that is still recognised, to be told where it is damaged
TITLE = "N-MNIST"


class NMNIST(BlockReader):
    """A .bin file. Its sensor: 34x34 if nearly all events fit into it, otherwise the largest coordinates tell."""

    def __init__(self, path: Path, options: Options):
        size = (
            Size(34, 34, "inferred") if options.sensor is None and _plausible(_head(path), 34, 34) else None
        )
        super().__init__(path, options, format=TITLE, size=size)

    def count(self) -> int | None:
        return None if self.declared is None or self.declared.height <= 240 else self.rest() // RECORD

    def loop(self, name: str) -> Loop:
        from snnkit.kernels.events import decode_records as kernel

        width, height = self.bounds if self.declared else (256, 240)
        state = kernel.start(width, height)
        return Loop(kernel.nmnist, state, EVENTS, (np.uint8, RECORD), lambda: self.rest() // RECORD)

    def reason(self, code: int, record: bytes) -> str:
        return _reason(code, record, self.declared or Size(256, 240))


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
    """Decode the content of a file, as out of an archive; `source` names it in errors. See `read_nmnist`."""
    from snnkit.kernels.events import decode_records as kernel

    if not data:
        raise EventFileError(source, 0, "the file is empty; download it again")
    rest = len(data) % RECORD
    if rest:
        reason = f"truncated: {rest} of {RECORD} bytes of the last event; download it again"
        raise EventFileError(source, len(data) - rest, reason)
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, RECORD)
    rows = room(EVENTS, len(records))
    used, n, code = kernel.nmnist(records, kernel.start(sensor[2], sensor[1]), *rows, 0, len(records))
    if code:
        size = Size(sensor[2], sensor[1])
        reason = (
            f"{_reason(code, records[used].tobytes(), size)}; this is no N-MNIST recording, or it is damaged"
        )
        raise EventFileError(source, int(used) * RECORD, reason)
    return Events(*(c[:n] for c in rows), sensor=sensor)


def _reason(code: int, record: bytes, size: Size) -> str:
    from snnkit.kernels.events.decode_common import OUTSIDE

    x, y = record[0], record[1]
    if code == OUTSIDE:
        return f"x={x}, y={y} is outside the sensor of {size.width}x{size.height} pixels"
    return f"the time goes backwards, to {int.from_bytes(record[2:5], 'big') & LAST_TIME} us"


# -- recognition: no signature, so the records themselves must make sense ---------------------------------------------


def recognise(head: bytes, path: Path) -> bool:
    """Do nearly all records fit a sensor of 240x180, in the order of time, and no worse than if they began elsewhere?"""
    wrong = [_wrong(head[phase:ENOUGH], 240, 180) for phase in range(RECORD)]
    return wrong[0] <= TOLERATED and wrong[0] == min(wrong)


def _plausible(head: bytes, width: int, height: int) -> bool:
    return _wrong(head, width, height) <= TOLERATED


def _wrong(head: bytes, width: int, height: int) -> float:
    """Share of the records that cannot be: outside the sensor, or earlier than the one before."""
    records = np.frombuffer(head[: len(head) - len(head) % RECORD], np.uint8).reshape(-1, RECORD)
    if not len(records) or (len(records) > 1 and (records == records[0]).all()):
        return 1.0
    x, y = records[:, 0], records[:, 1]
    t = (records[:, 2:].astype(np.int64) @ (1 << 16, 1 << 8, 1)) & LAST_TIME
    overflow = y == 240
    outside = ((x >= width) | (y >= height)) & ~overflow
    back = np.diff(t[~overflow]) < (-8192 * int(overflow.sum()))
    return float((outside.sum() + back.sum()) / len(records))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(ENOUGH)


# -- writing ----------------------------------------------------------------------------------------------------------


def write(events: Events, path: Path) -> None:
    """5 bytes an event. The file does not say its sensor: pass sensor= to read it again, if it is not 34x34."""
    check_writable(events, TITLE, width=256, height=256, last=LAST_TIME, ordered=True)
    if (events.y == 240).any() and events.sensor[1] <= 240:
        raise UserError(f"{TITLE} cannot hold events in row 240")
    records = np.empty((len(events), RECORD), np.uint8)
    records[:, 0], records[:, 1] = events.x, events.y
    stamp = (events.t | events.p.astype(np.int64) << 23).astype(">u4").view(np.uint8).reshape(-1, 4)
    records[:, 2:] = stamp[:, 1:]
    records.tofile(path)


FORMATS = (Format("nmnist", TITLE, (".bin", ".bs2"), recognise, NMNIST, write, headless=True),)
