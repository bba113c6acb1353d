"""Writing AEDAT 4; see `aedat4`. FlatBuffers are laid out by hand, as there are only three kinds of them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from snnkit.errors import UserError
from snnkit.recordings import Events

MAGIC = b"#!AER-DAT4.0\r\n"
NUMBERS = {"none": 0, "lz4": 1, "zstd": 3}
NAMES = {"none": "NONE", "lz4": "LZ4", "zstd": "ZSTD"}  # in the XML
EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?"), ("padding", "V3")])

XML = """<dv version="2.0">
    <node name="outInfo" path="/mainloop/Recorder/outInfo/">
        <node name="0" path="/mainloop/Recorder/outInfo/0/">
            <attr key="compression" type="string">{compression}</attr>
            <attr key="originalModuleName" type="string">snnkit</attr>
            <attr key="originalOutputName" type="string">events</attr>
            <attr key="typeDescription" type="string">Array of events (polarity ON/OFF).</attr>
            <attr key="typeIdentifier" type="string">EVTS</attr>
            <node name="info" path="/mainloop/Recorder/outInfo/0/info/">
                <attr key="sizeX" type="int">{width}</attr>
                <attr key="sizeY" type="int">{height}</attr>
                <attr key="source" type="string">{source}</attr>
                <attr key="tsOffset" type="long">0</attr>
            </node>
        </node>
    </node>
</dv>
"""


def write(
    events: Events, path: Path, *, compression: str = "lz4", packet: int = 8192, source: str = "snnkit"
) -> None:
    """Write events as AEDAT 4.

    Args:
        events: they read back with two polarities.
        path: where to.
        compression: "lz4", "zstd" or "none".
        packet: events in a packet.
        source: name of the camera.
    """
    if compression not in NUMBERS:
        raise UserError(f"compression is one of {', '.join(NUMBERS)}; got {compression!r}")
    if not isinstance(packet, int) or not 1 <= packet <= 1 << 24:
        raise UserError(f"packet is a number of events, 1 to {1 << 24}; got {packet!r}")
    _, height, width = events.sensor
    xml = XML.format(compression=NAMES[compression], width=width, height=height, source=escape(source))
    head = len(MAGIC) + 4 + len(_header(0, 0, xml))
    rows, position = [], head
    with path.open("wb") as file:
        file.write(bytes(head))
        for start in range(0, len(events), packet):
            part = slice(start, start + packet)
            data = _packed(_events(events, part), compression)
            file.write(struct.pack("<ii", 0, len(data)) + data)
            t = events.t[part]
            rows.append((position + 8, 0, len(data), len(t), int(t.min()), int(t.max())))
            position += 8 + len(data)
        file.write(_packed(_table(rows), compression))
        header = _header(NUMBERS[compression], position, xml)
        file.seek(0)
        file.write(MAGIC + struct.pack("<I", len(header)) + header)


def _packed(data: bytes, compression: str) -> bytes:
    if compression == "lz4":
        import lz4.frame

        return lz4.frame.compress(data)
    if compression == "zstd":
        import zstandard

        return zstandard.ZstdCompressor().compress(data)
    return data


def _header(compression: int, table: int, xml: str) -> bytes:
    """Fields: compression int32, position of the table int64, XML string."""
    text = xml.encode()
    vtable = struct.pack("<5H6x", 10, 20, 4, 8, 16)  # of the table at byte 24, so that its int64 is aligned
    body = struct.pack("<iiqI", 16, compression, table, 4) + struct.pack("<I", len(text)) + text
    out = struct.pack("<I", 24) + b"IOHE" + vtable + body + b"\0"
    return out + bytes(-len(out) % 8)


def _events(events: Events, part: slice) -> bytes:
    """One field: a vector of structs, which begins at byte 32 and so is aligned."""
    rows = np.zeros(len(events.t[part]), EVENT)
    for name in ("t", "x", "y", "p"):
        rows[name] = getattr(events, name)[part]
    return _prefixed(b"EVTS", struct.pack("<I", len(rows)) + rows.tobytes())


def _table(rows: list[tuple[int, int, int, int, int, int]]) -> bytes:
    """One field: a vector of tables of place, (stream, size), count, first and last time, all with one vtable."""
    vtable = struct.pack("<7H2x", 14, 44, 4, 12, 20, 28, 36)
    count, offsets = len(rows), 32
    at = offsets + 4 * count
    at += -at % 8
    first = (
        at + len(vtable) + 4
    )  # tables begin four bytes before a multiple of eight, so that their int64 are aligned
    out: Any = np.zeros(count, [("back", "<i4"), ("rest", "V40"), ("padding", "V4")])
    places: NDArray[Any] = first + out.dtype.itemsize * np.arange(count)
    out["back"] = places - at
    out["rest"] = np.frombuffer(b"".join(struct.pack("<qiiqqq", *row) for row in rows), "V40")
    pointers = (places - (offsets + 4 * np.arange(count))).astype("<u4")
    body = struct.pack("<I", count) + pointers.tobytes()
    body += bytes(at - offsets - 4 * count) + vtable + bytes(4) + out.tobytes()
    return _prefixed(b"FTAB", body)


def _prefixed(identifier: bytes, vector: bytes) -> bytes:
    """A buffer of one table with one field, the vector at byte 28."""
    out = (
        struct.pack("<I", 20 - 4)
        + identifier
        + struct.pack("<3H2x", 6, 8, 4)
        + struct.pack("<iI", 8, 4)
        + vector
    )
    out += bytes(-(len(out) + 4) % 8)
    return struct.pack("<I", len(out)) + out
