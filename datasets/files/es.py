"""Event Stream (.es) 2.x of neuromorphicsystems: DVS, ATIS, colour and generic streams; see the kernel for the layouts.

    "Event Stream" | version: 3 bytes | type: 1 byte | width:16 | height:16 (not in generic files) | events

Row 0 of the file is the bottom of the image; here, as everywhere, it is the top. Of an ATIS file, changes are the events
and exposures a stream of their own. Of a colour file the events have one polarity, and the stream "colours" has their
colours. A generic file has no events, only payloads. (https://github.com/neuromorphicsystems/event_stream)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files.base import (
    Columns,
    Damaged,
    Format,
    Options,
    Size,
    Stream,
    check_size,
    check_writable,
)
from snnkit.datasets.files.blocks import EVENTS, BlockReader, Loop
from snnkit.recordings import Events

TITLE = "Event Stream"
MAGIC = b"Event Stream"
GENERIC, DVS, ATIS, COLOUR = 0, 1, 2, 4
KINDS = {GENERIC: "generic", DVS: "DVS", ATIS: "ATIS", COLOUR: "colour"}
EXPOSURES = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("second", "u1")])
COLOURS = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("r", "u1"), ("g", "u1"), ("b", "u1")])
PAYLOADS = np.dtype([("t", "<i8"), ("payload", object)])  # bytes
LONGEST = 1 << 33  # microseconds, of a file with few events; every 127 of them are a byte


class EventStream(BlockReader):
    """An .es file; sensor and kind are in its header."""

    def __init__(self, path: Path, options: Options):
        with path.open("rb") as file:
            head = file.read(20)
        if len(head) < 16:
            raise Damaged(len(head), "truncated: the file ends in its header of 16 or 20 bytes")
        major, minor, patch, self.kind = head[12:16]
        if major != 2:
            raise Damaged(12, f"version {major}.{minor}.{patch}; this reads 2.x")
        if self.kind not in KINDS:
            raise Damaged(15, f"unknown type {self.kind}; there are {KINDS}")
        if self.kind != GENERIC and len(head) < 20:
            raise Damaged(len(head), "truncated: the file ends in its header of 20 bytes")
        self.body = 16 if self.kind == GENERIC else 20
        size = None
        if self.kind != GENERIC:
            width, height = (int.from_bytes(head[k : k + 2], "little") for k in (16, 18))
            self._rows = height
            size = check_size(Size(width, height, "header", 1 if self.kind == COLOUR else 2), 16)
        super().__init__(
            path,
            options,
            format=TITLE,
            version=f"{major}.{minor}.{patch}",
            size=size,
            header={"type": KINDS[self.kind]},
        )

    def streams(self) -> tuple[Stream, ...]:
        names = {GENERIC: ("payloads", "other"), ATIS: ("exposures", "other"), COLOUR: ("colours", "events")}
        return (Stream(*names[self.kind]),) if self.kind in names else ()

    def columns(self, size: int | None) -> Iterator[Columns]:
        if self.kind == DVS:
            yield from super().columns(size)
        elif self.kind == COLOUR:
            for t, x, y, _ in self.pieces(self.loop("pixels"), size):
                yield Columns(t, x, y, np.zeros(len(t), np.uint8))
        elif self.kind == ATIS:
            for t, x, y, values in self.pieces(self.loop("pixels"), size):
                change = values[:, 1] == 0
                yield Columns(t[change], x[change], y[change], values[change, 0])

    def records(self, name: str) -> Iterator[NDArray[Any]]:
        if self.kind == GENERIC:
            yield from self._payloads()
            return
        yield np.empty(0, EXPOSURES if self.kind == ATIS else COLOURS)
        for t, x, y, values in self.pieces(self.loop("pixels"), None):
            rows = np.flatnonzero(values[:, 1]) if self.kind == ATIS else slice(None)
            t, x, y, values = t[rows], x[rows], y[rows], values[rows]
            out = np.empty(len(t), EXPOSURES if self.kind == ATIS else COLOURS)
            out["t"], out["x"], out["y"] = t, x, y
            for k, field in enumerate((out.dtype.names or ())[3:]):
                out[field] = values[:, k]
            yield out

    def loop(self, name: str) -> Loop:
        from snnkit.kernels.events import decode_es as kernel

        width, height = self.bounds
        state, word = kernel.start(width, height, self.kind, self._rows), (np.uint8, 1)
        if name == "events":
            return Loop(kernel.dvs, state, EVENTS, word, lambda: self.rest() // 5)
        size = 8 if self.kind == COLOUR else 5
        columns = (np.int64, np.int16, np.int16, (np.uint8, 3))
        return Loop(kernel.pixels, state, columns, word, lambda: self.rest() // size)

    def reason(self, code: int, record: bytes) -> str:
        x, y = (int.from_bytes(record[k : k + 2], "little") for k in (1, 3))
        width, height = self.bounds
        return f"x={x}, y={y} (from below) is outside the sensor of {width}x{height} pixels"

    def _payloads(self) -> Iterator[NDArray[Any]]:
        """Payloads may be as long as the file, so it is held in memory."""
        from snnkit.kernels.events import decode_es as kernel

        with self.path.open("rb") as file:
            file.seek(self.body)
            content = file.read()
        data, state = np.frombuffer(content, np.uint8), kernel.start(0, 0, self.kind, 0)
        at, code, used = 0, 0, 1
        while used and not code:
            room = tuple(np.empty(1 << 16, np.int64) for _ in range(3))
            used, n, code = kernel.generic(data[at:], state, *room, 0, 1 << 16)
            t, begin, length = room
            out = np.empty(n, PAYLOADS)
            out["t"] = t[:n]
            for k in range(n):
                out["payload"][k] = content[at + begin[k] : at + begin[k] + length[k]]
            yield out
            at += used
        if code:
            raise Damaged(self.body + at, "a payload longer than any file")
        if at < len(content):
            raise Damaged(
                self.body + at, f"truncated: the file ends {len(content) - at} bytes into a payload"
            )


def recognise(head: bytes, path: Path) -> bool:
    """Its first 12 bytes."""
    return head.startswith(MAGIC)


def write(events: Events, path: Path) -> None:
    """5 bytes an event, and one for every 127 us without any. Events of one polarity become a DVS file, too."""
    from snnkit.kernels.events import encode_es as kernel

    last = LONGEST + 1000 * len(events)
    check_writable(events, TITLE, width=1 << 15, height=1 << 15, last=last, ordered=True)
    _, height, width = events.sensor
    gaps = np.diff(events.t, prepend=0)
    data = np.empty(5 * len(events) + int((gaps // 127).sum()), np.uint8)
    t, x, y, p = (np.ascontiguousarray(c) for c in (events.t, events.x, events.y, events.p))
    n = kernel.dvs(t, x, y, p, height, data)
    with path.open("wb") as file:
        file.write(MAGIC + bytes([2, 0, 0, DVS]) + np.array([width, height], "<u2").tobytes())
        data[:n].tofile(file)


FORMATS = (Format("es", TITLE, (".es",), recognise, EventStream, write),)
