"""Arrays of NumPy and tables of text: order and units of columns, exact times, hostile headers, damage."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from file_damage import check_cuts, check_damaged, joined, same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnkit.datasets.errors import EventFileError, EventFileWarning
from snnkit.datasets.files import inspect, read, write
from snnkit.recordings import Events

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def some_events(n=500, seed=0, sensor=(2, 260, 346), start=1_633_953_690_975_950) -> Events:
    draw = np.random.default_rng(seed)
    t = start + np.cumsum(draw.integers(0, 300, n))
    _, height, width = sensor
    x, y, p = draw.integers(0, width, n), draw.integers(0, height, n), draw.integers(0, 2, n)
    x[-1], y[-1], p[0] = width - 1, height - 1, 1
    return Events(t, x, y, p, sensor=sensor)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
@pytest.mark.parametrize("n", [0, 1, 500, 200_000])
def test_round_trips(tmp_path, suffix, n):
    events = some_events(n) if n else Events([], [], [], [], sensor=(2, 1, 1))
    if n == 200_000 and suffix == ".csv":
        events = some_events(60_000)  # more than one block
    path = write(events, tmp_path / f"a{suffix}")
    assert same(read(path), events)
    assert same(joined(read(path, chunk=7_777), events.sensor), events)
    assert inspect(path).info.header["unit of time"] == "microseconds"


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_extreme_values(tmp_path, suffix):
    ends = np.iinfo(np.int64)
    events = Events(
        [-(10**18), 0, 10**18 - 1], [0, 32766, 5], [32766, 0, 5], [1, 0, 1], sensor=(2, 32767, 32767)
    )
    assert same(read(write(events, tmp_path / f"a{suffix}")), events)
    row = Events([3], [2], [0], [0], sensor=(1, 1, 700))
    assert same(read(write(row, tmp_path / f"b{suffix}")), row)
    if suffix == ".npz":
        events = Events([ends.min, ends.max], [0, 1], [0, 0], [0, 1], sensor=(2, 3, 4))
        assert same(read(write(events, tmp_path / "c.npz", compressed=False)), events)


# -- arrays --


def test_structured_arrays_in_any_order(tmp_path):
    dtype = [("polarity", "?"), ("x", "<u2"), ("label", "<i4"), ("y", ">u2"), ("timestamp", "<u8")]
    np.save(tmp_path / "a.npy", np.array([(True, 3, 9, 4, 77), (False, 5, 9, 6, 99)], dtype))
    events = read(tmp_path / "a.npy")
    assert (events.t.tolist(), events.x.tolist(), events.y.tolist()) == ([77, 99], [3, 5], [4, 6])
    assert events.p.tolist() == [1, 0] and events.sensor == (2, 7, 6)


@pytest.mark.parametrize("order", ["C", "F"])
def test_four_columns(tmp_path, order):
    rows = np.array([[10, 1, 2, 1], [20, 3, 4, -1]])
    np.save(tmp_path / "a.npy", np.asarray(rows, order=order))
    assert read(tmp_path / "a.npy").p.tolist() == [1, 0]
    np.save(tmp_path / "b.npy", np.asarray(rows * [0.05, 1, 1, 1], order=order))
    assert read(tmp_path / "b.npy").t.tolist() == [500_000, 1_000_000]
    np.save(tmp_path / "c.npy", np.asarray(rows.astype(float), order=order))
    assert read(tmp_path / "c.npy").t.tolist() == [10, 20]


def test_columns_of_npz_with_units(tmp_path):
    np.savez(tmp_path / "a.npz", ts_ns=np.array([1_700_000_000_123_456_789]), x=[1], y=[2], pol=[1])
    assert read(tmp_path / "a.npz").t.tolist() == [1_700_000_000_123_456]
    np.savez(tmp_path / "b.npz", t=np.array([0.25, 0.5], np.float16), x=[1, 2], y=[2, 2], p=[1, 0])
    assert read(tmp_path / "b.npz").t.tolist() == [250_000, 500_000]
    np.savez(tmp_path / "c.npz", events=np.array([[5, 1, 2, 1]]))
    assert read(tmp_path / "c.npz").x.tolist() == [1]


def test_expelliarmus_reference_array():
    root = os.environ.get("SNNKIT_DATA")
    if root is None:
        pytest.skip("SNNKIT_DATA is not set")
    events = read(Path(root) / "event_files/expelliarmus/NCARS_obj_004397_td.npy")
    assert len(events) == 4407 and int(events.p.sum()) == 1671 and events.t[-1] == 99_937


def test_objects_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"t": 1}], object), allow_pickle=True)
    with pytest.raises(EventFileError, match="would run code"):
        read(tmp_path / "a.npy")


def npy_with(header: str, body: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + body


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000, 4), }\n",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (-1, 4), }\n",
        "{'descr': 'V0', 'fortran_order': False, 'shape': (9, 4), }\n",
        "{'descr': '<U9', 'fortran_order': False, 'shape': (1, 4), }\n",
        "{'descr': '<i8', 'fortran_order': True, 'shape': (1000, 4), }\n",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (9, 3), }\n",
        "{'descr': [('t', '<i8', (2,)), ('x', '<i8'), ('y', '<i8'), ('p', '<i8')], 'fortran_order': False, 'shape': (1,), }\n",
        "__import__('os').abort()\n",
        "(" * 9000 + "\n",
        "{}\n",
    ],
)
def test_hostile_headers(tmp_path, header):
    assert check_damaged(tmp_path / "a.npy", npy_with(header, bytes(64)), format="npy") is None


def test_truncated_array_keeps_its_beginning(tmp_path):
    events = some_events()
    path = write(events, tmp_path / "a.npy")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(EventFileError, match="truncated: 498 of 500"):
        read(path)
    with pytest.warns(EventFileWarning):
        assert len(read(path, on_error="truncate")) == 498


def test_archive_that_unpacks_to_much_more_is_refused(tmp_path):
    zeros = io.BytesIO()
    np.save(zeros, np.zeros(40 << 20, np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("t", "x", "y", "p"):
            archive.writestr(f"{name}.npy", zeros.getvalue())
    with pytest.raises(EventFileError, match="unpacks to more than"):
        read(tmp_path / "a.npz")


def test_columns_of_different_lengths(tmp_path):
    np.savez(tmp_path / "a.npz", t=[1, 2, 3], x=[1, 2], y=[2, 2, 2], p=[1, 0, 1])
    with pytest.raises(EventFileError, match="lengths"):
        read(tmp_path / "a.npz")


# -- tables --


def table(path, text) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "100,3,4,1\n250,5,6,0\n",
        "100 3 4 1\n250 5 6 0",
        "100;3;4;1\r\n250;5;6;-1\r\n",
        "100\t3\t4\tTrue\n250\t5\t6\tfalse\n",
        "  100 ,  3,4 , 1 \n\n# a remark\n250, 5, 6, 0\n",
        "x,y,p,t\n3,4,1,100\n5,6,0,250\n",
        "# polarity x y t_us\n1 3 4 100\n0 5 6 250\n",
        '"","t","label","x","y","p"\n0,100,cat a,3,4,1\n1,250,dog,5,6,0\n'.replace("cat a", "cat"),
        "t [ns],x,y,p\n100000,3,4,1\n250400,5,6,0\n",
        "0.0001 3 4 1\n0.00025 5 6 0\n",
        "1.000000000000000000e+02 3.000000000000000000e+00 4.0e0 1.0\n2.5e+02 5 6 0e0\n",
        "7 7\n0.000100000 3 4 1\n0.000250000 5 6 0\n",
        "time_s,x,y,on\n1e-4,3,4,1\n25e-5,5,6,0\n",
    ],
)
def test_tables_of_all_kinds(tmp_path, text):
    events = read(table(tmp_path / "a.txt", text))
    assert (events.t.tolist(), events.p.tolist()) == ([100, 250], [1, 0])
    assert (events.x.tolist(), events.y.tolist()) == ([3, 5], [4, 6])


def test_times_of_the_day_are_exact(tmp_path):
    path = table(
        tmp_path / "a.txt", "1633953690.975950123 1 2 1\n1633953690.975950500 1 2 0\n-0.0000015 0 0 1\n"
    )
    with pytest.warns(EventFileWarning, match="earlier"):
        assert read(path).t.tolist() == [1_633_953_690_975_950, 1_633_953_690_975_951, -2]


@given(
    st.lists(
        st.decimals(min_value=-(10**9), max_value=10**9, places=9, allow_nan=False), min_size=1, max_size=20
    )
)
@SLOW
def test_times_agree_with_decimal_arithmetic(tmp_path, times):
    path = table(tmp_path / "a.csv", "t_s,x,y,p\n" + "".join(f"{t},0,0,1\n" for t in times))
    expected = [int((t * 10**6).to_integral_value(rounding="ROUND_HALF_UP")) for t in times]
    assert check_damaged(path, path.read_bytes(), format="csv").t.tolist() == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("5,1,2", "too many or too few"),
        ("5,1,2,1,9", "too many or too few"),
        ("5,one,2,1", "no number"),
        ("5,1.5,2,1", "no event of this sensor"),
        ("5,-1,2,1", "no event of this sensor"),
        ("5,40000,2,1", "no event of this sensor"),
        ("5,1,2,3", "no event of this sensor"),
        ("1e400,1,2,1", "no event of this sensor"),
        ("99999999999999999999,1,2,1", "no event of this sensor"),
        ("5,1,2,+", "no number"),
        ("5,1,2,1e", "no number"),
        ("5..0,1,2,1", "no number"),
        ("5,,2,1", "no number"),
    ],
)
def test_rows_that_are_no_events(tmp_path, row, reason):
    path = table(tmp_path / "a.csv", f"t,x,y,p\n1,1,1,1\n{row}\n7,1,1,1\n")
    with pytest.raises(EventFileError, match=reason) as error:
        read(path)
    assert error.value.offset == 16 and row in str(error.value)
    with pytest.warns(EventFileWarning):
        assert read(path, on_error="truncate").t.tolist() == [1]


def test_text_that_is_no_table(tmp_path):
    for text in ("hello world\n", "1,2\n", "a,b,c,d\n1,2,3,4\n", "{}"):
        with pytest.raises(EventFileError):
            read(table(tmp_path / "a.csv", text))
    with pytest.raises(EventFileError, match="no events in the first 1000 rows"):
        read(table(tmp_path / "a.csv", "# remark\n" * 2000 + "1,1,1,1\n"), format="csv")
    long = "1,1,1,1\n" + "1" * 100_000
    with pytest.raises(EventFileError, match="a row of more than"):
        read(table(tmp_path / "a.csv", long))


@pytest.mark.parametrize("format", ["npy", "npz", "csv"])
@SLOW
@given(data=st.data())
def test_damage(tmp_path, format, data):
    path = tmp_path / f"a.{format}"
    events = some_events(40)
    good = write(events, path).read_bytes()
    if format == "npy":  # of text and of a zip archive, other cuts are files of their own
        cuts = data.draw(st.lists(st.integers(1, len(good) - 1), min_size=3, max_size=3))
        check_cuts(path, good, events, cuts, format)
    flipped = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        flipped[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    check_damaged(path, bytes(flipped), format=format)
    check_damaged(path, good[: data.draw(st.integers(1, len(good) - 1))], format=format)


@SLOW
@given(text=st.text("0123456789.,;eE+- \tTF#%\n\rx", max_size=200))
def test_any_text(tmp_path, text):
    check_damaged(tmp_path / "a.csv", b"1,1,1,1\n" + text.encode(), format="csv")
