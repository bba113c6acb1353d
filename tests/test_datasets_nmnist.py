"""N-MNIST: the format against a naive decoder, every way the files can lie, and the real recordings."""

import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit import datasets
from snnkit.datasets.files.nmnist import decode_nmnist

DATA = Path(os.environ.get("SNNKIT_DATA", "/nowhere"))
needs_data = pytest.mark.skipif(
    not (DATA / "nmnist_small").is_dir(),
    reason="needs real recordings: set SNNKIT_DATA to a folder with nmnist_small",
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("SNNKIT_CACHE", str(folder))
    return folder


def encode(rows):
    """The format, the other way round: rows of x, y, p, t."""
    return b"".join(bytes([x, y]) + struct.pack(">I", p << 23 | t)[1:] for x, y, p, t in rows)


def naive_decode(data):
    rows, extra = [], 0
    for k in range(0, len(data), 5):
        x, y = data[k], data[k + 1]
        t = int.from_bytes(data[k + 2 : k + 5], "big") & 0x7FFFFF
        if y == 240:
            extra += 8192
        else:
            rows.append((x, y, data[k + 2] >> 7, t + extra))
    return rows


def rows_of(events):
    return list(zip(events.x.tolist(), events.y.tolist(), events.p.tolist(), events.t.tolist(), strict=True))


ROWS = [(0, 33, 1, 0), (33, 0, 0, 70_000), (5, 6, 1, 70_000), (7, 8, 0, 8_388_607)]

# -- the format ------------------------------------------------------------------------------------------------------


@settings(deadline=None)  # the first call loads the kernel
@given(
    st.lists(
        st.tuples(st.integers(0, 33), st.integers(0, 33), st.integers(0, 1), st.integers(0, 2**23 - 1)),
        min_size=1,
    )
)
def test_what_is_encoded_is_decoded(rows):
    rows = sorted(rows, key=lambda r: r[3])
    assert rows_of(decode_nmnist(encode(rows), "test")) == rows


def test_overflow_records_move_time_and_are_dropped():
    data = encode(
        [(1, 2, 1, 8000), (0, 240, 0, 0), (3, 4, 0, 5), (0, 240, 0, 0), (0, 240, 1, 9), (5, 6, 1, 7)]
    )
    events = decode_nmnist(data, "test")
    assert rows_of(events) == naive_decode(data)
    assert events.t.tolist() == [8000, 8197, 3 * 8192 + 7]
    tall = decode_nmnist(encode([(1, 240, 1, 5)]), "test", sensor=(2, 260, 346))  # there row 240 is a row
    assert tall.y.tolist() == [240]


@settings(deadline=None)  # the first call loads the kernel
@given(st.binary(max_size=200))
def test_any_bytes_give_events_or_one_clear_error(data):
    try:
        events = decode_nmnist(data, "some.bin")
    except datasets.EventFileError as error:
        assert str(error).startswith("some.bin, byte ") and 0 <= error.offset <= len(data)
    else:
        assert rows_of(events) == naive_decode(data) and (np.diff(events.t) >= 0).all()


@pytest.mark.parametrize(
    ("data", "offset", "words"),
    [
        (encode(ROWS)[:-2], 15, "truncated: 3 of 5 bytes"),
        (encode([*ROWS[:2], (34, 0, 0, 80_000)]), 10, "x=34, y=0 is outside the sensor of 34x34"),
        (encode([ROWS[1], ROWS[0]]), 5, "the time goes backwards, to 0 us"),
        (b"", 0, "empty"),
    ],
)
def test_damage_is_named_with_its_byte(tmp_path, data, offset, words):
    path = tmp_path / "00002.bin"
    path.write_bytes(data)
    with pytest.raises(datasets.EventFileError, match=words) as caught:
        datasets.read_nmnist(path)
    assert caught.value.offset == offset and str(path) in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(datasets.DataNotFound, match=r"cannot read .*none.bin: No such file"):
        datasets.read_nmnist(tmp_path / "none.bin")


# -- folders and archives --------------------------------------------------------------------------------------------

FILES = {
    "Train/5/00001.bin": ROWS,
    "Train/0/00002.bin": ROWS[:2],
    "Train/4/00010.bin": ROWS[1:],
    "Test/7/00001.bin": ROWS,
}


@pytest.fixture
def unpacked(tmp_path):
    for name, rows in FILES.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(rows))
    (tmp_path / "root" / "Train" / "0").mkdir(exist_ok=True)
    (tmp_path / "root" / "Test" / "0").mkdir(exist_ok=True)
    return tmp_path / "root"


