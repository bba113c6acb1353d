"""Loading event recordings into batches of frames: snnkit's packed store against tonic's DiskCachedDataset.

    SNNKIT_DATA=~/data python benchmarks/loading.py [--quick] [--json FILE]

The real N-MNIST recordings in SNNKIT_DATA (1 000 for training), shuffled, in batches of 64, 32 steps of 10 ms of 2x34x34
pixels. Everyone's cache is filled before the clock runs, and all go through the same recordings in the same order, in turns.
tonic (pip install tonic) is measured in the ways its documentation shows: frames cached on disk, and events cached on disk
that become frames as they are read; both with torch's DataLoader and PadTensors. Figures are medians of samples per second
over whole epochs, in this process, without workers. Before that, everyone's frames are compared: they hold the same counts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _timing import Clock, interleave, summary
from torch.utils.data import DataLoader

import snnkit
from snnkit import datasets
from snnkit.datasets.batches import collate

DT, STEPS, BATCH = 10e-3, 32, 64
Epoch = Callable[[], Iterator[tuple[Any, torch.Tensor]]]


def ours(ds: datasets.EventDataset, order: list[int]) -> dict[str, Epoch]:
    """Batches of snnkit: sparse, dense, and through torch's DataLoader."""
    part, grid = ds.subset(order), {"dt": DT, "steps": STEPS}

    def loader(dense: bool) -> Iterator:
        return iter(DataLoader(part, batch_size=BATCH, collate_fn=collate(**grid, dense=dense)))

    return {
        "snnkit batches, events": lambda: iter(datasets.batches(part, batch_size=BATCH, **grid)),
        "snnkit batches, frames": lambda: iter(datasets.batches(part, batch_size=BATCH, dense=True, **grid)),
        "snnkit DataLoader, events": lambda: loader(False),
        "snnkit DataLoader, frames": lambda: loader(True),
    }


class Structured:
    """Our recordings as tonic has them, so that both read the same events."""

    dtype = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])

    def __init__(self, ds: datasets.EventDataset, transform: Callable | None):
        self.ds, self.transform = ds, transform

    def __len__(self) -> int:
        return len(self.ds)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        events, label = self.ds[i]
        out = np.empty(len(events), self.dtype)
        for name in self.dtype.names or ():
            out[name] = getattr(events, name)
        return out if self.transform is None else self.transform(out), label


def tonics(ds: datasets.EventDataset, order: list[int], folder: Path) -> dict[str, Epoch]:
    """Batches of tonic: its cache of frames, and its cache of events with frames made on the way."""
    import tonic
    from tonic import transforms

    _, height, width = ds.shape
    framed = transforms.ToFrame(
        sensor_size=(width, height, 2),
        time_window=round(DT * 1e6),
        start_time=0,
        end_time=round(DT * STEPS * 1e6),
    )

    def loader(cache: Any) -> Iterator:
        pad = tonic.collation.PadTensors(batch_first=False)
        return iter(DataLoader(cache, batch_size=BATCH, sampler=order, collate_fn=pad))

    frames = tonic.DiskCachedDataset(Structured(ds, framed), cache_path=str(folder / "frames"))
    events = tonic.DiskCachedDataset(
        Structured(ds, None), cache_path=str(folder / "events"), transform=framed
    )
    found: dict[str, Epoch] = {
        "tonic DiskCachedDataset of frames": lambda: loader(frames),
        "tonic DiskCachedDataset of events": lambda: loader(events),
    }
    return found


def dense(batch: Any) -> torch.Tensor:
    return batch.dense() if isinstance(batch, snnkit.EventTensor) else batch.float()


def check_equal(contestants: dict[str, Epoch]) -> None:
    """All epochs hold the same frames and labels; this also fills the caches."""
    for parts in zip(*(make() for make in contestants.values()), strict=True):
        first, labels = dense(parts[0][0]), parts[0][1]
        for name, (batch, theirs) in zip(contestants, parts, strict=True):
            if not (torch.equal(dense(batch), first) and torch.equal(theirs, labels)):
                sys.exit(f"{name} has other frames than {next(iter(contestants))}")


def epoch(make: Epoch) -> Callable[[Clock], None]:
    def run(clock: Clock) -> None:
        for _ in make():
            pass
        clock.lap("epoch")

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="200 recordings, fewer rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    args = parser.parse_args()
    if not os.environ.get("SNNKIT_DATA"):
        sys.exit("set SNNKIT_DATA to a folder with N-MNIST; see: snnkit datasets nmnist")
    ds = datasets.load("nmnist")
    count, rounds = (min(200, len(ds)), 2) if args.quick else (len(ds), 5)
    order = np.random.default_rng(0).permutation(len(ds))[:count].tolist()
    with tempfile.TemporaryDirectory() as folder:
        contestants = ours(ds, order)
        try:
            contestants |= tonics(ds, order, Path(folder))
        except ImportError as error:
            print(f"left out: tonic ({error})")
        check_equal(contestants)
        found = interleave({name: epoch(make) for name, make in contestants.items()}, rounds, turns=2)
    report({name: summary(stages["epoch"]) for name, stages in found.items()}, count, args.json)


def report(found: dict[str, dict[str, float]], count: int, out: Path | None) -> None:
    rates = {name: 1e3 * count / times["median_ms"] for name, times in found.items()}
    peers = [rate for name, rate in rates.items() if name.startswith("tonic")]
    print(
        f"{count} recordings, batches of {BATCH}, {STEPS} steps of {DT * 1e3:g} ms, {torch.get_num_threads()} threads"
    )
    for name, rate in rates.items():
        ratio = f"{rate / max(peers):8.1f}x the faster tonic" if peers else ""
        print(f"{name:36}{rate:10.0f} samples/s{ratio}")
    if out:
        record = {
            "recordings": count,
            "batch": BATCH,
            "steps": STEPS,
            "samples_per_s": rates,
            "epochs": found,
        }
        out.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
