"""Messages of ROS as values. ROS 1 writes fields one after the other, ROS 2 aligns them (CDR); all little-endian."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files.bags import Bytes, Message
from snnkit.datasets.files.base import Columns, Damaged, Size
from snnkit.datasets.files.pieces import part, room

LITTLE = b"\x00\x01"  # how a message of ROS 2 begins: CDR with the smallest byte first
IMU = np.dtype(
    [("t", "<i8"), *((name, "<f8") for name in ("gx", "gy", "gz", "ax", "ay", "az"))]
)  # rad/s, m/s2
PIXELS = {"mono8": ("u1", 1), "8UC1": ("u1", 1), "rgb8": ("u1", 3), "bgr8": ("u1", 3), "8UC3": ("u1", 3)}
PIXELS |= {"mono16": ("<u2", 1), "16UC1": ("<u2", 1), "rgba8": ("u1", 4), "bgra8": ("u1", 4)}
SMALLEST = 13  # bytes of an event of dvs_msgs


class Fields(Bytes):
    """Fields of a message."""

    def __init__(self, message: Message):
        self.aligned = message.ros == 2
        if self.aligned and message.data[:2] != LITTLE:
            raise Damaged(
                message.position,
                f"a message in the encoding {message.data[:2]!r}; expected little-endian CDR",
            )
        super().__init__(message.data[4:] if self.aligned else message.data)

    def number(self, size: int, signed: bool = False) -> int:
        if self.aligned:
            self.take(-self.at % size)
        return super().number(size, signed)

    def header(self) -> int:
        """std_msgs/Header: its time in microseconds."""
        if not self.aligned:
            self.number(4)  # ROS 1 counts messages
        seconds, nanoseconds = self.number(4, signed=self.aligned), self.number(4)
        self.block()
        return seconds * 10**6 + nanoseconds // 1000


class Packet(NamedTuple):
    """event_camera_msgs/EventPacket."""

    height: int
    width: int
    sequence: int
    base: int  # nanoseconds
    encoding: str
    data: bytes


def packet_of(message: Message) -> Packet:
    """An EventPacket.

    Raises:
        Damaged: it is cut off, or has numbers with the largest byte first.
    """
    try:
        fields = Fields(message)
        fields.header()
        height, width = fields.number(4), fields.number(4)
        sequence, base = fields.number(8), fields.number(8)
        encoding, big, data = fields.text(), fields.number(1), fields.block()
    except Damaged as damage:
        raise Damaged(message.position, damage.reason) from None
    if big:
        raise Damaged(message.position, "a packet of events with the largest byte first")
    if base >= 1 << 62:
        raise Damaged(message.position, f"a packet of events at time {base} ns")
    return Packet(height, width, sequence, base, encoding, data)


def array_size(message: Message) -> tuple[int, int]:
    """Width and height of an EventArray."""
    try:
        fields = Fields(message)
        fields.header()
        height, width = fields.number(4), fields.number(4)
    except Damaged as damage:
        raise Damaged(message.position, damage.reason) from None
    return width, height


def array_of(message: Message, size: Size | None) -> tuple[Columns, str | None]:
    """Events of an EventArray of dvs_msgs, and what is wrong with the next one."""
    from snnkit.kernels.events.decode_ros import dvs

    try:
        fields = Fields(message)
        fields.header()
        fields.take(8 if not fields.aligned else -fields.at % 4 + 8)
        count = fields.number(4)
    except Damaged as damage:
        raise Damaged(message.position, damage.reason) from None
    most = min(count, fields.left // SMALLEST)
    out = room(most)
    width, height = size[:2] if size else (1 << 15, 1 << 15)
    n = dvs(np.frombuffer(fields.data[fields.at :], np.uint8), fields.aligned, width, height, *out)
    return part(
        out, 0, n
    ), None if n == count else f"event {n} of {count} of the message is cut off or outside"


def imu_of(message: Message) -> NDArray[Any]:
    """sensor_msgs/Imu, without its orientation and covariances."""
    try:
        fields = Fields(message)
        t = fields.header()
        if fields.aligned:
            fields.take(-fields.at % 8)
        fields.take(8 * 13)
        turning = struct.unpack("<3d", fields.take(24))
        fields.take(8 * 9)
        moving = struct.unpack("<3d", fields.take(24))
    except Damaged as damage:
        raise Damaged(message.position, damage.reason) from None
    return np.array([(t, *turning, *moving)], IMU)


def image_of(message: Message) -> NDArray[Any]:
    """sensor_msgs/Image with 8 or 16 bits per value."""
    try:
        fields = Fields(message)
        t = fields.header()
        height, width, encoding = fields.number(4), fields.number(4), fields.text()
        big, step, data = fields.number(1), fields.number(4), fields.block()
    except Damaged as damage:
        raise Damaged(message.position, damage.reason) from None
    kind, channels = PIXELS.get(encoding, ("", 0))
    row = width * channels * int(kind[-1] or 0) if kind else 0
    if not kind or (big and kind != "u1") or not 0 < row <= step or not 0 < height * step <= len(data):
        reason = f"an image of {width}x{height} pixels, encoding {encoding[:40]!r}, with {len(data)} bytes"
        raise Damaged(message.position, reason)
    rows = np.frombuffer(data, np.uint8, height * step).reshape(height, step)[:, :row]
    shape = (height, width) if channels == 1 else (height, width, channels)
    out = np.empty(1, [("t", "<i8"), ("image", kind, shape)])
    out["t"], out["image"][0] = t, np.ascontiguousarray(rows).view(kind).reshape(shape)
    return out
