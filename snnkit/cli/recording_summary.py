"""What is in a recording, in numbers: found in one pass over chunks, so that files may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files import Reader
from snnkit.datasets.transforms.denoise import outliers
from snnkit.recordings import Events

CHUNK = 1_000_000  # events read at a time
BINS = 60  # of the rate over time
SIGMAS = 5.0  # a pixel is hot above mean + SIGMAS · std of the pixels that fire
LISTED = 10  # hot pixels named one by one
DENSE = 1 << 23  # pixels of a sensor that are all counted; a file may claim to have a billion


class Rate:
    """Events over time in at most 2 · BINS equal bins, for a duration that is not known before the end.

    It begins with bins of a microsecond; when an event comes after the last one, pairs of bins become one.
    """

    def __init__(self) -> None:
        self.start, self.width = 0, 1
        self.counts = np.zeros((2, 2 * BINS), np.int64)  # OFF, ON
        self.any = False

    def add(self, t: NDArray[np.int64], p: NDArray[np.uint8]) -> None:
        if not self.any:
            self.start, self.any = int(t[0]), True
        late = np.maximum(t - self.start, 0)
        while int(late.max()) // self.width >= 2 * BINS:
            self.counts = np.pad(self.counts.reshape(2, BINS, 2).sum(2), ((0, 0), (0, BINS)))
            self.width *= 2
        bins = late // self.width
        for sign in (0, 1):
            self.counts[sign] += np.bincount(bins[(p != 0) == bool(sign)], minlength=2 * BINS)

    def result(self) -> NDArray[np.int64]:
        """(2, bins), without the empty ones at the end."""
        used = np.flatnonzero(self.counts.any(0))
        return self.counts[:, : used[-1] + 1] if len(used) else self.counts[:, :0]


class Pixels:
    """Events per pixel; of a very large sensor only for the pixels that have some."""

    def __init__(self) -> None:
        self.places, self.counts = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def add(self, part: Events) -> None:
        _, height, width = part.sensor
        places = part.y.astype(np.int64) * width + part.x
        if height * width <= DENSE:
            found = np.bincount(places, minlength=height * width)
            self.counts = self.counts + found if len(self.counts) else found
            return
        places, found = np.unique(places, return_counts=True)
        self.places, at = np.unique(np.concatenate([self.places, places]), return_inverse=True)
        self.counts = np.bincount(at, weights=np.concatenate([self.counts, found])).astype(np.int64)

    def result(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Flat places of the pixels that have events, and how many."""
        if len(self.places):
            return self.places, self.counts
        active = np.flatnonzero(self.counts)
        return active, self.counts[active]


def summarise(reader: Reader, *, keep: int = 0) -> tuple[dict[str, Any], Events]:
    """The numbers as JSON, and the first `keep` events, in order of time, for pictures."""
    rate, pixels, kept, n, on = Rate(), Pixels(), [], 0, 0
    first, last, sensor = np.iinfo(np.int64).max, np.iinfo(np.int64).min, (2, 1, 1)
    for part in reader.chunks(CHUNK):
        sensor = part.sensor
        pixels.add(part)
        rate.add(part.t, part.p)
        first, last = min(first, int(part.t.min())), max(last, int(part.t.max()))
        if n < keep:
            kept.append(part)
        n, on = n + len(part), on + int(np.count_nonzero(part.p))
    found: dict[str, Any] = _file(reader) | {"events": n}
    if n:
        found |= _times(first, last, n, rate) | {"on": on / n} | _pixels(pixels, sensor)
    return found, _in_order(kept, keep, sensor)


def _file(reader: Reader) -> dict[str, Any]:
    info = reader.info
    size = None
    if reader.size is not None:
        polarities, height, width = reader.size.sensor
        size = {"width": width, "height": height, "polarities": polarities, "from": info.size_from}
    return {
        "file": str(reader.path),
        "bytes": reader.path.stat().st_size,
        "format": info.format,
        "version": info.version,
        "sensor": size,
        "streams": [
            {"name": s.name, "kind": s.kind, "count": s.count} for s in info.streams if s.name != "events"
        ],
        "header": dict(info.header),
        "notes": list(info.notes),
    }


def _times(first: int, last: int, n: int, rate: Rate) -> dict[str, Any]:
    seconds, bins = (last - first) * 1e-6, rate.result()
    total = bins.sum(0)
    return {
        "first_us": first,
        "last_us": last,
        "duration_s": seconds,
        "rate_hz": n / seconds if seconds else None,
        "rate": {
            "bin_s": rate.width * 1e-6,
            "off": bins[0].tolist(),
            "on": bins[1].tolist(),
            "peak_hz": float(total.max() / (rate.width * 1e-6)),
            "peak_at_s": float(total.argmax() * rate.width * 1e-6),
        },
    }


def _pixels(pixels: Pixels, sensor: tuple[int, int, int]) -> dict[str, Any]:
    places, counts = pixels.result()
    hot = np.flatnonzero(outliers(counts, SIGMAS))
    order = hot[np.argsort(-counts[hot], kind="stable")][:LISTED]
    y, x = np.divmod(places[order], sensor[2])
    hottest = zip(x.tolist(), y.tolist(), counts[order].tolist(), strict=True)
    return {
        "pixels": {
            "active": len(places),
            "all": sensor[1] * sensor[2],
            "hot": len(hot),
            "hot_events": int(counts[hot].sum()),
            "hottest": [{"x": u, "y": v, "events": n} for u, v, n in hottest],
        }
    }


def _in_order(parts: Iterable[Events], keep: int, sensor: tuple[int, int, int]) -> Events:
    """The first `keep` events of the parts, sorted by time."""
    columns = [np.concatenate([np.zeros(0, np.int64), *(getattr(e, c) for e in parts)]) for c in "txyp"]
    return Events(*(column[:keep] for column in columns), sensor=sensor).sorted()
