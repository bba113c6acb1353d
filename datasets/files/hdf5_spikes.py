"""HDF5 files of many recordings of a cochlea: SHD and SSC, N-TIDIGITS18.

SHD and SSC (Cramer 2020, https://zenkelab.org/datasets): /spikes/times and /spikes/units have a list of variable length per
recording, seconds (in half precision, so finer than 1 ms they mean little) and unit 0 (highest pitch) to 699;
/labels; /extra/keys and /extra/speaker.

N-TIDIGITS18 (Anumula 2018): /train_labels, /test_labels, and for each label /train_timestamps/<label>, seconds, and
/train_addresses/<label>, channel 0 to 63; the last part of a label is what is said, o and z being zero.

Such recordings are one row of pixels: a unit is an x, the sensor (1, 1, units), the polarity 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.files.base import Columns, Damaged, Options, Reader, Size, Stream
from snnkit.datasets.files.hdf5_access import (
    dataset,
    element_text,
    h5_errors,
    list_of_numbers,
    member,
    opened,
    text,
)
from snnkit.datasets.files.pieces import sound
from snnkit.errors import UserError


class Recordings(Reader):
    """What both layouts have in common: `sample` chooses a recording."""

    channels = 0
    layout = ""

    def __init__(self, path: Path, options: Options, header: dict[str, str], total: int):
        size = Size(self.channels, 1, "inferred", 1)
        header = {"layout": self.layout, "recordings": str(total), **header}
        super().__init__(path, options, format="HDF5", version=self.layout, size=size, header=header)
        self.total = total

    def chosen(self, keys: list[str] | None = None) -> int:
        """Number of the recording that the user asked for."""
        sample = self.options.sample
        if isinstance(sample, str) and keys is not None and sample in keys:
            return keys.index(sample)
        if sample is None and self.total == 1:
            return 0
        if isinstance(sample, int | np.integer) and -self.total <= sample < self.total:
            return int(sample) % self.total
        also = f" or a key such as {keys[0]!r}" if keys else ""
        raise UserError(
            f"{self.path} has {self.total} recordings; choose one with sample=, 0 to {self.total - 1}{also}; "
            f"got {sample!r}"
        )

    def trains(self, times: NDArray[Any], units: NDArray[Any]) -> Iterator[Columns]:
        """Spike trains as events."""
        n = min(len(times), len(units))
        zeros = np.zeros(n, np.uint8)
        if times.dtype.kind not in "iuf" or units.dtype.kind not in "iuf":
            raise Damaged(None, f"expected numbers, got times of {times.dtype} and units of {units.dtype}")
        yield from sound(times[:n], units[:n], zeros, zeros, size=self.size, scale=1e6)
        if len(times) != len(units):
            raise Damaged(None, f"{len(times)} times, but {len(units)} units")


class Spikes(Recordings):
    """SHD and SSC."""

    channels = 700
    layout = "SHD"

    def __init__(self, path: Path, options: Options, file: h5py.File):
        super().__init__(path, options, {}, len(dataset(file, "spikes/times", variable=True)))
        if options.sample is not None:
            self.header |= self._about(file, self.chosen())

    def columns(self, size: int | None) -> Iterator[Columns]:
        with opened(self.path) as file:
            i = self.chosen()
            times, units = (
                list_of_numbers(dataset(file, f"spikes/{name}", variable=True), i, name)
                for name in ("times", "units")
            )
        yield from self.trains(times, units)

    def streams(self) -> tuple[Stream, ...]:
        with opened(self.path) as file:
            return (Stream("labels", "other", self.total),) if member(file, "labels") is not None else ()

    def records(self, name: str) -> Iterator[NDArray[Any]]:
        with opened(self.path) as file:
            columns = {"label": "labels", "speaker": "extra/speaker"}
            found = {k: dataset(file, v) for k, v in columns.items() if member(file, v) is not None}
            out = np.zeros(self.total, [(k, "<i8") for k in found])
            for k, values in found.items():
                if values.dtype.kind not in "iu" or len(values) != self.total:
                    raise Damaged(
                        None, f"{k}s are {len(values)} of {values.dtype}; expected {self.total} numbers"
                    )
                with h5_errors():
                    out[k] = values[:]
        yield out

    def _about(self, file: h5py.File, i: int) -> dict[str, str]:
        """What the file says about a recording."""
        about = {}
        for key, name in (("label", "labels"), ("speaker", "extra/speaker")):
            if member(file, name) is not None:
                with h5_errors():
                    about[key] = element_text(dataset(file, name, variable=True), i, name)
        label = about.get("label", "")
        if label.isdecimal() and member(file, "extra/keys") is not None:
            keys = dataset(file, "extra/keys", variable=True)
            if int(label) < len(keys):
                about["key"] = element_text(keys, int(label), "extra/keys")
        return about


class NTidigits(Recordings):
    """N-TIDIGITS18; `sample` counts the training recordings first, then those of the test, or is a label."""

    channels = 64
    layout = "N-TIDIGITS18"

    def __init__(self, path: Path, options: Options, file: h5py.File):
        self._labels = _labels(file)
        super().__init__(path, options, {}, len(self._labels))
        if options.sample is not None:
            split, label = self._labels[self._number()]
            self.header |= {"split": split, "key": label, "label": label.rsplit("-", 1)[-1]}

    def _number(self) -> int:
        return self.chosen([label for _, label in self._labels])

    def columns(self, size: int | None) -> Iterator[Columns]:
        split, label = self._labels[self._number()]
        with opened(self.path) as file:
            found = [dataset(file, f"{split}_{what}/{label}") for what in ("timestamps", "addresses")]
            with h5_errors():
                times, units = (np.asarray(d[:]) for d in found)
        yield from self.trains(times, units)

    def streams(self) -> tuple[Stream, ...]:
        return (Stream("labels", "other", self.total),)

    def records(self, name: str) -> Iterator[NDArray[Any]]:
        longest = max((len(label) for _, label in self._labels), default=1)
        dtype = [("split", "U5"), ("key", f"U{longest}"), ("label", "U16")]
        yield np.array([(s, k, k.rsplit("-", 1)[-1]) for s, k in self._labels], dtype)


def _labels(file: h5py.File) -> list[tuple[str, str]]:
    found = []
    for split in ("train", "test"):
        if member(file, f"{split}_labels") is None:
            continue
        with h5_errors():
            labels = dataset(file, f"{split}_labels", variable=True)
            texts = labels[:] if labels.dtype.kind == "S" else None
        if texts is None:
            texts = [element_text(labels, i, f"{split}_labels") for i in range(len(labels))]
        found += [(split, text(label)) for label in texts]
    if any(len(label) > 200 or "/" in label for _, label in found):
        raise Damaged(None, "labels are at most 200 letters, without /")
    return found
