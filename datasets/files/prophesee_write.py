"""Writers of Prophesee's .raw, with a header that says all that a reader needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files.base import check_writable
from snnkit.errors import UserError
from snnkit.recordings import Events

LONGEST = 100_000  # turns of the sensor's clock; two words of time are written for each


def write_evt2(events: Events, path: Path) -> None:
    """4 bytes an event and as many for every new 64 us. Clock of 34 bits."""
    from snnkit.kernels.events import encode_evt as kernel

    loops = _checked(events, "EVT2", 34)
    words = np.empty(len(events) + _changes(events.t >> 6) + 2 * loops + 1, np.uint32)
    n = kernel.evt2(*_columns(events), words)
    _save(events, path, "evt 2.0", "EVT2", words[:n])


def write_evt21(events: Events, path: Path, *, legacy: bool = False) -> None:
    """8 bytes for up to 32 neighbours of one time; `legacy` is the byte order of older cameras."""
    from snnkit.kernels.events import encode_evt as kernel

    loops = _checked(events, "EVT2.1", 34)
    words = np.empty((len(events) + _changes(events.t >> 6) + 2 * loops + 1, 2), np.uint32)
    n = kernel.evt21(*_columns(events), words, int(legacy))
    order = "legacy" if legacy else "little"
    _save(events, path, "evt 2.1", "EVT21", words[:n], f"endianness={order};")


def write_evt3(events: Events, path: Path) -> None:
    """2 bytes for a time, a row, an event, or 8 for up to 32 neighbours. Clock of 24 bits."""
    from snnkit.kernels.events import encode_evt as kernel

    loops = _checked(events, "EVT3", 24)
    words = np.empty(4 * len(events) + 2 * loops + 1, np.uint16)
    n = kernel.evt3(*_columns(events), words, events.sensor[2])
    _save(events, path, "evt 3.0", "EVT3", words[:n])


def _checked(events: Events, title: str, bits: int) -> int:
    """Turns of the clock, if these events can be written."""
    check_writable(events, title, width=2048, height=2048, last=(1 << 62) - 1, ordered=True)
    loops = int(events.t[-1]) >> bits if len(events) else 0
    if loops > LONGEST:
        raise UserError(
            f"{title} counts {(1 << bits) * 1e-6:.0f} s and then begins anew; these events end at "
            f"{events.t[-1] * 1e-6:.0f} s; subtract the first time"
        )
    return loops


def _changes(values: NDArray[Any]) -> int:
    return int(np.count_nonzero(np.diff(values))) + 1


def _columns(events: Events) -> tuple[NDArray[Any], ...]:
    return tuple(np.ascontiguousarray(c) for c in (events.t, events.x, events.y, events.p))


def _save(events: Events, path: Path, version: str, name: str, words: NDArray[Any], more: str = "") -> None:
    _, height, width = events.sensor
    lines = (
        version,
        f"format {name};{more}height={height};width={width}",
        f"geometry {width}x{height}",
        "end",
    )
    with path.open("wb") as file:
        file.write("".join(f"% {line}\n" for line in lines).encode())
        words.astype(words.dtype.newbyteorder("<"), copy=False).tofile(file)
