"""What the liquid is shown: images as Bernoulli trains, recordings of an event camera in steps of 1 ms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from snnkit import datasets
from snnkit.encoders.rate import bernoulli
from snnkit.encoders.values import spikes_to_events
from snnkit.events import EventTensor
from snnkit.systems.nalsm.network import DT

RECORDED = 300  # steps of a recording from which short windows are drawn


class Stimuli(Protocol):
    """Samples of two splits, "train" and "test"."""

    @property
    def channels(self) -> int: ...

    @property
    def labels(self) -> dict[str, NDArray[np.int64]]: ...

    def show(self, split: str, ids: NDArray, steps: int, seed: int) -> EventTensor:
        """The samples `ids` from their beginning, `T B channels`."""
        ...

    def glimpses(self, ids: NDArray, steps: int, seed: int) -> EventTensor:
        """Short windows of training samples, drawn anew for every place in the row."""
        ...

    def raw(self, split: str, ids: NDArray) -> NDArray[np.float32]:
        """What a linear readout without a liquid sees: pixels, or events per channel."""
        ...


def probabilities(images: NDArray) -> NDArray[np.float32]:
    """Probability of a spike per ms: the image over its own sum, then over the maximum of all images."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat /= np.maximum(flat.sum(1, keepdims=True), 1e-12)
    flat /= max(flat.max(), 1e-12)
    return flat


@dataclass(frozen=True, eq=False)
class Images:
    """Images as probabilities, train and test normalised separately."""

    p: dict[str, NDArray[np.float32]]
    pixels: dict[str, NDArray[np.float32]]
    labels: dict[str, NDArray[np.int64]]
    channels: int

    @classmethod
    def of(cls, name: str, root: Path | None) -> Images:
        sets = {split: datasets.load(name, split, root=root) for split in ("train", "test")}
        pixels = {k: ds.images[:, 0].reshape(len(ds), -1) for k, ds in sets.items()}
        p = {k: probabilities(x) for k, x in pixels.items()}
        return cls(p, pixels, {k: ds.labels for k, ds in sets.items()}, p["train"].shape[1])

    def show(self, split: str, ids: NDArray, steps: int, seed: int) -> EventTensor:
        own = 2 * seed + (split == "test")  # train and test samples of one number have coins of their own
        return bernoulli(self.p[split][ids], steps=steps, dt=DT, seed=own, keys=ids.tolist())

    def glimpses(self, ids: NDArray, steps: int, seed: int) -> EventTensor:
        return bernoulli(self.p["train"][ids], steps=steps, dt=DT, seed=1_000_000 + seed)

    def raw(self, split: str, ids: NDArray) -> NDArray[np.float32]:
        return self.pixels[split][ids]


@dataclass(frozen=True, eq=False)
class Recordings:
    """Event recordings; a channel is a pixel and a polarity, and spikes where it had an event in the step."""

    sets: dict[str, datasets.EventDataset]
    labels: dict[str, NDArray[np.int64]]
    channels: int

    @classmethod
    def of(cls, name: str, root: Path | None) -> Recordings:
        sets = {split: datasets.load(name, split, root=root) for split in ("train", "test")}
        polarities, height, width = sets["train"].packed.sensor
        return cls(sets, {k: ds.labels for k, ds in sets.items()}, polarities * height * width)

    def show(self, split: str, ids: NDArray, steps: int, seed: int) -> EventTensor:
        return self._binned(split, ids, steps, np.zeros(len(ids), np.int64))

    def glimpses(self, ids: NDArray, steps: int, seed: int) -> EventTensor:
        begin = np.random.default_rng([seed, 72]).integers(0, RECORDED - steps + 1, len(ids))
        return self._binned("train", ids, steps, begin)

    def raw(self, split: str, ids: NDArray) -> NDArray[np.float32]:
        packed = self._packed(split, ids)
        place = packed.owners() * self.channels + self._channel(packed)
        return np.bincount(place, minlength=len(ids) * self.channels).reshape(len(ids), -1).astype(np.float32)

    def _packed(self, split: str, ids: NDArray) -> datasets.Packed:
        ds = self.sets[split]
        return ds.packed.gather(np.asarray(ds.ids)[ids])

    def _channel(self, packed: datasets.Packed) -> NDArray[np.int64]:
        _, height, width = packed.sensor
        return (packed.p.astype(np.int64) * height + packed.y) * width + packed.x

    def _binned(self, split: str, ids: NDArray, steps: int, begin: NDArray) -> EventTensor:
        packed = self._packed(split, ids)
        owner = packed.owners()
        step = packed.t // round(DT * 1e6) - begin[owner]
        inside = (step >= 0) & (step < steps)
        place = owner * self.channels + self._channel(packed)
        cells = np.unique((place * steps + step)[inside])  # two events in one step are one spike
        place, step = np.divmod(cells, steps)
        return spikes_to_events(step, place, steps=steps, shape=(len(ids), self.channels), dt=DT)
