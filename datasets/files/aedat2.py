"""AEDAT 1 and 2, the recordings of jAER: lines of text that begin with #, then addresses and times, big-endian.

What an address means depends on the camera, which the header names (`# AEChip: ...DAVIS240C`); without a name it is inferred
from the addresses. Events come out as jAER shows them, with row 0 at the top. The DVS128's polarity bit is inverted, the
DAVIS' is not. Inertial values are in units of the sensor: the record does not have its range (at rest, |a| is 1 g).
(iniVation, "AEDAT file formats", 2.0; jAER's classes DVS128 and DavisChip.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files.base import Damaged, Format, Options, Reader, Size, Stream
from snnkit.datasets.files.blocks import EVENTS, BlockReader, Loop
from snnkit.datasets.files.textheader import CAMERAS, cameras_size, text_lines

MAGICS = (b"#!AER-DAT2.", b"#!AER-DAT1.")
END = "#End Of ASCII Header"
DVS128, DAVIS = 0, 1
TRIGGER = np.dtype([("t", "<i8"), ("address", "<u4")])
IMU = np.dtype(
    [("t", "<i8"), *((name, "<i2") for name in ("ax", "ay", "az", "temperature", "gx", "gy", "gz"))]
)
SAMPLE = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("sample", "<u2"), ("signal", "u1")])
DTYPES = {"triggers": TRIGGER, "imu": IMU, "samples": SAMPLE}
PIECE = 1 << 18  # samples of images at a time


class Aedat2(BlockReader):
    """See the top of this file."""

    def __init__(self, path: Path, options: Options):
        lines, self.body = _lines(path)
        self._bytes = 8 if lines and lines[0].startswith("#!AER-DAT2") else 6
        chips = (m[1] for line in lines if (m := re.match(r"#\s*AEChip:\s*(\S+)", line)))
        chip = next(chips, "")
        name = chip.rsplit(".", 1)[-1]
        header = {"chip": chip} if chip else {}
        version = "2.0" if self._bytes == 8 else "1.0"
        self._layout = DAVIS if name.upper().startswith("DAVIS") else DVS128
        known = name.upper().startswith(("DAVIS", "DVS128"))
        if chip and not known:
            raise Damaged(0, f"the addresses of the chip {name} are not known; those of DVS128 and DAVIS are")
        size = cameras_size(name)
        Reader.__init__(self, path, options, format="AEDAT 2", version=version, size=size, header=header)
        if not known:
            self._layout = self._inferred()
        self.size = self.size or self._inferred_size()

    def loop(self, name: str) -> Loop:
        from snnkit.kernels.events import decode_aedat2 as kernels

        assert self.size is not None
        kernel, columns = {
            "events": (kernels.events, EVENTS),
            "triggers": (kernels.external, (np.int64, np.uint32)),
            "samples": (kernels.samples, (np.int64, np.int16, np.int16, np.uint16, np.uint8)),
            "imu": (kernels.inertial, (np.int64, (np.int16, kernels.CODES))),
        }[name]
        state = kernels.start(self.size.width, self.size.height, self._layout)
        share = 7 if name == "imu" else 1
        return Loop(
            kernel, state, columns, (np.uint8, self._bytes), lambda: self.rest() // self._bytes // share
        )

    def reason(self, code: int, record: bytes) -> str:
        a = int.from_bytes(record[: self._bytes - 4], "big")
        x, y = ((a >> 12) & 0x3FF, (a >> 22) & 0x1FF) if self._layout else ((a >> 1) & 0x7F, (a >> 8) & 0x7F)
        assert self.size is not None
        return f"address {a:#x}: x={x}, y={y} is outside {self.size.width}x{self.size.height} pixels"

    def streams(self) -> tuple[Stream, ...]:
        kinds, _ = self._counts()
        _, triggers, resets, signals, inertial = (int(n) for n in kinds[:5])
        found = [Stream("triggers", "triggers", triggers)] if triggers else []
        if inertial:
            samples = sum(len(piece[0]) for piece in self.pieces(self.loop("imu"), PIECE))
            found.append(Stream("imu", "imu", samples))
        if resets + signals:
            found += [Stream("frames", "frames"), Stream("samples", "other", resets + signals)]
        return tuple(found)

    def records(self, name: str) -> Iterator[NDArray[Any]]:
        if name == "frames":
            yield from self._frames()
            return
        dtype = DTYPES[name]
        yield np.empty(0, dtype)
        for columns in self.pieces(self.loop(name), None):
            if name == "imu":
                columns = (columns[0], *columns[1].T)
            rows = np.empty(len(columns[0]), dtype)
            for field, column in zip(dtype.names or (), columns, strict=True):
                rows[field] = column
            yield rows

    def _frames(self) -> Iterator[NDArray[Any]]:
        from snnkit.kernels.events.decode_aedat2 import frames

        assert self.size is not None
        shape = (self.size.height, self.size.width)
        resets, image, seen = np.zeros(shape, np.int32), np.zeros(shape, np.int16), np.zeros(shape, np.int64)
        state = np.array([1, 0, 0])
        dtype = np.dtype([("t", "<i8"), ("image", "<i2", shape)])
        yield np.empty(0, dtype)
        for columns in self.pieces(self.loop("samples"), PIECE):
            room = len(columns[0]) // image.size + 1
            times, images = np.empty(room, np.int64), np.empty((room, *shape), np.int16)
            n = frames(*columns, resets, image, seen, state, times, images)
            rows = np.empty(n, dtype)
            rows["t"], rows["image"] = times[:n], images[:n]
            yield rows
        if state[1] or state[2]:
            self.note(f"{state[2] + (state[1] > 0)} images are not complete, and left out")

    def _counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Records of each kind, and the largest address, column and row."""
        from snnkit.kernels.events.decode_aedat2 import count

        kinds, largest = np.zeros(6, np.int64), np.zeros(3, np.int64)
        with self.path.open("rb") as file:
            file.seek(self.body)
            while data := file.read(self._bytes << 16):
                whole = len(data) - len(data) % self._bytes
                records = np.frombuffer(data, np.uint8, whole).reshape(-1, self._bytes)
                count(records, self._layout, kinds, largest)
        return kinds, largest

    def _inferred(self) -> int:
        """The layout of the addresses where the header does not name the camera."""
        self._layout = DAVIS
        address = int(self._counts()[1][0])
        layout = DAVIS if address >> 16 else DVS128
        self.note(f"the header names no camera; its addresses look like a {['DVS128', 'DAVIS'][layout]}'s")
        return layout

    def _inferred_size(self) -> Size:
        """The smallest camera that has all addresses."""
        if self._layout == DVS128:
            return Size(128, 128, "inferred")
        _, (_, column, row) = self._counts()
        cameras = sorted(
            v for k, v in CAMERAS.items() if k.startswith("DAVIS2") or k in ("DAVIS346", "DAVIS640")
        )
        for width, height in cameras:
            if column < width and row < height:
                return Size(width, height, "inferred")
        raise Damaged(
            self.body, f"no known DAVIS has a pixel at x={column}, y={row}; pass sensor=(2, height, width)"
        )


def _lines(path: Path) -> tuple[list[str], int]:
    """The header and where the records begin; AEDAT 1 may have no header at all."""
    with path.open("rb") as file:
        if file.read(1) != b"#":
            return [], 0
    return text_lines(path, end=END)


def _recognise(head: bytes, path: Path) -> bool:
    return head.startswith(MAGICS)


FORMATS = (Format("aedat2", "AEDAT 2", (".aedat2",), _recognise, Aedat2),)
