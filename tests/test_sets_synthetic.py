"""Sets that are not here, from small files in their published layouts; and archives that lie."""

import io
import os
import struct
import tarfile
import wave
import zipfile

import numpy as np
import pytest

from snnkit import datasets
from snnkit.datasets import archive, store
from snnkit.datasets.errors import DataNotFound, EventFileError
from snnkit.datasets.sets import speech
from snnkit.errors import UserError
from snnkit.recordings import Events

h5py = pytest.importorskip("h5py")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("SNNKIT_DATA", raising=False)
    monkeypatch.setenv("SNNKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def tar(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as out:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as out:
        for name, data in files.items():
            out.writestr(name, data)
    return path


def rows(events):
    return list(zip(*(getattr(events, c).tolist() for c in ("t", "x", "y", "p")), strict=True))


# -- cochleas ------------------------------------------------------------------------------------------------------------


def heidelberg(path, times, units, labels, keys=None):
    with h5py.File(path, "w") as file:
        for name, kind, values in (("times", "f2", times), ("units", "u2", units)):
            column = file.create_dataset(f"spikes/{name}", len(values), h5py.vlen_dtype(np.dtype(kind)))
            for i, row in enumerate(values):
                column[i] = np.array(row, kind)
        file["labels"] = labels
        file["extra/speaker"] = np.arange(len(labels))
        if keys:
            file["extra/keys"] = np.array(keys, dtype="S")
    return path


TIMES, UNITS = [[0.0, 0.25, 1.25], [0.5, 0.125]], [[3, 699, 0], [1, 2]]


@pytest.mark.parametrize("form", ["", ".gz", ".zip"])
def test_shd_also_packed(root, form):
    import gzip

    path = heidelberg(root / "shd_train.h5", TIMES, UNITS, [0, 19], [f"word {k}" for k in range(20)])
    if form == ".gz":
        (root / "shd_train.h5.gz").write_bytes(gzip.compress(path.read_bytes()))
    elif form == ".zip":
        zipped(root / "shd_train.h5.zip", {"shd_train.h5": path.read_bytes()})
    if form:
        path.unlink()
    ds = datasets.load("shd", root=root, verify=False)
    assert rows(ds[0][0]) == [(0, 3, 0, 0), (250_000, 699, 0, 0), (1_250_000, 0, 0, 0)]
    assert ds[1][0].t.tolist() == [125_000, 500_000]  # sorted, and no overflow of half precision
    assert ds.labels.tolist() == [0, 19] and ds.classes[19] == "word 19" and ds.shape == (1, 1, 700)
    assert ds.column("speaker").tolist() == [0, 1]


@pytest.mark.parametrize(
    ("times", "units", "labels", "words"),
    [
        ([[0.1]], [[700]], [0], "channels from 700"),
        ([[-0.1]], [[7]], [0], "times that are no seconds"),
        ([[np.inf]], [[7]], [0], "times that are no seconds"),
        ([[0.1, 0.2]], [[7]], [0], "2 times for 1 channels"),
        ([[0.1]], [[7]], [20], "labels from 20"),
        ([[0.1]], [[7]], [0, 1], "2 labels"),
    ],
)
def test_shd_that_is_damaged(root, times, units, labels, words):
    heidelberg(root / "shd_test.h5", times, units, labels)
    with pytest.raises(EventFileError, match=words):
        datasets.load("shd", "test", root=root)
    assert store.cached_folders() == []


def test_no_hdf5_file(root):
    (root / "ssc_valid.h5").write_bytes(os.urandom(100))
    with pytest.raises(EventFileError, match="not a readable HDF5 file"):
        datasets.load("ssc", "valid", root=root)
    with h5py.File(root / "ssc_test.h5", "w") as file:
        file["other"] = 1
    with pytest.raises(EventFileError, match="not the HDF5 file it should be"):
        datasets.load("ssc", "test", root=root)


def test_tidigits_of_one_and_of_several_digits(root):
    names = ["ac-man-a-7", "ac-man-a-o", "bd-woman-b-12z", "bd-woman-b-z"]
    with h5py.File(root / "n-tidigits.hdf5", "w") as file:
        file["test_labels"] = np.array(names, dtype="S")
        for k, name in enumerate(names):
            file[f"test_timestamps/{name}"] = np.array([0.5, 0.25])
            file[f"test_addresses/{name}"] = np.array([k, 63], np.uint8)
    ds = datasets.load("ntidigits", "test", root=root, verify=False)
    assert ds.labels.tolist() == [7, 0, 10] and ds.classes[10] == "z" and ds.shape == (1, 1, 64)
    assert rows(ds[1][0]) == [(250_000, 63, 0, 0), (500_000, 1, 0, 0)]
    assert ds.column("speaker").tolist() == ["ac", "ac", "bd"]
    every = datasets.load("ntidigits", "test", root=root, single=False, verify=False)
    assert every.labels.tolist() == [0, 0, 2, 0] and every.column("digits").tolist() == ["7", "o", "12z", "z"]


# -- one file per recording ----------------------------------------------------------------------------------------------


def bin_file(events):
    return b"".join(bytes([x, y]) + struct.pack(">I", p << 23 | t)[1:] for t, x, y, p in events)


def test_ncaltech_from_folder_and_zip(root):
    files = {
        f"Caltech101/{name}/image_{k:04}.bin": bin_file([(5 + k, 239, 179, 1), (9 + k, 0, k, 0)])
        for name in ("BACKGROUND_Google", "yin_yang")
        for k in range(1, 21)
    }
    zipped(root / "Caltech101.zip", files | {"Caltech101/readme.txt": b"hello"})
    ds = datasets.load("ncaltech101", "all", root=root)
    assert len(ds) == 40 and ds.classes == ("BACKGROUND_Google", "yin_yang") and ds.shape == (2, 180, 240)
    assert rows(ds[0][0]) == [(0, 239, 179, 1), (4, 0, 1, 0)]  # counted from the first event
    parts = [datasets.load("ncaltech101", s, root=root) for s in ("train", "valid", "test")]
    assert [np.bincount(p.labels).tolist() for p in parts] == [[16, 16], [2, 2], [2, 2]]
    assert sorted(np.concatenate([p.ids for p in parts])) == list(range(40))
    with zipfile.ZipFile(root / "Caltech101.zip") as file:
        file.extractall(root)
    (root / "Caltech101.zip").unlink()
    again = datasets.load("ncaltech101", "all", root=root)
    assert all(rows(again[k][0]) == rows(ds[k][0]) for k in range(40))


def test_asl_letters_with_y_upwards(root):
    from scipy.io import savemat

    for letter in "abcdefghiklmnopqrstuvwxy":
        (root / letter).mkdir()
        for k in range(2):
            columns = {"ts": [[7], [9]], "x": [[0], [239]], "y": [[0], [179 - k]], "pol": [[1], [0]]}
            savemat(root / letter / f"{letter}_{k}.mat", {n: np.array(v) for n, v in columns.items()})
    ds = datasets.load("asl-dvs", "all", root=root)
    assert len(ds) == 48 and "".join(ds.classes) == "abcdefghiklmnopqrstuvwxy"
    assert rows(ds[1][0]) == [(0, 0, 179, 1), (2, 239, 1, 0)]
    (root / "k" / "k_0.mat").write_bytes(os.urandom(200))
    with pytest.raises(EventFileError, match=r"k_0.mat: not a readable MATLAB file"):
        datasets.load("asl-dvs", "all", root=root)


def npy(table):
    out = io.BytesIO()
    np.save(out, np.asarray(table))
    return out.getvalue()


def test_poker_from_its_archive(root):
    files = {
        f"pips_train/{c}/{k}.npy": npy([[3, 1, 2, 1], [8, 34, 0, 0]]) for c in ("sp", "cl") for k in range(3)
    }
    tar(root / "pips_train.tar.gz", files)
    ds = datasets.load("pokerdvs", root=root, verify=False)
    assert len(ds) == 6 and ds.classes == ("cl", "sp") and rows(ds[0][0]) == [(0, 1, 2, 1), (5, 34, 0, 0)]
    files["pips_train/cl/0.npy"] = npy([[3, 35, 2, 1]])
    tar(root / "pips_train.tar.gz", files)
    with pytest.raises(EventFileError, match=r"cl/0.npy: x goes from 35 to 35, not 0 to 34"):
        datasets.load("pokerdvs", root=root, verify=False)


def test_cifar_recordings_of_any_known_format(root):
    from snnkit.datasets.files.reading import write

    for k, name in enumerate(
        ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    ):
        (root / name).mkdir()
        start = 1_600_000_000_000_000
        events = Events([start, start + 7], [k, 127], [0, 5], [1, 0], sensor=(2, 128, 128))
        write(events, root / name / f"cifar10_{name}_0.aedat4")
    ds = datasets.load("cifar10dvs", "all", root=root)
    assert len(ds) == 10 and ds.shape == (2, 128, 128) and ds.classes[2] == "bird"
    assert rows(ds[2][0]) == [(0, 2, 0, 1), (7, 127, 5, 0)]


# -- gestures ------------------------------------------------------------------------------------------------------------


def aedat3(events):
    head = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    body = b"".join(struct.pack("<Ii", x << 17 | y << 2 | p << 1 | 1, t) for t, x, y, p in events)
    return head + struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, len(events), len(events), len(events)) + body


