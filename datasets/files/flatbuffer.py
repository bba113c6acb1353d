"""Reading FlatBuffers with every offset checked (https://flatbuffers.dev/internals).

A table begins with a signed offset back to its vtable, which is a list of 16-bit numbers: size of the vtable, size of the
table, then for each field where it lies in the table, or 0 if it has its default value. Vectors and strings begin with
their length. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from snnkit.datasets.files.base import Damaged

SIZES = {"b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "f": 4, "q": 8}  # of `struct` formats

SMALLEST = 8  # bytes of a table in a vector: where it is, and where its vtable is


def _number(data: bytes, at: int, kind: str) -> Any:
    if not 0 <= at <= len(data) - SIZES[kind]:
        raise Damaged(None, f"a FlatBuffer of {len(data)} bytes points to its byte {at}")
    return struct.unpack_from("<" + kind, data, at)[0]


class Table:
    """One table; fields are asked for by number."""

    __slots__ = ("_at", "_data", "_fields", "_vtable")

    def __init__(self, data: bytes, at: int):
        self._data, self._at = data, at
        self._vtable = at - _number(data, at, "i")
        self._fields = (_number(data, self._vtable, "H") - 4) // 2

    def number(self, field: int, kind: str, default: float = 0) -> Any:
        """A number of the `struct` format `kind`."""
        at = self.place(field)
        return default if at is None else _number(self._data, at, kind)

    def place(self, field: int) -> int | None:
        """Where a field lies; None: it has its default value."""
        if not 0 <= field < self._fields:
            return None
        offset = _number(self._data, self._vtable + 4 + 2 * field, "H")
        return self._at + offset if offset else None

    def vector(self, field: int, item: int) -> tuple[int, int]:
        """(first byte, length) of a vector whose items have `item` bytes; all of it lies in the buffer."""
        at = self.place(field)
        if at is None:
            return 0, 0
        at += _number(self._data, at, "I")
        count = _number(self._data, at, "I")
        if count * item > len(self._data) - at - 4:
            raise Damaged(None, f"a FlatBuffer of {len(self._data)} bytes has a vector of {count} x {item}")
        return at + 4, count

    def tables(self, field: int) -> Iterator[Table]:
        """The tables of a vector."""
        first, count = self.vector(field, 4)
        if count * SMALLEST > len(self._data):
            raise Damaged(None, f"{count} tables in a FlatBuffer of {len(self._data)} bytes")
        for at in range(first, first + 4 * count, 4):
            yield Table(self._data, at + _number(self._data, at, "I"))

    def text(self, field: int) -> str:
        """A string."""
        first, count = self.vector(field, 1)
        return self._data[first : first + count].decode("utf-8", "replace")


def root(data: bytes, identifier: str, *, prefixed: bool = True) -> Table:
    """The table of a buffer, which begins with its size if `prefixed`, then the table's offset and four letters.

    Raises:
        Damaged: size or letters are not these. So do all methods of tables for what does not lie in the buffer.
    """
    if prefixed:
        size = _number(data, 0, "I")
        if size != len(data) - 4:
            raise Damaged(None, f"a FlatBuffer of {len(data) - 4} bytes says that it has {size}")
    start = 4 if prefixed else 0
    found = data[start + 4 : start + 8]
    if found != identifier.encode():
        raise Damaged(None, f"expected a FlatBuffer {identifier}, got {found!r}")
    return Table(data, start + _number(data, start, "I"))


@contextmanager
def damage_at(position: int) -> Iterator[None]:
    """Say of all damage inside that it is at this byte of the file."""
    try:
        yield
    except Damaged as damage:
        raise Damaged(position, damage.reason) from None
