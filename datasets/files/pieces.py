"""Columns: for a decoder to fill, or made of the columns of a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files.base import LARGEST, Columns, Damaged, Size


def room(n: int) -> Columns:
    """Columns of n events, to be filled."""
    return Columns(np.empty(n, np.int64), np.empty(n, np.int16), np.empty(n, np.int16), np.empty(n, np.uint8))


def empty_columns() -> Columns:
    """No events."""
    return room(0)


def part(columns: Columns, start: int, stop: int) -> Columns:
    """Events start to stop, no copy."""
    return Columns(columns.t[start:stop], columns.x[start:stop], columns.y[start:stop], columns.p[start:stop])


def copied(columns: Columns) -> Columns:
    """The same events, without the columns that they are a part of."""
    return Columns(columns.t.copy(), columns.x.copy(), columns.y.copy(), columns.p.copy())


def sound(
    t: NDArray[Any],
    x: NDArray[Any],
    y: NDArray[Any],
    p: NDArray[Any],
    *,
    size: Size | None,
    first: int = 0,
    scale: float = 1,
) -> Iterator[Columns]:
    """Columns of any numbers as events, up to the first that is none.

    Args:
        t: microseconds, once they are multiplied by `scale`.
        x, y: whole numbers in the sensor.
        p: 0 or 1; -1 is taken as 0.
        size: of the sensor.
        first: number of the first event, for messages.

    Raises:
        Damaged: one of them is no event. The events before it have been given.
    """
    width, height, polarities = (size.width, size.height, size.polarities) if size else (LARGEST, LARGEST, 2)
    times = _scaled(t, scale)
    good = np.abs(times) < 2.0**63 if times.dtype.kind == "f" else times <= np.iinfo(np.int64).max
    good &= _whole(x, width) & _whole(y, height) & ((p == 0) | (p == polarities - 1) | (p == -1))
    n = len(good) if good.all() else int(good.argmin())
    if n:
        columns = room(n)
        columns.t[:], columns.x[:], columns.y[:], columns.p[:] = times[:n], x[:n], y[:n], p[:n] > 0
        yield columns
    if n < len(good):
        raise Damaged(None, f"event {first + n}: t={t[n]}, x={x[n]}, y={y[n]}, p={p[n]}")


def _scaled(t: NDArray[Any], scale: float) -> NDArray[Any]:
    """Times as microseconds, in double precision where they are not integers: half precision would overflow."""
    if t.dtype.kind in "iu" and scale == 1:
        return t
    if t.dtype.kind in "iu" and scale < 1:
        return t // round(1 / scale)
    return np.rint(t.astype(np.float64) * scale)


def _whole(values: NDArray[Any], limit: int) -> NDArray[np.bool_]:
    good = (values >= 0) & (values < limit)
    return good & (np.floor(values) == values) if values.dtype.kind == "f" else good
