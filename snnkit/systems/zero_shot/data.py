"""What the two liquids hear and see: spoken digits and digits before an event camera, as spikes with classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from snnkit import datasets
from snnkit.datasets.dataset import hold_out
from snnkit.datasets.transforms import Crop
from snnkit.datasets.transforms.base import keep
from snnkit.encoders.cochlea import SiliconCochlea
from snnkit.events import EventTensor
from snnkit.liquid.resistive import ResistiveLiquid
from snnkit.neurons import LIF, Decay
from snnkit.recordings import Packed
from snnkit.systems.reproduction import Setting

NEURONS = 200


@dataclass(frozen=True, eq=False)
class Modality:
    """Recordings of one sense and the constants of their liquid.

    `fit`, `valid` and `test` are masks: the official test part, and a part of the training samples on which the loss of the
    projections is chosen. `train` is both of the others.
    """

    name: str
    ev: EventTensor  # T B M
    labels: NDArray[np.int64]
    valid: NDArray[np.bool_]
    test: NDArray[np.bool_]
    groups: NDArray | None  # speakers
    decay: float
    threshold: float

    @property
    def train(self) -> NDArray[np.bool_]:
        return ~self.test

    @property
    def fit(self) -> NDArray[np.bool_]:
        return ~self.test & ~self.valid

    @property
    def channels(self) -> int:
        return self.ev.shape[2]

    def neuron(self) -> LIF:
        """u = decay·v + x, spike at the threshold, then 0."""
        return LIF(tau=Decay(self.decay), dt=self.ev.dt, threshold=self.threshold, reset="zero")

    def liquid(self, gain: float, chip: int, **options: object) -> ResistiveLiquid:
        """The liquid of a chip; both senses have cells of their own."""
        seed = 2 * chip + (self.name == "speech")
        return ResistiveLiquid(self.channels, NEURONS, neuron=self.neuron(), gain=gain, seed=seed, **options)  # type: ignore[arg-type]

    def part(self, mask: NDArray[np.bool_]) -> EventTensor:
        """The samples of a mask."""
        return self.ev.batch(torch.from_numpy(np.flatnonzero(mask)))

    def subset(self, mask: NDArray[np.bool_]) -> Modality:
        """A smaller set."""
        groups = None if self.groups is None else self.groups[mask]
        return replace(
            self,
            ev=self.part(mask),
            labels=self.labels[mask],
            valid=self.valid[mask],
            test=self.test[mask],
            groups=groups,
        )


def images(setting: Setting) -> Modality:
    """N-MNIST, the OFF polarity (the first), centre crop of 16 x 16 pixels, 50 steps of 6.2 ms, events counted."""
    parts, labels = [], []
    for split, most in (("train", 200), ("test", 100)):
        ds = datasets.load("nmnist", split, root=setting.root)
        ds = ds.subset(slice(0, most if setting.quick else 1000))
        packed = Crop(16, 16)(ds.packed.gather(np.asarray(ds.ids)))
        parts.append(_flat(keep(packed, packed.p == 0), 6.2e-3, 50, slice(0, 256), binary=False))
        labels.append(ds.labels)
    test = np.repeat([False, True], [len(y) for y in labels])
    y = np.concatenate(labels)
    return Modality(
        "N-MNIST", EventTensor.stack(parts), y, _held(y, test), test, None, decay=0.9, threshold=5.0
    )


def speech(setting: Setting) -> Modality:
    """Spoken digits through 64 channels of a silicon cochlea, 129 steps of 8 ms, spikes 0 or 1; test takes 0 to 4 of each speaker."""
    ds = datasets.load("fsdd", "all", root=setting.root)
    takes = ds.column("take")
    if setting.quick:
        ds = ds.subset(np.isin(takes, (0, 5, 6, 7)))
        takes = ds.column("take")
    ear = SiliconCochlea(rate=8000.0, channels=64)
    ev = _flat(ds.encode(ear, progress=False).packed, 8e-3, 129, slice(0, 64), binary=True)
    test = takes < 5
    return Modality(
        "speech",
        ev,
        ds.labels,
        _held(ds.labels, test),
        test,
        ds.column("speaker"),
        decay=0.97,
        threshold=5.3,
    )


def _flat(packed: Packed, dt: float, steps: int, channels: slice, *, binary: bool) -> EventTensor:
    """Channels in one row."""
    dense = packed.tensor(dt=dt, steps=steps, binary=binary).dense().flatten(2)[..., channels]
    return EventTensor.from_dense(dense, dt)


def _held(labels: NDArray[np.int64], test: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A fifth of the training samples."""
    valid = np.zeros(len(labels), dtype=bool)
    rows = np.flatnonzero(~test)
    valid[rows] = hold_out(labels[rows], 0.2, np.random.default_rng(0))
    return valid


LOADERS: dict[str, Callable[[Setting], Modality]] = {"N-MNIST": images, "speech": speech}
