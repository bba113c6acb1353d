"""AEDAT 1 to 4: published counts, records laid out by hand from the specifications, round trips, damage."""

import os
import struct
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import zstandard
from file_damage import check_cuts, check_damaged, joined, read_anyhow, same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnkit.datasets.errors import EventFileError, EventFileWarning
from snnkit.datasets.files import inspect, read, write
from snnkit.datasets.files.base import Damaged
from snnkit.datasets.files.flatbuffer import root
from snnkit.datasets.files.unpack import Budget, unpack
from snnkit.errors import UserError
from snnkit.recordings import Events

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CODECS = ["none", "lz4", "zstd"]


@pytest.fixture
def davis() -> Path:
    root = os.environ.get("SNNKIT_DATA")
    if root is None:
        pytest.skip("SNNKIT_DATA is not set")
    return Path(root) / "event_files/aestream/davis.aedat4"


def some_events(n=500, seed=0, sensor=(2, 260, 346), start=1_633_953_690_975_950) -> Events:
    draw = np.random.default_rng(seed)
    t = start + np.cumsum(draw.integers(0, 300, n))
    _, height, width = sensor
    x, y, p = draw.integers(0, width, n), draw.integers(0, height, n), draw.integers(0, 2, n)
    x[:2], y[:2], p[:2] = [0, width - 1], [0, height - 1], [0, 1]
    return Events(t, x, y, p, sensor=sensor)


# -- AEDAT 4 --


def test_davis_recording_has_the_published_events(davis):
    events = read(davis)
    assert (len(events), int(events.p.sum()), int(events.x[0])) == (117_667, 72_363, 218)
    assert events.sensor == (2, 260, 346)
    assert (events.t[0], events.t[-1]) == (1_633_953_690_975_950, 1_633_953_691_105_949)


def test_davis_recording_has_frames_inertial_samples_and_triggers(davis):
    recording = inspect(davis)
    counts = {s.name: s.count for s in recording.info.streams}
    assert counts == {"events": 117_667, "frames": 3, "imu": 130, "triggers": 15}
    frames, imu, triggers = (recording.stream(name) for name in ("frames", "imu", "triggers"))
    assert frames["image"].shape == (3, 260, 346) and 20 < frames["image"].mean() < 200
    assert (frames["exposure_start"] < frames["exposure_stop"]).all()
    gravity = np.sqrt(imu["ax"] ** 2 + imu["ay"] ** 2 + imu["az"] ** 2)
    assert len(imu) == 130 and abs(np.median(gravity) - 1) < 0.05
    assert len(triggers) == 15 and np.bincount(triggers["source"], minlength=10)[[8, 9]].sum() > 0
    assert recording.info.header["source"] == "DAVIS346_00000104"


def test_davis_recording_in_chunks_is_the_same(davis):
    whole = read(davis)
    chunks = list(read(davis, chunk=10_000))
    assert [len(c) for c in chunks] == [10_000] * 11 + [7_667]
    assert same(joined(chunks, whole.sensor), whole)


def test_davis_recording_cut_within_a_packet_keeps_the_packets_before(davis, tmp_path):
    whole, cut = read(davis), tmp_path / "cut.aedat4"
    cut.write_bytes(davis.read_bytes()[:600_000])
    with pytest.raises(EventFileError, match=r"AEDAT 4\), byte \d+: a packet says that it has"):
        read(cut)
    with pytest.warns(EventFileWarning, match="records before it are kept"):
        part = read(cut, on_error="truncate")
    assert 30_000 < len(part) < len(whole) and np.array_equal(part.t, whole.t[: len(part)])


@pytest.mark.parametrize("compression", CODECS)
def test_aedat4_round_trip(tmp_path, compression):
    events = some_events()
    path = write(events, tmp_path / "a.aedat4", compression=compression, packet=64)
    assert same(read(path), events)
    assert same(joined(read(path, chunk=33), events.sensor), events)
    info = inspect(path).info
    assert info.streams[0].count == len(events) and info.size_from == "header" and not info.notes


@pytest.mark.parametrize("compression", CODECS)
def test_aedat4_without_events(tmp_path, compression):
    path = write(Events([], [], [], [], sensor=(2, 4, 6)), tmp_path / "a.aedat4", compression=compression)
    events = read(path)
    assert len(events) == 0 and events.sensor == (2, 4, 6)


def test_aedat4_extreme_times_and_places(tmp_path):
    ends = np.iinfo(np.int64)
    events = Events(
        [ends.min, 0, ends.max], [0, 32766, 5], [32766, 0, 5], [1, 0, 1], sensor=(2, 32767, 32767)
    )
    assert same(read(write(events, tmp_path / "a.aedat4")), events)


