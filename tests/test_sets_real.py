"""The real data sets in SNNKIT_DATA: published counts, and people who are never in two splits."""

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from snnkit import datasets
from snnkit.datasets.errors import EventFileError
from snnkit.datasets.sets import speech

DATA = Path(os.environ.get("SNNKIT_DATA", "/nowhere"))


def needs(folder):
    return pytest.mark.skipif(
        not (DATA / folder).is_dir(), reason=f"needs real data: SNNKIT_DATA with {folder}"
    )


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(shared_cache, monkeypatch):
    monkeypatch.setenv("SNNKIT_CACHE", str(shared_cache))
    monkeypatch.setenv("SNNKIT_DATA", str(DATA))
    return shared_cache


PLAIN_MD5 = {  # of the unpacked files
    "train-images-idx3-ubyte.gz": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte.gz": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte.gz": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte.gz": "27ae3e4e09519cfbb04c329615203637",
}


@needs("mnist")
def test_mnist():
    for split, count, start in (("train", 60_000, "train"), ("test", 10_000, "t10k")):
        ds = datasets.load("mnist", split)
        assert len(ds) == count and ds.shape == (1, 28, 28)
        pixels = np.rint(ds.arrays * ds.scale * 255).astype(np.uint8).tobytes()
        packed = gzip.decompress((DATA / "mnist" / f"{start}-images-idx3-ubyte.gz").read_bytes())
        assert hashlib.md5(packed).hexdigest() == PLAIN_MD5[f"{start}-images-idx3-ubyte.gz"]
        assert packed[16:] == pixels
        assert (
            hashlib.md5(
                bytes([0, 0, 8, 1]) + count.to_bytes(4, "big") + ds.labels.astype(np.uint8).tobytes()
            ).hexdigest()
            == (PLAIN_MD5[f"{start}-labels-idx1-ubyte.gz"])
        )
        assert ds.images[:100].max() == 1 and ds.images.dtype == np.float32


@needs("fashion_mnist")
def test_fashion_mnist_is_balanced():
    for split, count in (("train", 6000), ("test", 1000)):
        ds = datasets.load("fashionmnist", split)
        assert np.bincount(ds.labels).tolist() == [count] * 10
    assert ds.classes[9] == "Ankle boot"


@needs("fsdd")
def test_spoken_digits_in_their_official_split():
    train, test, both = (datasets.load("fsdd", s) for s in ("train", "test", "all"))
    assert (len(train), len(test), len(both)) == (2700, 300, 3000)
    assert set(test.column("take")) == set(range(5)) and set(train.column("take")) == set(range(5, 50))
    assert np.bincount(both.labels).tolist() == [300] * 10
    assert np.unique(both.column("speaker"), return_counts=True)[1].tolist() == [500] * 6
    sound, _ = both[0]
    assert sound.dtype == np.float32 and sound.ndim == 1 and 0 < abs(sound).max() <= 1
    assert both.rate == 8000 and 0.14 < both.lengths.min() / 8000 < 0.15 and both.lengths.max() / 8000 < 2.3
    rest, held = both.split(1 / 6, by="speaker")
    assert len(held) == 500 and not set(rest.column("speaker")) & set(held.column("speaker"))


@needs("speech_commands_v2_subset")
def test_speech_commands_keep_speakers_apart():
    parts = {s: datasets.load("speechcommands", s) for s in ("train", "valid", "test")}
    whole = datasets.load("speechcommands", "all")
    assert len(whole) == sum(map(len, parts.values())) == 1050 and whole.classes[-2:] == (
        "_unknown_",
        "_silence_",
    )
    assert np.bincount(whole.labels).tolist() == [90] * 11 + [60]
    speakers = [set(ds.column("speaker")) for ds in parts.values()]
    assert not speakers[0] & speakers[1] and not speakers[0] & speakers[2] and not speakers[1] & speakers[2]
    assert all(s for s in speakers) and len(parts["train"]) > 700 and whole.lengths.max() <= 16_000
    known = [s for s in whole.column("speaker").tolist() if "silence" not in s]
    assert {speech.official_split(s) for s in known} == {"test"}  # it comes from the official test archive
    padded = parts["test"].padded(1.0)
    assert padded.shape == (16_000,) and len(padded) == len(parts["test"])
    assert np.array_equal(padded[0][0][: parts["test"].lengths[0]], parts["test"][0][0])


