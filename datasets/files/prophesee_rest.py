"""Words of Prophesee's encodings that are no events: external triggers, IMU samples, monitoring."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TRIGGERS = np.dtype(
    [("t", "<i8"), ("id", "u1"), ("value", "u1")]
)  # microseconds, channel, 1 is a rising edge
IMU = np.dtype(
    [("t", "<i8"), *((name, "<i2") for name in ("ax", "ay", "az", "gx", "gy", "gz"))]
)  # as measured
OTHERS = np.dtype([("t", "<i8"), ("type", "u1"), ("subtype", "<u2"), ("class", "u1"), ("payload", "<u4")])
CONTINUED = 0xF


class Rest(NamedTuple):
    """All words that are neither events nor times, in order, with their times (-1: before the first one)."""

    encoding: str
    t: NDArray[np.int64]
    raw: NDArray[Any]

    @property
    def halves(self) -> NDArray[Any]:
        """The part with the type: all of a word, or the upper half of EVT2.1's."""
        return (self.raw >> 32).astype(np.uint32) if self.encoding == "evt21" else self.raw

    @property
    def kinds(self) -> NDArray[Any]:
        return self.halves >> (12 if self.encoding == "evt3" else 28)


def triggers(rest: Rest) -> NDArray[Any]:
    """External triggers that have a time."""
    rows = np.flatnonzero((rest.kinds == 0xA) & (rest.t >= 0))
    words, out = rest.halves[rows], np.empty(len(rows), TRIGGERS)
    out["t"], out["value"] = rest.t[rows], words & 1
    out["id"] = words >> 8 & (0xF if rest.encoding == "evt3" else 0x1F)
    return out


def imu(rest: Rest) -> NDArray[Any]:
    """EVT2's samples: six words, value in bits 16 to 1."""
    if rest.encoding != "evt2" or len(rest.raw) < 6:
        return np.empty(0, IMU)
    kinds, count = rest.kinds, len(rest.raw) - 5
    whole = (kinds[:count] == 0xD) & (rest.t[:count] >= 0)
    for k in range(1, 6):
        whole &= kinds[k : count + k] == CONTINUED
    rows = np.flatnonzero(whole)
    out = np.empty(len(rows), IMU)
    out["t"] = rest.t[rows]
    for k, name in enumerate(("ax", "ay", "az", "gx", "gy", "gz")):
        out[name] = (rest.raw[rows + k] >> 1 & 0xFFFF).astype(np.uint16).view(np.int16)
    return out


def others(rest: Rest) -> NDArray[Any]:
    """Monitoring words, and the IMU words of EVT3, with what continues them."""
    kinds = rest.kinds
    rows = np.flatnonzero((kinds == 0xE) | ((kinds == 0xD) & (rest.encoding == "evt3")))
    words, out = rest.halves[rows], np.empty(len(rows), OTHERS)
    out["t"], out["type"] = rest.t[rows], kinds[rows]
    if rest.encoding == "evt3":
        out["subtype"], out["class"], out["payload"] = words & 0xFFF, 0, _payload3(rest, rows)
        return out
    out["subtype"], out["class"] = words & 0xFFFF, words >> 16 & 1
    if rest.encoding == "evt21":
        out["payload"] = rest.raw[rows] & 0xFFFFFFFF
    else:
        out["payload"] = _next(rest, rows + 1, CONTINUED, 0xFFFFFFF)
    return out


def _payload3(rest: Rest, rows: NDArray[Any]) -> NDArray[np.uint32]:
    """12, 12 and 4 bits, the lowest first."""
    first = _next(rest, rows + 1, CONTINUED, 0xFFF)
    second = _next(rest, rows + 2, CONTINUED, 0xFFF)
    return np.asarray(first | second << 12 | _next(rest, rows + 3, 7, 0xF) << 24, np.uint32)


def _next(rest: Rest, rows: NDArray[Any], kind: int, mask: int) -> NDArray[np.uint32]:
    """Bits of the words in these rows if they are of that type, else 0."""
    inside = rows < len(rest.raw)
    safe = np.where(inside, rows, 0)
    return np.where(inside & (rest.kinds[safe] == kind), rest.halves[safe] & mask, 0).astype(np.uint32)