def test_aedat4_that_was_not_closed(tmp_path):
    events = some_events(100)
    path = write(events, tmp_path / "a.aedat4", packet=30)
    data = bytearray(path.read_bytes())
    table = struct.unpack_from("<q", data, 18 + 32)[0]
    data[18 + 32 : 18 + 40] = struct.pack("<q", -1)
    path.write_bytes(data[:table])
    reader = inspect(path)
    assert same(reader.events(), events)
    assert reader.info.streams[0].count is None and "not closed" in reader.info.notes[0]


def test_aedat4_missing_table_is_told(tmp_path):
    path = write(some_events(100), tmp_path / "a.aedat4", packet=30)
    table = struct.unpack_from("<q", path.read_bytes(), 18 + 32)[0]
    path.write_bytes(path.read_bytes()[: table - 500])
    with pytest.raises(EventFileError, match="packet says that it has"):
        read(path)


def test_aedat4_event_outside_the_sensor_is_told(tmp_path):
    events = some_events(100)
    path = write(events, tmp_path / "a.aedat4", compression="none")
    path.write_bytes(path.read_bytes().replace(b'"sizeX" type="int">346', b'"sizeX" type="int">340'))
    bad = int((events.x >= 340).argmax())
    with pytest.raises(EventFileError, match=f"event {bad} of the packet is at x={events.x[bad]}"):
        read(path)
    with pytest.warns(EventFileWarning, match=f"the {bad} records before it"):
        assert len(read(path, on_error="truncate")) == bad


def test_aedat4_xml_with_entities_is_refused(tmp_path):
    path = write(some_events(10), tmp_path / "a.aedat4")
    data = path.read_bytes().replace(b"<dv version=", b"<!DOCTYPE a>", 1)
    with pytest.raises(EventFileError, match="declares entities"):
        path.write_bytes(data)
        read(path)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_bombs_are_refused(codec):
    zeros = bytes(80 << 20)
    bomb = lz4.frame.compress(zeros) if codec == "lz4" else zstandard.ZstdCompressor().compress(zeros)
    budget = Budget(len(bomb))
    if codec == "lz4":  # which cannot shrink more than 255-fold
        assert len(unpack(bomb, codec, Budget(4 * len(bomb)))) == len(zeros)
        budget.left = 70 << 20
    del zeros
    with pytest.raises(Damaged, match="unpacks to more than"):
        unpack(bomb, codec, budget, 12)


@pytest.mark.parametrize("compression", CODECS)
@SLOW
@given(data=st.data())
def test_damaged_aedat4(tmp_path, compression, data):
    path = tmp_path / "a.aedat4"
    events = some_events(60)
    good = write(events, path, compression=compression, packet=20).read_bytes()
    cuts = data.draw(st.lists(st.integers(1, len(good) - 1), min_size=3, max_size=3))
    check_cuts(path, good, events, cuts, "aedat4")
    flipped = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        flipped[data.draw(st.integers(14, len(good) - 1))] = data.draw(st.integers(0, 255))
    check_damaged(path, bytes(flipped), format="aedat4")


def test_flatbuffers_that_point_anywhere():
    data = struct.pack("<II4s", 28, 8, b"IMUS") + struct.pack("<HHH2xiII", 6, 8, 4, 8, 4, 3)
    for wrong in (data[:-4], data + bytes(4)):
        with pytest.raises(Damaged, match="says that it has"):
            root(wrong, "IMUS")
    with pytest.raises(Damaged, match="expected a FlatBuffer EVTS"):
        root(struct.pack("<I", len(data) - 4) + data[4:], "EVTS")
    for place in (25, 2**31, 2**32 - 1):
        table = struct.pack("<II4s", 24, place, b"IMUS") + bytes(16)
        with pytest.raises(Damaged, match="of 28 bytes points to its byte"):
            root(table, "IMUS")


def test_flatbuffer_of_more_tables_than_it_has_room_for():
    count = 100  # all offsets lead to one table
    head = struct.pack("<3H2x", 6, 8, 4) + struct.pack("<iII", 8, 4, count)
    offsets = b"".join(struct.pack("<I", 4 * (count - k)) for k in range(count))
    body = struct.pack("<I4s", 16, b"IMUS") + head + offsets + struct.pack("<i", 0)
    with pytest.raises(Damaged, match="100 tables in a FlatBuffer of"):
        list(root(struct.pack("<I", len(body)) + body, "IMUS").tables(0))


# -- AEDAT 3.1 --

HEAD3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DAVIS240C\r\n#!END-HEADER\r\n"


