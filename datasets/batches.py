"""From recordings to batches of `EventTensor`s, a whole batch at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from snnkit.binning import check_dt, check_steps
from snnkit.datasets.augment import Augment
from snnkit.datasets.dataset import EventDataset
from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.recordings import check_dt_fits, steps_for


class Batches:
    """What `batches` returns: iterate it once per epoch; `len` is the number of batches."""

    def __init__(
        self,
        dataset: EventDataset,
        *,
        dt: float,
        steps: int,
        batch_size: int,
        shuffle: bool,
        seed: int,
        binary: bool,
        augment: tuple[Augment, ...],
    ):
        self.dataset, self.dt, self.steps, self.batch_size = dataset, dt, steps, batch_size
        self.shuffle, self.seed, self.binary, self.augment = shuffle, seed, binary, augment
        self.epoch = 0

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the augmentation of the next pass, as when training resumes."""
        self.epoch = int(epoch)

    def __iter__(self) -> Iterator[tuple[EventTensor, Tensor]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        order = rng.permutation(len(self.dataset)) if self.shuffle else np.arange(len(self.dataset))
        for a in range(0, len(order), self.batch_size):
            yield self._batch(order[a : a + self.batch_size], rng)

    def _batch(self, ids: np.ndarray, rng: np.random.Generator) -> tuple[EventTensor, Tensor]:
        part = self.dataset.subset(ids)
        assert part.ids is not None
        packed = part.packed.gather(part.ids)
        for change in self.augment:
            packed = change(packed, rng)
        events = packed.tensor(dt=self.dt, steps=self.steps, binary=self.binary)
        return events, torch.from_numpy(part.labels)


def batches(
    dataset: EventDataset,
    *,
    dt: float,
    steps: int | None = None,
    batch_size: int = 64,
    shuffle: bool = False,
    seed: int = 0,
    binary: bool = False,
    augment: Augment | Sequence[Augment] | None = None,
) -> Batches:
    """Batches `(EventTensor (T, B, P, H, W), labels int64 (B,))` of a dataset.

    Step k holds the events with k dt <= time < (k+1) dt; events in one cell of one step add up, or count once if
    `binary`. The last batch may be smaller. The same seed gives the same batches; every pass over the result
    shuffles and augments anew (`set_epoch` chooses which pass comes next).

    Args:
        dataset: from `load`, or a part of one.
        dt: length of a step in seconds.
        steps: number of steps T of every batch; None takes what the longest recording of `dataset` needs. Later
            events are left out. For train and test alike, give it.
        batch_size: samples in a batch.
        shuffle: another order in every pass.
        seed: of the order and the augmentation.
        binary: cells hold 0 or 1 instead of counts.
        augment: what happens to the recordings of a batch first: one or several of `snnkit.datasets.augment`.

    Raises:
        UserError: `dt` is not a step in seconds (milliseconds?), or there is nothing to iterate over.

    >>> from snnkit import datasets
    >>> train = datasets.batches(datasets.load("digits"), dt=10e-3, steps=30, shuffle=True)  # doctest: +SKIP
    """
    if not len(dataset):
        raise UserError(f"{dataset.name} has no samples to make batches of")
    if batch_size < 1:
        raise UserError(f"expected batch_size >= 1, got {batch_size}")
    longest = dataset.duration
    dt = check_dt(check_dt_fits(dt, longest))
    steps = steps_for(longest, dt) if steps is None else check_steps(steps)
    changes = () if augment is None else tuple(augment) if isinstance(augment, Sequence) else (augment,)
    return Batches(
        dataset,
        dt=dt,
        steps=steps,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        binary=binary,
        augment=changes,
    )