@needs("har_geotec_sp_sw")
def test_human_activity_keeps_people_apart():
    parts = {s: datasets.load("har", s) for s in ("train", "valid", "test")}
    people = [set(ds.column("person")) for ds in parts.values()]
    assert len(people[0] | people[1] | people[2]) == 23 == sum(map(len, people))
    whole, both = datasets.load("har", "all"), datasets.load("har", "all", device="both")
    assert len(whole) == sum(map(len, parts.values()))
    counts = np.bincount(whole.labels, weights=whole.lengths).tolist()
    assert dict(zip(whole.classes, counts, strict=True)) == {
        "SEATED": 32_025,
        "STANDING_UP": 27_765,
        "WALKING": 117_126,
        "TURNING": 53_180,
        "SITTING_DOWN": 32_457,
    }
    recordings = {(p, e) for p, e in zip(whole.column("person"), whole.column("execution"), strict=True)}
    assert len(recordings) == 223 and set(both.column("device")) == {"sp", "sw"}
    steps = np.diff(whole.times)[np.diff(whole.times) > 0]
    assert 95 < 1 / steps.mean() < 110


@needs("har_geotec_sp_sw")
def test_windows_are_views_that_stay_inside_their_stretch():
    ds = datasets.load("har", "test")
    windows = ds.windows(0.64, 0.32)
    assert windows.signal is ds.signal and set(windows.lengths) == {64}
    assert len(windows) == sum(max((n - 64) // 32 + 1, 0) for n in ds.lengths.tolist())
    k = int(np.flatnonzero(ds.lengths >= 96)[0])
    at = sum(max((n - 64) // 32 + 1, 0) for n in ds.lengths[:k].tolist())
    first, second = windows[at][0], windows[at + 1][0]
    assert np.array_equal(first, ds[k][0][:64]) and np.array_equal(second, ds[k][0][32:96])
    assert windows[at][1] == ds[k][1] and windows.column("person")[at] == ds.column("person")[k]
    rest, held = windows.split(0.3, by="person")
    assert not set(rest.column("person")) & set(held.column("person"))


@needs("braille_7class")
def test_braille_is_the_union_of_overlapping_files():
    parts = {s: datasets.load("braille", s) for s in ("train", "valid", "test")}
    whole = datasets.load("braille", "all")
    assert len(whole) == 1158 == sum(map(len, parts.values())) and whole.shape == (1, 1, 12)
    ids = np.concatenate([ds.ids for ds in parts.values()])
    assert sorted(ids.tolist()) == list(range(1158))
    share = np.bincount(parts["test"].labels) / np.bincount(whole.labels)
    assert share.min() > 0.17 and share.max() < 0.23
    spikes = whole[0][0].tensor(dt=5e-3, steps=256).dense()[:, 0, 0, 0]
    assert spikes.shape == (256, 12) and set(spikes.unique().tolist()) == {0.0, 1.0}
    seen = {ds[i][0].frames(5e-3, 256).tobytes() for ds in parts.values() for i in range(len(ds))}
    assert len(seen) == 1158  # so none is in two splits


@needs("lens_vpr_event")
def test_places_and_their_ground_truth():
    reference, query = (datasets.load("lens", s) for s in ("reference", "query"))
    truth = query.extras["ground_truth"]
    assert (len(reference), len(query), truth.shape, truth.sum()) == (724, 641, (724, 641), 822)
    assert reference.shape == (1, 7, 7) and truth[query.labels, np.arange(641)].all()
    small = datasets.load("lens", "query", collection="example")
    assert len(small) == 100 and small.shape == (1, 80, 80) and small.extras["ground_truth"].sum() == 100


@needs("nmnist_small")
def test_nmnist_in_batches_has_every_event():
    ds = datasets.load("nmnist", "test")
    loader = datasets.batches(ds, dt=10e-3, steps=34, batch_size=32)
    assert sum(float(events.dense().sum()) for events, _ in loader) == ds.events == 385_596


@needs("fsdd")
def test_a_cut_archive_is_refused(tmp_path):
    data = (DATA / "fsdd" / "fsdd_recordings.tar.gz").read_bytes()
    for cut in (len(data) // 2, len(data) - 3):
        (tmp_path / "fsdd_recordings.tar.gz").write_bytes(data[:cut])
        with pytest.raises(EventFileError, match="not the published file"):
            datasets.load("fsdd", root=tmp_path)
        with pytest.raises(EventFileError, match="not a readable tar archive"):
            datasets.load("fsdd", root=tmp_path, verify=False)