def packet3(kind, rows: list[bytes], *, overflow=0, capacity=None, source=1) -> bytes:
    size, number = len(rows[0]), len(rows)
    room = number if capacity is None else capacity
    return struct.pack("<hhiiiiii", kind, source, size, 4, overflow, room, number, number) + b"".join(rows)


def polarity3(t, x, y, p, valid=1) -> bytes:
    return struct.pack("<Ii", valid | p << 1 | y << 2 | x << 17, t)


def write3(path, *packets, head=HEAD3) -> Path:
    path.write_bytes(head + b"".join(packets))
    return path


def test_aedat3_polarity_packets(tmp_path):
    first = [polarity3(10, 0, 0, 0), polarity3(12, 239, 179, 1), polarity3(13, 5, 6, 1, valid=0)]
    path = write3(
        tmp_path / "a.aedat", packet3(1, first), packet3(1, [polarity3(2**31 - 1, 1, 2, 1)], overflow=2)
    )
    events = read(path)
    assert events.sensor == (2, 180, 240)
    assert events.t.tolist() == [10, 12, (2 << 31) + 2**31 - 1]
    assert (events.x.tolist(), events.y.tolist(), events.p.tolist()) == ([0, 239, 1], [0, 179, 2], [0, 1, 1])
    assert inspect(path).info.header["source 1"] == "DAVIS240C"


@pytest.mark.parametrize("filled", [True, False])
def test_aedat3_capacity_larger_than_number(tmp_path, filled):
    rows = [polarity3(k, k, k, k % 2) for k in range(5)]
    garbage = b"\xff" * 24 if filled else b""  # room that was written, or not
    first = packet3(1, rows, capacity=8) + garbage
    path = write3(tmp_path / "a.aedat", first, packet3(1, rows, overflow=1))
    assert read(path).x.tolist() == [0, 1, 2, 3, 4] * 2


def test_aedat3_other_streams(tmp_path):
    special = [
        struct.pack("<Ii", 1 | 2 << 1 | 7 << 8, 55),
        struct.pack("<Ii", 0, 56),
        struct.pack("<Ii", 1 | 1 << 1, 2**31 - 1),
    ]
    imu = [struct.pack("<Ii7f", 1, 60, 0.5, 0.25, -1, 10, 20, 30, 36.5)]
    pixels = np.arange(6, dtype="<u2") << 6
    frame = struct.pack("<Iiiiiiiii", 1 | 1 << 1, 1, 2, 3, 4, 3, 2, 7, 8) + pixels.tobytes()
    path = write3(
        tmp_path / "a.aedat",
        packet3(0, special),
        packet3(3, imu),
        packet3(1, [polarity3(1, 1, 1, 1)]),
        packet3(2, [frame]),
        packet3(7, [bytes(16)]),
    )
    recording = inspect(path)
    kinds = [(s.name, s.kind, s.count) for s in recording.info.streams[1:]]
    assert kinds == [
        ("triggers", "triggers", 3),
        ("frames", "frames", 1),
        ("imu", "imu", 1),
        ("type7", "other", 1),
    ]
    assert recording.stream("triggers").tolist() == [(55, 2, 7), (2**31 - 1, 1, 0)]
    assert recording.stream("imu").tolist() == [(60, 0.5, 0.25, -1, 10, 20, 30, 36.5)]
    frames = recording.stream("frames")
    assert frames["image"][0].tolist() == [[0, 64, 128], [192, 256, 320]]
    assert (frames["t"][0], frames["exposure_stop"][0], frames["x"][0], frames["y"][0]) == (1, 4, 7, 8)
    with pytest.raises(UserError, match="not known"):
        recording.stream("type7")


def test_aedat3_reset_keeps_the_order_of_the_file(tmp_path):
    reset = struct.pack("<Ii", 1 | 1 << 1, 2**31 - 1)
    packets = [
        packet3(1, [polarity3(900, 1, 1, 1)]),
        packet3(0, [reset]),
        packet3(1, [polarity3(3, 1, 1, 1)]),
    ]
    recording = inspect(write3(tmp_path / "a.aedat", *packets))
    with pytest.warns(EventFileWarning, match="1 of 2 events are earlier"):
        assert recording.events().t.tolist() == [900, 3]
    assert any("clock was reset 1 times" in note for note in recording.info.notes)


def test_aedat3_two_cameras(tmp_path):
    path = write3(
        tmp_path / "a.aedat",
        packet3(1, [polarity3(1, 1, 1, 1)], source=1),
        packet3(1, [polarity3(2, 2, 2, 0)] * 2, source=2),
        head=HEAD3.replace(b"#!END", b"#Source 2: DVS128\r\n#!END"),
    )
    assert len(read(path)) == 1
    other = inspect(path, sample=2)
    assert len(other.events()) == 2 and other.size.sensor == (2, 128, 128)


