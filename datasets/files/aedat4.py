"""AEDAT 4, the recordings of iniVation's DV: packets of FlatBuffers, each compressed with LZ4 or Zstd, or not at all.

    #!AER-DAT4.0 CR LF | length, header | packets | table of the packets

A packet is its stream's number, its size, and a FlatBuffer: events (EVTS), frames (FRME), inertial measurements (IMUS) or
triggers (TRIG). The header says in XML what the streams are. Times are microseconds since 1970. (iniVation, "AEDAT file
formats", https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-4.0.html)
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files.aedat4_write import write
from snnkit.datasets.files.base import Columns, Damaged, Format, Options, Reader, Size, Stream
from snnkit.datasets.files.flatbuffer import Table, damage_at, root
from snnkit.datasets.files.pieces import part, room
from snnkit.datasets.files.unpack import Budget, unpack
from snnkit.errors import UserError

MAGIC = b"#!AER-DAT4.0\r\n"
CODECS = {0: "", 1: "lz4", 2: "lz4", 3: "zstd", 4: "zstd"}
LARGEST_HEADER = 1 << 24  # bytes; a header is a few thousand
EVENT = 16  # bytes

KINDS = {"EVTS": "events", "FRME": "frames", "IMUS": "imu", "TRIG": "triggers"}
CHANNELS = {0: 1, 16: 3, 24: 4}  # gray, BGR, BGRA

IMU = np.dtype(
    [("t", "<i8"), ("temperature", "<f4")]  # degrees Celsius; then g, degrees per second, microtesla
    + [(name, "<f4") for name in ("ax", "ay", "az", "gx", "gy", "gz", "mx", "my", "mz")]
)
# source: 0 timestamp reset, 1 rising edge, 2 falling, 3 pulse, 4 and 5 generator's edges, 6 and 7 frame begins and ends,
# 8 and 9 its exposure
TRIGGER = np.dtype([("t", "<i8"), ("source", "i1")])
FRAME_TIMES = ("t", "start", "stop", "exposure_start", "exposure_stop")


class Packet(NamedTuple):
    position: int  # of its 8-byte head
    stream: int
    size: int


class Entry(NamedTuple):
    """A stream, as the header's XML tells."""

    kind: str
    name: str
    size: Size | None
    source: str


