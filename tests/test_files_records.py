"""N-MNIST and DAT: one record per event, against naive decoders; headers, wraps and lies."""

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


def rows_of(events):
    return list(zip(events.t.tolist(), events.x.tolist(), events.y.tolist(), events.p.tolist(), strict=True))


def record(t, x, y, p, bits=14):
    return struct.pack("<II", t, x | y << bits | p << (28 if bits == 14 else 17))


HEADER = b"% Data file containing CD events.\n% Version 2\n% Height 480\n% Width 640\n\x0c\x08"


def dat(tmp_path, body, header=HEADER):
    path = tmp_path / "a.dat"
    path.write_bytes(header + body)
    return path


# -- DAT ---------------------------------------------------------------------------------------------------------------

TIMES = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1]))


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(TIMES, st.integers(0, 645), st.integers(0, 479), st.integers(0, 1)), max_size=40)
)
def test_dat_agrees_with_its_naive_twin(rows, tmp_path_factory):
    body = b"".join(record(*row) for row in rows)
    path = dat(tmp_path_factory.mktemp("dat"), body)
    expected, bad = naive_files.dat(body, 640, 480)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", datasets.EventFileWarning)
        assert rows_of(files.read(path, on_error="truncate")) == expected
        chunks = list(files.read(path, chunk=3, on_error="truncate"))
    assert [row for chunk in chunks for row in rows_of(chunk)] == expected
    if bad is not None:
        with pytest.raises(datasets.EventFileError, match="outside the sensor of 640x480") as caught:
            files.read(path)
        assert caught.value.offset == len(HEADER) + 8 * bad


def test_dat_wraps_only_on_a_fall_of_more_than_half_the_range(tmp_path):
    rows = [(2**32 - 1, 1, 1, 1), (0, 1, 1, 1), (5, 1, 1, 1), (3, 1, 1, 1)]
    with pytest.warns(datasets.EventFileWarning, match="1 of 4 events are earlier"):
        events = files.read(dat(tmp_path, b"".join(record(*row) for row in rows)))
    assert events.t.tolist() == [2**32 - 1, 2**32, 2**32 + 5, 2**32 + 3]


def test_dat_version_1_with_and_without_a_header(tmp_path):
    rows = [(10, 303, 239, 1), (20, 0, 0, 0), (30, 17, 200, 1)]
    body = b"".join(record(*row, bits=9) for row in rows)
    for header in (b"", b"% Data file containing CD events.\n\x00\x08"):
        recording = files.inspect(dat(tmp_path, body, header))
        assert rows_of(recording.events()) == rows and recording.info.version == "1"
        assert recording.info.size_from == "max+1"


def test_dat_without_a_size_takes_the_largest_coordinates(tmp_path):
    header = b"% Data file containing N9Chronocam7Event2dE events.\n% Version 2\n% Date 2017-10-31 11:27:54\n\x00\x08"
    path = dat(tmp_path, record(1, 53, 2, 1) + record(2, 5, 60, 0), header)
    assert files.read(path).sensor == (2, 61, 54)
    assert [c.sensor for c in files.read(path, chunk=1)] == [(2, 61, 54)] * 2
    assert files.read(path, sensor=(2, 100, 120)).sensor == (2, 100, 120)


def test_dat_triggers(tmp_path):
    body = struct.pack("<IIII", 7, 5 << 26 | 1, 9, 63 << 26)
    recording = files.inspect(dat(tmp_path, body, HEADER[:-2] + b"\x0e\x08"))
    assert recording.stream("triggers").tolist() == [(7, 5, 1), (9, 63, 0)]
    assert len(recording.events()) == 0 and recording.info.streams[1].count == 2