def test_aedat3_damage_is_told(tmp_path):
    good = packet3(1, [polarity3(1, 1, 1, 1)] * 3)
    start = len(HEAD3) + len(good)
    wrong = packet3(1, [polarity3(2, 2, 2, 1), polarity3(2, 240, 2, 1)])
    cases = {
        "outside": (good + wrong, start + 36, "x=240, y=2", 4),
        "cut": (good + wrong[:-3], start + 36, "truncated: 1 of the packet's 2", 4),
        "head": (good + wrong[:20], start, "truncated: 20 of the 28 bytes", 3),
        "compressed": (good + struct.pack("<h", -32767) + wrong[2:], start, "compressed", 3),
    }
    for name, (data, byte, reason, kept) in cases.items():
        path = write3(tmp_path / f"{name}.aedat", data)
        with pytest.raises(EventFileError, match=reason) as error:
            read(path)
        assert error.value.offset == byte, name
        with pytest.warns(EventFileWarning):
            assert len(read(path, on_error="truncate")) == kept


@SLOW
@given(data=st.data())
def test_damaged_aedat3(tmp_path, data):
    path = tmp_path / "a.aedat"
    rows = [polarity3(10 * k, k % 240, k % 180, k % 2) for k in range(40)]
    frame = struct.pack("<Iiiiiiiii", 3, 1, 2, 3, 4, 3, 2, 7, 8) + bytes(12)
    parts = [
        packet3(1, rows),
        packet3(2, [frame]),
        packet3(1, rows, capacity=99),
        packet3(0, [polarity3(1, 1, 1, 1)]),
    ]
    good = HEAD3 + b"".join(parts)
    path.write_bytes(good)
    whole = read_anyhow(path)
    check_cuts(
        path,
        good,
        whole,
        data.draw(st.lists(st.integers(1, len(good) - 1), min_size=3, max_size=3)),
        "aedat3",
    )
    flipped = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        flipped[data.draw(st.integers(12, len(good) - 1))] = data.draw(st.integers(0, 255))
    check_damaged(path, bytes(flipped), format="aedat3")


# -- AEDAT 1 and 2 --

JAER = b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n"
DVS = b"#!AER-DAT2.0\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n"


def davis2(t, x, y, p) -> bytes:
    """An event as it will be shown, at column x from the left and row y from the top of 240x180 pixels."""
    return struct.pack(">II", (179 - y) << 22 | (239 - x) << 12 | p << 11, t)