class Aedat4(Reader):
    """See the top of this file; `sample` chooses among several cameras, by number or name."""

    def __init__(self, path: Path, options: Options):
        self._file_bytes = path.stat().st_size
        head, self._body = _header(path)
        self._codec = CODECS.get(head.number(0, "i"), "?")
        if self._codec == "?":
            raise Damaged(len(MAGIC), f"unknown compression {head.number(0, 'i')}")
        self._table: int = head.number(1, "q", -1)
        self._entries = _entries(head.text(2))
        self._chosen = _chosen(self._entries, options.sample)
        entry = self._entries.get(self._chosen)
        header = {"compression": self._codec or "none"}
        if entry is not None:
            header |= {"source": entry.source, "stream": entry.name}
        size = entry.size if entry is not None else None
        super().__init__(path, options, format="AEDAT 4", version="4.0", size=size, header=header)
        self._end = self._file_bytes
        self._cut = self._table > self._file_bytes
        if self._body <= self._table <= self._file_bytes:
            self._end = self._table
        elif self._table < 0:
            self.note("the recording was not closed: it has no table of its packets")

    def columns(self, size: int | None) -> Iterator[Columns]:
        from snnkit.kernels.events.decode_aedat import aedat4

        width, height = self.size[:2] if self.size else (1 << 15, 1 << 15)
        for packet, table, data in self._tables("EVTS", self._chosen):
            with damage_at(packet.position):
                first, count = table.vector(0, EVENT)
            words = np.frombuffer(data[first : first + EVENT * count], "<i8")
            out = room(count)
            good = aedat4(words, width, height, *out)
            if good:
                yield part(out, 0, good)
            if good < count:
                x, y = struct.unpack_from("<HH", data, first + EVENT * good + 8)
                raise Damaged(packet.position, f"event {good} of the packet is at x={x}, y={y}")

    def count(self) -> int | None:
        return self._counts().get(self._chosen)

    def streams(self) -> tuple[Stream, ...]:
        counts = self._counts()
        others = {name: i for name, i in self._names().items() if i != self._chosen}
        return tuple(Stream(name, self._entries[i].kind, counts.get(i)) for name, i in others.items())

    def records(self, name: str) -> Iterator[NDArray[Any]]:
        number = self._names()[name]
        kind = self._entries[number].kind
        if kind == "events":
            raise UserError(f"{name} are the events of another camera; read them with sample={number}")
        if kind == "other":
            raise UserError(f"streams of the type {name} cannot be read")
        identifier = next(i for i, k in KINDS.items() if k == kind)
        read: Callable[..., NDArray[Any]] = {"imu": _imu, "triggers": _triggers, "frames": _frame}[kind]
        dtype = {"imu": IMU, "triggers": TRIGGER}.get(kind)
        for packet, table, data in self._tables(identifier, number):
            with damage_at(packet.position):
                piece = read(table, data)
            if dtype is not None and piece.dtype != dtype:
                shapes = [d["image"].shape for d in (piece.dtype, dtype)]
                raise Damaged(packet.position, "a frame of shape {}, after frames of {}".format(*shapes))
            dtype = piece.dtype
            yield piece
        if dtype is None or dtype in (IMU, TRIGGER):
            yield np.empty(0, dtype or _frame_dtype((0, 0)))

    def _names(self) -> dict[str, int]:
        """Streams by their names, which are their kinds unless there are several of a kind."""
        kinds = [e.kind for e in self._entries.values()]
        return {
            e.kind if kinds.count(e.kind) == 1 and e.kind != "other" else f"{e.name}_{i}": i
            for i, e in self._entries.items()
        }

    def _tables(self, identifier: str, number: int) -> Iterator[tuple[Packet, Table, bytes]]:
        """The packets of one stream, unpacked."""
        budget = Budget(self._file_bytes)
        with self.path.open("rb") as file:
            for packet in self._packets(file):
                if packet.stream != number:
                    continue
                file.seek(packet.position + 8)
                data = unpack(file.read(packet.size), self._codec, budget, packet.position)
                with damage_at(packet.position):
                    table = root(data, identifier)
                yield packet, table, data

    def _packets(self, file: Any) -> Iterator[Packet]:
        position = self._body
        while position < self._end:
            file.seek(position)
            head = file.read(8)
            if len(head) < 8:
                raise Damaged(position, "truncated: the file ends within the head of a packet")
            stream, size = struct.unpack("<ii", head)
            if stream not in self._entries:
                raise Damaged(position, f"a packet of stream {stream}, which the header does not have")
            if size < 0 or position + 8 + size > self._end:
                left = self._end - position - 8
                raise Damaged(position, f"a packet says that it has {size} bytes, but {left} are left")
            yield Packet(position, stream, size)
            position += 8 + size
        if self._cut:
            raise Damaged(
                position, f"truncated: byte {self._table}, where the table of packets begins, is missing"
            )

    def _counts(self) -> dict[int, int]:
        """How many records each stream has, by the table of packets; none if there is no table that can be read."""
        if self._end == self._file_bytes:
            return {}
        try:
            with self.path.open("rb") as file:
                file.seek(self._end)
                data = unpack(file.read(), self._codec, Budget(self._file_bytes), self._end)
            counts = dict.fromkeys(self._entries, 0)
            for row in root(data, "FTAB").tables(0):
                place = row.place(1)
                stream = int.from_bytes(data[place : place + 4], "little") if place is not None else 0
                counts[stream] = counts.get(stream, 0) + max(row.number(2, "q"), 0)
        except Damaged as damage:
            self.note(f"the table of packets cannot be read: {damage.reason}")
            return {}
        return counts


