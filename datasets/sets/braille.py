"""Braille letters read by a robot's fingertip: 12 tactile sensors, turned into spikes by sigma-delta coding."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.archive import DAMAGE, members
from snnkit.datasets.dataset import EventDataset
from snnkit.datasets.errors import DataNotFound, EventFileError
from snnkit.datasets.sets.base import Request, chosen, stratified
from snnkit.datasets.writer import Writer
from snnkit.recordings import Events

VERSION = 1
CLASSES = ("Space", "A", "E", "I", "O", "U", "Y")
STEPS, CHANNELS = 256, 12
STEP_US = 5000
FILE = re.compile(r"(?:^|/)ds_(?:train|val|test)\w*\.pt$")
SHARES = {"train": 0.7, "valid": 0.1, "test": 0.2}


def load(request: Request) -> EventDataset:
    """Seven letters, 1.28 s in steps of 5 ms on 12 channels; all distinct recordings of all the files together.

    The published files overlap, so their own splits share recordings. Here every recording is taken once, and each class is
    dealt out 70 / 10 / 20 by a hash of the recording's content: figures compare with no published ones.

    Source: Müller-Cleve et al., Front. Neurosci. 16:951164 (2022); files: Leto, Urgese, Macii, Fra (L²MU).
    """

    def build(writer: Writer) -> None:
        spikes, labels = _union(request)
        for one in spikes:
            step, channel = np.nonzero(one)
            t, zero = step.astype(np.int64) * STEP_US, np.zeros(len(step), np.int64)
            writer.add(Events(t, channel, zero, zero, sensor=(1, 1, CHANNELS)))
        writer.save("labels", labels)
        writer.save("content", [f"{hash_of(one)}" for one in spikes])

    stored = request.stored(build, version=VERSION, part="all")
    splits = stratified("braille", np.array(stored["labels"]), np.array(stored["content"]).tolist(), SHARES)
    return request.events(stored, CLASSES, chosen(splits, request.split))


def hash_of(spikes: NDArray[np.bool_]) -> str:
    import hashlib

    return hashlib.sha256(np.packbits(spikes).tobytes()).hexdigest()


def _union(request: Request) -> tuple[list[NDArray[np.bool_]], list[int]]:
    """Every recording once, in the order of the files; one that has two labels is an error."""
    seen: dict[bytes, int] = {}
    with members(request.paths[0], FILE.pattern) as found:
        if not found.names:
            raise DataNotFound(f"{found.path} has no files ds_val_0.pt, ...")
        for name in found.names:
            spikes, labels = read_pt(found.read(name), found.called(name))
            for one, label in zip(
                np.packbits(spikes.reshape(len(spikes), -1), axis=1), labels.tolist(), strict=True
            ):
                if seen.setdefault(one.tobytes(), label) != label:
                    raise EventFileError(found.called(name), None, "a recording has two different labels")
    unpacked = [np.unpackbits(np.frombuffer(b, np.uint8)).reshape(STEPS, CHANNELS).astype(bool) for b in seen]
    return unpacked, list(seen.values())


def read_pt(data: bytes, source: str) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Spikes (n, 256, 12) and labels of a file that torch saved, read without running what is pickled in it.

    Raises:
        EventFileError: it is damaged or holds something else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            named = {PurePosixPath(i.filename).parts[1:]: i for i in archive.infolist()}
            sizes = [named["data", k].file_size for k in ("0", "1")]
            if max(sizes) > 1 << 30:
                raise EventFileError(source, None, f"its arrays have {sizes} bytes, more than they can have")
            spikes, labels = (archive.read(named["data", k]) for k in ("0", "1"))
    except (*DAMAGE, KeyError) as error:
        raise EventFileError(source, None, f"not a readable file of torch ({error})") from error
    n = len(labels) // 8
    if len(labels) % 8 or len(spikes) != n * STEPS * CHANNELS * 4:
        got = f"{len(spikes)} and {len(labels)} bytes"
        raise EventFileError(
            source, None, f"expected n x {STEPS} x {CHANNELS} floats and n labels, got {got}"
        )
    values, targets = np.frombuffer(spikes, "<f4"), np.frombuffer(labels, "<i8")
    if not np.isin(values, (0, 1)).all() or (n and (targets.min() < 0 or targets.max() >= len(CLASSES))):
        raise EventFileError(source, None, "expected spikes 0 or 1 and labels 0 to 6")
    return values.reshape(n, STEPS, CHANNELS) == 1, targets
