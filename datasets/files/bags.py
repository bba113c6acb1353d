"""Bags of ROS as messages in order: ROS 1 (.bag), and ROS 2 as MCAP or SQLite (.mcap, .db3).

Written for files that cannot be trusted: chunks are unpacked with a limit, lengths are checked before they are used.
(http://wiki.ros.org/Bags/Format/2.0, https://mcap.dev/spec)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from snnkit.datasets.files.base import Damaged
from snnkit.datasets.files.unpack import Budget, unpack

ROS1, MCAP, SQLITE = b"#ROSBAG V2.0\n", b"\x89MCAP0\r\n", b"SQLite format 3\0"
CODECS = {b"none": "", b"": "", b"lz4": "lz4", b"zstd": "zstd", b"bz2": "bz2"}


class Message(NamedTuple):
    """One message as it was sent; `position` is the byte of the file where it, or the chunk it is in, begins."""

    position: int | None
    topic: str
    type: str  # such as event_camera_msgs/EventPacket
    ros: int  # 1 or 2: how it is serialised
    time: int  # nanoseconds, when it was recorded
    data: bytes


def messages(path: Path) -> Iterator[Message]:
    """All messages of a bag.

    Raises:
        Damaged: after all that come before the damage.
    """
    with path.open("rb") as file:
        start = file.read(16)
        budget = Budget(path.stat().st_size)
        if start.startswith(ROS1):
            yield from _ros1(file, budget)
        elif start.startswith(MCAP):
            yield from _mcap(file, budget)
        elif start.startswith(SQLITE):
            from snnkit.datasets.files.bags_sqlite import sqlite

            yield from sqlite(path, budget)
        else:
            raise Damaged(0, f"expected a bag of ROS, got {start!r}")


class Bytes:
    """Numbers and texts one after the other, little-endian.

    Raises:
        Damaged: they end too early.
    """

    def __init__(self, data: bytes, at: int = 0):
        self.data, self.at = data, at

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise Damaged(
                None, f"truncated: {len(self.data) - self.at} bytes are left where {size} are needed"
            )
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def block(self, size: int = 4) -> bytes:
        """Bytes with their length before them."""
        return self.take(self.number(size))

    def text(self) -> str:
        return self.block().rstrip(b"\0").decode("utf-8", "replace")

    @property
    def left(self) -> int:
        return len(self.data) - self.at


def plain(type: str) -> str:
    """The name of a type without the part that only ROS 2 has."""
    return type.replace("/msg/", "/")


def _exactly(file: BinaryIO, size: int, position: int) -> bytes:
    here = file.tell()
    end = file.seek(0, 2)
    file.seek(here)
    if size > end - here:
        raise Damaged(position, f"truncated: a record of {size} bytes, but {end - here} are left")
    return file.read(size)


# -- MCAP --


class _Mcap:
    """Schemas and channels so far."""

    def __init__(self) -> None:
        self.schemas: dict[int, str] = {}
        self.channels: dict[int, tuple[str, str, str]] = {}

    def take(self, kind: int, content: bytes, position: int) -> Message | None:
        """What a record means; the message, if it is one."""
        fields = Bytes(content)
        if kind == 3:
            schema = fields.number(2)
            self.schemas[schema] = plain(fields.text())
        elif kind == 4:
            channel, schema = fields.number(2), fields.number(2)
            self.channels[channel] = (fields.text(), self.schemas.get(schema, "unknown"), fields.text())
        elif kind == 5:
            channel = fields.number(2)
            fields.take(4)
            time = fields.number(8)
            fields.take(8)
            if channel not in self.channels:
                raise Damaged(position, f"a message of channel {channel}, which is not there")
            topic, type, encoding = self.channels[channel]
            return Message(position, topic, type, 1 if encoding == "ros1" else 2, time, content[fields.at :])
        return None


def _mcap(file: BinaryIO, budget: Budget) -> Iterator[Message]:
    state, position, end = _Mcap(), len(MCAP), file.seek(0, 2)
    while True:
        file.seek(position)
        head = file.read(9)
        if len(head) < 9:
            raise Damaged(position, "truncated: the file ends before its data does")
        kind, size = struct.unpack("<BQ", head)
        if kind == 0x0F:  # end of the data; an index follows
            return
        if size > end - position - 9:
            raise Damaged(position, f"truncated: a record of {size} bytes, but {end - position - 9} are left")
        content = file.read(size) if kind in (3, 4, 5, 6) else b""
        try:
            if kind == 6:
                for inner, part in _records(_chunk(content, budget, position)):
                    if (message := state.take(inner, part, position)) is not None:
                        yield message
            elif (message := state.take(kind, content, position)) is not None:
                yield message
        except Damaged as damage:
            raise Damaged(position, damage.reason) from None
        position += 9 + size


def _chunk(content: bytes, budget: Budget, position: int) -> bytes:
    fields = Bytes(content)
    fields.take(16)
    size = fields.number(8)
    fields.take(4)
    codec = CODECS.get(fields.block())
    if codec is None:
        raise Damaged(position, "a chunk is compressed in a way that is not known")
    data = unpack(fields.block(8), codec, budget, position)
    if len(data) != size:
        raise Damaged(position, f"a chunk says that it has {size} bytes, but has {len(data)}")
    return data


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    fields = Bytes(data)
    while fields.left:
        kind = fields.number(1)
        yield kind, fields.block(8)


# -- ROS 1 --


def _ros1(file: BinaryIO, budget: Budget) -> Iterator[Message]:
    connections: dict[int, tuple[str, str]] = {}
    end, position = file.seek(0, 2), len(ROS1)
    while position < end:
        file.seek(position)
        size = int.from_bytes(_exactly(file, 4, position), "little")
        head = _fields(_exactly(file, size, position), position)
        size = int.from_bytes(_exactly(file, 4, position), "little")
        data = _exactly(file, size, position)
        try:
            if head.get(b"op") == b"\x05":
                codec = CODECS.get(head.get(b"compression", b""))
                if codec is None:
                    raise Damaged(position, f"a chunk is compressed with {head[b'compression']!r}")
                inner = Bytes(unpack(data, codec, budget, position))
                while inner.left:
                    part = _fields(inner.block(), position)
                    if (message := _ros1_record(part, inner.block(), connections, position)) is not None:
                        yield message
            elif (message := _ros1_record(head, data, connections, position)) is not None:
                yield message
        except Damaged as damage:
            raise Damaged(position, damage.reason) from None
        position = file.tell()


def _fields(data: bytes, position: int) -> dict[bytes, bytes]:
    fields, found = Bytes(data), {}
    while fields.left:
        name, equals, value = fields.block().partition(b"=")
        if not equals:
            raise Damaged(position, f"a field of a record's head has no value: {name[:40]!r}")
        found[name] = value
    return found


def _ros1_record(
    head: dict[bytes, bytes], data: bytes, connections: dict[int, tuple[str, str]], position: int
) -> Message | None:
    number = int.from_bytes(head.get(b"conn", b"")[:4], "little")
    if head.get(b"op") == b"\x07":
        type = _fields(data, position).get(b"type", b"")
        topic = head.get(b"topic", b"").decode("utf-8", "replace")
        connections[number] = (topic, type.decode("utf-8", "replace"))
    elif head.get(b"op") == b"\x02":
        if number not in connections:
            raise Damaged(position, f"a message of connection {number}, which is not there")
        seconds, nanoseconds = struct.unpack("<II", head.get(b"time", b"").ljust(8, b"\0")[:8])
        return Message(position, *connections[number], 1, seconds * 10**9 + nanoseconds, data)
    return None
