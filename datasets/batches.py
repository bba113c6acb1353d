"""From recordings to batches of `EventTensor`s, a whole batch at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from snnkit.binning import check_dt, check_steps
from snnkit.datasets.augment import Augment
from snnkit.datasets.dataset import EventDataset
from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.recordings import Events, Packed, check_dt_fits, end_to_end, steps_for

Batch = tuple[EventTensor | Tensor, Tensor]


@dataclass(frozen=True)
class Collate:
    """What `collate` returns: samples in, `(EventTensor (T, B, P, H, W), labels int64 (B,))` out."""

    dt: float
    steps: int | None
    binary: bool
    dense: bool = False

    def __call__(self, samples: EventDataset | Sequence[tuple[Events, int]]) -> Batch:
        if isinstance(samples, EventDataset) and samples.transform is None:
            return self.grid(samples.packed, samples.ids), torch.from_numpy(samples.labels)
        recordings, targets = [], []
        for sample, target in samples:
            recordings.append(sample)
            targets.append(int(target))
        return self.grid(end_to_end(recordings)), torch.tensor(targets, dtype=torch.int64)

    def grid(self, packed: Packed, ids: ArrayLike | None = None) -> EventTensor | Tensor:
        """These recordings on the grid of steps and pixels."""
        make = packed.frames if self.dense else packed.tensor
        return make(dt=self.dt, steps=self.steps, binary=self.binary, ids=ids)


def collate(*, dt: float, steps: int | None = None, binary: bool = False, dense: bool = False) -> Collate:
    """How torch's DataLoader makes batches of a dataset of recordings.

    Step k holds the events with k dt <= time < (k+1) dt, as in `batches`. Slices of the columns go straight into the
    batch, in one pass. Works in worker processes.

    Args:
        dt: length of a step in seconds.
        steps: number of steps T; None takes what the longest recording of each batch needs.
        binary: cells hold 0 or 1 instead of counts.
        dense: make a dense tensor of the same shape, float32.

    >>> loader = torch.utils.data.DataLoader(
    ...     ds, batch_size=64, shuffle=True, collate_fn=collate(dt=10e-3, steps=30)
    ... )  # doctest: +SKIP
    """
    return Collate(check_dt(dt), None if steps is None else check_steps(steps), bool(binary), bool(dense))


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
        dense: bool = False,
        prefetch: int = 0,
    ):
        self.dataset, self.dt, self.steps, self.batch_size = dataset, dt, steps, batch_size
        self.shuffle, self.seed, self.binary, self.augment = shuffle, seed, binary, augment
        self.dense, self.prefetch = dense, prefetch
        self.epoch = 0

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the augmentation of the next pass, as when training resumes."""
        self.epoch = int(epoch)

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        order = rng.permutation(len(self.dataset)) if self.shuffle else np.arange(len(self.dataset))
        parts = (order[a : a + self.batch_size] for a in range(0, len(order), self.batch_size))
        made = (self._batch(ids, rng) for ids in parts)
        return _ahead(made, self.prefetch) if self.prefetch else made

    def _batch(self, ids: np.ndarray, rng: np.random.Generator) -> Batch:
        part, binned = self.dataset.subset(ids), Collate(self.dt, self.steps, self.binary, self.dense)
        if not self.augment:
            return binned(part)
        if part.transform is None:
            assert part.ids is not None
            packed = part.packed.gather(part.ids)
        else:
            packed = end_to_end([sample for sample, _ in part])
        for change in self.augment:
            packed = change(packed, rng)
        return binned.grid(packed), torch.from_numpy(part.labels)


def _no_recordings(dataset: object) -> str:
    what = (
        f"{getattr(dataset, 'name', type(dataset).__name__)} has {getattr(dataset, 'kind', 'other things')}"
    )
    if hasattr(dataset, "encode"):
        hint = "make events of them with .encode(encoder), or give them to torch's DataLoader as they are"
    else:
        hint = "write their recordings to a folder with snnkit.datasets.pack, and take .dataset() of what it returns"
    return f"expected a dataset of recordings, but {what}: {hint}"


def _ahead(items: Iterator[Batch], count: int) -> Iterator[Batch]:
    """The same items in the same order, each made by a thread while those before it are used."""
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting = deque(pool.submit(next, items, None) for _ in range(count))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, items, None))
            yield item


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
    dense: bool = False,
    prefetch: int = 0,
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
        dense: batches are dense tensors of the same shape, float32, for networks that are not event-driven.
        prefetch: batches that a thread makes ahead while the network runs; the same batches in the same order.

    Raises:
        UserError: `dt` is not a step in seconds (milliseconds?), or there is nothing to iterate over.

    >>> from snnkit import datasets
    >>> train = datasets.batches(datasets.load("digits"), dt=10e-3, steps=30, shuffle=True)  # doctest: +SKIP
    """
    if not isinstance(dataset, EventDataset):
        raise UserError(_no_recordings(dataset))
    if not len(dataset):
        raise UserError(f"{dataset.name} has no samples to make batches of")
    if batch_size < 1 or prefetch < 0:
        raise UserError(f"expected batch_size >= 1 and prefetch >= 0, got {batch_size} and {prefetch}")
    if dataset.transform is not None and steps is None:
        raise UserError(f"{dataset.name} is transformed as it is read, so its length is unknown: give steps=")
    longest = dataset.duration if dataset.transform is None else 0.0
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
        dense=dense,
        prefetch=prefetch,
    )
