"""Prophesee's .dat: text, two bytes (type and size of a record), records of 8 bytes, little-endian.

    version 2   time:32, then from the lowest bit x:14 | y:14 | polarity:4
    version 1   time:32, then x:9 | y:8 | polarity:1; also without any text, and then without the two bytes
    triggers    time:32, then value:4 | 22 bits | id:6

Time is in microseconds modulo 2^32; a fall by more than half of that is a wrap. (docs.prophesee.ai, "DAT File Format")
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files import header as text
from snnkit.datasets.files.base import Columns, Damaged, Format, Options, Stream, check_writable
from snnkit.datasets.files.blocks import EVENTS, BlockReader, Loop
from snnkit.errors import UserError
from snnkit.recordings import Events

TITLE = "Prophesee DAT"
EVENT_TYPES, TRIGGER, FLOW = (0x00, 0x0C), 0x0E, 0x28
RECORD = 8
TRIGGERS = np.dtype([("t", "<i8"), ("id", "u1"), ("value", "u1")])


class DAT(BlockReader):
    """A .dat file. Its sensor is in the header; where it is not, as in N-CARS, the largest coordinates tell."""

    def __init__(self, path: Path, options: Options):
        header = text.read_header(path)
        version = header.get("version") or "1"
        self.body, self.kind = header.body, 0
        if header.entries:
            self.kind = self._kind(path, header.body)
            self.body += 2
        if version not in ("1", "2"):
            raise Damaged(header.place("version"), f"version {version[:20]!r}; there are 1 and 2")
        size = text.size_in(header)
        super().__init__(path, options, format=TITLE, version=version, size=size, header=header.entries)

    def _kind(self, path: Path, at: int) -> int:
        with path.open("rb") as file:
            file.seek(at)
            two = file.read(2)
        if len(two) < 2:
            raise Damaged(at, "truncated: the file ends before the type and the size of its records")
        kind, size = two
        if kind not in (*EVENT_TYPES, TRIGGER):
            what = "optical flow" if kind == FLOW else "unknown"
            raise Damaged(
                at,
                f"records of type 0x{kind:02X} ({what}); there are events, 0x00 or 0x0C, and triggers, 0x0E",
            )
        if size != RECORD:
            raise Damaged(at + 1, f"records of {size} bytes; those of type 0x{kind:02X} have {RECORD}")
        return kind

    def count(self) -> int | None:
        return 0 if self.kind == TRIGGER else self.rest() // RECORD

    def streams(self) -> tuple[Stream, ...]:
        return (Stream("triggers", "triggers", self.rest() // RECORD),) if self.kind == TRIGGER else ()

    def columns(self, size: int | None) -> Iterator[Columns]:
        return iter(()) if self.kind == TRIGGER else super().columns(size)

    def records(self, name: str) -> Iterator[NDArray[Any]]:
        yield np.empty(0, TRIGGERS)
        for t, ids, values in self.pieces(self.loop(name), None):
            out = np.empty(len(t), TRIGGERS)
            out["t"], out["id"], out["value"] = t, ids, values
            yield out

    def loop(self, name: str) -> Loop:
        from snnkit.kernels.events import decode_records as kernel

        state = kernel.start(*self.bounds, int(self.version) if self.header else 0)
        word = (np.uint32, 2)
        if name == "triggers":
            return Loop(kernel.dat_triggers, state, (np.int64, np.uint8, np.uint8), word, self._capacity)
        return Loop(kernel.dat, state, EVENTS, word, self._capacity)

    def _capacity(self) -> int:
        return self.rest() // RECORD

    def finished(self, state: NDArray[np.int64]) -> None:
        from snnkit.kernels.events.decode_records import ODD

        if state[ODD]:
            self.note(f"{state[ODD]} events have more than 0 and 1 as polarity; its lowest bit counts")

    def reason(self, code: int, record: bytes) -> str:
        from snnkit.kernels.events.decode_common import UNDEFINED

        word = int.from_bytes(record[4:8], "little")
        if code == UNDEFINED:
            return f"0x{word:08X} is no event: its upper 14 bits are not 0, as they are in files without a header"
        x, y = (
            (word & 0x3FFF, word >> 14 & 0x3FFF) if self.version == "2" else (word & 0x1FF, word >> 9 & 0xFF)
        )
        width, height = self.bounds
        return f"x={x}, y={y} is outside the sensor of {width}x{height} pixels"


def recognise(head: bytes, path: Path) -> bool:
    """A header that says so, followed by a known type and size."""
    header = text.parse(head)
    if not header.entries or header.get("evt", "format", "system_id") is not None:
        return False
    kind_and_size = head[header.body : header.body + 2]
    says = header.get("version") is not None or "Data" in header.entries or header.get("height") is not None
    return says or kind_and_size in (b"\x00\x08", b"\x0c\x08", b"\x0e\x08")


def recognise_headless(head: bytes, path: Path) -> bool:
    """Records of version 1 in the order of time, with nothing in the bits that they do not use."""
    records = np.frombuffer(head[: len(head) - len(head) % RECORD], "<u4").reshape(-1, 2)
    if (
        path.stat().st_size % RECORD
        or not len(records)
        or (len(records) > 1 and (records == records[0]).all())
    ):
        return False
    times = records[:, 0].astype(np.int64)
    return bool(
        (records[:, 1] >> 18 == 0).all() and (np.diff(times) >= 0).mean() >= 0.98 if len(times) > 1 else False
    )


# -- writing ----------------------------------------------------------------------------------------------------------


def write(events: Events, path: Path, *, version: int = 2) -> None:
    """8 bytes an event; `version` 2, or 1 for sensors of at most 512x256 pixels."""
    if version not in (1, 2):
        raise UserError(f"{TITLE} has version 1 and 2; got {version!r}")
    width, height = (1 << 14, 1 << 14) if version == 2 else (1 << 9, 1 << 8)
    check_writable(events, TITLE, width=width, height=height, last=(1 << 62) - 1)
    low = events.t & 0xFFFFFFFF
    wraps = np.cumsum(np.diff(low, prepend=0) < -(1 << 31))
    if (low + (wraps << 32) != events.t).any():
        raise UserError(
            f"{TITLE} counts 2^32 us, 71.6 minutes: a pause or a first time as long as that cannot be written"
        )
    x, y, p = (c.astype(np.uint32) for c in (events.x, events.y, events.p))
    records = np.empty((len(events), 2), "<u4")
    records[:, 0] = low
    records[:, 1] = x | y << 14 | p << 28 if version == 2 else x | y << 9 | p << 17
    _, rows, columns = events.sensor
    lines = ["Data file containing CD events.", f"Version {version}", f"Height {rows}", f"Width {columns}"]
    with path.open("wb") as file:
        file.write("".join(f"% {line}\n" for line in lines).encode() + bytes([0x0C, RECORD]))
        records.tofile(file)


FORMATS = (
    Format("dat", TITLE, (".dat",), recognise, DAT, write),
    Format("dat-headless", f"{TITLE} without header", (".dat",), recognise_headless, DAT, headless=True),
)