def test_gestures_are_cut_from_the_authors_trials(root):
    trial = [(k * 10, k, 127 - k, k % 2) for k in range(100)]
    files = {
        "DvsGesture/user01_led.aedat": aedat3(trial),
        "DvsGesture/user01_led_labels.csv": b"class,startTime_usec,endTime_usec\n1,100,200\n11,200,305\n1,900,950\n",
        "DvsGesture/user02_lab.aedat": aedat3(trial[:50]),
        "DvsGesture/user02_lab_labels.csv": b"class,startTime_usec,endTime_usec\n8,0,50\n",
        "DvsGesture/trials_to_train.txt": b"user01_led.aedat\n",
        "DvsGesture/trials_to_test.txt": b"user02_lab.aedat\n",
    }
    tar(root / "DvsGesture.tar.gz", files)
    train, test = (datasets.load("dvsgesture", s, root=root) for s in ("train", "test"))
    assert train.labels.tolist() == [0, 10, 0] and test.labels.tolist() == [7]
    assert rows(train[0][0]) == [(k * 10 - 100, k, 127 - k, k % 2) for k in range(10, 20)]
    assert rows(train[1][0])[-1][0] == 100 and len(train[1][0]) == 11
    assert train.column("person").tolist() == ["user01"] * 3 and test.column("light").tolist() == ["lab"]
    files["DvsGesture/user01_led_labels.csv"] = b"class,startTime_usec,endTime_usec\n12,100,200\n"
    tar(root / "DvsGesture.tar.gz", files)
    with pytest.raises(EventFileError, match="class of 1 to 11, got 12"):
        datasets.load("dvsgesture", root=root)


