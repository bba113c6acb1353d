"""HDF5 layouts of cameras and cochleas: ECF against chunks laid out by hand, round trips, many recordings, damage."""

import sys

import h5py
import numpy as np
import pytest
from file_damage import check_damaged, joined, same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnkit.datasets.errors import EventFileError, EventFileWarning
from snnkit.datasets.files import inspect, read, write
from snnkit.datasets.files.base import Columns, Damaged
from snnkit.datasets.files.ecf import FILTER, decode_chunk, encode_chunk
from snnkit.datasets.files.hdf5_access import PLUGINS
from snnkit.errors import UserError
from snnkit.kernels.events.decode_ecf import CUT, PACKED, PACKED_XP, RUNS, decode, encode
from snnkit.recordings import Events

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def some_events(n=500, seed=0, sensor=(2, 260, 346), start=1_000) -> Events:
    draw = np.random.default_rng(seed)
    t = start + np.cumsum(draw.integers(0, 300, n))
    _, height, width = sensor
    x, y, p = draw.integers(0, width, n), draw.integers(0, height, n), draw.integers(0, 2, n)
    x[:2], y[:2], p[:2] = [0, width - 1], [0, height - 1], [0, 1]
    return Events(t, x, y, p, sensor=sensor)


# -- ECF --


def columns_of(t, x=None, y=None, p=None) -> Columns:
    n = len(t)
    x, y, p = (np.zeros(n) if c is None else np.asarray(c) for c in (x, y, p))
    return Columns(np.asarray(t, np.int64), x.astype(np.int16), y.astype(np.int16), p.astype(np.uint8))


def encoded(columns: Columns, mode: int) -> bytes:
    out = np.empty(20 * len(columns.t) + 64, np.uint8)
    return out[: encode(*columns, mode, out)].tobytes()


def equal(a: Columns, b: Columns) -> bool:
    return all(np.array_equal(u, v) for u, v in zip(a, b, strict=True))


def test_ecf_chunk_with_runs_laid_out_by_hand():
    data = bytes([5 << 2, 0, 0, 0]) + (1000).to_bytes(8, "little")
    data += bytes([0x02])  # two at 1000
    data += bytes([0xF4, 0xF1, 0x12])  # a step of 0x14, then 1 more, and two events
    data += bytes([0xF0, 0xF0, 0xF1, 0x01])  # a step of 0x100
    data += (7 << 5 | 3).to_bytes(2, "little") + (9 << 5 | 2).to_bytes(2, "little")
    data += (
        (40 << 5 | 0b10001).to_bytes(2, "little")
        + (3 << 5).to_bytes(2, "little")
        + (2 << 5).to_bytes(2, "little")
    )
    data += bytes([0x80 | 4, 1])
    got = decode_chunk(data, 100)
    assert got.t.tolist() == [1000, 1000, 1021, 1021, 1277]
    assert (got.x.tolist(), got.y.tolist(), got.p.tolist()) == (
        [40, 41, 45, 3, 2],
        [7, 7, 7, 9, 9],
        [1, 1, 1, 1, 0],
    )
    assert encoded(got, RUNS) != data  # other programs may divide a step otherwise
    assert equal(decode_chunk(encoded(got, RUNS), 5), got)


def test_ecf_packed_chunks_laid_out_by_hand():
    head = (5).to_bytes(8, "little") + bytes([0x04])
    v = [0x7FF << 12 | 0x7FF << 1 | 1, 1 << 12 | 2 << 1, 3 << 12 | 1500 << 1 | 1, 0]
    words = [v[0] << 8 | v[1] & 0xFF, (v[1] >> 8) << 16 | v[2] & 0xFFFF, (v[2] >> 16) << 24 | v[3]]
    data = (4 << 2 | 2).to_bytes(4, "little") + head + b"".join(w.to_bytes(4, "little") for w in words)
    got = decode_chunk(data, 4)
    assert (got.x.tolist(), got.y.tolist(), got.p.tolist()) == (
        [2047, 2, 1500, 0],
        [2047, 1, 3, 0],
        [1, 0, 1, 0],
    )
    assert encoded(got, PACKED) == data
    u = [0xFFF, 2 << 1, 1500 << 1 | 1, 0]
    words = [u[0] << 4 | u[1] & 0xF, (u[1] >> 4) << 8 | u[2] & 0xFF, (u[2] >> 8) << 12 | u[3]]
    rows = (6 << 5 | 4).to_bytes(2, "little")
    data = (4 << 2 | 1).to_bytes(4, "little") + head + rows + b"".join(w.to_bytes(2, "little") for w in words)
    got = decode_chunk(data, 4)
    assert (got.x.tolist(), got.y.tolist(), got.p.tolist()) == ([2047, 2, 1500, 0], [6] * 4, [1, 0, 1, 0])
    assert encoded(got, PACKED_XP) == data


