"""AEDAT 3.1, the recordings of cAER and libcaer (DVS128 Gesture, DDD17 exports).

Text lines that begin with #, up to `#!END-HEADER`; then packets of events of one type, little-endian, each with a head of
28 bytes: type, source, size of an event, where its time is in it, overflows of the 31-bit time, room in events, number
of events, number of valid events. Row 0 is the top of the image. (iniVation, "AEDAT file formats", 3.1.)

The head has two numbers of events. Writers store `number` of them; some have filled the room (`capacity`) instead. What is
right shows in the next head, so both are tried, in this order.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files.base import Columns, Damaged, Format, Options, Reader, Stream
from snnkit.datasets.files.pieces import part, room
from snnkit.datasets.files.textheader import cameras_size, text_lines
from snnkit.errors import UserError

MAGIC = b"#!AER-DAT3."
END = "#!END-HEADER"
HEAD = struct.Struct("<hhiiiiii")
COMPRESSED = 0x8000  # of the type
RESET = 1  # type of a special event
SPECIAL, POLARITY, FRAME, IMU6, IMU9 = range(5)
TYPES = 13
SIZES = {SPECIAL: 8, POLARITY: 8, IMU6: 36, IMU9: 48}  # bytes of an event
PIECE = 1 << 16  # events at a time
KINDS = {SPECIAL: "triggers", FRAME: "frames", IMU6: "imu", IMU9: "imu"}
NAMES = {SPECIAL: "triggers", FRAME: "frames", IMU6: "imu", IMU9: "imu9"}

_AXES = ["ax", "ay", "az", "gx", "gy", "gz", "temperature"]  # g, degrees per second, degrees Celsius
RAW = {
    SPECIAL: np.dtype([("word", "<u4"), ("t", "<i4")]),
    IMU6: np.dtype([("word", "<u4"), ("t", "<i4"), *((name, "<f4") for name in _AXES)]),
    IMU9: np.dtype([("word", "<u4"), ("t", "<i4"), *((n, "<f4") for n in [*_AXES, "mx", "my", "mz"])]),
}
# type: 0 timestamp wrap, 1 timestamp reset, 2 rising edge, 3 falling, 4 pulse, and more of a device's own
TRIGGER = np.dtype([("t", "<i8"), ("type", "u1"), ("data", "<u4")])
FRAME_TIMES = ("start", "stop", "exposure_start", "exposure_stop")
FRAME_INFO = struct.Struct("<Iiiiiiiii")  # flags, four times, width, height, x, y


class Packet(NamedTuple):
    """A packet, of which `number` events can be read; `base` is added to their times."""

    position: int  # of its events
    type: int
    source: int
    size: int
    number: int
    base: int


class Aedat3(Reader):
    """See the top of this file; `sample` chooses among several cameras by the number of the source."""

    def __init__(self, path: Path, options: Options):
        self._end = path.stat().st_size
        lines, self._body = text_lines(path, end=END)
        if lines[-1] != END:
            raise Damaged(self._body, f"the header does not end with {END}")
        found = [re.match(r"#Source (\d+): (\S+)", line) for line in lines]
        self._sources = {int(m[1]): m[2] for m in found if m}
        self._source = options.sample
        if self._source is not None and not isinstance(self._source, int):
            raise UserError(
                f"sample is the number of a source, one of {list(self._sources)}; got {self._source!r}"
            )
        first = next(iter(self._sources), -1) if self._source is None else self._source
        name = self._sources.get(first, "")
        header = {f"source {k}": v for k, v in self._sources.items()}
        header |= {m[1]: m[2] for line in lines if (m := re.match(r"#(Format|Start-Time): (.*)", line))}
        version = lines[0].removeprefix("#!AER-DAT")
        super().__init__(
            path, options, format="AEDAT 3", version=version, size=cameras_size(name), header=header
        )

    def columns(self, size: int | None) -> Iterator[Columns]:
        from snnkit.kernels.events.decode_aedat import polarity

        width, height = self.size[:2] if self.size else (1 << 15, 1 << 15)
        source, others, resets = self._source, 0, 0
        with self.path.open("rb") as file:
            for packet in self._packets(file):
                if packet.type == SPECIAL and packet.size == SIZES[SPECIAL]:
                    for _, data in _pieces(file, packet, PIECE):
                        resets += int((_rows(data, packet)["type"] == RESET).sum())
                if packet.type != POLARITY:
                    continue
                source = packet.source if source is None else source
                if packet.source != source:
                    others += packet.number
                    continue
                for position, data in _pieces(file, packet, PIECE if size is None else min(size, PIECE)):
                    words = np.frombuffer(data, "<u4")
                    out = room(len(words) // 2)
                    used, n = polarity(words, packet.base, width, height, *out)
                    if n:
                        yield part(out, 0, n)
                    if 2 * used < len(words):
                        raise Damaged(position + 8 * used, _wrong(words[2 * used :]))
        if resets:
            self.note(
                f"the camera's clock was reset {resets} times: times begin anew there (see the stream triggers)"
            )
        if others:
            self.note(f"{others} events of other sources than {source}; read them with sample=")

    def streams(self) -> tuple[Stream, ...]:
        counts: Counter[int] = Counter()
        with self.path.open("rb") as file:
            for packet in self._packets(file, strict=False):
                counts[packet.type] += packet.number
        counts.pop(POLARITY, None)
        return tuple(Stream(_name(k), KINDS.get(k, "other"), n) for k, n in sorted(counts.items()))

    def records(self, name: str) -> Iterator[NDArray[Any]]:
        kind = next((k for k, known in NAMES.items() if known == name), -1)
        if kind < 0:
            raise UserError(f"the layout of {name} is not known")
        dtype = TRIGGER if kind == SPECIAL else _imu_dtype(RAW[kind]) if kind in RAW else None
        with self.path.open("rb") as file:
            for packet in self._packets(file):
                if packet.type != kind:
                    continue
                for position, data in _pieces(file, packet, 1 if kind == FRAME else PIECE):
                    rows = _frame(data, packet.base, position) if kind == FRAME else _rows(data, packet)
                    dtype = rows.dtype if dtype is None else dtype
                    if len(rows) and rows.dtype != dtype:
                        shapes = [d["image"].shape for d in (rows.dtype, dtype)]
                        raise Damaged(position, "a frame of shape {}, after frames of {}".format(*shapes))
                    if len(rows):
                        yield rows
        yield np.empty(0, _frame_dtype((0, 0)) if dtype is None else dtype)

    def _packets(self, file: BinaryIO, strict: bool = True) -> Iterator[Packet]:
        """The packets; the last one may have fewer events than it says, and then, if `strict`, Damaged follows."""
        position = self._body
        while position < self._end:
            head = self._head(file, position)
            if head is None:
                raise Damaged(position, self._no_head(file, position))
            kind, source, size, _, overflows, capacity, number, _ = head
            start = position + HEAD.size
            left = (self._end - start) // size
            yield Packet(start, kind, source, size, min(number, left), overflows << 31)
            if number > left:
                if strict:
                    place = start + left * size
                    raise Damaged(place, f"truncated: {left} of the packet's {number} events are there")
                return
            ends = [start + number * size, start + capacity * size]
            good = (e for e in ends if e == self._end or (e < self._end and self._head(file, e) is not None))
            position = next(good, ends[0])

    def _head(self, file: BinaryIO, position: int) -> tuple[int, ...] | None:
        """The head of a packet, if there is one at this position."""
        file.seek(position)
        data = file.read(HEAD.size)
        if len(data) < HEAD.size:
            return None
        head = HEAD.unpack(data)
        kind, source, size, time, overflows, capacity, number, valid = head
        good = 0 <= kind < TYPES and source >= 0 and size == SIZES.get(kind, size) and 4 <= size <= self._end
        good = good and 0 <= valid <= number <= capacity and overflows >= 0 and 0 <= time <= size - 4
        return head if good else None

    def _no_head(self, file: BinaryIO, position: int) -> str:
        file.seek(position)
        data = file.read(HEAD.size)
        if len(data) < HEAD.size:
            return f"truncated: {len(data)} of the {HEAD.size} bytes of a packet's head"
        if int.from_bytes(data[:2], "little") & COMPRESSED:
            return (
                "the packet is compressed; convert the recording with cAER or jAER to uncompressed AEDAT 3.1"
            )
        return f"expected the head of a packet, got {HEAD.unpack(data)}"


def _pieces(file: BinaryIO, packet: Packet, number: int) -> Iterator[tuple[int, bytes]]:
    """A packet's events, so many at a time, with their place in the file."""
    for start in range(0, packet.number, number):
        position = packet.position + start * packet.size
        file.seek(position)
        data = file.read(min(number, packet.number - start) * packet.size)
        yield position, data[: len(data) // packet.size * packet.size]


def _name(kind: int) -> str:
    return NAMES.get(kind, f"type{kind}")


def _wrong(words: NDArray[np.uint32]) -> str:
    w, t = int(words[0]), int(words[1])
    return f"an event at x={w >> 17}, y={(w >> 2) & 0x7FFF}, time {t - ((t >> 31) << 32)}"


def _imu_dtype(raw: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([("t", "<i8"), *((name, "<f4") for name in raw.names or () if name not in ("word", "t"))])


def _rows(data: bytes, packet: Packet) -> NDArray[Any]:
    """Special or inertial events, those that are valid."""
    raw = np.frombuffer(data, RAW[packet.type])
    raw = raw[raw["word"] & 1 == 1]
    out = np.empty(len(raw), TRIGGER if packet.type == SPECIAL else _imu_dtype(raw.dtype))
    out["t"] = packet.base + raw["t"].astype(np.int64)
    if packet.type == SPECIAL:
        out["type"], out["data"] = (raw["word"] >> 1) & 0x7F, raw["word"] >> 8
    else:
        for name in out.dtype.names[1:]:
            out[name] = raw[name]
    return out


def _frame(data: bytes, base: int, position: int) -> NDArray[Any]:
    """One frame; none if it is not valid."""
    if len(data) < FRAME_INFO.size:
        raise Damaged(position, f"a frame of {len(data)} bytes")
    flags, *times, width, height, x, y = FRAME_INFO.unpack_from(data)
    channels = (flags >> 1) & 7
    count = width * height * channels
    if not flags & 1:
        return np.empty(0, _frame_dtype((0, 0)))
    places = (width, height, x, y)
    if not all(0 <= n < 1 << 15 for n in places) or not channels or 2 * count > len(data) - FRAME_INFO.size:
        reason = (
            f"a frame of {width}x{height} pixels with {channels} channels at ({x}, {y}) in {len(data)} bytes"
        )
        raise Damaged(position, reason)
    shape = (height, width) if channels == 1 else (height, width, channels)
    frame = np.empty(1, _frame_dtype(shape))
    for name, time in zip(FRAME_TIMES, times, strict=True):
        frame[name] = base + time
    frame["t"] = frame["start"]
    frame["x"], frame["y"] = x, y
    frame["image"][0] = np.frombuffer(data, "<u2", count, FRAME_INFO.size).reshape(shape)
    return frame


def _frame_dtype(shape: tuple[int, ...]) -> np.dtype[Any]:
    fields: list[Any] = [(name, "<i8") for name in ("t", *FRAME_TIMES)]
    return np.dtype([*fields, ("x", "<i2"), ("y", "<i2"), ("image", "<u2", shape)])


def _recognise(head: bytes, path: Path) -> bool:
    return head.startswith(MAGIC)


FORMATS = (Format("aedat3", "AEDAT 3", (".aedat",), _recognise, Aedat3),)