def test_gestures_that_are_cut_already(root):
    files = {
        f"ibmGestureTest/user29_natural/{k}.npy": npy([[5, 6, 1, 20 + k], [7, 8, 0, 22 + k]]) for k in (0, 10)
    }
    tar(root / "ibmGestureTest.tar.gz", files)
    ds = datasets.load("dvsgesture", "test", root=root, verify=False)
    assert ds.labels.tolist() == [0, 10] and rows(ds[1][0]) == [(0, 5, 6, 1), (2000, 7, 8, 0)]
    assert ds.classes[10] == "other gestures" and ds.column("light").tolist() == ["natural"] * 2


# -- DSEC ----------------------------------------------------------------------------------------------------------------


def test_dsec_stays_in_its_files(root):
    place = root / "DSEC" / "train" / "thun_00_a" / "events_left"
    place.mkdir(parents=True)
    with h5py.File(place / "events.h5", "w") as file:
        columns = (
            ("x", [0, 639, 5], "u2"),
            ("y", [0, 479, 6], "u2"),
            ("p", [0, 1, 1], "u1"),
            ("t", [3, 4, 9], "u4"),
        )
        for name, values, kind in columns:
            file[f"events/{name}"] = np.array(values, kind)
        file["ms_to_idx"] = np.array([0], "u8")
        file["t_offset"] = np.int64(0)
    ds = datasets.load("dsec", root=root)
    assert len(ds) == 1 and ds.classes == ("thun_00_a",)
    with pytest.raises(DataNotFound, match="right camera"):
        datasets.load("dsec", root=root, side="right")
    with pytest.raises(UserError, match=r"files of long recordings: write .* snnkit.datasets.pack"):
        datasets.batches(ds, dt=1e-3)
    pytest.importorskip("snnkit.datasets.files.hdf5")
    events, _ = ds[0]
    assert rows(events) == [(3, 0, 0, 0), (4, 639, 479, 1), (9, 5, 6, 1)]
    assert sum(len(part) for part in ds.chunks(0, 2)) == 3


# -- sounds --------------------------------------------------------------------------------------------------------------


def wav(samples, rate=8000, channels=1, width=2):
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, "<i2").tobytes())
    return out.getvalue()