def test_dat_notes_polarities_of_more_than_one_bit(tmp_path):
    recording = files.inspect(
        dat(tmp_path, struct.pack("<II", 1, 0x3 << 28) + struct.pack("<II", 1, 0x2 << 28))
    )
    assert recording.events().p.tolist() == [1, 0]
    assert recording.info.notes == ("2 events have more than 0 and 1 as polarity; its lowest bit counts",)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (HEADER[:-1], "byte 71: truncated: the file ends before the type and the size"),
        (HEADER[:-2] + b"\x28\x24", r"byte 71: records of type 0x28 \(optical flow\)"),
        (HEADER[:-1] + b"\x09", "byte 72: records of 9 bytes"),
        (HEADER.replace(b"Version 2", b"Version 7"), "byte 34: version '7'; there are 1 and 2"),
        (HEADER.replace(b"480", b"0"), r"a sensor of 640x0 pixels"),
    ],
)
def test_dat_header_that_lies(tmp_path, header, words):
    with pytest.raises(datasets.EventFileError, match=words):
        files.read(dat(tmp_path, record(1, 1, 1, 1) if len(header) >= len(HEADER) else b"", header))


@pytest.mark.parametrize("version", [1, 2])
def test_dat_round_trip(tmp_path, version):
    width, height = (512, 256) if version == 1 else (16384, 16384)
    t = [0, 2**31, 2**32 - 1, 2**32, 2**33 - 1, 2**33]
    events = Events(
        t,
        [0, width - 1, 0, 5, 6, 7],
        [0, 0, height - 1, 1, 2, 3],
        [0, 1, 0, 1, 1, 0],
        sensor=(2, height, width),
    )
    path = files.write(events, tmp_path / "a.dat", version=version)
    again = files.read(path)
    assert rows_of(again) == rows_of(events) and again.sensor == events.sensor


def test_dat_cannot_hold_a_long_pause(tmp_path):
    events = Events([0, 3 * 2**32], [0, 0], [0, 0], [0, 0], sensor=(2, 4, 4))
    with pytest.raises(UserError, match="a pause or a first time as long as that"):
        files.write(events, tmp_path / "a.dat")
    assert not list(tmp_path.iterdir())


def test_dat_by_its_name_alone(tmp_path):
    with pytest.raises(
        datasets.EventFileError, match="byte 8: 0x00040000 is no event: its upper 14 bits are not 0"
    ):
        files.read(dat(tmp_path, struct.pack("<IIIII", 0xFFFFFFF0, 5, 0xFFFFFFF1, 1 << 18, 7), b""))


# -- N-MNIST -----------------------------------------------------------------------------------------------------------


def test_nmnist_is_known_by_its_records(tmp_path):
    random = np.random.default_rng(0)
    t = np.sort(random.integers(0, 300_000, 500))
    small = Events(t, random.integers(0, 34, 500), random.integers(0, 34, 500), t % 2, sensor=(2, 34, 34))
    large = Events(t, random.integers(0, 240, 500), random.integers(0, 180, 500), t % 2, sensor=(2, 180, 240))
    for events, source in ((small, "inferred"), (large, "max+1")):
        path = files.write(events, tmp_path / "a.bin")
        nameless = path.rename(tmp_path / "nameless")
        recording = files.inspect(nameless)
        assert rows_of(recording.events()) == rows_of(events)
        assert recording.info.format == "N-MNIST" and recording.info.size_from == source
        shifted = tmp_path / "shifted"
        shifted.write_bytes(nameless.read_bytes()[1:])  # its times are fine, its rows are not
        with pytest.raises(datasets.EventFileError, match="none of the known formats"):
            files.read(shifted)


def test_nmnist_boundaries(tmp_path):
    events = Events([0, 2**23 - 2, 2**23 - 1], [0, 255, 3], [255, 0, 240], [1, 0, 1], sensor=(2, 256, 256))
    path = files.write(events, tmp_path / "a.bin")
    assert rows_of(files.read(path, sensor=events.sensor)) == rows_of(events)
    with pytest.raises(datasets.EventFileError, match="byte 0: x=0, y=255 is outside the sensor of 34x34"):
        files.read(path, sensor=(2, 34, 34))
    late = Events([2**23], [0], [0], [0], sensor=(2, 34, 34))
    with pytest.raises(UserError, match="holds times from 0 to 8388607 us"):
        files.write(late, tmp_path / "b.bin")
    low = Events([1], [0], [239], [0], sensor=(2, 240, 240))
    assert rows_of(files.read(files.write(low, tmp_path / "c.bin"))) == rows_of(low)
