"""The packed store: written once and whole, taken up after a kill, by one of many writers, and never out of date."""

import json
import multiprocessing
import multiprocessing.reduction
import os
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnkit.datasets import fingerprint, store
from snnkit.datasets.batches import batches
from snnkit.datasets.errors import DataNotFound
from snnkit.datasets.packed import PackedEvents, pack
from snnkit.datasets.writer import Column, Writer
from snnkit.errors import UserError
from snnkit.recordings import Events

SENSOR = (2, 5, 6)
forks = pytest.mark.skipif(sys.platform == "win32", reason="needs processes that start at once: fork")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("SNNKIT_CACHE", str(folder))
    return folder


def recording(k):
    rng = np.random.default_rng(k)
    n = int(rng.integers(0, 50))
    return Events(
        np.sort(rng.integers(0, 9999, n)), *(rng.integers(0, m, n) for m in (6, 5, 2)), sensor=SENSOR
    )


def equal(a, b):
    return (
        all(np.array_equal(getattr(a, c), getattr(b, c)) for c in ("t", "x", "y", "p"))
        and a.sensor == b.sensor
    )


# -- what is written is read ---------------------------------------------------------------------------------------------


def test_what_is_packed_is_read_without_a_copy(tmp_path):
    names = [f"recording {k}" for k in range(20)]
    packed = pack(
        range(20),
        recording,
        tmp_path / "out",
        labels=np.arange(20) % 3,
        metadata={"by": "me"},
        arrays={"name": names},
    )
    again = PackedEvents.open(tmp_path / "out")
    for one in (packed, again):
        assert len(one) == 20 and all(equal(one[k], recording(k)) for k in range(20))
        assert one.labels.tolist() == [k % 3 for k in range(20)] and one.metadata == {"by": "me"}
        assert one.arrays["name"].tolist() == names and one.folder == tmp_path / "out"
        assert isinstance(one.t, np.memmap) and not one.t.flags.writeable
        assert len(one[3]) and np.shares_memory(one[3].t, one.t)
    part = again.gather([4, 2])
    assert equal(part[1], recording(2)) and part.labels.tolist() == [1, 2] and part.folder is None
    assert not any(name.startswith(".") for name in os.listdir(tmp_path))


def test_save_and_open(tmp_path):
    packed = pack(range(5), recording, tmp_path / "one", labels=range(5))
    saved = packed.gather([3, 1]).save(tmp_path / "two")
    assert equal(saved[0], recording(3)) and saved.labels.tolist() == [3, 1]
    assert equal(PackedEvents.open(tmp_path / "two")[1], recording(1))
    with pytest.raises(UserError, match="exists and holds something else"):
        packed.save(tmp_path / "two")
    assert equal(PackedEvents.open(tmp_path / "two")[1], recording(1))
    saved.save(tmp_path / "two")  # the same again


def test_packed_recordings_become_a_dataset(tmp_path):
    labels, names = np.arange(6) % 2, [f"recording {k}" for k in range(6)]
    packed = pack(range(6), recording, tmp_path / "out", labels=labels, arrays={"name": names})
    ds = packed.dataset("mine", ["no", "yes"])
    assert len(ds) == 6 and ds.classes == ("no", "yes") and ds.column("name").tolist() == names
    assert sum(len(found) for _, found in batches(ds, dt=1e-3, steps=10, batch_size=4)) == 6
    assert "6 recordings of 6x5 pixels" in repr(packed)
    with pytest.raises(UserError, match="labels of 0 to 0, got 0 to 1"):
        packed.dataset(classes=["no"])
    with pytest.raises(UserError, match="have no labels"):
        pack(range(6), recording, tmp_path / "bare").dataset()


def test_another_release_decodes_anew(monkeypatch):
    first = store.cached("toy", {}, lambda w: w.add(recording(1)))
    monkeypatch.setattr(store, "version", lambda name: "99")
    again = store.cached("toy", {}, lambda w: w.add(recording(2)))
    assert first.folder != again.folder and equal(store.from_stored(again)[0], recording(2))


def test_no_recordings_and_empty_recordings(tmp_path):
    nothing = Events([], [], [], [], sensor=SENSOR)
    assert len(pack([0, 1], lambda _: nothing, tmp_path / "out")) == 2
    none = pack([], recording, tmp_path / "none")
    assert len(none) == 0 and len(none.t) == 0


def test_nothing_is_opened_that_is_not_whole(tmp_path):
    pack(range(5), recording, tmp_path / "out")
    for damage in ("meta.json", "t.npy", "offsets.npy"):
        pack(range(5), recording, tmp_path / damage)
        path = tmp_path / damage / damage
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(UserError, match="holds no packed recordings"):
            PackedEvents.open(tmp_path / damage)
    with pytest.raises(UserError, match="holds no packed recordings"):
        PackedEvents.open(tmp_path / "nowhere")


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300), st.sampled_from(["offsets", "x"]))
def test_any_bytes_in_a_column_are_refused_or_safe(tmp_path_factory, data, name):
    folder = tmp_path_factory.mktemp("fuzz") / "out"
    os.environ["SNNKIT_CACHE"] = str(folder.parent)
    pack(range(3), recording, folder)
    path = folder / f"{name}.npy"
    path.write_bytes(path.read_bytes()[:128] + data)
    try:
        packed = PackedEvents.open(folder)
        packed.tensor(dt=1e-3, steps=5)
    except UserError:
        return
    assert packed.offsets[-1] == len(packed.x)