def test_wav_files():
    assert speech.read_wav(wav([1, -2, 32767]), "a.wav", 8000).tolist() == [1, -2, 32767]
    good = wav(np.arange(100))
    for data, words in (
        (wav([1], rate=16000), "16000 Hz"),
        (wav([1, 2], channels=2), "shape"),
        (wav([257], width=1), "uint8"),
        (wav([]), "8000 Hz|not a readable"),
        (b"", "not a readable wav"),
        (os.urandom(60), "not a readable wav"),
    ):
        with pytest.raises(EventFileError, match=words):
            speech.read_wav(data, "a.wav", 8000)
    for cut in range(len(good)):
        try:
            assert len(speech.read_wav(good[:cut], "a.wav", 8000)) <= 100
        except EventFileError:
            continue


def test_the_whole_of_speech_commands_is_split_as_its_authors_do(root):
    names = {
        f"{word}/{k * 7919:08x}_nohash_{n}.wav" for word in ("bed", "zero") for k in range(40) for n in (0, 1)
    }
    files = {f"./{n}": wav([1, 2], rate=16000) for n in names}
    files["./_background_noise_/0123abc_nohash_0.wav"] = wav([1], rate=16000)
    tar(root / "speech_commands_v0.02.tar.gz", files)
    parts = {s: datasets.load("speechcommands", s, root=root) for s in ("train", "valid", "test", "all")}
    assert len(parts["all"]) == 160 and parts["all"].classes == ("bed", "zero")
    for split in ("train", "valid", "test"):
        speakers = set(parts[split].column("speaker").tolist())
        assert {speech.official_split(s) for s in speakers} == {split}


# -- archives ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [tar, zipped])
def test_names_are_never_paths(tmp_path, make):
    files = {"../../up.txt": b"1", "/etc/down.txt": b"2", "plain.txt": b"3", "other.bin": b"4"}
    path = make(tmp_path / ("a.zip" if make is zipped else "a.tar.gz"), files)
    before = sorted(tmp_path.rglob("*"))
    with archive.members(path, r"\.txt$") as found:
        assert {n.rsplit("/", 1)[-1]: found.read(n) for n in found.names} == {
            "up.txt": b"1",
            "down.txt": b"2",
            "plain.txt": b"3",
        }
    assert sorted(p for p in tmp_path.rglob("*") if "cache" not in p.parts) == before


def test_a_large_tar_is_unpacked_to_numbered_files_for_as_long_as_it_is_read(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(archive, "IN_MEMORY", 0)
    path = tar(tmp_path / "a.tar.gz", {"../../up.txt": b"one", "b/../c.txt": b"two"})
    with archive.members(path, "txt$") as found:
        assert sorted(found.read(n) for n in found.names) == [b"one", b"two"]
        (folder,) = cache.iterdir()
        assert {f.name for f in folder.iterdir()} == {"0", "1"}
    assert list(cache.iterdir()) == []


def test_links_and_devices_are_left_out(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as out:
        for name, kind in (
            ("link.txt", tarfile.SYMTYPE),
            ("hard.txt", tarfile.LNKTYPE),
            ("null.txt", tarfile.CHRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            out.addfile(info)
    with archive.members(path, "txt$") as found:
        assert found.names == ()


@pytest.mark.parametrize("form", ["a.zip", "a.tar.gz", "a.gz"])
def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, form):
    import gzip

    monkeypatch.setattr(archive, "RATIO", 10)
    data = bytes(1 << 20)
    path = tmp_path / form
    if form == "a.gz":
        path.write_bytes(gzip.compress(data))
        with pytest.raises(EventFileError, match="unpacks to more than"):
            archive.read_file(path)
        with pytest.raises(EventFileError, match="unpacks to more than"):
            archive.unpack_one(path, "", tmp_path / "out")
        return
    if form == "a.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            out.writestr("big.txt", data)
    else:
        tar(path, {"big.txt": data})
    with pytest.raises(EventFileError, match="more than"), archive.members(path, "txt$") as found:
        found.read("big.txt")


@pytest.mark.parametrize("form", ["a.zip", "a.tar.gz"])
def test_a_damaged_archive_is_one_clear_error(tmp_path, form):
    make = zipped if form == "a.zip" else tar
    good = make(tmp_path / form, {f"{k}.txt": os.urandom(300) for k in range(3)}).read_bytes()
    refused = 0
    for at in range(0, len(good), 7):
        (tmp_path / form).write_bytes(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
        try:
            with archive.members(tmp_path / form, "txt$") as found:
                assert all(len(found.read(n)) <= 300 for n in found.names)
        except EventFileError:
            refused += 1
        (tmp_path / form).write_bytes(good[:at])
        with pytest.raises(EventFileError), archive.members(tmp_path / form, "txt$") as found:
            for name in found.names:
                found.read(name)
    assert refused > len(good) / 7 * 0.7