def _header(path: Path) -> tuple[Table, int]:
    """The header's table, and where the packets begin."""
    with path.open("rb") as file:
        start = file.read(len(MAGIC) + 4)
        if start[: len(MAGIC)] != MAGIC or len(start) < len(MAGIC) + 4:
            raise Damaged(0, f"expected {MAGIC!r} and the length of the header, got {start!r}")
        length = int.from_bytes(start[len(MAGIC) :], "little")
        if length > LARGEST_HEADER:
            raise Damaged(len(MAGIC), f"a header of {length} bytes")
        data = file.read(length)
    if len(data) < length:
        raise Damaged(len(MAGIC), f"truncated: the header has {len(data)} of {length} bytes")
    with damage_at(len(start)):
        return root(data, "IOHE", prefixed=False), len(start) + length


def _entries(xml: str) -> dict[int, Entry]:
    if "<!" in xml.replace("<!--", ""):  # entities can refer to each other without end
        raise Damaged(len(MAGIC), "the header's XML declares entities")
    try:
        tree = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise Damaged(len(MAGIC), f"the header's XML: {error}") from None
    entries = {}
    for node in tree.iterfind("node[@name='outInfo']/node"):
        name = node.get("name", "")
        if name.isascii() and name.isdigit() and len(name) < 10:
            entries[int(name)] = _entry(node)
    return entries


def _entry(node: ElementTree.Element) -> Entry:
    attributes = {a.get("key"): a.text or "" for a in node.iterfind("attr")}
    info = {a.get("key"): a.text or "" for a in node.iterfind("node[@name='info']/attr")}
    identifier = attributes.get("typeIdentifier", "")
    try:
        size = Size(int(info["sizeX"]), int(info["sizeY"]))
    except (KeyError, ValueError):
        size = None
    name = attributes.get("originalOutputName", identifier)
    return Entry(KINDS.get(identifier, "other"), name, size, info.get("source", ""))


def _chosen(entries: dict[int, Entry], sample: int | str | None) -> int:
    """The number of the stream of events; -1 if there is none."""
    cameras = {i: e for i, e in entries.items() if e.kind == "events"}
    if sample is None:
        if len(cameras) > 1:
            known = ", ".join(f"{i} ({e.name} of {e.source})" for i, e in cameras.items())
            raise UserError(f"events of several cameras; choose one with sample=, one of {known}")
        return next(iter(cameras), -1)
    for i, e in cameras.items():
        if sample in (i, e.name):
            return i
    raise UserError(
        f"there are no events of stream {sample!r}; sample is one of {', '.join(map(str, cameras))}"
    )


def _imu(table: Table, data: bytes) -> NDArray[Any]:
    fields = range(1, 11)
    rows = ((row.number(0, "q"), *(row.number(k, "f") for k in fields)) for row in table.tables(0))
    return np.fromiter(rows, IMU)


def _triggers(table: Table, data: bytes) -> NDArray[Any]:
    return np.fromiter(((row.number(0, "q"), row.number(1, "b")) for row in table.tables(0)), TRIGGER)


def _frame(table: Table, data: bytes) -> NDArray[Any]:
    kind, width, height = table.number(5, "b"), table.number(6, "h"), table.number(7, "h")
    first, count = table.vector(10, 1)
    if kind not in CHANNELS or min(width, height) < 0 or width * height * CHANNELS[kind] != count:
        raise Damaged(None, f"a frame of {width}x{height} pixels, format {kind}, with {count} bytes")
    shape = (height, width) if kind == 0 else (height, width, CHANNELS[kind])
    frame = np.empty(1, _frame_dtype(shape))
    for field, name in enumerate(FRAME_TIMES):
        frame[name] = table.number(field, "q")
    frame["x"], frame["y"] = table.number(8, "h"), table.number(9, "h")
    frame["image"][0] = np.frombuffer(data, np.uint8, count, first).reshape(shape)
    return frame


def _frame_dtype(shape: tuple[int, ...]) -> np.dtype[Any]:
    fields: list[Any] = [(name, "<i8") for name in FRAME_TIMES]
    return np.dtype([*fields, ("x", "<i2"), ("y", "<i2"), ("image", "u1", shape)])


def _recognise(head: bytes, path: Path) -> bool:
    return head.startswith(MAGIC)


FORMATS = (Format("aedat4", "AEDAT 4", (".aedat4",), _recognise, Aedat4, write),)
