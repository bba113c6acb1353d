"""Sets of one file per recording, in folders or archives: N-Caltech101, CIFAR10-DVS, ASL-DVS, POKER-DVS."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.archive import Members, members
from snnkit.datasets.dataset import EventDataset
from snnkit.datasets.errors import DataNotFound, EventFileError
from snnkit.datasets.sets.base import Request, chosen, stratified
from snnkit.datasets.writer import Writer
from snnkit.recordings import Events, Sensor

VERSION = 1
LARGEST = 256 << 20  # bytes of one recording
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}
Decode = Callable[[bytes, str, Sensor], Events]


@dataclass(frozen=True)
class Kind:
    """How a set's recordings are named and read.

    Args:
        pattern: of their names, with the folder or archive they are in before them; the group "label" is the class.
        suffix: in which they end, as a pattern.
        decode: content, name in errors and sensor to a recording.
        sensor: (polarities, height, width).
        own_split: whether the set has no official split, so that it is dealt out here.
    """

    pattern: str
    suffix: str
    decode: Decode
    sensor: Sensor
    own_split: bool = True


def load(request: Request) -> EventDataset:
    """The recordings of one of `KINDS`, each counted from its first event, sorted in time.

    N-Caltech101, CIFAR10-DVS and ASL-DVS have no official split: every class is dealt out 80 / 10 / 10 by a hash of the
    recording's name; "all" gives everything.
    """
    kind = KINDS[request.name]
    wanted = re.compile(kind.pattern)

    def build(writer: Writer) -> None:
        with ExitStack() as stack:
            places = [stack.enter_context(members(p, kind.suffix, largest=LARGEST)) for p in request.paths]
            items = sorted(_items(places, wanted), key=lambda item: item[:2])
            if not items:
                raise DataNotFound(f"{request.paths[0]} has no recordings of {request.name}")

            def read(item: Item) -> Events:
                _, name, place = item
                return in_order(kind.decode(place.read(name), place.called(name), kind.sensor))

            writer.fill(items, read, request.name, progress=request.progress)
        classes = sorted({label for label, _, _ in items})
        writer.metadata = {"classes": classes}
        writer.save("labels", [classes.index(label) for label, _, _ in items])
        writer.save("file", [f"{label}/{PurePosixPath(name).name}" for label, name, _ in items])

    part = "all" if kind.own_split else request.split
    stored = request.stored(build, version=VERSION, part=part)
    ids = None
    if kind.own_split:
        names, labels = np.array(stored["file"]).tolist(), np.array(stored["labels"])
        ids = chosen(stratified(request.name, labels, names, SHARES), request.split)
    return request.events(stored, tuple(stored.metadata["classes"]), ids)


Item = tuple[str, str, Members]


def _items(places: list[Members], wanted: re.Pattern) -> list[Item]:
    """Class, name and place of every recording."""
    found = []
    for place in places:
        inside = place.path.name.removesuffix(
            ".zip"
        )  # the class, where each has an archive or folder of its own
        for name in place.names:
            match = wanted.search(f"{inside}/{name}")
            if match:
                found.append((match["label"], name, place))
    return found


def in_order(events: Events, *, zero: bool = True) -> Events:
    """Sorted in time, and counted from the first event if `zero`."""
    t = events.t
    if len(t) and (np.diff(t) < 0).any():
        order = np.argsort(t, kind="stable")
        events = Events(t[order], events.x[order], events.y[order], events.p[order], sensor=events.sensor)
    if zero and len(t):
        events = Events(events.t - events.t[0], events.x, events.y, events.p, sensor=events.sensor)
    return events


# -- formats -----------------------------------------------------------------------------------------------------------


def decode_bin(data: bytes, source: str, sensor: Sensor) -> Events:
    """N-MNIST's layout."""
    from snnkit.datasets.files.nmnist import decode_nmnist

    return decode_nmnist(data, source, sensor=sensor)


def decode_file(data: bytes, source: str, sensor: Sensor) -> Events:
    """Any format that `snnkit.datasets.read` knows."""
    from snnkit.datasets.files.reading import read

    with tempfile.TemporaryDirectory(prefix="snnkit-") as folder:
        path = Path(folder) / f"recording{PurePosixPath(source).suffix}"
        path.write_bytes(data)
        try:
            return read(path, sensor=sensor)
        except EventFileError as error:
            raise EventFileError(source, error.offset, error.reason) from error


def decode_mat(data: bytes, source: str, sensor: Sensor) -> Events:
    """ASL-DVS: a MATLAB file with columns ts [us], x, y (from the bottom) and pol (0, 1)."""
    from scipy.io import loadmat

    try:
        table = loadmat(io.BytesIO(data), variable_names=["ts", "x", "y", "pol"])
        t, x, y, p = (np.asarray(table[n]).reshape(-1) for n in ("ts", "x", "y", "pol"))
    except Exception as error:  # scipy documents none: whatever a damaged file makes of it
        raise EventFileError(source, None, f"not a readable MATLAB file of a recording ({error})") from error
    return _events(source, (t, x, sensor[1] - 1 - y.astype(np.int64), p > 0), sensor)


def decode_npy(data: bytes, source: str, sensor: Sensor) -> Events:
    """POKER-DVS: an array (n, 4) of t [us], x, y, p."""
    table = read_npy(data, source)
    return _events(source, tuple(table[:, :4].T), sensor)


def read_npy(data: bytes, source: str) -> NDArray:
    """A table of at least four columns of numbers.

    Raises:
        EventFileError: it is something else.
    """
    try:
        table = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise EventFileError(source, None, f"not a readable array ({error})") from error
    if table.ndim != 2 or table.shape[1] < 4 or table.dtype.kind not in "iufb":
        raise EventFileError(source, None, f"expected n x 4 numbers, got {table.dtype} {table.shape}")
    return table


def _events(source: str, columns: tuple[NDArray, ...], sensor: Sensor) -> Events:
    whole = []
    for column in columns:
        if column.dtype.kind == "f" and not (np.isfinite(column).all() and (np.abs(column) < 2**53).all()):
            raise EventFileError(source, None, "it holds values that are no finite numbers")
        whole.append(column.astype(np.int64))
    _, x, y, p = whole
    limits = zip(("x", "y", "p"), (x, y, p), (sensor[2], sensor[1], sensor[0]), strict=True)
    for name, column, limit in limits:
        if len(column) and not (column.min() >= 0 and column.max() < limit):
            raise EventFileError(
                source, None, f"{name} goes from {column.min()} to {column.max()}, not 0 to {limit - 1}"
            )
    try:
        return Events(*whole, sensor=sensor)
    except ValueError as error:
        raise EventFileError(source, None, str(error)) from error


KINDS = {
    "ncaltech101": Kind(r"(?:^|/)(?P<label>\w[\w-]*)/image_\d+\.bin$", r"\.bin$", decode_bin, (2, 180, 240)),
    "cifar10dvs": Kind(r"(?:^|/)(?P<label>\w+)/[^/]*\.aedat4?$", r"\.aedat4?$", decode_file, (2, 128, 128)),
    "asl-dvs": Kind(r"(?:^|/)(?:\w*_)?(?P<label>[a-z])/[^/]*\.mat$", r"\.mat$", decode_mat, (2, 180, 240)),
    "pokerdvs": Kind(
        r"(?:^|/)(?:\w*_)?(?P<label>cl|he|di|sp)/[^/]*\.npy$",
        r"\.npy$",
        decode_npy,
        (2, 35, 35),
        own_split=False,
    ),
}
