"""DVS128 Gesture: 11 hand and arm gestures of 29 people under three lights."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path, PurePosixPath

import numpy as np

from snnkit.datasets.archive import Members, members
from snnkit.datasets.dataset import EventDataset
from snnkit.datasets.errors import DataNotFound, EventFileError
from snnkit.datasets.sets.base import Request
from snnkit.datasets.sets.recordings import decode_file, in_order, read_npy
from snnkit.datasets.writer import Writer
from snnkit.recordings import Events, Sensor

VERSION = 1
SENSOR: Sensor = (2, 128, 128)
LARGEST = 1 << 30
CLASSES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter-clockwise",
    "left arm clockwise",
    "left arm counter-clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)
CUT = re.compile(r"(?:^|/)(user\d+)_(\w+)/(\d+)\.npy$")
TRIAL = re.compile(r"(?:^|/)(user\d+)_(\w+)\.aedat$")
LISTS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}


def load(request: Request) -> EventDataset:
    """One recording per gesture, counted from its beginning; the official split by person (23 and 6).

    From the authors' archive (AEDAT 3.1, microseconds) each line of a trial's label file gives a recording, [start, end).
    From the cut version that tonic downloads (`ibmGestureTrain.tar.gz`, `ibmGestureTest.tar.gz`) each file does; its times
    are whole milliseconds.

    Source: Amir et al., "A Low Power, Fully Event-Based Gesture Recognition System", CVPR (2017).
    """

    def build(writer: Writer) -> None:
        pattern = rf"{CUT.pattern}|{TRIAL.pattern}|_labels\.csv$|trials_to_\w+\.txt$"
        with members(request.paths[0], pattern, largest=LARGEST) as found:
            if any(CUT.search(n) for n in found.names):
                rows = _write_cut(writer, found, request)
            else:
                rows = _write_trials(writer, found, request)
        if not rows:
            raise DataNotFound(f"{found.path} has no gestures of the {request.split} part")
        writer.save("labels", [label for label, _, _ in rows])
        writer.save("person", [person for _, person, _ in rows])
        writer.save("light", [light for _, _, light in rows])

    stored = request.stored(build, version=VERSION)
    about = {name: np.array(stored[name]) for name in ("person", "light")}
    return request.events(stored, CLASSES, **about)


Row = tuple[int, str, str]  # class, person, light


def _write_cut(writer: Writer, found: Members, request: Request) -> list[Row]:
    parts = [m for m in (CUT.search(n) for n in found.names) if m]

    def read(name: str) -> Events:
        table = read_npy(found.read(name), found.called(name)).astype(np.int64)
        x, y, p, t = table[:, :4].T
        try:
            return in_order(Events(t * 1000, x, y, p, sensor=SENSOR))
        except ValueError as error:
            raise EventFileError(found.called(name), None, str(error)) from error

    writer.fill([m.string for m in parts], read, request.title, progress=request.progress)
    return [(_label(found, m.string, int(m[3]) + 1), m[1], m[2]) for m in parts]


def _write_trials(writer: Writer, found: Members, request: Request) -> list[Row]:
    wanted = set(found.read(found.the(LISTS[request.split])).decode("utf-8", "replace").split())
    trials = [
        m for m in (TRIAL.search(n) for n in found.names) if m and PurePosixPath(m.string).name in wanted
    ]
    items, rows = [], []
    for match in trials:
        for label, start, stop in _gestures(found, match.string):
            items.append((match.string, start, stop))
            rows.append((label, match[1], match[2]))
    last: dict[str, Events] = {}  # gestures of a trial follow each other: it is decoded once

    def read(item: tuple[str, int, int]) -> Events:
        name, start, stop = item
        if name not in last:
            last.clear()
            last[name] = in_order(decode_file(found.read(name), found.called(name), SENSOR), zero=False)
        whole = last[name]
        a, b = np.searchsorted(whole.t, [start, stop])
        return Events(whole.t[a:b] - start, whole.x[a:b], whole.y[a:b], whole.p[a:b], sensor=SENSOR)

    writer.fill(items, read, request.title, progress=request.progress)
    return rows


def _gestures(found: Members, trial: str) -> list[tuple[int, int, int]]:
    """Class, start and end in microseconds of every gesture of a trial."""
    name = found.the(Path(trial).stem + "_labels.csv")
    rows = []
    for k, row in enumerate(csv.DictReader(io.StringIO(found.read(name).decode("utf-8", "replace")))):
        try:
            number, start, stop = (int(row[c]) for c in ("class", "startTime_usec", "endTime_usec"))
        except (KeyError, TypeError, ValueError) as error:
            reason = f"line {k + 2}: expected class,startTime_usec,endTime_usec, got {row}"
            raise EventFileError(found.called(name), None, reason) from error
        rows.append((_label(found, name, number), start, stop))
    return rows


def _label(found: Members, name: str, number: int) -> int:
    if not 1 <= number <= len(CLASSES):
        raise EventFileError(
            found.called(name), None, f"expected a class of 1 to {len(CLASSES)}, got {number}"
        )
    return number - 1
