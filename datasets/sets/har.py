"""Human activity recognition: accelerometer and gyroscope of a smartwatch and a smartphone, 23 people."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.archive import members
from snnkit.datasets.arrays import SignalDataset
from snnkit.datasets.errors import DataNotFound, EventFileError
from snnkit.datasets.sets.base import Request, chosen, grouped
from snnkit.datasets.writer import Column, Writer
from snnkit.errors import UserError, nearest

VERSION = 1
CLASSES = ("SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN")
CHANNELS = tuple(f"{axis} {what}" for what in ("acceleration [m/s²]", "rotation [rad/s]") for axis in "xyz")
HEADER = "x_acc,y_acc,z_acc,x_gyro,y_gyro,z_gyro,timestamp,label"
NAME = re.compile(r"(?:^|/)(s\d+)_(\d+)_(sp|sw)\.csv$")
DEVICES = {"watch": "sw", "phone": "sp", "both": ""}
RATE = 100.0  # samples per second, nominal; `times` has what was measured
SHARES = {"train": 0.7, "valid": 0.1, "test": 0.2}
COLUMNS = {"signal": Column("<f4", (6,)), "ms": Column("<i8"), "activity": Column("|i1")}


def load(request: Request, *, device: str = "watch") -> SignalDataset:
    """Stretches of one activity each, of any length; no person is in two splits.

    A recording is a person getting up, walking, turning, walking back, turning and sitting down; `windows(2.56, 1.28)`
    cuts the stretches into windows. The set has no official split: people are dealt out 70 / 10 / 20 by a hash.

    Args:
        request: from `snnkit.datasets.load("har", ...)`.
        device: "watch", "phone" or "both".

    Source: Matey-Sanz, Casteleyn, Granell, Data in Brief 51:109809 (2023).
    """
    if device not in DEVICES:
        raise UserError(f"har has no device {device!r}; {nearest(str(device), DEVICES)}")

    def build(writer: Writer) -> None:
        with members(request.paths[0], NAME.pattern) as found:
            parts = [m for m in (NAME.search(n) for n in found.names) if m]
            if not parts:
                raise DataNotFound(f"{found.path} has no recordings of har (sNN_NN_sw.csv)")
            writer.fill(
                [m.string for m in parts],
                lambda name: read_csv(found.read(name), found.called(name)),
                request.name,
                progress=request.progress,
            )
        writer.save("person", [m[1] for m in parts])
        writer.save("execution", [int(m[2]) for m in parts])
        writer.save("device", [m[3] for m in parts])

    stored = request.stored(build, version=VERSION, columns=COLUMNS, part="all")
    offsets, activity = np.array(stored["offsets"]), np.asarray(stored["activity"])
    change = np.flatnonzero(np.diff(activity)) + 1
    edges = np.unique(np.concatenate([offsets, change]))
    owner = np.searchsorted(offsets, edges[:-1], side="right") - 1
    person, taken = np.array(stored["person"])[owner], np.array(stored["device"])[owner]
    execution = np.array(stored["execution"])[owner]
    ms = np.asarray(stored["ms"])
    begun = np.repeat(ms[offsets[:-1]], np.diff(offsets))
    whole = SignalDataset(
        request.title,
        activity[edges[:-1]].astype(np.int64),
        CLASSES,
        about={"person": person, "device": taken, "execution": execution},
        signal=stored["signal"],
        starts=edges[:-1],
        stops=edges[1:],
        rate=RATE,
        channels=CHANNELS,
        times=(ms - begun) * 1e-3,
    )
    ids = chosen(grouped("har", person, SHARES), request.split)
    return replace(whole, ids=ids[np.char.startswith(taken[ids], DEVICES[device])])


def read_csv(data: bytes, source: str) -> dict[str, NDArray]:
    """Columns of one recording.

    Raises:
        EventFileError: naming the line that is not as it should be.
    """
    lines = data.decode("utf-8", "replace").splitlines()
    if not lines or lines[0].strip() != HEADER:
        raise EventFileError(
            source, 0, f"expected the columns {HEADER}, got {lines[0][:80] if lines else ''!r}"
        )
    numbers, ms, activity = np.empty((len(lines) - 1, 6), np.float32), [], []
    for k, line in enumerate(lines[1:]):
        fields = line.split(",")
        try:
            numbers[k] = [float(f) for f in fields[:6]]
            ms.append(int(fields[6]))
            activity.append(CLASSES.index(fields[7].strip()))
        except (ValueError, IndexError, OverflowError) as error:
            raise EventFileError(source, None, f"line {k + 2}: {error}; got {line[:80]!r}") from error
    if not ms or not np.isfinite(numbers).all():
        raise EventFileError(source, None, "it is empty, or holds values that are no finite numbers")
    if any(b < a for a, b in pairwise(ms)):
        ordered = np.argsort(ms, kind="stable")
        numbers, ms, activity = (
            numbers[ordered],
            np.asarray(ms)[ordered].tolist(),
            np.asarray(activity)[ordered].tolist(),
        )
    return {"signal": numbers, "ms": np.asarray(ms, np.int64), "activity": np.asarray(activity, np.int8)}