def test_aedat2_davis_events(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(JAER + davis2(5, 0, 0, 1) + davis2(6, 239, 179, 0))
    events = read(path)
    assert (events.t.tolist(), events.x.tolist(), events.y.tolist()) == ([5, 6], [0, 239], [0, 179])
    assert events.p.tolist() == [1, 0] and events.sensor == (2, 180, 240)


def test_aedat2_records_that_begin_like_a_header_line(tmp_path):
    path = tmp_path / "a.aedat"
    hash_row = 0x23 << 24 | 100 << 12 | 1 << 11  # rows 140 to 143 from the bottom begin with the byte of #
    path.write_bytes(
        JAER + struct.pack(">II", hash_row, 0x0D0A0D0A) + struct.pack(">II", hash_row, 0x0D0A0D0B)
    )
    events = read(path)
    assert events.y.tolist() == [179 - 140] * 2 and events.x.tolist() == [139] * 2


def test_aedat2_dvs128_is_inverted_and_mirrored(tmp_path):
    path = tmp_path / "a.aedat"
    records = [(0, 0), (1 | 127 << 1 | 127 << 8, 1), (1 << 15, 2), (3 << 1 | 5 << 8, 3)]
    path.write_bytes(DVS + b"".join(struct.pack(">II", *r) for r in records))
    recording = inspect(path)
    events = recording.events()
    assert (events.x.tolist(), events.y.tolist()) == ([127, 0, 124], [127, 0, 122])
    assert events.p.tolist() == [1, 0, 1] and events.t.tolist() == [0, 1, 3]
    assert recording.stream("triggers").tolist() == [(2, 1 << 15)]


def test_aedat1_has_addresses_of_two_bytes(tmp_path):
    path = tmp_path / "a.dat"
    path.write_bytes(b"#!AER-DAT1.0\r\n" + struct.pack(">HI", 7 << 1 | 9 << 8, 77))
    events = read(path)
    assert (events.t[0], events.x[0], events.y[0], events.p[0]) == (77, 120, 118, 1)
    bare = tmp_path / "b.dat"
    bare.write_bytes(struct.pack(">HI", 7 << 1 | 9 << 8, 77))
    assert same(read(bare, format="aedat2"), events)


@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_aedat2_time_wraps_once_in_4295_seconds(tmp_path, chunk):
    path = tmp_path / "a.aedat"
    times = [2**31 - 1, 2**31, 2**32 - 1, 0, 1, 5]
    path.write_bytes(JAER + b"".join(davis2(t, 1, 1, 1) for t in times))
    events = read(path) if chunk is None else joined(read(path, chunk=chunk), (2, 180, 240))
    assert events.t.tolist() == times[:3] + [2**32 + t for t in times[3:]]


def test_aedat2_inertial_samples_and_images(tmp_path):
    values = [4096, -5, 12, 340, -32768, 32767, 0]
    imu = [
        struct.pack(">II", 1 << 31 | c << 28 | (v & 0xFFFF) << 12 | 3 << 10, 50) for c, v in enumerate(values)
    ]
    path = tmp_path / "a.aedat"
    path.write_bytes(JAER + b"".join([*imu, davis2(51, 1, 2, 1), *imu[3:], *imu, *imu[:4]]))
    recording = inspect(path)
    assert [(s.name, s.count) for s in recording.info.streams] == [("events", None), ("imu", 2)]
    assert recording.stream("imu").tolist() == [(50, *values)] * 2


def aps(x, y, sample, signal, t) -> bytes:
    return struct.pack(">II", 1 << 31 | (179 - y) << 22 | x << 12 | signal << 10 | sample, t)


def test_aedat2_images(tmp_path):
    image = np.random.default_rng(0).integers(-10, 500, (180, 240))
    places = [(x, y) for x in range(240) for y in range(180)]
    reset = b"".join(aps(x, y, 510, 0, 7) for x, y in places)
    signal = b"".join(aps(x, y, 510 - image[y, x], 1, 8) for x, y in places)
    path = tmp_path / "a.aedat"
    path.write_bytes(JAER + reset + signal[: 8 * 1000] + davis2(9, 1, 1, 1) + reset + signal)
    recording = inspect(path)
    frames = recording.stream("frames")
    assert frames["t"].tolist() == [8] and np.array_equal(frames["image"][0], image)
    assert any("1 images are not complete" in note for note in recording.notes)
    assert len(recording.stream("samples")) == 2 * 43_200 + 43_200 + 1000
    assert len(recording.events()) == 1


def test_aedat2_camera_is_inferred_where_it_is_not_named(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(b"#!AER-DAT2.0\n" + struct.pack(">II", 259 << 22 | 345 << 12, 5))
    info = inspect(path).info
    assert (info.width, info.height, info.size_from) == (346, 260, "inferred") and "DAVIS" in info.notes[0]
    path.write_bytes(b"#!AER-DAT2.0\n" + struct.pack(">II", 5 << 8, 5))
    assert inspect(path).info.width == 128
    path.write_bytes(JAER.replace(b"DAVIS240C", b"CochleaAMS1c"))
    with pytest.raises(EventFileError, match="CochleaAMS1c are not known"):
        read(path)


def test_aedat2_damage_is_told(tmp_path):
    path = tmp_path / "a.aedat"
    good = JAER + davis2(1, 1, 1, 1)
    cases = [(good + b"abc", "truncated"), (good + struct.pack(">II", 180 << 22, 2), "x=0, y=180 is outside")]
    for data, reason in cases:
        path.write_bytes(data)
        with pytest.raises(EventFileError, match=reason) as error:
            read(path)
        assert error.value.offset == len(good)
        with pytest.warns(EventFileWarning):
            assert len(read(path, on_error="truncate")) == 1


@SLOW
@given(data=st.data())
def test_damaged_aedat2(tmp_path, data):
    path = tmp_path / "a.aedat"
    imu = [struct.pack(">II", 1 << 31 | c << 28 | 3 << 10, 50) for c in range(7)]
    good = (
        JAER + b"".join(davis2(10 * k, k, k, k % 2) for k in range(50)) + b"".join(imu) + aps(1, 2, 3, 1, 5)
    )
    path.write_bytes(good)
    whole = read_anyhow(path)
    check_cuts(
        path,
        good,
        whole,
        data.draw(st.lists(st.integers(200, len(good) - 1), min_size=3, max_size=3)),
        "aedat2",
    )
    flipped = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        flipped[data.draw(st.integers(12, len(good) - 1))] = data.draw(st.integers(0, 255))
    check_damaged(path, bytes(flipped), format="aedat2")
