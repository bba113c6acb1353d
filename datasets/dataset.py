"""Labelled samples, parts of them, and the datasets of event recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.errors import UserError, nearest
from snnkit.recordings import Events, Packed, Sensor


@dataclass(frozen=True, eq=False, repr=False)
class Labelled:
    """What all datasets can do: `len(ds)`, `ds[i] -> (sample, label)`, `ds.labels`, `ds.subset(...)`, `ds.split(...)`.

    Args:
        name: of the dataset, with its split.
        targets: the class of every stored sample, 0 to len(classes) - 1.
        classes: names of the classes.
        ids: which of the stored samples belong to the dataset, in order; None takes all.
        about: further columns with one entry per stored sample, such as the speaker.
        transform: what is done to every sample as it is taken out.
    """

    name: str
    targets: NDArray[np.int64]
    classes: tuple[str, ...]
    ids: NDArray[np.int64] | None = field(default=None, kw_only=True)
    about: Mapping[str, NDArray] = field(default_factory=dict, kw_only=True)
    transform: Callable[[Any], Any] | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = "samples"

    def __post_init__(self) -> None:
        stored = self._stored()
        ids = np.arange(stored) if self.ids is None else np.asarray(self.ids, dtype=np.int64)
        object.__setattr__(self, "ids", ids)
        for name, column in {"target": self.targets, **self.about}.items():
            if len(column) != stored:
                raise ValueError(f"expected one {name} per sample, got {len(column)} for {stored}")

    def _stored(self) -> int:
        """How many samples are stored, those outside `ids` included."""
        raise NotImplementedError

    def _sample(self, row: int) -> Any:
        """A stored sample."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        if not -len(self) <= i < len(self):
            raise IndexError(f"sample {i} of {len(self)}")
        row = int(self._ids[i])
        sample = self._sample(row)
        return sample if self.transform is None else self.transform(sample), int(self.targets[row])

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        return (self[i] for i in range(len(self)))

    @property
    def _ids(self) -> NDArray[np.int64]:
        assert self.ids is not None
        return self.ids

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of every sample, int64."""
        return np.asarray(self.targets, dtype=np.int64)[self._ids]

    def column(self, name: str) -> NDArray:
        """What `about` says of every sample, such as its speaker."""
        if name not in self.about:
            raise UserError(
                f"{self.name} does not tell the {name!r} of a sample; {nearest(name, self.about)}"
            )
        return np.asarray(self.about[name])[self._ids]

    def subset(self, ids: ArrayLike | Sequence[int] | slice) -> Self:
        """These samples, in this order; a view, nothing is copied. `ids` are indices, a mask or a slice."""
        pick = ids if isinstance(ids, slice) else np.asarray(ids)
        if not isinstance(pick, slice) and not pick.size:
            pick = slice(0, 0)  # an empty list has no type that could index
        return replace(self, ids=self._ids[pick])

    def split(self, fraction: float, *, seed: int = 0, by: str | None = None) -> tuple[Self, Self]:
        """(rest, held out): `fraction` of the samples are held out, by chance but the same part of every class.

        With `by`, a name in `about` such as "speaker", whole groups are held out, so that none is on both sides; their
        share of the samples is then as near to `fraction` as the groups allow.

        >>> train, val = load("digits").split(0.1, seed=0)  # doctest: +SKIP
        """
        if not 0 < fraction < 1:
            raise ValueError(f"expected 0 < fraction < 1, got {fraction}")
        rng = np.random.default_rng(seed)
        if by is None:
            held = hold_out(self.labels, fraction, rng)
        else:
            held = hold_out_groups(self.column(by), fraction, rng)
        return self.subset(np.flatnonzero(~held)), self.subset(np.flatnonzero(held))


def hold_out(labels: NDArray, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which samples are held out: a part of all, and as near as can be the same part of every class."""
    place, order = np.empty(len(labels)), rng.permutation(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    held = np.zeros(len(labels), dtype=bool)
    held[np.argsort(place, kind="stable")[: round(fraction * len(labels))]] = True
    return held


def hold_out_groups(groups: NDArray, fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which samples are held out: those of whole groups, drawn by chance, about a part of all."""
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise UserError(f"there is nothing to split: all samples belong to {names.tolist()}")
    order = rng.permutation(len(names))
    sizes = np.cumsum(np.bincount(member)[order])
    count = 1 + int(np.argmin(np.abs(sizes[:-1] - fraction * len(groups))))
    return np.isin(member, order[:count])


@dataclass(frozen=True, eq=False, repr=False, init=False)
class EventDataset(Labelled):
    """Labelled recordings: `len(ds)`, `ds[i] -> (Events, int)`; a sample is a slice of the columns, not a copy.

    Args:
        name: of the dataset, with its split.
        packed: the recordings, end to end.
        targets: the class of every recording in `packed`, 0 to len(classes) - 1.
        classes: names of the classes.
        ids: which recordings of `packed` belong to the dataset, in order; None takes all.
        pictures: still images that the recordings were made of, float32 (recordings, C, h, w), if there are any.
        about: further columns with one entry per recording, such as the speaker.
        transform: what is done to every recording as it is taken out; must give `Events` for batches to be made.
    """

    packed: Packed
    pictures: NDArray[np.float32] | None = None

    kind: ClassVar[str] = "events"

    def __init__(
        self,
        name: str,
        packed: Packed,
        targets: NDArray[np.int64],
        classes: tuple[str, ...],
        ids: NDArray[np.int64] | None = None,
        pictures: NDArray[np.float32] | None = None,
        about: Mapping[str, NDArray] | None = None,
        transform: Callable[[Events], Any] | None = None,
    ):
        object.__setattr__(self, "packed", packed)
        object.__setattr__(self, "pictures", pictures)
        for key, value in {"name": name, "targets": targets, "classes": classes, "ids": ids}.items():
            object.__setattr__(self, key, value)
        object.__setattr__(self, "about", dict(about or {}))
        object.__setattr__(self, "transform", transform)
        self.__post_init__()

    def _stored(self) -> int:
        return len(self.packed)

    def _sample(self, row: int) -> Events:
        return self.packed[row]

    def __getitems__(self, ids: Sequence[int]) -> EventDataset:
        """Many samples at once: how torch's DataLoader asks for a batch, and what `collate` reads without a copy."""
        return self.subset(np.asarray(ids, dtype=np.int64))

    def __repr__(self) -> str:
        _, height, width = self.shape
        return (
            f"EventDataset({self.name}: {len(self)} recordings of {width}x{height} pixels, {len(self.classes)} classes, "
            f"{self.events} events)"
        )

    @property
    def shape(self) -> Sensor:
        """*N of one sample: (polarities, height, width)."""
        return self.packed.sensor

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
