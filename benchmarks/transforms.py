"""Changes to recordings and dense forms of them, beside tonic's: order of magnitude.

    python benchmarks/transforms.py [--quick] [--json FILE] [--events N]

One recording on a sensor of 128x128 pixels: a dot on a circle, with Poisson noise. Both libraries get the same events
in the form they work on (snnkit: columns, tonic: a structured array) and the parameters that mean the same; times are
in microseconds there, in seconds here. Where the definitions agree too, the results are compared, and the column
"same" says so; where it says "no", they are drawn by chance, or docs/transforms.md says what differs. One thread,
medians of calls that take turns. tonic (pip install tonic) is GPL and no dependency of snnkit: without it, its
columns stay empty.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _timing import Clock, interleave, summary

from snnkit.datasets import Events
from snnkit.datasets import transforms as ours

SENSOR = (128, 128, 2)  # as tonic counts it: width, height, polarities
SECONDS = 1.0


def recording(n: int, seed: int = 0) -> Events:
    """n events in a second: three of four on a dot that goes round, the others anywhere."""
    g = np.random.default_rng(seed)
    t = np.sort(g.integers(0, round(SECONDS * 1e6), n))
    angle = 2 * np.pi * t * 1e-6
    dot = np.stack([64 + 40 * np.cos(angle), 64 + 40 * np.sin(angle)]) + g.normal(0, 3, (2, n))
    noise = g.uniform(0, 128, (2, n))
    x, y = np.clip(np.where(g.random(n) < 0.75, dot, noise), 0, 127).astype(np.int16)
    return Events(t, x, y, g.integers(0, 2, n), sensor=(2, 128, 128))


def structured(events: Events) -> np.ndarray:
    """The recording as tonic has it."""
    out = np.empty(len(events), dtype=[("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
    for name in out.dtype.names:
        out[name] = getattr(events, name)
    return out


@dataclass(frozen=True)
class Pair:
    """The same work in both libraries.

    `same` compares the results; it is None where they are drawn by chance, or the definitions differ.
    """

    name: str
    ours: Callable[[Events], Any]
    theirs: Callable[[Any], Callable[[np.ndarray], Any]]  # tonic.transforms -> transform
    same: Callable[[Any, Any], bool] | None = None


def equal_events(mine: Events, theirs: np.ndarray) -> bool:
    return all(np.array_equal(getattr(mine, c), theirs[c]) for c in "txyp")


def equal_arrays(mine: np.ndarray, theirs: np.ndarray) -> bool:
    return mine.shape == theirs.shape and np.allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def seeded(change: Callable[..., Any]) -> Callable[[Events], Any]:
    rng = np.random.default_rng(0)
    return lambda events: change(events, rng)


PAIRS = [
    Pair("flip", ours.FlipLeftRight(), lambda T: T.RandomFlipLR(SENSOR, p=1.0), equal_events),
    Pair("crop", ours.Crop(96, 96), lambda T: T.CenterCrop(SENSOR, size=(96, 96)), equal_events),
    Pair("merge polarity", ours.MergePolarity(), lambda T: T.MergePolarities(), equal_events),
    Pair("downsample", ours.Downsample(2), lambda T: T.Downsample(spatial_factor=0.5), equal_events),
    Pair("drop events", seeded(ours.Drop(0.2)), lambda T: T.DropEvent(p=0.2)),
    Pair("drop area", seeded(ours.DropArea(0.2)), lambda T: T.DropEventByArea(SENSOR, area_ratio=0.2)),
    Pair(
        "space jitter", seeded(ours.SpaceJitter(1.0)), lambda T: T.SpatialJitter(SENSOR, clip_outliers=True)
    ),
    Pair("time jitter", seeded(ours.Jitter(1e-3)), lambda T: T.TimeJitter(std=1000, sort_timestamps=True)),
    Pair(
        "refractory",  # tonic drops at delta itself, too: one microsecond more here
        ours.Refractory(5.001e-3, retriggerable=True),
        lambda T: T.RefractoryPeriod(delta=5000),
        equal_events,
    ),
    Pair(
        "background activity",
        ours.BackgroundActivity(5e-3, neighbours=4),
        lambda T: T.Denoise(filter_time=5000),
    ),
    Pair(
        "frames by time",
        ours.Frames(ours.SliceTime(10e-3)),
        lambda T: T.ToFrame(SENSOR, time_window=10_000, include_incomplete=True),
        equal_arrays,
    ),
    Pair(
        "frames by count",
        ours.Frames(ours.SliceCount(1000, incomplete=False)),
        lambda T: T.ToFrame(SENSOR, event_count=1000),
        equal_arrays,
    ),
    Pair("voxel grid", ours.VoxelGrid(10), lambda T: T.ToVoxelGrid(SENSOR, n_time_bins=10)),
    Pair(
        "time surfaces",
        ours.TimeSurface(50e-3, dt=50e-3),
        lambda T: T.ToTimesurface(SENSOR, dt=50_000, tau=50_000),
        lambda mine, theirs: equal_arrays(
            mine[: len(theirs)], theirs
        ),  # tonic leaves out the incomplete window
    ),
    Pair(
        "HATS",
        ours.HATS(cell=10, radius=2, tau=0.1, window=0.1),
        lambda T: T.ToAveragedTimesurface(
            SENSOR, surface_size=5, cell_size=10, time_window=100_000, tau=100_000
        ),
    ),
]
SLOW = {"HATS"}  # in tonic: seconds per call


def timed(call: Callable[[], Any]) -> Callable[[Clock], Any]:
    def run(clock: Clock) -> None:
        call()
        clock.lap("call")

    return run


def measure(pair: Pair, events: Events, T: Any, rounds: int) -> dict[str, Any]:
    contestants = {"snnkit": timed(lambda: pair.ours(events))}
    same = None
    if T is not None:
        rows, theirs = structured(events), pair.theirs(T)
        if pair.same is not None:
            same = bool(pair.same(pair.ours(events), theirs(rows.copy())))
            assert same, f"{pair.name}: the results differ"
        contestants["tonic"] = timed(lambda: theirs(rows))
    pair.ours(events)  # compiled before the clock runs
    found = interleave(contestants, 1 if pair.name in SLOW and T is not None else rounds, turns=2)
    times = {name: summary(stages["call"]) for name, stages in found.items()}
    ratio = times["tonic"]["median_ms"] / times["snnkit"]["median_ms"] if "tonic" in times else None
    return {"name": pair.name, "same": same, "ratio": ratio, **times}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small recording, few rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--events", type=int, help="events in the recording (default 100 000; quick: 4 000)")
    args = parser.parse_args()
    try:
        import tonic.transforms as T
    except ImportError:
        T = None
        print("left out: tonic, not installed (pip install tonic)")
    n, rounds = args.events or (4_000 if args.quick else 100_000), 3 if args.quick else 7
    events = recording(n)
    print(f"{n} events on 128x128 pixels, median of {rounds} calls in ms")
    print(f"{'':22}{'snnkit':>10}{'tonic':>12}{'ratio':>9}  same")
    results = []
    for pair in PAIRS:
        r = measure(pair, events, T, rounds)
        results.append(r)
        theirs = f"{r['tonic']['median_ms']:12.3f}{r['ratio']:8.1f}x" if r["ratio"] else " " * 21
        same = {True: "yes", None: "no" if T else ""}[r["same"]]
        print(f"{pair.name:22}{r['snnkit']['median_ms']:10.3f}{theirs}  {same}", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"events": n, "results": results}, indent=1))


if __name__ == "__main__":
    main()
