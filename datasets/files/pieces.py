"""Columns for a decoder to fill."""

from __future__ import annotations

import numpy as np

from snnkit.datasets.files.base import Columns


def room(n: int) -> Columns:
    """Columns of n events, to be filled."""
    return Columns(np.empty(n, np.int64), np.empty(n, np.int16), np.empty(n, np.int16), np.empty(n, np.uint8))


def part(columns: Columns, start: int, stop: int) -> Columns:
    """Events start to stop, no copy."""
    return Columns(columns.t[start:stop], columns.x[start:stop], columns.y[start:stop], columns.p[start:stop])
