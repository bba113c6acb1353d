"""ECF, Prophesee's compression of events in HDF5 files, one chunk at a time; see `snnkit.kernels.events.decode_ecf`."""

from __future__ import annotations

import numpy as np

from snnkit.datasets.files.base import Columns, Damaged
from snnkit.datasets.files.pieces import part, room

FILTER = 0x8ECF  # its number in HDF5
MOST_EVENTS, LARGEST = 65535, 2047  # in a chunk; of a coordinate


def decode_chunk(data: bytes, most: int) -> Columns:
    """The events of a chunk, at most `most`.

    Raises:
        Damaged: it ends too early, or says that it has more.
    """
    from snnkit.kernels.events.decode_ecf import decode

    columns = room(min(most, MOST_EVENTS))
    n = decode(np.frombuffer(data, np.uint8), *columns)
    if n < 0:
        raise Damaged(None, f"a chunk of {len(data)} bytes of ECF is cut off, or has more than {most} events")
    return part(columns, 0, n)


def encode_chunk(columns: Columns) -> bytes:
    """Events as one chunk, in the shortest of the three ways. Times must not decrease, coordinates be at most 2047."""
    from snnkit.kernels.events.decode_ecf import PACKED, PACKED_XP, RUNS, encode

    out = np.empty(20 * len(columns.t) + 64, np.uint8)
    ways = [out[: encode(*columns, mode, out)].tobytes() for mode in (RUNS, PACKED_XP, PACKED)]
    return min(ways, key=len)