def tar_of(path, members, labels="1\t5\r\n2\t0\r\n", name="train1K.txt"):
    with tarfile.open(path, "w:gz") as archive:
        for member, data in [
            *members.items(),
            (f"NMNISTsmall/{name}", f"#sample #class\r\n{labels}".encode()),
        ]:
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def check(ds):
    assert len(ds) == 3 and ds.labels.tolist() == [5, 0, 4]  # in the order of MNIST
    assert rows_of(ds[0][0]) == ROWS and rows_of(ds[2][0]) == ROWS[1:]


def test_the_original_layout(unpacked, monkeypatch):
    check(datasets.load("nmnist", root=unpacked))
    assert datasets.load("nmnist", "test", root=unpacked).labels.tolist() == [7]
    monkeypatch.setenv("SNNKIT_DATA", str(unpacked.parent))
    unpacked.rename(unpacked.parent / "nmnist")
    check(datasets.load("nmnist"))


def test_the_zip_as_downloaded(tmp_path):
    with zipfile.ZipFile(tmp_path / "Train.zip", "w") as archive:
        for name, rows in FILES.items():
            if name.startswith("Train"):
                archive.writestr(name, encode(rows))
    check(datasets.load("nmnist", root=tmp_path))
    check(datasets.load("nmnist", root=tmp_path / "Train.zip"))
    with pytest.raises(datasets.DataNotFound, match=r"nmnist is not here.*none of its test files"):
        datasets.load("nmnist", split="test", root=tmp_path / "Train.zip")


def test_a_changed_file_is_read_anew(unpacked):
    datasets.load("nmnist", root=unpacked)
    (unpacked / "Train/0/00002.bin").write_bytes(encode([(9, 9, 0, 9)]))
    assert rows_of(datasets.load("nmnist", root=unpacked)[1][0]) == [(9, 9, 0, 9)]


def test_one_bad_recording_leaves_nothing_behind(unpacked, cache):
    (unpacked / "Train/4/00010.bin").write_bytes(os.urandom(32))
    with pytest.raises(datasets.EventFileError, match=r"00010.bin, byte \d+"):
        datasets.load("nmnist", root=unpacked)
    assert list(cache.iterdir()) == []


def test_archives_touch_no_path_outside(tmp_path):
    members = {"../../1.bs2": encode(ROWS), "/etc/2.bs2": encode(ROWS[:2])}
    before = set(tmp_path.rglob("*"))
    ds = datasets.load("nmnist", root=tar_of(tmp_path / "NMNISTsmall.tar.gz", members), verify=False)
    assert ds.labels.tolist() == [5, 0]
    new = {p.relative_to(tmp_path).parts[0] for p in set(tmp_path.rglob("*")) - before}
    assert new == {"NMNISTsmall.tar.gz", "cache"}


def test_archives_that_lie(tmp_path):
    path = tmp_path / "NMNISTsmall.tar.gz"
    cases = [
        (lambda: tar_of(path, {"1.bs2": encode(ROWS)}), "names recording 2.bs2, which is missing"),
        (lambda: tar_of(path, {}, labels="1 x\n"), "line 2: expected 'number class'"),
        (lambda: tar_of(path, {}, name="other.txt"), "expected a member train1K.txt"),
        (lambda: path.write_bytes(b"\x1f\x8b" + os.urandom(99)), "not a readable tar archive"),
        (lambda: path.write_bytes(path.read_bytes()[:60]), "not a readable tar archive"),
    ]
    for make, words in cases:
        make()
        with pytest.raises(datasets.EventFileError, match=words):
            datasets.load("nmnist", root=tmp_path, verify=False)
        with pytest.raises(datasets.EventFileError, match="not the published file: sha256"):
            datasets.load("nmnist", root=tmp_path)
    path.unlink()
    (tmp_path / "Train.zip").write_bytes(b"PK nonsense")
    with pytest.raises(datasets.EventFileError, match="not a readable zip"):
        datasets.load("nmnist", root=tmp_path)


