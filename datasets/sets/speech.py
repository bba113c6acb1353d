"""Spoken words: the Free Spoken Digit Dataset, and Speech Commands v0.02 or its test archive."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import struct
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.archive import Members, members
from snnkit.datasets.arrays import SignalDataset
from snnkit.datasets.errors import DataNotFound, EventFileError
from snnkit.datasets.sets.base import Request, chosen, columns_of, grouped
from snnkit.datasets.store import Stored
from snnkit.datasets.writer import Column, Writer

VERSION = 1
LARGEST = 64 << 20  # bytes of one file
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}
KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "_unknown_", "_silence_")
DIGIT = re.compile(r"(?:^|/)(\d)_([a-z]+)_(\d+)\.wav$")
WORD = re.compile(r"(?:^|/)(\w+)/(?:(?:\w+_)?([0-9a-f]{6,})_nohash_(\d+)|(\d+))\.wav(?:\.wav)?$")
MOST = 2**27 - 1  # of Speech Commands' split by hash


def load(request: Request) -> SignalDataset:
    """`fsdd`: see `load_digits`; `speechcommands`: see `load_words`."""
    return load_digits(request) if request.name == "fsdd" else load_words(request)


def load_digits(request: Request) -> SignalDataset:
    """3 000 spoken digits at 8 kHz, 6 speakers; the official split: recordings 0 to 4 of each are the test part.

    All speakers are in both parts. For new voices: `load("fsdd", "all").split(1 / 6, by="speaker")`.
    """

    def build(writer: Writer) -> None:
        with members(request.paths[0], DIGIT.pattern, largest=LARGEST) as found:
            names = [n for n in found.names if DIGIT.search(n)]
            parts = [DIGIT.search(n) for n in names]
            _write_all(writer, found, names, 8000, request)
        writer.save("labels", [int(m[1]) for m in parts if m])
        writer.save("speaker", [m[2] for m in parts if m])
        writer.save("take", [int(m[3]) for m in parts if m])

    stored = request.stored(build, version=VERSION, columns={"signal": Column("<i2")}, part="all")
    labels, speaker, take = columns_of(stored, "labels", "speaker", "take")
    ids = chosen(np.where(take < 5, "test", "train"), request.split)
    about = {"speaker": speaker, "take": take}
    classes = tuple(str(k) for k in range(10))
    return _dataset(request, stored, labels, classes, ids, about, 8000)


def load_words(request: Request) -> SignalDataset:
    """Spoken commands at 16 kHz, up to 1 s; no speaker is in two splits.

    The whole set is split as its authors do, by a hash of the speaker. The test archive, or a part of it, has the official
    test speakers only: its own speakers are then dealt out 80 / 10 / 10 by a hash, and figures on it are no official ones.
    Classes are the folders' names; the test archive's twelve are in the usual order.

    Source: P. Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", arXiv:1804.03209 (2018).
    """

    def build(writer: Writer) -> None:
        with members(request.paths[0], WORD.pattern, largest=LARGEST) as found:
            names = [n for n in found.names if WORD.search(n) and "_background_noise_" not in n]
            parts = [m for m in (WORD.search(n) for n in names) if m]
            _write_all(writer, found, names, 16000, request)
        words = [m[1] for m in parts]
        present = set(words)
        twelve = present <= set(KEYWORDS)
        classes = [k for k in KEYWORDS if k in present] if twelve else sorted(present)
        writer.metadata = {"classes": classes, "official": not twelve}
        writer.save("labels", [classes.index(w) for w in words])
        writer.save("speaker", [m[2] or f"silence {m[4]}" for m in parts])

    stored = request.stored(build, version=VERSION, columns={"signal": Column("<i2")}, part="all")
    labels, speaker = columns_of(stored, "labels", "speaker")
    if stored.metadata["official"]:
        splits = np.array([official_split(s) for s in speaker.tolist()], dtype=object)
    else:
        splits = grouped("speechcommands", speaker, SHARES)
    ids = chosen(splits, request.split)
    classes = tuple(stored.metadata["classes"])
    return _dataset(request, stored, labels, classes, ids, {"speaker": speaker}, 16000)


def official_split(speaker: str) -> str:
    """Warden's rule: SHA-1 of the speaker, as a percentage below 10 validation, below 20 test."""
    percent = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % (MOST + 1) * (100 / MOST)
    return "valid" if percent < 10 else "test" if percent < 20 else "train"


def _dataset(
    request: Request,
    stored: Stored,
    labels: NDArray,
    classes: tuple[str, ...],
    ids: NDArray,
    about: dict[str, NDArray],
    rate: int,
) -> SignalDataset:
    offsets = np.array(stored["offsets"])
    return SignalDataset(
        request.title,
        labels,
        classes,
        ids=ids,
        about=about,
        signal=stored["signal"],
        starts=offsets[:-1],
        stops=offsets[1:],
        rate=float(rate),
        scale=1 / 32768,
    )


def _write_all(writer: Writer, found: Members, names: Sequence[str], rate: int, request: Request) -> None:
    if not names:
        raise DataNotFound(f"{found.path} has no recordings of {request.name}")

    def sound(name: str) -> dict[str, NDArray]:
        return {"signal": read_wav(found.read(name), found.called(name), rate)}

    writer.fill(names, sound, request.name, progress=request.progress)


def read_wav(data: bytes, source: str, rate: int) -> NDArray[np.int16]:
    """Mono 16-bit samples of a wav file.

    Raises:
        EventFileError: it is damaged, or sounds otherwise.
    """
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings(), contextlib.closing(io.BytesIO(data)) as file:
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks it does not know
            found, sound = wavfile.read(file)
    except (ValueError, EOFError, struct.error, OSError, TypeError, IndexError, ZeroDivisionError) as error:
        raise EventFileError(source, None, f"not a readable wav file ({error})") from error
    if found != rate or sound.dtype != np.int16 or sound.ndim != 1 or not len(sound):
        came = f"{found} Hz, {sound.dtype}, shape {sound.shape}"
        raise EventFileError(source, None, f"expected one channel of 16 bits at {rate} Hz, got {came}")
    return sound
