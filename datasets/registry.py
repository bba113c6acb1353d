"""The datasets that snnkit knows, by name."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from os import PathLike
from typing import Any

from snnkit.datasets.dataset import EventDataset
from snnkit.errors import UserError, nearest


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is known of a dataset before it is there."""

    module: str  # of its `load(split, ...)`; imported when it is used
    summary: str
    splits: tuple[str, ...]
    classes: int
    sensor: tuple[int, int, int]  # polarities, height, width
    built_in: bool
    licence: str
    citation: str
    source: str


ENTRIES = {
    "digits": Entry(
        module="snnkit.datasets.digits",
        summary="1 797 handwritten digits, recorded by a simulated event camera making three saccades",
        splits=("train", "test", "all"),
        classes=10,
        sensor=(2, 12, 12),
        built_in=True,
        licence="CC BY 4.0",
        citation="Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI (1998)",
        source="https://archive.ics.uci.edu/dataset/80 (comes with scikit-learn)",
    ),
    "nmnist": Entry(
        module="snnkit.datasets.nmnist",
        summary="MNIST digits on a screen, recorded by a real ATIS event camera making three saccades",
        splits=("train", "test"),
        classes=10,
        sensor=(2, 34, 34),
        built_in=False,
        licence="CC BY-SA 4.0",
        citation="Orchard et al., Front. Neurosci. 9:437 (2015), doi:10.3389/fnins.2015.00437",
        source="https://www.garrickorchard.com/datasets/n-mnist",
    ),
}


def names() -> list[str]:
    """Names of the datasets that `load` knows."""
    return sorted(ENTRIES)


def info(name: str) -> Entry:
    """Sensor, splits, licence, citation and origin of a dataset."""
    if name not in ENTRIES:
        raise UserError(f"there is no dataset {name!r}; {nearest(name, ENTRIES)}")
    return ENTRIES[name]


def about(name: str) -> str:
    """What a dataset is, in one line."""
    return info(name).summary


def locate(name: str, root: str | PathLike[str] | None = None) -> str:
    """Where the files of a dataset are; "built in" if it needs none.

    Raises:
        DataNotFound: they are nowhere; the message says where to get them and where to put them.
    """
    entry = info(name)
    return "built in" if entry.built_in else str(importlib.import_module(entry.module).locate(root).path)


def load(name: str, split: str = "train", **options: Any) -> EventDataset:
    """A dataset by name, as labelled event recordings.

    Args:
        name: one of `names()`.
        split: "train" or "test"; digits also has "all".
        options: of the dataset: `root=` where the files are, for those that are not built in; for digits see
            `snnkit.datasets.digits.load`, for nmnist `snnkit.datasets.nmnist.load`.

    Raises:
        UserError: no such name or split; DataNotFound if the files are not there, EventFileError if they are corrupt.

    >>> load("digits", split="test")  # doctest: +SKIP
    EventDataset(digits test: 360 recordings of 12x12 pixels, 10 classes, 538105 events)
    """
    entry = info(name)
    if split not in entry.splits:
        raise UserError(f"{name} has no split {split!r}; {nearest(str(split), entry.splits)}")
    if entry.built_in:
        options.pop("root", None)  # nothing to look for
    return importlib.import_module(entry.module).load(split, **options)
