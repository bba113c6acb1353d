"""`read`, `inspect` and `write` for all formats: round trips, chunks, recognition, what goes wrong before any decoding."""

import os
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import datasets
from snnkit.datasets import Events, files
from snnkit.datasets.files.base import Columns, recut
from snnkit.datasets.files.formats import formats
from snnkit.errors import UserError

# Format and suffix of what is written here. The other formats have tests of their own.
WRITERS = [
    ("evt2", ".raw"),
    ("evt21", ".raw"),
    ("evt3", ".raw"),
    ("dat", ".dat"),
    ("es", ".es"),
    ("nmnist", ".bin"),
]


def same(a, b):
    return a.sensor == b.sensor and all(np.array_equal(getattr(a, c), getattr(b, c)) for c in "txyp")


def example(n=2000, seed=0, width=34, height=34, last=300_000):
    """Events with long runs at one time and along one row, as vectors and packets have them."""
    random = np.random.default_rng(seed)
    t = np.sort(random.integers(0, last, n))
    t[n // 2 : n // 2 + n // 4] = t[n // 2]
    t.sort()
    x, y, p = random.integers(0, width, n), random.integers(0, height, n), random.integers(0, 2, n)
    run = slice(n // 2, n // 2 + n // 8)
    x[run], y[run], p[run] = np.arange(len(x[run])) % width, 5, 1
    return Events(t, x, y, p, sensor=(2, height, width))


@pytest.mark.parametrize(("name", "suffix"), WRITERS)
def test_what_is_written_is_read_whole_and_in_chunks(name, suffix, tmp_path):
    events = example()
    path = files.write(events, tmp_path / f"a{suffix}", format=name)
    unnamed = path.rename(tmp_path / "no-suffix-at-all")
    assert same(files.read(unnamed), events)
    for size in (1, 7, 1000, 1999, 2000, 2001, 10**12):
        chunks = list(files.read(unnamed, chunk=size))
        assert [len(c) for c in chunks[:-1]] == [size] * (len(chunks) - 1)
        for column in "txyp":
            joined = np.concatenate([getattr(c, column) for c in chunks])
            np.testing.assert_array_equal(joined, getattr(events, column))


@pytest.mark.parametrize(("name", "suffix"), WRITERS)
def test_blocks_of_the_file_leave_no_trace(name, suffix, tmp_path, monkeypatch):
    """A block ends anywhere: within a record, a group of vectors, a pause."""
    from snnkit.datasets.files import blocks

    events = example(n=300)
    path = files.write(events, tmp_path / f"a{suffix}", format=name)
    for size in (8, 9, 13, 64, 1001):
        monkeypatch.setattr(blocks, "BLOCK", size)
        assert same(files.read(path), events)
        assert sum(len(c) for c in files.read(path, chunk=11)) == 300


ROWS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 300), st.sampled_from([4095, 4096, 2**24 - 1, 2**24, 2**25 + 5])),
        st.sampled_from([0, 1, 11, 12, 31, 32, 33, 2014, 2015, 2016, 2047]),
        st.sampled_from([0, 1, 2047]),
        st.integers(0, 1),
    ),
    max_size=40,
)


@pytest.mark.parametrize(("name", "suffix"), [w for w in WRITERS if w[0] != "nmnist"])
@settings(deadline=None, max_examples=60)
@given(rows=ROWS)
def test_boundary_values_survive(name, suffix, rows, tmp_path_factory):
    t, x, y, p = np.array(rows, np.int64).reshape(-1, 4).T
    events = Events(t, x, y, p, sensor=(2, 2048, 2048)).sorted()
    path = files.write(events, tmp_path_factory.mktemp("f") / f"a{suffix}", format=name)
    assert same(files.read(path), events)


