"""Spikes of a cochlea: the Heidelberg sets SHD and SSC (artificial, 700 channels), and N-TIDIGITS18 (silicon, 64)."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.archive import room, unpack_one
from snnkit.datasets.dataset import EventDataset
from snnkit.datasets.errors import EventFileError
from snnkit.datasets.sets.base import Request
from snnkit.datasets.writer import Writer
from snnkit.errors import UserError
from snnkit.recordings import Events

VERSION = 1
DIGITS = "o123456789z"  # N-TIDIGITS18: both o and z are zero


def load(request: Request, **options: Any) -> EventDataset:
    """`shd`, `ssc`: see `load_heidelberg`; `ntidigits`: see `load_tidigits`."""
    return (
        load_tidigits(request, **options)
        if request.name == "ntidigits"
        else load_heidelberg(request, **options)
    )


def load_heidelberg(request: Request) -> EventDataset:
    """Spoken digits (SHD, English and German) or words (SSC) as spikes of 700 channels; the official splits.

    Recordings have the shape (1, 1, 700): the channel is x, and channel 0 has the highest frequency. The files' times are
    half-precision seconds: they are whole multiples of 0.5 or 1 ms late in a recording, so finer steps tell nothing more.
    Two of SHD's twelve speakers are only in its test part, the others are in both; `ds.column("speaker")` tells.

    Source: Cramer, Stradmann, Schemmel, Zenke, IEEE TNNLS 33:2744-2757 (2022), doi:10.1109/TNNLS.2020.3044364.
    """

    def build(writer: Writer) -> None:
        with opened(request.paths[0]) as file, damage(request.paths[0]):
            labels = np.asarray(file["labels"][()], dtype=np.int64).reshape(-1)
            times, units = file["spikes/times"], file["spikes/units"]
            keys = file["extra/keys"][()].tolist() if "extra/keys" in file else []
            classes = [k.decode() if isinstance(k, bytes) else str(k) for k in keys]
            if not len(times) == len(units) == len(labels):
                raise ValueError(f"{len(times)} times, {len(units)} units and {len(labels)} labels")
            if len(labels) and not 0 <= labels.min() <= labels.max() < request.entry.classes:
                raise ValueError(f"labels from {labels.min()} to {labels.max()}")

            def read(i: int) -> Events:
                return spikes(times[i], units[i], 700)

            writer.fill(range(len(labels)), read, request.title, progress=request.progress)
            speaker = file["extra/speaker"][()] if "extra/speaker" in file else np.full(len(labels), -1)
        whole = len(classes) == request.entry.classes
        writer.metadata = {"classes": classes if whole else [str(k) for k in range(request.entry.classes)]}
        writer.save("labels", labels)
        writer.save("speaker", np.asarray(speaker, dtype=np.int64).reshape(-1))

    stored = request.stored(build, version=VERSION)
    return request.events(stored, tuple(stored.metadata["classes"]), speaker=np.array(stored["speaker"]))


def load_tidigits(request: Request, *, single: bool = True) -> EventDataset:
    """Spoken digits as spikes of a silicon cochlea with 64 channels, shape (1, 1, 64); the official split by speaker.

    Args:
        request: from `snnkit.datasets.load("ntidigits", ...)`.
        single: only recordings of one digit, 11 classes ("o", "1" to "9", "z"). Otherwise all, and the label is the number
            of digits spoken, less one; `ds.column("digits")` has them.

    Source: Anumula, Neil, Delbruck, Liu, Front. Neurosci. 12:23 (2018), doi:10.3389/fnins.2018.00023.
    """
    if not isinstance(single, bool):
        raise UserError(f"expected single=True or single=False, got {single!r}")

    def build(writer: Writer) -> None:
        with opened(request.paths[0]) as file, damage(request.paths[0]):
            found = [name.decode() for name in file[f"{request.split}_labels"][()].tolist()]
            said = [name.rsplit("-", 1)[-1] for name in found]
            names = [n for n, digits in zip(found, said, strict=True) if not single or len(digits) == 1]
            said = [n.rsplit("-", 1)[-1] for n in names]
            if any(not digits or set(digits) - set(DIGITS) for digits in said):
                raise ValueError(
                    f"labels that are no digits: {[d for d in said if set(d) - set(DIGITS)][:3]}"
                )

            def read(name: str) -> Events:
                times = file[f"{request.split}_timestamps"][name][()]
                return spikes(times, file[f"{request.split}_addresses"][name][()], 64)

            writer.fill(names, read, request.title, progress=request.progress)
        writer.save("labels", [DIGITS.index(d) if single else len(d) - 1 for d in said])
        writer.save("digits", said)
        writer.save("speaker", [n.split("-", 1)[0] for n in names])

    stored = request.stored(build, version=VERSION, single=single)
    about = {name: np.array(stored[name]) for name in ("digits", "speaker")}
    longest = int(np.array(stored["labels"]).max(initial=0)) + 1
    classes = tuple(DIGITS) if single else tuple(f"{k} digits" for k in range(1, longest + 1))
    return request.events(stored, classes, **about)


def spikes(times: NDArray, channels: NDArray, count: int) -> Events:
    """A recording of times in seconds, in any precision; sorted, as some writers append channel after channel."""
    seconds = np.asarray(times, dtype=np.float64).reshape(-1)  # first: half precision overflows at 65 504 us
    channel = np.asarray(channels).reshape(-1)
    if len(seconds) != len(channel):
        raise ValueError(f"{len(seconds)} times for {len(channel)} channels")
    if not (np.isfinite(seconds).all() and (seconds >= 0).all() and (seconds < 1e6).all()):
        raise ValueError("times that are no seconds")
    if len(channel) and not 0 <= channel.min() <= channel.max() < count:
        raise ValueError(f"channels from {channel.min()} to {channel.max()}")
    order = np.argsort(seconds, kind="stable")
    zero = np.zeros(len(order), np.int64)
    t = np.rint(seconds[order] * 1e6).astype(np.int64)
    return Events(t, channel[order].astype(np.int64), zero, zero, sensor=(1, 1, count))


@contextlib.contextmanager
def damage(path: Path) -> Iterator[None]:
    """What reading a damaged HDF5 file raises becomes one clear error."""
    try:
        yield
    except (KeyError, ValueError, TypeError, AttributeError, OSError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        raise EventFileError(str(path), None, f"not the HDF5 file it should be ({error})") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An HDF5 file, also in a .gz or .zip: unpacked for as long as it is read."""
    import h5py

    with contextlib.ExitStack() as stack:
        plain = path
        if path.suffix in (".gz", ".zip"):
            folder = tempfile.TemporaryDirectory(prefix="snnkit-", dir=room())
            plain = Path(stack.enter_context(folder)) / "unpacked.h5"
            unpack_one(path, r"\.(h5|hdf5)$", plain)
        try:
            file = stack.enter_context(h5py.File(plain, "r"))
        except OSError as error:
            raise EventFileError(str(path), None, f"not a readable HDF5 file ({error})") from error
        yield file
