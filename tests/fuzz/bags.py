"""Small ROS bags laid out by hand: a database of ROS 2 and a bag of ROS 1, with packets in every encoding."""

from __future__ import annotations

import sqlite3
import struct
import tempfile
from pathlib import Path

import numpy as np

TYPE = "event_camera_msgs/msg/EventPacket"


def seeds() -> dict[str, list[bytes]]:
    return {"rosbag": [make(*packet) for packet in _packets() for make in (_database, _ros1)]}


def _packets() -> list[tuple[str, bytes]]:
    """(encoding, data); see `snnkit.datasets.files.ros_packets`."""
    words = np.array([0x8001, 0x6002, 5, 0x2001, 0x2802, 0x3005, 0x4FFF, 0x50FF], "<u2").tobytes()
    mono = b"".join(struct.pack("<Q", k << 63 | 5 << 48 | k << 32 | 1000 * k) for k in range(2))
    caer = b"".join(struct.pack("<Ii", 1 | k << 1 | 4 << 2 | k << 17, 7 * k) for k in range(2))
    short = np.array([0x0001, 0x1002, 0x2005, 0x3006, 0x4807, 0x50FF], "<u2").tobytes()
    return [("evt3", words), ("mono", mono), ("libcaer", caer), ("libcaer_cmp", short)]


def _cdr(encoding: str, data: bytes, seq: int) -> bytes:
    name = encoding.encode() + b"\0"
    body = struct.pack("<iII4sIIQQ", 5, 6, 4, b"cam\0", 48, 64, seq, 10**9)
    body += struct.pack("<I", len(name)) + name + b"\0"
    return b"\0\1\0\0" + body + bytes(-len(body) % 4) + struct.pack("<I", len(data)) + data


def _database(encoding: str, data: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.db3"
        database = sqlite3.connect(path)
        database.execute("PRAGMA page_size = 512")
        database.execute(
            "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT, "
            "offered_qos_profiles TEXT)"
        )
        database.execute(
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)"
        )
        database.execute("INSERT INTO topics VALUES(1, '/camera', ?, 'cdr', '')", (TYPE,))
        for seq in range(2):
            row = (1, 10**9 + seq, _cdr(encoding, data, seq))
            database.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)", row)
        database.commit()
        database.close()
        return path.read_bytes()


def _ros1(encoding: str, data: bytes) -> bytes:
    connection = {"op": b"\7", "conn": bytes(4), "topic": b"/camera"}
    about = {
        "topic": b"/camera",
        "type": TYPE.replace("/msg/", "/").encode(),
        "md5sum": b"*",
        "message_definition": b"",
    }
    inner = _record(connection, _fields(about))
    for seq in range(2):
        inner += _record({"op": b"\2", "conn": bytes(4), "time": bytes(8)}, _message(encoding, data, seq))
    one = struct.pack("<I", 1)
    head = {"op": b"\3", "index_pos": bytes(8), "conn_count": one, "chunk_count": one}
    chunk = {"op": b"\5", "compression": b"none", "size": struct.pack("<I", len(inner))}
    return b"#ROSBAG V2.0\n" + _record(head, b" " * 20) + _record(chunk, inner)


def _message(encoding: str, data: bytes, seq: int) -> bytes:
    name = encoding.encode()
    out = struct.pack("<IIII3sIIQQ", seq, 5, 6, 3, b"cam", 48, 64, seq, 10**9)
    return out + struct.pack("<I", len(name)) + name + b"\0" + struct.pack("<I", len(data)) + data


def _fields(values: dict[str, bytes]) -> bytes:
    parts = (key.encode() + b"=" + value for key, value in values.items())
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def _record(header: dict[str, bytes], data: bytes) -> bytes:
    fields = _fields(header)
    return struct.pack("<I", len(fields)) + fields + struct.pack("<I", len(data)) + data