def test_meta_cannot_name_files_elsewhere(tmp_path):
    pack(range(3), recording, tmp_path / "out")
    meta = json.loads((tmp_path / "out/meta.json").read_text())
    np.save(tmp_path / "secret.npy", np.zeros(3))
    meta["arrays"].append("../secret")
    (tmp_path / "out/meta.json").write_text(json.dumps(meta))
    with pytest.raises(UserError, match="holds no packed"):
        PackedEvents.open(tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": [1, 2]}, "one row of labels per recording, got 2 for 5"),
        ({"arrays": {"t": range(5)}}, "'t' cannot name an array"),
        ({"arrays": {"../t": range(5)}}, "cannot name an array"),
        ({"metadata": {"a": object()}}, "JSON can hold"),
    ],
)
def test_bad_arguments_leave_nothing(tmp_path, options, words):
    with pytest.raises(UserError, match=words):
        pack(range(5), recording, tmp_path / "out", **options)
    assert not [p for p in tmp_path.iterdir() if p.name != "cache"]


def test_other_columns_and_rows_with_axes(tmp_path):
    def build(writer):
        for k in range(3):
            writer.add_rows({"signal": np.full((k, 2), k, np.float32)}, [k])

    stored = store.cached("signal", {}, build, columns={"signal": Column("<f4", (2,))})
    assert stored["signal"].shape == (3, 2) and stored["offsets"].tolist() == [0, 0, 1, 3]
    assert stored["signal"][:, 1].tolist() == [1, 2, 2]


# -- kill and go on ------------------------------------------------------------------------------------------------------


def interrupted(folder, at, key=None):
    """Pack, but Ctrl-C comes while recording `at` is read."""

    def read(k):
        if k == at:
            raise KeyboardInterrupt
        return recording(k)

    with pytest.raises(KeyboardInterrupt):
        pack(range(12), read, folder, key=key)
    assert not folder.exists()


def counted(folder, key=None):
    read = []
    packed = pack(range(12), lambda k: read.append(k) or recording(k), folder, key=key)
    assert len(packed) == 12 and all(equal(packed[k], recording(k)) for k in range(12))
    return read


@pytest.mark.parametrize("at", [0, 1, 7, 11])
def test_an_interrupted_call_goes_on_where_it_stopped(tmp_path, at):
    interrupted(tmp_path / "out", at)
    assert counted(tmp_path / "out") == list(range(at, 12))
    assert counted(tmp_path / "out") == []
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_other_parameters_begin_anew(tmp_path):
    interrupted(tmp_path / "out", 7, key={"a": 1})
    assert counted(tmp_path / "out", key={"a": 2}) == list(range(12))


@pytest.mark.parametrize("name", ["t.npy", "p.npy", "offsets.npy", "journal"])
@pytest.mark.parametrize("how", ["cut", "flip", "more"])
def test_pieces_that_are_not_as_written_are_read_again(tmp_path, name, how):
    interrupted(tmp_path / "out", 9)
    path = tmp_path / ".out.part" / name
    data = bytearray(path.read_bytes())
    if how == "cut":
        del data[-1:]
    elif how == "flip":
        data[-1] ^= 1
    else:
        data += b"half a piece that was never noted"
    path.write_bytes(data)
    read = counted(tmp_path / "out")
    assert read == list(range(9 if how == "more" and name != "journal" else read[0], 12)) and read[0] <= 9


