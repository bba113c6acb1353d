"""N-MNIST: the MNIST digits, recorded by a moving event camera in front of a screen (Orchard 2015)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from snnkit.datasets.archive import Members, members
from snnkit.datasets.dataset import EventDataset
from snnkit.datasets.errors import DataNotFound, EventFileError
from snnkit.datasets.files.nmnist import decode_nmnist
from snnkit.datasets.sets.base import Request
from snnkit.datasets.writer import Writer
from snnkit.recordings import Events

VERSION = 1  # raise it when equal files give other recordings
LARGEST = 16 << 20  # bytes of one recording; real ones have 5 to 40 thousand
ORIGINAL = re.compile(r"(?:^|(\w+)/)(\d)/(\d+)\.bin$")
SMALL = re.compile(r"(?:^|/)(?:\d+\.bs2|train1K\.txt|test100\.txt)$")
SMALL_LABELS = {"train": "train1K.txt", "test": "test100.txt"}


@dataclass(frozen=True, order=True)
class Recording:
    """Where a recording is: its number in MNIST, its class, and the member that holds it."""

    number: int
    label: int
    name: str


def load(request: Request) -> EventDataset:
    """N-MNIST: 34x34 pixels, OFF and ON, three saccades in about 0.31 s, 60 000 train and 10 000 test recordings.

    The files may be, in the root or one folder down in `nmnist`, `NMNIST`, `N-MNIST` or `nmnist_small`:

        Train/0/00002.bin ... Test/9/...    the original download, unpacked
        Train.zip, Test.zip                 the same, as downloaded
        NMNISTsmall.tar.gz                  the 1 000 train and 100 test recordings of SLAYER's examples

    Samples are in the order of MNIST.

    Raises:
        DataNotFound: there are no recordings of this part.
        EventFileError: a recording or an archive is damaged; nothing is kept then.
    """
    stored = request.stored(lambda writer: _build(writer, request), version=VERSION)
    return request.events(stored, tuple(str(k) for k in range(10)))


def _build(writer: Writer, request: Request) -> None:
    path = request.paths[0]
    small = path.name.endswith(".tar.gz")
    with members(path, (SMALL if small else ORIGINAL).pattern, largest=LARGEST) as found:
        listed = _listed(found, request.split) if small else _original(found, request.split)
        if not listed:
            raise DataNotFound(f"{path} has no recordings of nmnist's {request.split} part")

        def read(recording: Recording) -> Events:
            return decode_nmnist(found.read(recording.name), found.called(recording.name))

        writer.fill(listed, read, request.title, progress=request.progress)
    writer.save("labels", np.array([recording.label for recording in listed], dtype=np.int64))


def _original(found: Members, split: str) -> list[Recording]:
    """Members <class>/<number>.bin, without those in a folder that is named after the other split."""
    matches = [m for m in (ORIGINAL.search(name) for name in found.names) if m]
    other = set(SMALL_LABELS) - {split}
    kept = [m for m in matches if (m[1] or "").lower() not in other]
    return sorted(Recording(int(m[3]), int(m[2]), m.string) for m in kept)


def _listed(found: Members, split: str) -> list[Recording]:
    """Members <number>.bs2, with their classes in a text member of lines 'number class'."""
    wanted = SMALL_LABELS[split]
    text = found.the(wanted)
    names = {name.rsplit("/", 1)[-1]: name for name in found.names}
    recordings = []
    for number, label in _labels(found.called(text), found.read(text)):
        if f"{number}.bs2" not in names:
            reason = f"{wanted} names recording {number}.bs2, which is missing"
            raise EventFileError(str(found.path), None, reason)
        recordings.append(Recording(number, label, names[f"{number}.bs2"]))
    return recordings


def _labels(source: str, text: bytes) -> list[tuple[int, int]]:
    pairs = []
    for k, line in enumerate(text.decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"\s*(\d+)\s+(\d)\s*", line)
        if not match:
            raise EventFileError(source, None, f"line {k}: expected 'number class', got {line[:40]!r}")
        pairs.append((int(match[1]), int(match[2])))
    return pairs
