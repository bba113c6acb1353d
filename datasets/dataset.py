"""A dataset of labelled recordings: slices of columns, and views of itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.recordings import Events, Packed, Sensor


@dataclass(frozen=True, eq=False, repr=False)
class EventDataset:
    """Labelled recordings: `len(ds)`, `ds[i] -> (Events, int)`; a sample is a slice of the columns, not a copy.

    Args:
        name: of the dataset, with its split.
        packed: the recordings, end to end.
        targets: the class of every recording in `packed`, 0 to len(classes) - 1.
        classes: names of the classes.
        ids: which recordings of `packed` belong to the dataset, in order; None takes all.
        pictures: still images that the recordings were made of, float32 (recordings, C, h, w), if there are any.
    """

    name: str
    packed: Packed
    targets: NDArray[np.int64]
    classes: tuple[str, ...]
    ids: NDArray[np.int64] | None = None
    pictures: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        ids = np.arange(len(self.packed)) if self.ids is None else np.asarray(self.ids, dtype=np.int64)
        object.__setattr__(self, "ids", ids)
        if len(self.targets) != len(self.packed):
            raise ValueError(
                f"expected one target per recording, got {len(self.targets)} for {len(self.packed)}"
            )

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, i: int) -> tuple[Events, int]:
        if not -len(self) <= i < len(self):
            raise IndexError(f"sample {i} of {len(self)}")
        row = int(self._ids[i])
        return self.packed[row], int(self.targets[row])

    def __iter__(self) -> Iterator[tuple[Events, int]]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        _, height, width = self.shape
        return (
            f"EventDataset({self.name}: {len(self)} recordings of {width}x{height} pixels, {len(self.classes)} classes, "
            f"{self.events} events)"
        )

    @property
    def _ids(self) -> NDArray[np.int64]:
        assert self.ids is not None
        return self.ids

    @property
    def shape(self) -> Sensor:
        """*N of one sample: (polarities, height, width)."""
        return self.packed.sensor

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of every sample, int64."""
        return np.asarray(self.targets, dtype=np.int64)[self._ids]

    @property
    def images(self) -> NDArray[np.float32]:
        """The still images behind the recordings in [0, 1], float32 (len, C, h, w)."""
        if self.pictures is None:
            raise AttributeError(
                f"{self.name} has recordings only; load('digits') also has the images they show"
            )
        return np.asarray(self.pictures)[self._ids]

    @property
    def events(self) -> int:
        """Number of events in all samples."""
        return int((self.packed.offsets[self._ids + 1] - self.packed.offsets[self._ids]).sum())

    @property
    def duration(self) -> float:
        """Time of the last event of the longest sample, in seconds."""
        return float(self.packed.durations()[self._ids].max(initial=0.0))

    def subset(self, ids: ArrayLike | Sequence[int] | slice) -> EventDataset:
        """These samples, in this order; a view, nothing is copied. `ids` are indices, a mask or a slice."""
        pick = ids if isinstance(ids, slice) else np.asarray(ids)
        if not isinstance(pick, slice) and not pick.size:
            pick = slice(0, 0)  # an empty list has no type that could index
        return replace(self, ids=self._ids[pick])

    def split(self, fraction: float, *, seed: int = 0) -> tuple[EventDataset, EventDataset]:
        """(rest, held out): `fraction` of the samples are held out, by chance but the same part of every class.

        >>> train, val = load("digits").split(0.1, seed=0)  # doctest: +SKIP
        """
        if not 0 < fraction < 1:
            raise ValueError(f"expected 0 < fraction < 1, got {fraction}")
        labels, rng = self.labels, np.random.default_rng(seed)
        place, order = np.empty(len(self)), rng.permutation(len(self))
        for label in np.unique(labels):
            members = order[labels[order] == label]
            place[members] = (np.arange(len(members)) + rng.random()) / len(members)
        held = np.zeros(len(self), dtype=bool)
        held[np.argsort(place, kind="stable")[: round(fraction * len(self))]] = True
        return self.subset(np.flatnonzero(~held)), self.subset(np.flatnonzero(held))