@pytest.mark.parametrize("mode", [RUNS, PACKED_XP, PACKED])
@pytest.mark.parametrize("run", [1, 14, 15, 16, 30, 31, 32, 126, 127, 128, 300])
def test_ecf_runs_of_all_lengths(mode, run):
    t = np.repeat([10, 24, 25, 40, 56, 312, 2**40, 2**62], run)
    values = np.repeat(np.arange(len(t) // run + 1) % 2, run)[: len(t)]
    columns = columns_of(t, x=np.arange(len(t)) % 2048, y=values * 2047, p=values)
    assert equal(decode_chunk(encoded(columns, mode), len(t)), columns)


@pytest.mark.parametrize("mode", [RUNS, PACKED_XP, PACKED])
@SLOW
@given(data=st.data())
def test_ecf_round_trips(mode, data):
    steps = data.draw(
        st.lists(st.sampled_from([0, 0, 0, 1, 13, 14, 15, 16, 17, 255, 256, 2**33]), max_size=80)
    )
    n = len(steps)
    draw = np.random.default_rng(data.draw(st.integers(0, 99)))
    start = data.draw(st.sampled_from([0, -(2**63), 7]))
    x = np.cumsum(draw.integers(0, 7, n)) % 2048
    columns = columns_of(
        start + np.cumsum([0, *steps[1:]])[:n], x, draw.integers(0, 2048, n), draw.integers(0, 2, n)
    )
    assert equal(decode_chunk(encoded(columns, mode), n), columns)
    assert equal(decode_chunk(encode_chunk(columns), n), columns)


@SLOW
@given(data=st.binary(max_size=200), n=st.integers(0, 40), mode=st.integers(0, 3))
def test_ecf_of_any_bytes_stays_in_its_arrays(data, n, mode):
    data = (n << 2 | mode).to_bytes(4, "little") + data
    guard = 50
    room = [np.full(30 + guard, 77, d) for d in (np.int64, np.int16, np.int16, np.uint8)]
    got = decode(np.frombuffer(data, np.uint8), *(c[:30] for c in room))
    assert got == CUT or got == n <= 30
    assert all((c[30:] == 77).all() for c in room)
    with pytest.raises(Damaged, match="cut off") if got == CUT else pytest.MonkeyPatch.context():
        decode_chunk(data, 30)


# -- recordings of cameras --


@pytest.mark.parametrize("n", [0, 2, 500, 16_384, 40_000])
@pytest.mark.parametrize("options", [{"compression": "ecf"}, {}, {"compression": "none"}, {"layout": "dsec"}])
def test_round_trips(tmp_path, n, options):
    events = Events([], [], [], [], sensor=(2, 5, 6)) if n == 0 else some_events(n)
    path = write(events, tmp_path / "a.h5", **options)
    assert same(read(path), events)
    assert same(joined(read(path, chunk=7_777), events.sensor), events)
    info = inspect(path).info
    assert info.streams[0].count == n and info.size_from == "header"


def test_ecf_file_is_laid_out_as_metavision_expects(tmp_path):
    events = some_events(20_000)
    with h5py.File(write(events, tmp_path / "a.h5", compression="ecf")) as file:
        rows = file["CD/events"]
        assert rows.id.get_create_plist().get_filter(0)[0] == FILTER == 36559
        assert rows.dtype.itemsize == 16 and rows.dtype.fields["t"][1] == 8 and rows.chunks == (16_384,)
        _, data = rows.id.read_direct_chunk((16_384,))
        assert int.from_bytes(data[:4], "little") >> 2 == 16_384  # the filter must give back whole chunks
        indexes = file["CD/indexes"]
        assert indexes.attrs["offset"] == str(-events.t[0]) and file.attrs["geometry"] == "346x260"
        found = indexes[:]
    assert tuple(found[0]) == (0, -1) and tuple(found[1]) == (0, 0)
    k = 700
    at = int(found["id"][k + 1])
    relative = events.t - events.t[0]
    assert relative[at - 1] < 2000 * k <= relative[at] == found["ts"][k + 1]


def test_dsec_index_of_milliseconds(tmp_path):
    events = some_events(3000, start=10**12)
    with h5py.File(write(events, tmp_path / "a.h5", layout="dsec")) as file:
        t, index = file["events/t"][:], file["ms_to_idx"][:]
        assert int(file["t_offset"][()]) == events.t[0] and t.dtype == np.uint32
    for ms in (1, 7, len(index) - 1):
        assert t[index[ms]] >= 1000 * ms and t[index[ms] - 1] < 1000 * ms


def test_writing_refuses_what_does_not_fit(tmp_path):
    path = tmp_path / "a.h5"
    with pytest.raises(UserError, match="layout is one of"):
        write(some_events(), path, layout="mvsec")
    with pytest.raises(UserError, match="compression of dsec"):
        write(some_events(), path, layout="dsec", compression="ecf")
    with pytest.raises(UserError, match="sorted"):
        write(Events([5, 4], [0, 0], [0, 0], [0, 0], sensor=(2, 2, 2)), path)
    with pytest.raises(UserError, match="11 bits"):
        write(some_events(sensor=(2, 10, 2049)), path, compression="ecf")
    with pytest.raises(UserError, match="32 bits"):
        write(Events([0, 2**32], [0, 0], [0, 0], [0, 0], sensor=(2, 2, 2)), path, layout="dsec")
    assert not path.exists()


@pytest.mark.parametrize("name", ["zstd", "blosc", "lz4", "bitshuffle"])
def test_dsec_with_filters_of_hdf5plugin(tmp_path, name):
    plugin = pytest.importorskip("hdf5plugin")
    how = {
        "zstd": plugin.Zstd(),
        "blosc": plugin.Blosc(cname="zstd"),
        "lz4": plugin.LZ4(),
        "bitshuffle": plugin.Bitshuffle(),
    }
    events = some_events(3000)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for column in "xypt":
            file.create_dataset(f"events/{column}", data=getattr(events, column), chunks=(512,), **how[name])
    found = read(tmp_path / "a.h5")
    assert all(np.array_equal(getattr(found, c), getattr(events, c)) for c in "txyp")
    assert inspect(tmp_path / "a.h5").info.size_from is None and found.sensor == (2, 260, 346)


def test_a_missing_plugin_is_named(tmp_path, monkeypatch):
    plugin = pytest.importorskip("hdf5plugin")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for column in "xypt":
            file.create_dataset(f"events/{column}", data=np.zeros(5, int), chunks=(5,), **plugin.Zstd())
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code not in PLUGINS)
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(UserError, match=r"compressed with Zstd; .*pip install snnkit\[files\]"):
        read(tmp_path / "a.h5")


def test_prophesee_triggers(tmp_path):
    path = write(some_events(50), tmp_path / "a.h5", compression="ecf")
    with h5py.File(path, "a") as file:
        rows = file["EXT_TRIGGER/events"]
        rows.resize((2,))
        rows[:] = np.array([(1, 55, 6), (0, 77, 6)], rows.dtype)
    recording = inspect(path)
    assert [(s.name, s.count) for s in recording.info.streams] == [("events", 50), ("triggers", 2)]
    assert recording.stream("triggers").tolist() == [(55, 1, 6), (77, 0, 6)]


def test_ecf_chunk_that_was_stored_as_it_is(tmp_path):
    events = some_events(16_384)
    path = write(events, tmp_path / "a.h5", compression="ecf")
    with h5py.File(path, "a") as file:
        rows = file["CD/events"]
        raw = np.zeros(16_384, rows.dtype)
        for name in "txyp":
            raw[name] = getattr(events, name)
        rows.id.write_direct_chunk((0,), raw.tobytes(), filter_mask=1)
    assert same(read(path), events)


def test_damaged_ecf_chunk_keeps_the_chunks_before(tmp_path):
    events = some_events(40_000)
    path = write(events, tmp_path / "a.h5", compression="ecf")
    with h5py.File(path, "a") as file:
        _, data = file["CD/events"].id.read_direct_chunk((16_384,))
        file["CD/events"].id.write_direct_chunk((16_384,), data[:-9])
    with pytest.raises(EventFileError, match="ECF is cut off"):
        read(path)
    with pytest.warns(EventFileWarning, match="16384 records before it"):
        assert np.array_equal(read(path, on_error="truncate").t, events.t[:16_384])


def mvsec(path, n=100):
    draw = np.random.default_rng(3)
    rows = np.stack(
        [
            draw.integers(0, 346, n),
            draw.integers(0, 260, n),
            1.5e9 + np.arange(n) * 1e-4,
            draw.choice([-1, 1], n),
        ],
        1,
    )
    with h5py.File(path, "w") as file:
        file["davis/left/events"] = rows.astype(np.float64)
        file["davis/right/events"] = rows[:7].astype(np.float64)
        file["davis/left/imu"], file["davis/left/imu_ts"] = np.ones((5, 6)), 1.5e9 + np.arange(5.0)
        file["davis/left/image_raw"] = np.full((2, 260, 346), 9, np.uint8)
        file["davis/left/image_raw_ts"] = 1.5e9 + np.arange(2.0)
    return rows


def test_mvsec(tmp_path):
    rows = mvsec(tmp_path / "a.hdf5")
    recording = inspect(tmp_path / "a.hdf5")
    events = recording.events()
    assert np.array_equal(events.x, rows[:, 0]) and np.array_equal(events.p, rows[:, 3] > 0)
    assert events.t[0] == 1_500_000_000_000_000 and events.t[1] == events.t[0] + 100
    assert events.sensor == (2, 260, 346)
    assert [(s.name, s.count) for s in recording.info.streams[1:]] == [("imu", 5), ("frames", 2)]
    assert recording.stream("frames")["image"].shape == (2, 260, 346)
    assert recording.stream("imu")["t"][1] == 1_500_000_001_000_000
    assert len(read(tmp_path / "a.hdf5", sample="right")) == 7
    with pytest.raises(UserError, match="one of left, right"):
        read(tmp_path / "a.hdf5", sample="middle")


def test_seconds_and_truth_values(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["events/ts"], file["events/xs"] = np.array([0.5, 0.7500011]), np.array([1, 2], np.int16)
        file["events/ys"], file["events/ps"] = np.array([3, 4], np.int16), np.array([True, False])
    events = read(tmp_path / "a.h5")
    assert (events.t.tolist(), events.x.tolist(), events.p.tolist()) == ([500_000, 750_001], [1, 2], [1, 0])


# -- many recordings of a cochlea --


@pytest.fixture
def shd(tmp_path):
    times = [np.array([0.1, 0.6, 1.3], np.float16), np.array([], np.float16), np.array([0.25], np.float16)]
    units = [np.array([699, 0, 5], np.uint16), np.array([], np.uint16), np.array([17], np.uint16)]
    path = tmp_path / "shd_train.h5"
    with h5py.File(path, "w") as file:
        for name, lists in (("times", times), ("units", units)):
            kind = h5py.vlen_dtype(lists[0].dtype)
            rows = file.create_dataset(f"spikes/{name}", (3,), kind, chunks=(2,))
            for i, values in enumerate(lists):
                rows[i] = values
        file["labels"], file["extra/speaker"] = (
            np.array([1, 0, 11], np.uint16),
            np.array([4, 5, 6], np.uint16),
        )
        file["extra/keys"] = [f"word {k}".encode() for k in range(20)]
    return path


def test_shd_recording(shd):
    events = read(shd, sample=0)
    assert events.sensor == (1, 1, 700) and events.x.tolist() == [699, 0, 5] and set(events.p) == {0}
    half = np.array([0.1, 0.6, 1.3], np.float16).astype(np.float64)  # 1e6 would overflow in half precision
    assert events.t.tolist() == np.rint(half * 1e6).astype(int).tolist()
    assert read(shd, sample=2).tensor(dt=1e-2).shape == (26, 1, 1, 1, 700)
    assert len(read(shd, sample=1)) == 0 and len(read(shd, sample=-1)) == 1


def test_shd_labels(shd):
    info = inspect(shd, sample=2).info
    assert (info.header["label"], info.header["speaker"], info.header["key"]) == ("11", "6", "word 11")
    assert info.header["recordings"] == "3" and info.width == 700
    assert inspect(shd).stream("labels").tolist() == [(1, 4), (0, 5), (11, 6)]
    with pytest.raises(UserError, match="3 recordings; choose one with sample=, 0 to 2"):
        read(shd)
    with pytest.raises(UserError, match="got 3"):
        read(shd, sample=3)


def test_shd_list_that_says_it_is_longer_than_the_file(shd):
    with h5py.File(shd) as file:
        at = file["spikes/times"].id.get_chunk_info_by_coord((0,)).byte_offset
    data = bytearray(shd.read_bytes())
    data[at : at + 4] = (2**31).to_bytes(4, "little")
    shd.write_bytes(data)
    with pytest.raises(EventFileError, match="expected 2147483648 x 2"):
        read(shd, sample=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_times_that_are_none(tmp_path, bad):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, values in (("times", [0.1, bad]), ("units", [1.0, 2.0])):
            rows = file.create_dataset(f"spikes/{name}", (1,), h5py.vlen_dtype(np.float64))
            rows[0] = np.array(values)
    with pytest.raises(EventFileError, match="event 1: t="):
        read(tmp_path / "a.h5")
    with pytest.warns(EventFileWarning):
        assert read(tmp_path / "a.h5", on_error="truncate").t.tolist() == [100_000]


def test_ntidigits(tmp_path):
    labels = {"train": [b"man-ah-1-3", b"woman-bc-2-o5"], "test": [b"man-zz-1-z"]}
    with h5py.File(tmp_path / "n.hdf5", "w") as file:
        for split, names in labels.items():
            file[f"{split}_labels"] = np.array(names)
            for k, name in enumerate(names):
                file[f"{split}_timestamps/{name.decode()}"] = np.array([0.001, 0.5]) * (k + 1)
                file[f"{split}_addresses/{name.decode()}"] = np.array([k, 63])
    path = tmp_path / "n.hdf5"
    events = read(path, sample=1)
    assert (events.t.tolist(), events.x.tolist(), events.sensor) == ([2000, 1_000_000], [1, 63], (1, 1, 64))
    assert inspect(path, sample="man-zz-1-z").info.header["label"] == "z"
    assert inspect(path).stream("labels")["label"].tolist() == ["3", "o5", "z"]
    with pytest.raises(UserError, match="3 recordings"):
        read(path)


# -- hostile files --


def test_links_to_other_files_are_refused(tmp_path):
    write(some_events(), tmp_path / "other.h5")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["CD/events"] = h5py.ExternalLink("other.h5", "/CD/events")
    with pytest.raises(EventFileError, match="is a link"):
        read(tmp_path / "a.h5")


def test_virtual_and_external_content_is_refused(tmp_path):
    layout = h5py.VirtualLayout(shape=(4,), dtype="i8")
    layout[:] = h5py.VirtualSource("other.h5", "t", shape=(4,))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("events/t", layout)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("events/t", (4,), "i8", external=[("/etc/hostname", 0, 32)])
    for name in "ab":
        with pytest.raises(EventFileError, match="is in other files"):
            read(tmp_path / f"{name}.h5")


def test_claims_of_size_are_not_believed(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "txyp":
            file.create_dataset(f"events/{name}", (10**12,), "i8", chunks=(1000,))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        for name in "txyp":
            file.create_dataset(f"events/{name}", (10,), "i8", chunks=(2**28,), maxshape=(None,))
    for name in "ab":
        with pytest.raises(EventFileError, match="more than the file can hold"):
            read(tmp_path / f"{name}.h5")


def test_unknown_filters_and_layouts_are_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["picture"] = np.zeros(3)
    with pytest.raises(EventFileError, match="no known layout: it has picture"):
        read(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        for name in "txyp":
            file.create_dataset(f"events/{name}", data=np.zeros(10, int), chunks=(10,), scaleoffset=1)
    with pytest.raises(EventFileError, match="filter 6, which is not known"):
        read(tmp_path / "b.h5")


@pytest.mark.parametrize("kind", ["ecf", "gzip", "none"])
@settings(SLOW, max_examples=15)
@given(data=st.data())
def test_damaged_hdf5(tmp_path, kind, data):
    path = tmp_path / "a.h5"
    good = write(some_events(40), path, compression=kind).read_bytes()
    assert check_damaged(path, good[: data.draw(st.integers(1, len(good) - 1))], format="hdf5") is None
    with h5py.File(write(some_events(40), path, compression=kind)) as file:
        chunk = file["CD/events"].id.get_chunk_info(0)
    flipped = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):  # in the events themselves
        flipped[chunk.byte_offset + data.draw(st.integers(0, chunk.size - 1))] = data.draw(
            st.integers(0, 255)
        )
    check_damaged(path, bytes(flipped), format="hdf5")