def test_a_link_in_an_archive_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(encode(ROWS))
    path = tmp_path / "NMNISTsmall.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("1.bs2")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
        info = tarfile.TarInfo("train1K.txt")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"1 5\n"))
    with pytest.raises(datasets.EventFileError, match=r"1.bs2, which is missing"):
        datasets.load("nmnist", root=path, verify=False)


def test_absent_data_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("SNNKIT_DATA", raising=False)
    for root in (None, tmp_path, tmp_path / "none"):
        with pytest.raises(
            datasets.DataNotFound, match=r"garrickorchard.com.*Train or Train.zip.*SNNKIT_DATA"
        ) as caught:
            datasets.load("nmnist", root=root)
        assert "\n" not in str(caught.value)
    with pytest.raises(datasets.DataNotFound):
        datasets.locate("nmnist")


# -- the real recordings ---------------------------------------------------------------------------------------------


@needs_data
def test_the_real_recordings():
    train, test = (datasets.load("nmnist", split=s, root=DATA) for s in ("train", "test"))
    assert (len(train), train.events) == (1000, 4_133_231) and (len(test), test.events) == (100, 385_596)
    assert np.bincount(train.labels).tolist() == [97, 116, 99, 93, 105, 92, 94, 117, 87, 100]
    assert np.bincount(test.labels).tolist() == [8, 14, 8, 11, 14, 7, 10, 15, 2, 11]
    assert train.shape == (2, 34, 34) and test.duration == 0.33604
    counts = np.diff(train.packed.offsets)
    assert (counts.min(), counts.max()) == (1112, 7152)


@needs_data
def test_the_second_load_reads_no_recording(monkeypatch):
    first = datasets.load("nmnist", split="test", root=DATA)
    monkeypatch.setattr("snnkit.datasets.nmnist._build", lambda *_: pytest.fail("decoded again"))
    assert np.array_equal(datasets.load("nmnist", split="test", root=DATA).packed.t, first.packed.t)


@needs_data
def test_the_sample_that_tonic_ships():
    events = datasets.read_nmnist(DATA / "event_files" / "tonic" / "sample_nmnist.bin")
    assert len(events) == 4325 and events.t[[0, -1]].tolist() == [654, 311_175] and events.p.sum() == 2145


@needs_data
@pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason="needs MNIST's images in SNNKIT_DATA/mnist")
def test_the_simulated_camera_resembles_the_real_one():
    """The same 200 digits, recorded by both: as many events, digit by digit, at the same times."""
    import gzip

    from snnkit.encoders import record_packed

    (file,) = (DATA / "mnist").glob("train-images*.gz")
    with gzip.open(file) as f:
        images = np.frombuffer(f.read(16 + 200 * 784), np.uint8, offset=16).reshape(200, 28, 28) / 255
    real = datasets.load("nmnist", root=DATA)
    simulated, measured = record_packed(images, pad=3), real.packed.gather(real.ids[:200])
    assert simulated.sensor == measured.sensor == (2, 34, 34)
    counts, truth = np.diff(simulated.offsets), np.diff(measured.offsets)
    assert abs(counts.mean() / 4100 - 1) < 0.2 and np.corrcoef(counts, truth)[0, 1] > 0.85
    profile, true_profile = (np.bincount(p.t // 5000, minlength=70)[:70] for p in (simulated, measured))
    assert np.corrcoef(profile, true_profile)[0, 1] > 0.9
    per_digit = [counts[real.labels[:200] == k].mean() for k in range(10)]
    assert np.argmin(per_digit) == 1 and np.argmax(per_digit) == 0