@pytest.mark.parametrize("name", ["evt2", "evt21", "evt3"])
def test_clocks_wrap_and_pauses_are_long(name, tmp_path):
    bits = 24 if name == "evt3" else 34
    wrap = 1 << bits
    t = [wrap - 1, wrap, wrap + 1, 3 * wrap - 1, 3 * wrap, 3 * wrap + wrap // 2 + 70, 9 * wrap]
    events = Events(t, [2047] * 7, [0] * 7, [1] * 7, sensor=(2, 720, 2048))
    assert same(files.read(files.write(events, tmp_path / "a.raw", format=name)), events)
    with pytest.raises(UserError, match="subtract the first time"):
        files.write(Events([2**60], [0], [0], [0], sensor=(2, 4, 4)), tmp_path / "b.raw", format=name)


def test_legacy_order_of_evt21(tmp_path):
    events = example()
    path = files.write(events, tmp_path / "a.raw", format="evt21", legacy=True)
    assert b"endianness=legacy" in path.read_bytes() and same(files.read(path), events)


def test_evt3_writes_vectors(tmp_path):
    """A full row of 1280 pixels is 40 groups of 4 words, not 1280."""
    n = 1280
    events = Events([5] * n, np.arange(n), [3] * n, [1] * n, sensor=(2, 720, n))
    path = files.write(events, tmp_path / "a.raw", format="evt3")
    assert path.stat().st_size < 500 and same(files.read(path), events)


@pytest.mark.parametrize(("name", "suffix"), WRITERS)
def test_no_events_are_legal(name, suffix, tmp_path):
    events = Events([], [], [], [], sensor=(2, 34, 34))
    path = files.write(events, tmp_path / f"a{suffix}", format=name)
    if name == "nmnist":  # nothing at all: no file of any format
        with pytest.raises(datasets.EventFileError, match="byte 0: the file is empty"):
            files.read(path)
    else:
        assert same(files.read(path), events) and list(files.read(path, chunk=5)) == []


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 7))
def test_recut_keeps_everything(lengths, size):
    stops = np.cumsum([0, *lengths])
    pieces = [Columns(*[np.arange(a, b)] * 4) for a, b in pairwise(stops)]
    cut = [piece.t for piece in recut(iter(pieces), size)]
    assert np.concatenate([*cut, []]).tolist() == list(range(stops[-1]))
    assert all(len(piece) == size for piece in cut[:-1]) and all(len(piece) for piece in cut)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_no_such_file(tmp_path):
    with pytest.raises(datasets.DataNotFound, match="No such file"):
        files.read(tmp_path / "none.raw")
    with pytest.raises(datasets.DataNotFound, match="a directory or a device, no file"):
        files.read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(datasets.DataNotFound, match="a directory or a device, no file"):
        files.read(tmp_path / "pipe")


def test_no_event_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xff\xfe\xfd nothing of the kind, dear reader" * 9)
    with pytest.raises(
        datasets.EventFileError, match=r"none of the known formats.*pass format=, one of .*evt3"
    ) as caught:
        files.read(path)
    assert caught.value.offset == 0
    path.write_bytes(b"")
    with pytest.raises(datasets.EventFileError, match="byte 0: the file is empty"):
        files.read(path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "evt5"}, "there is no format 'evt5'; did you mean 'evt"),
        ({"on_error": "ignore"}, 'on_error is "raise" or "truncate"; got \'ignore\''),
        ({"sensor": (480, 640)}, r"sensor is \(polarities, height, width\).*got \(480, 640\)"),
        ({"sensor": (2, 0, 640)}, "sensor is"),
        ({"chunk": 0}, "chunk is a number of events, 1 or more; got 0"),
        ({"chunk": 1.5}, "chunk is a number of events"),
    ],
)
def test_wrong_arguments(tmp_path, options, words):
    path = files.write(example(), tmp_path / "a.es")
    with pytest.raises(UserError, match=words):
        files.read(path, **options)


def test_what_cannot_be_written(tmp_path):
    events = example()
    for path, options, words in (
        ("a.mp4", {}, "no format is written to .mp4; use one of .*.raw"),
        ("a.raw", {"format": "evt9"}, "there is no format 'evt9'"),
        ("a.raw", {"format": "evt4"}, "evt4 can be read only"),
        ("none/a.raw", {}, "cannot write"),
    ):
        with pytest.raises(UserError, match=words):
            files.write(events, tmp_path / path, **options)
    wide = Events([0], [2048], [0], [0], sensor=(2, 10, 3000))
    with pytest.raises(UserError, match="EVT3 holds x from 0 to 2047 here; these events have 2048 to 2048"):
        files.write(wide, tmp_path / "a.raw")
    outside = Events([0], [5], [0], [2], sensor=(2, 10, 10))
    with pytest.raises(UserError, match="holds p from 0 to 1"):
        files.write(outside, tmp_path / "a.es")
    assert not list(tmp_path.iterdir())


def test_names_of_formats_are_one_each():
    names = [f.name for f in formats()]
    assert len(set(names)) == len(names) and {"evt2", "evt21", "evt3", "dat", "es", "nmnist"} <= set(names)


def test_two_passes_at_once_do_not_disturb_each_other(tmp_path):
    events = example()
    recording = files.inspect(files.write(events, tmp_path / "a.raw"))
    for a, b in zip(recording.chunks(10), recording.chunks(10), strict=True):
        assert same(a, b)
    assert recording.stream("events")["t"].tolist() == events.t.tolist()


def test_a_sensor_of_one_polarity_merges_them(tmp_path):
    events = Events([0, 5, 9], [1, 2, 3], [0, 1, 2], [0, 1, 1], sensor=(2, 4, 5))
    path = files.write(events, tmp_path / "one.raw", format="evt2")
    merged = files.read(path, sensor=(1, 4, 5))
    assert merged.sensor == (1, 4, 5) and merged.p.tolist() == [0, 0, 0]
    assert [piece.p.tolist() for piece in files.read(path, sensor=(1, 4, 5), chunk=2)] == [[0, 0], [0]]
    assert merged.tensor(dt=1e-6).shape[2:] == (1, 4, 5)
