"""Decoding the packets of event_camera_msgs; some encodings carry state from packet to packet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files.base import LARGEST, Columns, Size
from snnkit.datasets.files.pieces import copied, empty_columns, part, room
from snnkit.datasets.files.prophesee_rest import Rest, triggers
from snnkit.datasets.files.ros_messages import Packet

WORDS = {"mono": "<u8", "libcaer": "<u4", "libcaer_cmp": "<u2", "evt3": "<u2"}


class Decoder:
    """The decoder of one camera's packets, in order."""

    def __init__(self, size: Size | None):
        from snnkit.kernels.events import decode_evt3, decode_ros

        self._bounds = size[:2] if size else (LARGEST + 1, LARGEST + 1)
        self._evt3 = decode_evt3.start(*self._bounds)
        self._compressed = decode_ros.start(*self._bounds)
        self._sequence: int | None = None
        self.gaps = 0

    def decode(self, packet: Packet) -> tuple[Columns, str | None]:
        """Its events, and what is wrong with what follows them in the packet."""
        self._follow(packet)
        dtype = WORDS.get(packet.encoding)
        if dtype is None:
            return empty_columns(), f"encoding {packet.encoding[:40]!r}; known are {', '.join(WORDS)}"
        whole = len(packet.data) - len(packet.data) % (8 if dtype == "<u4" else np.dtype(dtype).itemsize)
        words = np.frombuffer(packet.data[:whole], dtype)
        columns, damage = getattr(self, f"_{packet.encoding}_events")(words, packet.base)
        if damage is None and whole < len(packet.data):
            damage = f"truncated: {len(packet.data) - whole} bytes of a word at the end of the packet"
        return columns, damage

    def triggers(self, packet: Packet) -> NDArray[Any]:
        """External triggers in a packet of EVT3."""
        from snnkit.kernels.events.decode_evt3 import evt3_rest

        words = np.frombuffer(packet.data[: len(packet.data) // 2 * 2], "<u2")
        t, raw = np.empty(len(words), np.int64), np.empty(len(words), np.uint16)
        _, n, _ = evt3_rest(words, self._evt3, t, raw, 0, len(words))
        return triggers(Rest("evt3", t[:n], raw[:n]))

    def _follow(self, packet: Packet) -> None:
        """Forget places after a gap; times are told again soon."""
        from snnkit.kernels.events import decode_evt3, decode_ros

        if self._sequence is not None and packet.sequence != self._sequence + 1:
            self.gaps += 1
            self._evt3[decode_evt3.ROW] = self._evt3[decode_evt3.VECTOR] = -1
            self._compressed[decode_ros.COLUMN] = self._compressed[decode_ros.ROW] = -1
        self._sequence = packet.sequence

    def _mono_events(self, words: NDArray[Any], base: int) -> tuple[Columns, str | None]:
        from snnkit.kernels.events.decode_ros import mono

        out = room(len(words))
        n = mono(words, base, *self._bounds, *out)
        return part(out, 0, n), None if n == len(words) else f"event {n} of the packet is outside the sensor"

    def _libcaer_events(self, words: NDArray[Any], base: int) -> tuple[Columns, str | None]:
        from snnkit.kernels.events.decode_ros import libcaer

        out = room(len(words) // 2)
        used, n = libcaer(words, base // 1000, *self._bounds, *out)
        return part(out, 0, n), None if 2 * used == len(
            words
        ) else f"event {used} of the packet is outside the sensor"

    def _libcaer_cmp_events(self, words: NDArray[Any], base: int) -> tuple[Columns, str | None]:
        from snnkit.kernels.events.decode_ros import libcaer_cmp

        out = room(8 * len(words))
        used, n, code = libcaer_cmp(words, base // 1000, self._compressed, *out)
        return copied(part(out, 0, n)), _wrong(words, used, code)

    def _evt3_events(self, words: NDArray[Any], base: int) -> tuple[Columns, str | None]:
        from snnkit.kernels.events.decode_evt3 import evt3, evt3_count

        out = room(evt3_count(words, self._evt3) + 32)
        used, n, code = evt3(words, self._evt3, *out, 0, len(out.t))
        return copied(part(out, 0, n)), _wrong(words, used, code)


def _wrong(words: NDArray[Any], used: int, code: int) -> str | None:
    return (
        f"word {used} of the packet, {int(words[used]):#06x}, is undefined or outside the sensor"
        if code
        else None
    )
