"""DSEC: driving in Switzerland, two event cameras of 640x480. Recordings of minutes, read from their files piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from snnkit.datasets.dataset import Labelled
from snnkit.datasets.errors import DataNotFound
from snnkit.datasets.sets.base import Request
from snnkit.errors import UserError, nearest
from snnkit.recordings import Events, Sensor

SENSOR: Sensor = (2, 480, 640)
SIDES = ("left", "right")


@dataclass(frozen=True, eq=False, repr=False)
class Sequences(Labelled):
    """Recordings that stay in their files: `ds[i] -> (Events, i)` reads one whole, `chunks` piece by piece."""

    files: tuple[Path, ...] = ()

    kind: ClassVar[str] = "files of long recordings"

    def _stored(self) -> int:
        return len(self.files)

    def _sample(self, row: int) -> Events:
        from snnkit.datasets.files.reading import read

        return read(self.files[row], sensor=SENSOR)

    def chunks(self, i: int, size: int = 1_000_000) -> Iterator[Events]:
        """Recording i in pieces of `size` events."""
        from snnkit.datasets.files.reading import read

        if not -len(self) <= i < len(self):
            raise IndexError(f"recording {i} of {len(self)}")
        return iter(read(self.files[int(self._ids[i])], sensor=SENSOR, chunk=size))

    def __repr__(self) -> str:
        return f"Sequences({self.name}: {len(self)} recordings of 640x480 pixels)"


def load(request: Request, *, side: str = "left") -> Sequences:
    """The sequences that are there; a label is the sequence's number, `ds.classes` has their names.

    A sequence is a folder with `events_left/events.h5`, or `events/left/events.h5`. Its compression needs
    `pip install hdf5plugin`.

    Args:
        request: from `snnkit.datasets.load("dsec", ...)`.
        side: of the camera, "left" or "right".

    Source: Gehrig, Aarents, Gehrig, Scaramuzza, IEEE RA-L 6:4947-4954 (2021), doi:10.1109/LRA.2021.3068942.
    """
    if side not in SIDES:
        raise UserError(f"dsec has no camera {side!r}; {nearest(str(side), SIDES)}")
    file = request.paths[0]  # of any sequence
    base = file.parents[2] if file.parent.name.startswith("events_") else file.parents[3]
    names = {"train": TRAIN, "test": TEST}[request.split]
    found: dict[str, Path] = {}
    for name in names:
        for form in (f"events_{side}/events.h5", f"events/{side}/events.h5"):
            if (base / name / form).is_file():
                found.setdefault(name, base / name / form)
    if not found:
        raise DataNotFound(f"{base} has no events of the {side} camera of a {request.split} sequence of dsec")
    return Sequences(request.title, np.arange(len(found)), tuple(found), files=tuple(found.values()))


def _city(numbers: str) -> tuple[str, ...]:
    """zurich_city_NN_a for each letter that follows a number: "00ab" is two."""
    return tuple(f"zurich_city_{part[:2]}_{letter}" for part in numbers.split() for letter in part[2:])


TRAIN = (
    *(f"interlaken_00_{letter}" for letter in "cdefg"),
    "thun_00_a",
    *_city("00ab 01abcdef 02abcde 03a 04abcdef 05ab 06a 07a 08a 09abcde 10ab 11abc"),
)
TEST = (
    "interlaken_00_a",
    "interlaken_00_b",
    "interlaken_01_a",
    "thun_01_a",
    "thun_01_b",
    *_city("12a 13ab 14abc 15a"),
)
