"""Real recordings give what is published about them: counts, times, polarities, arrays of other decoders."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from snnkit.datasets import files

DATA = Path(os.environ.get("SNNKIT_DATA", "/nowhere")) / "event_files"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs real recordings: set SNNKIT_DATA to a folder with event_files"
)

# file: format, width, height, where they come from, events, first and last time, ON events
FACTS = {
    "expelliarmus/evt2_sample.raw": (
        "Prophesee EVT2.0",
        640,
        480,
        "inferred",
        539_481,
        1_317_888,
        1_367_888,
        367_855,
    ),
    "expelliarmus/evt3_sample.raw": (
        "Prophesee EVT3.0",
        1280,
        720,
        "inferred",
        219_596,
        11_718_656,
        11_727_457,
        None,
    ),
    "expelliarmus/NCARS_obj_004397_td.dat": ("Prophesee DAT", 54, 61, "max+1", 4407, 0, 99_937, 1671),
    "tonic/sample_ncars.dat": ("Prophesee DAT", 78, 42, "max+1", 2009, 0, 99_952, 1350),
    "tonic/sample_nmnist.bin": ("N-MNIST", 34, 34, "inferred", 4325, 654, 311_175, 2145),
}


@pytest.mark.parametrize("name", FACTS)
def test_published_facts(name):
    title, width, height, source, count, first, last, on = FACTS[name]
    recording = files.inspect(DATA / name)
    events, info = recording.events(), recording.info
    assert (info.format, info.width, info.height, info.size_from) == (title, width, height, source)
    assert (len(events), events.t[0], events.t[-1]) == (count, first, last)
    assert events.sensor == (2, height, width) and (np.diff(events.t) >= 0).all()
    assert on is None or events.p.sum() == on
    assert not info.notes


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("chunk", [997, 100_000])
def test_chunks_are_the_whole(name, chunk):
    events = files.read(DATA / name)
    whole = {c: getattr(events, c) for c in "txyp"}
    start = 0
    for piece in files.read(DATA / name, chunk=chunk):
        for column, values in whole.items():
            np.testing.assert_array_equal(getattr(piece, column), values[start : start + len(piece)])
        start += len(piece)
    assert start == len(events)


def test_arrays_of_another_decoder():
    folder = DATA / "expelliarmus"
    for name, array, columns in (
        ("NCARS_obj_004397_td.dat", "NCARS_obj_004397_td.npy", "txyp"),
        ("evt3_sample.raw", "evt3_sample.npy", "xyp"),  # its times are late by multiples of 4096 us
    ):
        events, expected = files.read(folder / name), np.load(folder / array)
        for column in columns:
            np.testing.assert_array_equal(getattr(events, column), expected[column])
    late = np.load(folder / "evt3_sample.npy")["t"] - files.read(folder / "evt3_sample.raw").t
    assert set(np.unique(late % 4096)) == {0}


@pytest.mark.parametrize("name", ["expelliarmus/evt2_sample.raw", "expelliarmus/evt3_sample.raw"])
@pytest.mark.parametrize("target", ["evt2", "evt21", "evt3", "es", "dat"])
def test_real_events_survive_every_format(name, target, tmp_path):
    events = files.read(DATA / name)
    suffix = {"es": ".es", "dat": ".dat"}.get(target, ".raw")
    again = files.read(files.write(events, tmp_path / f"a{suffix}", format=target))
    assert _digest(again) == _digest(events) and again.sensor == events.sensor


def _digest(events):
    return hashlib.sha256(b"".join(getattr(events, c).tobytes() for c in "txyp")).hexdigest()
