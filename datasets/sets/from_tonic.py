"""Downloads through tonic, a GPL library that snnkit does not need: only its downloaders are called, its files are read here."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Any

from snnkit.datasets.errors import DataNotFound
from snnkit.datasets.sets.base import Entry, find
from snnkit.datasets.store import cache_folder
from snnkit.errors import UserError

WITH_SPLIT = ("ssc", "dsec")  # take split="train"
WITHOUT = ("ncaltech101", "cifar10dvs", "asl-dvs")  # have one part only


def fetch(name: str, entry: Entry, split: str, root: str | PathLike[str] | None) -> Path:
    """The root, with the files of a set in it: downloaded by tonic if they are not there.

    Raises:
        UserError: tonic cannot download this set, is not installed, or failed.
    """
    base = Path(root or os.environ.get("SNNKIT_DATA") or cache_folder() / "data").expanduser()
    try:
        find(name, entry, split, base)
        return base
    except DataNotFound as missing:
        if not entry.tonic:
            raise UserError(f"download=True is for sets that tonic knows; {missing}") from None
    downloader = _downloader(entry.tonic)
    base.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"train": split == "train"}
    if name in WITH_SPLIT:
        options = {"split": split}
    elif name in WITHOUT:
        options = {}
    if name == "dsec":
        options |= {"data_selection": ["events_left", "events_right"]}
    try:
        downloader(save_to=str(base), **options)
    except Exception as error:  # whatever its downloads run into
        raise UserError(f"tonic could not download {name} ({type(error).__name__}: {error})") from error
    return base


def _downloader(name: str) -> Any:
    try:
        import tonic.datasets as library
    except ImportError as error:
        raise UserError(
            f"download=True needs tonic, which cannot be imported ({error}): pip install 'snnkit[tonic]'"
        ) from error
    found = getattr(library, name, None)
    if found is None:
        raise UserError(f"this version of tonic has no {name}: pip install --upgrade tonic")
    return found
