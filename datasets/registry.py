"""The datasets that snnkit knows, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

from snnkit.datasets.arrays import ArrayDataset, SignalDataset
from snnkit.datasets.dataset import EventDataset, Labelled
from snnkit.datasets.errors import DataNotFound
from snnkit.datasets.sets.base import Entry, Request, find
from snnkit.datasets.sets.catalog import ENTRIES
from snnkit.errors import UserError, nearest

Dataset = EventDataset | ArrayDataset | SignalDataset | Labelled


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


def locate(name: str, root: str | PathLike[str] | None = None, split: str | None = None) -> str:
    """Where the files of a dataset are; "built in" if it needs none.

    Raises:
        DataNotFound: they are nowhere; the message says where to get them and where to put them.
    """
    entry = info(name)
    if entry.built_in:
        return "built in"
    return str(_found(name, entry, split, root)[0])


def _found(name: str, entry: Entry, split: str | None, root: str | PathLike[str] | None) -> tuple[Path, ...]:
    """Files of this split, or of the first that is there."""
    wanted = [split] if split else list(entry.splits)
    missing: DataNotFound | None = None
    for part in wanted:
        try:
            return find(name, entry, part, root)
        except DataNotFound as error:
            missing = missing or error
    assert missing is not None  # a set has splits
    raise missing


def load(
    name: str,
    split: str = "train",
    root: str | PathLike[str] | None = None,
    transform: Callable[..., Any] | None = None,
    *,
    transform_seed: int = 0,
    download: bool = False,
    verify: bool = True,
    progress: bool = True,
    **options: Any,
) -> Any:
    """A dataset by name: labelled event recordings, pictures or signals.

    What is decoded is kept in the cache folder under a hash of the files' content and of everything else it depends on;
    the second load only maps it.

    Args:
        name: one of `names()`.
        split: one of `info(name).splits`.
        root: folder with the files; else the one in SNNKIT_DATA, else `data` in the cache folder.
        transform: what is done to every recording, from `snnkit.datasets.transforms`: its result is stored too, under its
            parameters. Any other function is called whenever a sample is taken out. For pictures and signals it may be an
            encoder that makes events of them.
        transform_seed: of a transform that draws by chance.
        download: let tonic (the extra `tonic`) download the files into the root if they are not there.
        verify: refuse files that have a published name but another checksum, when they are read first.
        progress: show bars on a terminal.
        options: of the dataset: for digits see `snnkit.datasets.digits.load`, for others the `load` in `info(name).module`.

    Returns:
        An `EventDataset`; for pictures an `ArrayDataset`, for audio and motion a `SignalDataset`.

    Raises:
        UserError: no such name or split; DataNotFound if the files are not there, EventFileError if they are corrupt.

    >>> load("digits", split="test")  # doctest: +SKIP
    EventDataset(digits test: 360 recordings of 12x12 pixels, 10 classes, 538105 events)
    """
    entry = info(name)
    if split not in entry.splits:
        raise UserError(f"{name} has no split {split!r}; {nearest(str(split), entry.splits)}")
    if download:
        from snnkit.datasets.sets.from_tonic import fetch

        root = fetch(name, entry, split, root)
    module = importlib.import_module(entry.module)
    if entry.built_in:
        ds = module.load(split, **options)
    else:
        paths = find(name, entry, split, root)
        ds = module.load(Request(name, split, entry, paths, verify, progress), **options)
    if transform is None:
        return ds
    from snnkit.datasets.transformed import transformed

    return transformed(ds, transform, seed=transform_seed, progress=progress)
