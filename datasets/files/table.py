"""Events as a table of text, one row per event: CSV, or columns with spaces (the Event Camera Dataset's events.txt).

A row of names says what the columns are, in any order and among others; without names they are t, x, y, p. Times are
microseconds, unless their name says another unit, such as `t_s` or `t [ns]`; without a unit, times with fractions among the
first rows are seconds. Polarities are 0 and 1, -1 and 1, or truth values. A first row of two numbers is width and height.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files.base import LARGEST, Columns, Damaged, Format, Options, Reader, Size
from snnkit.datasets.files.names import ROLES, roles_of
from snnkit.datasets.files.pieces import copied, part, room
from snnkit.recordings import Events

BLOCK = 1 << 20  # bytes
LONGEST = 1 << 16  # bytes of a row
MOST_LINES = 1000  # before the first event
SHORTEST = 8  # bytes of a row: four digits, three separators, a line feed
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|true|false", re.IGNORECASE)
WHY = {1: "a field is no number", 2: "it has too many or too few fields", 3: "it is no event of this sensor"}


class Head(NamedTuple):
    """What the first rows say."""

    roles: tuple[int, ...]  # of each field: 0 to 3 for t, x, y, p; -1 for others
    power: int | None  # of ten that makes times microseconds; None: not said
    size: Size | None
    body: int  # byte at which the events begin
    sure: bool  # that this is a table of events


class Table(Reader):
    """See the top of this file."""

    def __init__(self, path: Path, options: Options):
        with path.open("rb") as file:
            block = file.read(BLOCK)
        self._head = _head(block)
        super().__init__(path, options, format="CSV", size=self._head.size)
        power = self._head.power
        self._power = self._unit() if power is None else power
        unit = {6: "seconds", 3: "milliseconds", 0: "microseconds", -3: "nanoseconds"}[self._power]
        self.header |= {
            "unit of time": unit,
            "columns": ",".join(["", *ROLES][r + 1] for r in self._head.roles),
        }

    def columns(self, size: int | None) -> Iterator[Columns]:
        for data, position in self._blocks():
            words = np.frombuffer(data, np.uint8)
            while len(words):
                out = room(min(len(words) // SHORTEST + 1, max(size or 1 << 62, 1 << 10)))
                used, n, code, _ = self._rows(words, self._power, out)
                if n:
                    yield from self._whole(out, n)
                words, position = words[used:], position + used
                if code:
                    row = data[len(data) - len(words) :].split(b"\n", 1)[0][:80]
                    raise Damaged(position, f"the row {row!r}: {WHY[code]}")

    def _whole(self, out: Columns, n: int) -> Iterator[Columns]:
        """The first n events, without the room for others."""
        good = n
        if self.size and self.size.polarities == 1 and out.p[:n].any():
            good = int(out.p[:n].argmax())
        columns = part(out, 0, good)
        yield columns if 2 * good > len(out.t) else copied(columns)
        if good < n:
            raise Damaged(None, "a polarity of 1, but the sensor has but one polarity")

    def _rows(self, words: NDArray[np.uint8], power: int, out: Columns) -> tuple[int, int, int, int]:
        from snnkit.kernels.events.decode_text import rows

        width, height = self.size[:2] if self.size else (LARGEST, LARGEST)
        return rows(words, np.array(self._head.roles), power, width, height, *out)

    def _unit(self) -> int:
        """Times with fractions are seconds."""
        data, _ = next(self._blocks(), (b"", 0))
        return 6 if self._rows(np.frombuffer(data, np.uint8), 0, room(1 << 16))[3] else 0

    def _blocks(self) -> Iterator[tuple[bytes, int]]:
        """Whole rows, and where they begin."""
        with self.path.open("rb") as file:
            position = self._head.body
            file.seek(position)
            rest = b""
            while block := file.read(BLOCK):
                block = rest + block
                end = block.rfind(b"\n") + 1
                if end:
                    yield block[:end], position
                position, rest = position + end, block[end:]
                if len(rest) > LONGEST:
                    raise Damaged(position, f"a row of more than {LONGEST} bytes")
            if rest:
                yield rest + b"\n", position


def _head(block: bytes) -> Head:
    """Read remarks, names and size at the beginning.

    Raises:
        Damaged: no row of four numbers follows.
    """
    at, size, named, power = 0, None, None, None
    for line in islice(BytesIO(block), MOST_LINES):
        text = line.decode("ascii", "replace").strip()
        fields = [f for f in re.split(r"\s*[,;|\t]\s*|\s+", text.lstrip("#% ")) if f]
        if named is None and (found := _names(text.lstrip("#% "))) is not None:
            named, power = found
        elif text[:1] in ("#", "%", ""):
            size = _sensor(text) or size
        elif named is None and len(fields) == 2 and all(f.isdecimal() and len(f) < 6 for f in fields):
            size = Size(int(fields[0]), int(fields[1]))
        elif (len(fields) >= 4 and all(NUMBER.fullmatch(f) for f in fields[:4])) or named is not None:
            roles = (0, 1, 2, 3, *[-1] * (len(fields) - 4)) if named is None else named
            return Head(roles[:100], power, size, at, True)
        else:
            raise Damaged(at, f"expected a row of four numbers or the names of columns, got {text[:60]!r}")
        at += len(line)
    if at < len(block):
        raise Damaged(at, f"no events in the first {MOST_LINES} rows")
    return Head(named or (0, 1, 2, 3), power, size, at, named is not None)


def _names(text: str) -> tuple[tuple[int, ...], int | None] | None:
    """Roles of the fields, if they are names."""
    for separator in (r"[,;|\t]", r"\s+"):
        fields = re.split(separator, text)[:100]
        if (found := roles_of(fields)) is not None:
            places = {k: ROLES.index(role) for role, k in found[0].items()}
            return tuple(places.get(k, -1) for k in range(len(fields))), found[1]
    return None


def _sensor(text: str) -> Size | None:
    """The size in a remark that `write` has made."""
    m = re.search(r"sensor=(\d{1,6}),(\d{1,6}),(\d{1,6})", text)
    return Size(int(m[3]), int(m[2]), polarities=int(m[1])) if m else None


def write(events: Events, path: Path) -> None:
    """Write events as CSV with the columns t (microseconds), x, y, p, and the sensor in a remark."""
    sensor = ",".join(map(str, events.sensor))
    with path.open("wb") as file:
        file.write(f"# sensor={sensor}\nt,x,y,p\n".encode())
        for start in range(0, len(events), BLOCK):
            rows = [getattr(events, name)[start : start + BLOCK].tolist() for name in ROLES]
            file.write("".join(f"{t},{x},{y},{p}\n" for t, x, y, p in zip(*rows, strict=True)).encode())


def recognise(head: bytes, path: Path) -> bool:
    """Is this a table of events?"""
    if not head or b"\0" in head or not head[:4096].isascii():
        return False
    try:
        return _head(head).sure
    except Damaged:
        return False


CSV = Format("csv", "CSV", (".csv", ".txt"), recognise, Table, write)
