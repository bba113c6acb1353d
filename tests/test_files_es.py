"""Event Stream (.es): four kinds of files against naive decoders, and the writer."""

import struct
import warnings

import naive_files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import datasets
from snnkit.datasets import Events, files
from snnkit.errors import UserError

WIDTH, HEIGHT = 40, 30
GENERIC, DVS, ATIS, COLOUR = 0, 1, 2, 4


def save(path, kind, body, size=(WIDTH, HEIGHT), version=(2, 0, 0)):
    header = b"Event Stream" + bytes([*version, kind])
    path.write_bytes(header + (struct.pack("<HH", *size) if kind else b"") + body)
    return path


def rows_of(events):
    return list(zip(events.t.tolist(), events.x.tolist(), events.y.tolist(), events.p.tolist(), strict=True))


def rest(size):
    """What follows the byte of time, mostly within the sensor."""
    pixel = st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT)).map(lambda p: struct.pack("<HH", *p))
    return st.tuples(pixel, st.binary(min_size=size - 4, max_size=size - 4)).map(b"".join)


def bodies(size):
    event = st.tuples(st.integers(0, 253).map(lambda b: bytes([b])), rest(size)).map(b"".join)
    idle = st.sampled_from([b"\xff", b"\xff\xff", b"\xfe", b"\xfc"])
    tail = st.binary(max_size=7)
    return st.tuples(st.lists(st.one_of(event, event, idle), max_size=20).map(b"".join), tail).map(b"".join)


def check(path, bad, read):
    """`read` gives the rows before the damage; without asking for that, the damage is an error."""
    if bad is None:
        return read(files.inspect(path))
    with pytest.raises(datasets.EventFileError, match="Event Stream") as caught:
        read(files.inspect(path))
    assert caught.value.offset == bad
    with pytest.warns(datasets.EventFileWarning, match=f"byte {bad}"):
        return read(files.inspect(path, on_error="truncate"))


@settings(deadline=None)
@given(body=bodies(4))
def test_dvs(body, tmp_path_factory):
    path = save(tmp_path_factory.mktemp("es") / "a.es", DVS, body)
    rows, bad = naive_files.es_dvs(body, WIDTH, HEIGHT)
    assert check(path, None if bad is None else bad + 20, lambda r: rows_of(r.events())) == rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", datasets.EventFileWarning)
        for chunk in (1, 3):
            pieces = list(files.read(path, chunk=chunk, on_error="truncate"))
            assert [row for piece in pieces for row in rows_of(piece)] == rows


@settings(deadline=None)
@given(body=bodies(4))
def test_atis(body, tmp_path_factory):
    path = save(tmp_path_factory.mktemp("es") / "a.es", ATIS, body)
    rows, bad = naive_files.es_atis(body, WIDTH, HEIGHT)
    changes = check(path, None if bad is None else bad + 20, lambda r: rows_of(r.events()))
    assert changes == [row[:4] for row in rows if not row[4]]
    exposures = check(path, None if bad is None else bad + 20, lambda r: r.stream("exposures").tolist())
    assert exposures == [row[:4] for row in rows if row[4]]


@settings(deadline=None)
@given(body=bodies(7))
def test_colour(body, tmp_path_factory):
    path = save(tmp_path_factory.mktemp("es") / "a.es", COLOUR, body)
    rows, bad = naive_files.es_colour(body, WIDTH, HEIGHT)
    colours = check(path, None if bad is None else bad + 20, lambda r: r.stream("colours").tolist())
    assert colours == rows
    events = check(path, None if bad is None else bad + 20, lambda r: r.events())
    assert rows_of(events) == [(*row[:3], 0) for row in rows] and events.sensor == (1, HEIGHT, WIDTH)


@settings(deadline=None)
@given(body=st.binary(max_size=60))
def test_generic(body, tmp_path_factory):
    path = save(tmp_path_factory.mktemp("es") / "a.es", GENERIC, body)
    rows, bad = naive_files.es_generic(body)
    found = check(path, None if bad is None else bad + 16, lambda r: r.stream("payloads").tolist())
    assert found == rows and len(files.read(path)) == 0


def test_generic_payloads_of_every_length(tmp_path):
    body, expected = b"", []
    for k, length in enumerate((0, 1, 127, 128, 16383, 16384)):
        groups, left = [], length
        while left >> 7:
            groups.append((left & 127) << 1 | 1)
            left >>= 7
        payload = bytes([k]) * length
        body += bytes([10, *groups, left << 1]) + payload
        expected.append((10 * (k + 1), payload))
    assert files.inspect(save(tmp_path / "a.es", GENERIC, body)).stream("payloads").tolist() == expected
    endless = b"\x00" + b"\xff" * 40
    with pytest.raises(datasets.EventFileError, match="byte 16: a payload longer than any file"):
        files.inspect(save(tmp_path / "b.es", GENERIC, endless)).stream("payloads")


def test_byte_fe_adds_nothing(tmp_path):
    event = b"\x05" + struct.pack("<HH", 1, 2)  # 2 us, ON
    events = files.read(save(tmp_path / "a.es", DVS, b"\xfe\xff\xfe" + event + b"\xfe" + event))
    assert rows_of(events) == [(129, 1, HEIGHT - 3, 1), (131, 1, HEIGHT - 3, 1)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"version": (1, 0, 0)}, "byte 12: version 1.0.0; this reads 2.x"),
        ({"kind": 3}, "byte 15: unknown type 3"),
        ({"size": (0, 30)}, "byte 16: a sensor of 0x30 pixels"),
        ({"size": (65535, 30)}, "byte 16: a sensor of 65535x30 pixels"),
    ],
)
def test_header_that_lies(tmp_path, options, words):
    path = save(tmp_path / "a.es", **{"kind": DVS, "body": b"", **options})
    with pytest.raises(datasets.EventFileError, match=words):
        files.read(path)


def test_writer_at_its_boundaries(tmp_path):
    gaps = np.array([0, 126, 127, 128, 0, 253, 254, 255, 1, 0, 10_000_000])
    n = len(gaps)
    events = Events(
        np.cumsum(gaps),
        np.arange(n) * 3000,
        np.arange(n)[::-1] * 3000,
        np.arange(n) % 2,
        sensor=(2, 32767, 32767),
    )
    path = files.write(events, tmp_path / "a.es")
    again = files.read(path)
    assert rows_of(again) == rows_of(events) and again.sensor == events.sensor
    with pytest.raises(UserError, match="holds times from 0 to"):
        files.write(Events([2**50], [0], [0], [0], sensor=(2, 2, 2)), path)
    with pytest.raises(UserError, match="in the order of time"):
        files.write(Events([5, 4], [0, 0], [0, 0], [0, 0], sensor=(2, 2, 2)), path)
    assert rows_of(files.read(path)) == rows_of(events)  # the file that was there still is
