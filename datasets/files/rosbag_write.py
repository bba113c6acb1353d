"""Writing events as a bag of ROS 2, MCAP with event_camera_msgs/EventPacket in the encoding mono; see `rosbag`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from snnkit.datasets.files.bags import MCAP
from snnkit.errors import UserError
from snnkit.recordings import Events

TYPE = "event_camera_msgs/msg/EventPacket"
PACKET = 8192  # events, at most
SPAN = (2**32 - 1) // 1000  # microseconds that fit into 32 bits of nanoseconds
LATEST = 2**62 // 1000  # microseconds

DEFINITION = """std_msgs/Header header
uint32 height
uint32 width
uint64 seq
uint64 time_base
string encoding
bool is_bigendian
uint8[] events
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
================================================================================
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
"""


def write(events: Events, path: Path, *, topic: str = "/event_camera/events") -> None:
    """Write events as a bag of ROS 2.

    Args:
        events: with times from 0 on. They read back with two polarities.
        path: where to.
        topic: of the messages.
    """
    _, height, width = events.sensor
    if len(events) and not 0 <= int(events.t.min()) <= int(events.t.max()) < LATEST:
        raise UserError(
            f"ROS has times from 0 to {LATEST} us; these are {events.t.min()} to {events.t.max()}"
        )
    with path.open("wb") as file:
        file.write(MCAP + _record(1, _text("ros2") + _text("snnkit")))
        schema = struct.pack("<H", 1) + _text(TYPE) + _text("ros2msg") + _text(DEFINITION)
        channel = struct.pack("<HH", 1, 1) + _text(topic) + _text("cdr") + struct.pack("<I", 0)
        file.write(_record(3, schema) + _record(4, channel))
        for sequence, part in enumerate(_packets(events)):
            base = int(events.t[part.start]) * 1000 if len(events) else 0
            head = struct.pack("<HIQQ", 1, sequence % 2**32, base, base)
            file.write(_record(5, head + _message(events, part, sequence, base, height, width)))
        file.write(_record(0x0F, bytes(4)) + _record(2, bytes(20)) + MCAP)


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(content)) + content


def _text(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()


def _packets(events: Events) -> Iterator[slice]:
    """Events that are not before the first one of their packet, and not too long after it; one packet if there are none."""
    start, n = 0, len(events)
    while start < n or not start:
        since = events.t[start : start + PACKET] - (events.t[start] if n else 0)
        wrong = np.flatnonzero((since < 0) | (since > SPAN))
        stop = start + (int(wrong[0]) if len(wrong) else len(since))
        yield slice(start, stop)
        if not n:
            return
        start = stop


def _message(events: Events, part: slice, sequence: int, base: int, height: int, width: int) -> bytes:
    """An EventPacket in CDR: numbers are aligned, counted from the fourth byte on."""
    words = (events.t[part] * 1000 - base).astype(np.uint64)
    for name, shift in (("x", 32), ("y", 48), ("p", 63)):
        words |= getattr(events, name)[part].astype(np.uint64) << np.uint64(shift)
    data = words.astype("<u8").tobytes()
    out = (
        struct.pack("<iI", base // 10**9, base % 10**9) + struct.pack("<I", 1) + bytes(4)
    )  # frame_id is empty
    out += struct.pack("<II", height, width) + struct.pack("<QQ", sequence, base)
    out += struct.pack("<I5s?2x", 5, b"mono", False)
    return b"\0\x01\0\0" + out + struct.pack("<I", len(data)) + data
