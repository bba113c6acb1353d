"""Recordings to try transforms on: drawn by hypothesis or by a seed, and what must hold for every one of them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from snnkit.datasets import Events, Packed
from snnkit.datasets.transforms import end_to_end

COLUMNS = ("t", "x", "y", "p")


def recording(n, *, sensor=(2, 12, 16), span=100_000, start=0, seed=0) -> Events:
    """n events anywhere on the sensor, within `span` microseconds from `start`."""
    g = np.random.default_rng([seed, n])
    polarities, height, width = sensor
    t = start + np.sort(g.integers(0, span, n))
    return Events(
        t, g.integers(0, width, n), g.integers(0, height, n), g.integers(0, polarities, n), sensor=sensor
    )


def poisson(rate, *, side=64, seconds=20.0, seed=0) -> Events:
    """Noise of `rate` events per second and pixel on a square sensor."""
    g = np.random.default_rng(seed)
    return recording(
        int(g.poisson(rate * side * side * seconds)),
        sensor=(2, side, side),
        span=round(seconds * 1e6),
        seed=seed,
    )


@st.composite
def batches(draw, *, polarities=(1, 2), empty=True) -> Packed:
    """A few recordings of one small sensor, with equal times, crowded pixels, and some that are empty."""
    sensor = (draw(st.sampled_from(polarities)), draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    counts = draw(st.lists(st.integers(0 if empty else 1, 40), min_size=1, max_size=4))
    span = draw(st.sampled_from([1, 10, 1_000, 200_000]))
    start = draw(st.sampled_from([0, 11_000_000]))
    seed = draw(st.integers(0, 2**16))
    return end_to_end(
        recording(n, sensor=sensor, span=span, start=start, seed=seed + i) for i, n in enumerate(counts)
    )


def snapshot(recordings) -> list[np.ndarray]:
    return [np.array(getattr(recordings, c)) for c in COLUMNS]


def same(a, b) -> bool:
    return all(np.array_equal(c, d) for c, d in zip(snapshot(a), snapshot(b), strict=True))


def rows(events) -> list[tuple[int, ...]]:
    """The events as tuples (t, x, y, p)."""
    return list(zip(*(getattr(events, c).tolist() for c in COLUMNS), strict=True))


def check_sound(packed: Packed) -> None:
    """Nothing outside the sensor, times in order in every recording, offsets that fit the columns."""
    polarities, height, width = packed.sensor
    assert (
        packed.offsets[0] == 0
        and packed.offsets[-1] == len(packed.t)
        and (np.diff(packed.offsets) >= 0).all()
    )
    assert [getattr(packed, c).dtype for c in COLUMNS] == [np.int64, np.int16, np.int16, np.uint8]
    assert len({len(getattr(packed, c)) for c in COLUMNS}) == 1
    for column, limit in ((packed.x, width), (packed.y, height), (packed.p, polarities)):
        assert not len(column) or (column.min() >= 0 and column.max() < limit)
    for events in (packed[i] for i in range(len(packed))):
        assert (np.diff(events.t) >= 0).all()
