"""Windows of smartwatch motion, and braille letters: arrays of one length, standardised, nobody on two sides of a split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnkit import datasets

RATE, STEPS, HOP = (
    25.0,
    40,
    10,
)  # of motion: steps per second, steps per window and from one window to the next
BRAILLE_BIN = 8  # steps of 5 ms that become one
VALID = 0.2  # of the people (motion) or recordings (braille) that are not for testing


@dataclass(frozen=True)
class Part:
    """Samples `B T N`, classes `B`, and who each is from (empty if nobody)."""

    x: Tensor
    y: Tensor
    who: NDArray

    def batch(self, ids: Tensor | slice) -> tuple[Tensor, Tensor]:
        """`T B N` and `B`."""
        return self.x[ids].movedim(1, 0).contiguous(), self.y[ids]


@dataclass(frozen=True)
class Data:
    """What is trained on, what chooses the epoch, what is told; and the duration of a step [s]."""

    train: Part
    valid: Part
    test: Part
    classes: int
    dt: float
    names: tuple[str, ...]


def load(dataset: str, root: Any, seed: int, limit: int | None) -> Data:
    """The data of one seed, which draws what is held out for validation; at most `limit` samples of each part."""
    data = motion(root, seed) if dataset == "har" else braille(root, seed)
    if limit is None:
        return data
    a, b, c = (
        _take(p, slice(None, None, max(1, len(p.y) // limit))) for p in (data.train, data.valid, data.test)
    )
    return Data(a, b, c, data.classes, data.dt, data.names)


def joined(data: Data) -> Data:
    """With the validation samples among those for training."""
    a, b = data.train, data.valid
    who = np.concatenate([a.who, b.who]) if len(a.who) else a.who
    return replace(data, train=Part(torch.cat([a.x, b.x]), torch.cat([a.y, b.y]), who))


def _not_for_testing(name: str, root: Any) -> Any:
    train, valid = (datasets.load(name, split, root=root) for split in ("train", "valid"))
    return replace(train, ids=np.concatenate([train.ids, valid.ids]))


def _take(part: Part, ids: Any) -> Part:
    return Part(part.x[ids], part.y[ids], part.who[ids] if len(part.who) else part.who)


# -- motion -----------------------------------------------------------------------------------------------------------


def motion(root: Any, seed: int) -> Data:
    """Windows of 1.6 s of the watch's accelerometer and gyroscope at 25 steps per second, every 0.4 s, each of the class in its middle.

    The people of the test split are the loader's; of the others whole people are held out. Mean and deviation of a channel are those
    of the training windows.
    """
    kept = _not_for_testing("har", root)
    train, valid = kept.split(VALID, seed=seed, by="person")
    parts = [windows(ds) for ds in (train, valid, datasets.load("har", "test", root=root))]
    mean, std = parts[0].x.mean((0, 1)), parts[0].x.std((0, 1))
    a, b, c = (Part((p.x - mean) / std, p.y, p.who) for p in parts)
    return Data(a, b, c, len(kept.classes), 1.0 / RATE, tuple(kept.classes))


def windows(ds: Any) -> Part:
    """The windows of whole recordings of a `har` dataset, activities in a row as they were done."""
    keys = list(zip(*(ds.column(c).tolist() for c in ("person", "execution", "device")), strict=True))
    found: list[tuple[NDArray, int, str]] = []
    for key in dict.fromkeys(keys):
        ids = [i for i, k in enumerate(keys) if k == key]
        rows = ds.ids[ids]
        order = np.argsort(ds.starts[rows])
        first, last = ds.starts[rows][order], ds.stops[rows][order]
        labels = np.repeat(ds.targets[rows][order], last - first)
        at = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
        x, y = resampled(np.asarray(ds.signal)[at], np.asarray(ds.times)[at], labels)
        for start in range(0, len(x) - STEPS + 1, HOP):
            found.append((x[start : start + STEPS], int(y[start + STEPS // 2]), key[0]))
    cut = torch.from_numpy(np.stack([f[0] for f in found])).float()
    return Part(cut, torch.tensor([f[1] for f in found]), np.array([f[2] for f in found]))


def resampled(signal: NDArray, times: NDArray, labels: NDArray) -> tuple[NDArray, NDArray]:
    """Means over steps of 1 / RATE seconds, and the class of the last sample in each; steps without a sample are interpolated."""
    step = np.floor((times - times[0]) * RATE).astype(np.int64)
    count = np.bincount(step)
    have = np.flatnonzero(count)
    means = np.stack([np.bincount(step, weights=c)[have] / count[have] for c in signal.T.astype(np.float64)])
    grid = np.arange(len(count))
    x = np.stack([np.interp(grid, have, c) for c in means], axis=1)
    last = np.searchsorted(step, grid, side="right") - 1
    return x, labels[last]


# -- braille ----------------------------------------------------------------------------------------------------------


def braille(root: Any, seed: int) -> Data:
    """Spike counts of 12 channels in 32 steps of 40 ms; splits by content, so that no recording is on two sides."""
    kept = _not_for_testing("braille", root)
    train, valid = kept.split(VALID, seed=seed)
    a, b, c = (_letters(ds) for ds in (train, valid, datasets.load("braille", "test", root=root)))
    return Data(a, b, c, len(kept.classes), 5e-3 * BRAILLE_BIN, tuple(kept.classes))


def _letters(ds: Any) -> Part:
    x = np.zeros((len(ds), 256 // BRAILLE_BIN, 12), np.float32)
    for i in range(len(ds)):
        events = ds[i][0]
        np.add.at(x[i], (events.t // (5000 * BRAILLE_BIN), events.x), 1.0)
    return Part(torch.from_numpy(x), torch.from_numpy(ds.labels), np.array([]))