def test_an_error_while_reading_leaves_nothing(tmp_path):
    def read(k):
        raise UserError("damaged")

    with pytest.raises(UserError, match="damaged"):
        pack(range(3), read, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def slowly(folder, log, pause):
    def read(k):
        with log.open("a") as out:
            out.write(f"{k}\n")
        time.sleep(pause)
        return recording(k)

    pack(range(12), read, folder)


def start(tmp_path, log, pause):
    process = multiprocessing.get_context("fork").Process(target=slowly, args=(tmp_path / "out", log, pause))
    process.start()
    return process


def lines(log):
    return [int(line) for line in log.read_text().split()] if log.exists() else []


@forks
def test_a_killed_process_is_taken_up(tmp_path):
    log = tmp_path / "log"
    process = start(tmp_path, log, 0.2)
    until = time.monotonic() + 60
    while len(lines(log)) < 4 and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.join()
    begun = lines(log)
    assert begun and not (tmp_path / "out").exists()
    read = counted(tmp_path / "out")
    assert read == list(range(begun[-1], 12))  # the one that was being read, and those after it


@forks
def test_of_several_processes_one_writes(tmp_path):
    log = tmp_path / "log"
    processes = [start(tmp_path, log, 0.05) for _ in range(3)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(lines(log)) == list(range(12))
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert counted(tmp_path / "out") == []


# -- never out of date ---------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for k in range(3):
        (folder / f"{k}.bin").write_bytes(bytes([k]) * 100)
        os.utime(folder / f"{k}.bin", (1e9, 1e9))
    return folder


def content(folder, cache):
    return fingerprint.Sources.of(sorted(folder.iterdir()), folder).content(cache)


def test_one_byte_is_noticed_even_if_size_and_time_are_as_before(files, cache, monkeypatch):
    monkeypatch.setattr(fingerprint, "COARSEST", -60.0)  # as if the files had lain there for a minute
    before = content(files, cache)
    path = files / "1.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    os.utime(path, (1e9, 1e9))
    assert content(files, cache) != before
    path.write_bytes(bytes([1]) * 100)
    assert content(files, cache) == before


def test_content_is_hashed_once_while_nothing_changes(files, cache, monkeypatch):
    hashed = []
    real = fingerprint.file_digest
    monkeypatch.setattr(fingerprint, "file_digest", lambda path: hashed.append(path) or real(path))
    first = content(files, cache)
    assert len(hashed) == 3
    assert content(files, cache) == first and len(hashed) == 6  # just written: the clock could be too coarse
    monkeypatch.setattr(fingerprint, "COARSEST", -60.0)
    assert content(files, cache) == first and len(hashed) == 9
    assert content(files, cache) == first and len(hashed) == 9  # remembered
    os.utime(files / "0.bin", (1e9 + 1, 1e9 + 1))
    assert content(files, cache) == first and len(hashed) == 12


def test_a_new_name_is_another_content(files, cache):
    before = content(files, cache)
    (files / "2.bin").rename(files / "3.bin")
    assert content(files, cache) != before


def test_files_that_change_while_they_are_read_are_refused(files, cache):
    sources = fingerprint.Sources.of(sorted(files.iterdir()), files)

    def build(writer):
        writer.add(recording(0))
        (files / "1.bin").write_bytes(b"new")

    with pytest.raises(UserError, match="changed while they were read"):
        store.cached("toy", {}, build, sources=sources)
    assert store.cached_folders() == []
    with pytest.raises(DataNotFound, match="cannot read"):
        fingerprint.Sources.of([files / "none.bin"], files)


def test_a_folder_of_another_key_is_not_read(cache):
    stored = store.cached("toy", {"a": 1}, lambda w: w.add(recording(1)))
    meta = json.loads((stored.folder / "meta.json").read_text())
    meta["digest"] = "0" * 64
    (stored.folder / "meta.json").write_text(json.dumps(meta))
    assert store.read_folder(stored.folder, meta["key"]) is None
    again = store.cached("toy", {"a": 1}, lambda w: w.add(recording(2)))
    assert equal(store.from_stored(again)[0], recording(2))


# -- where and clear -----------------------------------------------------------------------------------------------------


def test_clearing_takes_what_the_store_wrote_and_nothing_else(cache):
    for name in ("one-train", "one-test", "two"):
        store.cached(name, {}, lambda w: w.add(recording(1)))
    (cache / "data" / "nmnist-0123456789abcdef").mkdir(parents=True)
    (cache / "mine-0123456789abcdef").mkdir()
    (cache / "mine-0123456789abcdef" / "thesis.txt").write_text("do not delete")
    writer = Writer(cache / ".three-0123456789abcdef.part")
    writer.close()
    found = store.cached_folders()
    assert {(c.name, c.whole) for c in found} == {
        ("one-train", True),
        ("one-test", True),
        ("two", True),
        ("three", False),
    }
    assert min(c.size for c in found if c.whole) > 1000
    assert {c.name for c in store.clear("one")} == {"one-train", "one-test"}
    assert {c.name for c in store.clear()} == {"two", "three"}
    assert store.cached_folders() == [] and store.clear("one") == []
    assert (cache / "mine-0123456789abcdef" / "thesis.txt").exists() and (cache / "data").exists()


def test_what_is_being_written_is_not_cleared(cache):
    def build(writer):
        writer.add(recording(1))
        assert [c.whole for c in store.cached_folders()] == [False]
        assert store.clear() == []

    store.cached("toy", {}, build)
    assert len(store.cached_folders("toy")) == 1


def test_packed_recordings_travel_to_other_processes_as_a_folder(tmp_path):
    packed = pack(range(5), recording, tmp_path / "out", labels=range(5))
    data = multiprocessing.reduction.ForkingPickler.dumps(packed)
    assert len(data) < 1000
    back = multiprocessing.reduction.ForkingPickler.loads(data)
    assert equal(back[2], recording(2)) and isinstance(back.t, np.memmap)
    part = packed.gather([2, 0])
    copy = multiprocessing.reduction.ForkingPickler.loads(
        multiprocessing.reduction.ForkingPickler.dumps(part)
    )
    assert equal(copy[0], recording(2)) and copy.labels.tolist() == [2, 0]
