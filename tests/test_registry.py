"""The registry: every entry complete, what is missing said, what is published checked, transforms kept under their parameters."""

import dataclasses
import gzip
import json
import re
import struct
import sys
import types

import numpy as np
import pytest

from snnkit import datasets
from snnkit.cli.app import run
from snnkit.datasets import registry, store
from snnkit.datasets.errors import DataNotFound, EventFileError
from snnkit.datasets.sets import base
from snnkit.datasets.transforms.base import Transform
from snnkit.errors import UserError
from snnkit.recordings import Events

NAMES = [
    "digits",
    "nmnist",
    "ncaltech101",
    "cifar10dvs",
    "dvsgesture",
    "shd",
    "ssc",
    "ntidigits",
    "asl-dvs",
    "pokerdvs",
    "dsec",
    "mnist",
    "fashionmnist",
    "fsdd",
    "speechcommands",
    "har",
    "braille",
    "lens",
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("SNNKIT_DATA", raising=False)
    monkeypatch.setenv("SNNKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# -- entries -------------------------------------------------------------------------------------------------------------


def test_every_set_is_there():
    assert registry.names() == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_is_complete(name):
    import importlib

    entry = registry.info(name)
    assert entry.summary and entry.licence and entry.citation and entry.source
    assert hasattr(importlib.import_module(entry.module), "load")
    assert (entry.grid is None) == (entry.kind != "events") and bool(entry.grid) != bool(entry.shape)
    assert set(entry.samples) <= set(entry.splits) and len(set(entry.splits)) == len(entry.splits)
    for split in entry.splits:
        assert entry.built_in or entry.alternatives(split)
    lengths = {"sha256": 64, "md5": 32}
    for value in entry.checksums.values():
        kind, _, digits = value.partition(":")
        assert re.fullmatch(f"[0-9a-f]{{{lengths[kind]}}}", digits)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "digits"])
def test_what_is_missing_is_said(name, tmp_path):
    entry = registry.info(name)
    for root in (None, tmp_path, tmp_path / "none"):
        with pytest.raises(DataNotFound) as caught:
            datasets.load(name, entry.splits[0], root=root)
        message = str(caught.value)
        assert (
            entry.source.split(" ", maxsplit=1)[0] in message
            and "SNNKIT_DATA" in message
            and "root=" in message
        )
        assert "\n" not in message and entry.alternatives(entry.splits[0])[0][0].split("//")[0] in message
    with pytest.raises(DataNotFound):
        datasets.locate(name, root=tmp_path)


def test_a_folder_of_a_common_name_is_no_data_set(tmp_path):
    for name in ("Train", "recordings", "DATA", "Caltech101", "airplane", "a"):
        (tmp_path / name).mkdir()
    for name in ("nmnist", "fsdd", "har", "ncaltech101", "cifar10dvs", "asl-dvs"):
        with pytest.raises(DataNotFound):
            datasets.locate(name, root=tmp_path)


def test_wrong_names_splits_and_options(tmp_path):
    with pytest.raises(UserError, match="this one has pictures"):
        _ = datasets.info("mnist").sensor
    with pytest.raises(UserError, match="did you mean 'mnist'"):
        datasets.load("mnisst")
    with pytest.raises(UserError, match="lens has no split 'train'; There are: query, reference"):
        datasets.load("lens")
    (tmp_path / "lens").mkdir()
    (tmp_path / "lens/lens_dataset_models.tar.gz").touch()
    with pytest.raises(UserError, match="did you mean 'brisbane'"):
        datasets.load("lens", "query", root=tmp_path, collection="brisban")


# -- a small MNIST -------------------------------------------------------------------------------------------------------


def idx(array):
    return (
        struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    )


IMAGES = np.arange(3 * 28 * 28).reshape(3, 28, 28) % 256
LABELS = np.array([7, 0, 9])


@pytest.fixture
def small(tmp_path):
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES)))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS)))
    return folder


def load(folder, **options):
    return datasets.load("mnist", root=folder.parent, verify=False, **options)


def test_pictures_come_out_of_packed_and_unpacked_files(small):
    ds = load(small)
    assert len(ds) == 3 and ds.labels.tolist() == [7, 0, 9] and ds.shape == (1, 28, 28)
    np.testing.assert_allclose(ds.images[:, 0], IMAGES / 255, rtol=1e-6)
    picture, label = ds[1]
    assert picture.dtype == np.float32 and label == 0 and np.array_equal(picture, ds.images[1])
    for packed in list(small.iterdir()):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    assert np.array_equal(load(small).images, ds.images)


def test_files_with_a_published_name_and_another_content_are_refused(small):
    with pytest.raises(
        EventFileError, match=r"train-images.*not the published file: sha256 .* instead of 440fcab"
    ):
        datasets.load("mnist", root=small.parent)
    assert store.cached_folders() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b[:-20], "damaged gzip file"),
        (lambda b: b[:30] + bytes([b[30] ^ 255]) + b[31:], "damaged gzip file"),
        (lambda b: b[:-5] + bytes([b[-5] ^ 1]) + b[-4:], "damaged gzip file"),  # the checksum itself
        (lambda b: b"", "expected an idx file"),
        (
            lambda b: gzip.compress(gzip.decompress(b)[:-1]),
            r"expected 2352 bytes for shape \(3, 28, 28\), got 2351",
        ),
        (lambda b: gzip.compress(idx(IMAGES[0])), "expected pictures and as many labels"),
        (lambda b: gzip.compress(idx(IMAGES[:2])), "expected pictures and as many labels"),
        (lambda b: gzip.compress(b"\0\0\x0d\x03"), "expected an idx file of bytes"),
        (lambda b: gzip.compress(b"\0\0\x08\xff1234"), "truncated in its header"),
    ],
)
def test_damaged_files_are_refused(small, change, words):
    path = small / "train-images-idx3-ubyte.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(EventFileError, match=words):
        load(small)
    assert store.cached_folders() == []


def test_one_byte_more_is_another_cache(small):
    before = load(small)
    changed = LABELS.copy()
    changed[1] = 5
    (small / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(changed)))
    assert load(small).labels.tolist() == [7, 5, 9] and before.labels.tolist() == [7, 0, 9]
    assert len(store.cached_folders("mnist")) == 2


def test_pictures_become_events_with_an_encoder(small):
    def encoder(picture):
        y, x = np.nonzero(picture[0] > 0.9)
        zero = np.zeros(len(x), np.int64)
        return Events(zero, x, y, zero, sensor=(1, 28, 28))

    events, _ = load(small, transform=encoder)[0]
    encoded = load(small).encode(encoder)
    assert isinstance(encoded, datasets.EventDataset) and encoded.labels.tolist() == [7, 0, 9]
    assert np.array_equal(encoded[0][0].x, events.x) and len(events) > 10


def test_pictures_go_into_torchs_loader_and_not_into_batches(small):
    import torch

    pictures, labels = next(iter(torch.utils.data.DataLoader(load(small), batch_size=2)))
    assert pictures.shape == (2, 1, 28, 28) and pictures.dtype == torch.float32 and labels.tolist() == [7, 0]
    with pytest.raises(UserError, match=r"mnist train has arrays: make events of them with .encode"):
        datasets.batches(load(small), dt=1e-3)


# -- transforms ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Later(Transform):
    """Adds to every time; with `spread`, a random part of it."""

    by: int
    spread: bool = False

    @property
    def random(self):
        return self.spread

    def apply(self, packed, rng):
        calls.append(self.by)
        shift = rng.integers(0, self.by) if self.spread else self.by
        return dataclasses.replace(packed, t=packed.t + shift)


calls: list[int] = []


@pytest.fixture(scope="module")
def digits_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("digits")


@pytest.fixture
def digits(digits_cache, monkeypatch):
    monkeypatch.setenv("SNNKIT_CACHE", str(digits_cache))
    calls.clear()
    return datasets.load("digits", size=4)


def times(ds):
    return [ds[i][0].t for i in (0, 5, 100)]


def test_a_transform_is_stored_under_its_parameters(digits):
    one = datasets.load("digits", size=4, transform=Later(1000))
    assert all(np.array_equal(a, b + 1000) for a, b in zip(times(one), times(digits), strict=True))
    assert isinstance(one.packed.t, np.memmap) and one.labels.tolist() == digits.labels.tolist()
    assert len(calls) == 1797 + 1
    again = datasets.load("digits", size=4, transform=Later(1000))
    assert len(calls) == 1797 + 2 and all(map(np.array_equal, times(one), times(again)))
    other = datasets.load("digits", size=4, transform=Later(2000))
    assert np.array_equal(other[5][0].t, digits[5][0].t + 2000)


def test_a_transform_that_draws_is_seeded(digits):
    def drawn(seed):
        return times(datasets.load("digits", size=4, transform=Later(1000, spread=True), transform_seed=seed))

    assert all(map(np.array_equal, drawn(1), drawn(1)))
    assert not all(map(np.array_equal, drawn(1), drawn(2)))


def test_a_function_of_ones_own_is_called_as_samples_are_taken(digits, digits_cache):
    before = len(list(digits_cache.iterdir()))
    ds = datasets.load("digits", size=4, transform=lambda events: len(events))
    assert ds[3] == (len(digits[3][0]), digits[3][1]) and len(list(digits_cache.iterdir())) == before


# -- splits --------------------------------------------------------------------------------------------------------------


def test_stratified_shares_are_dealt_out_in_every_class():
    labels, shares = np.repeat([0, 1, 2], [100, 50, 10]), {"train": 0.7, "valid": 0.1, "test": 0.2}
    keys = [f"recording {k}" for k in range(160)]
    splits = base.stratified("toy", labels, keys, shares)
    for label, counts in ((0, [70, 10, 20]), (1, [35, 5, 10]), (2, [7, 1, 2])):
        assert [(splits[labels == label] == s).sum() for s in shares] == counts
    order = np.random.default_rng(0).permutation(160)
    again = base.stratified("toy", labels[order], [keys[k] for k in order], shares)
    assert (again == splits[order]).all()  # whatever the order of the files
    assert (base.stratified("other", labels, keys, shares) != splits).any()


def test_groups_stay_whole():
    groups = np.random.default_rng(0).integers(0, 20, 500).astype(str)
    splits = base.grouped("toy", groups, {"train": 0.5, "test": 0.5})
    assert not set(groups[splits == "train"]) & set(groups[splits == "test"])
    assert len(set(groups[splits == "train"])) == 10


def test_splitting_by_group(digits):
    rng = np.random.default_rng(0)
    ds = datasets.load("digits", "all", size=4)
    ds = dataclasses.replace(ds, about={"writer": rng.integers(0, 13, 1797)})
    rest, held = ds.split(0.3, by="writer", seed=1)
    assert not set(rest.column("writer")) & set(held.column("writer"))
    assert abs(len(held) / len(ds) - 0.3) < 0.05 and len(rest) + len(held) == len(ds)
    with pytest.raises(UserError, match=r"does not tell the 'writers'.*did you mean 'writer'"):
        ds.split(0.3, by="writers")
    with pytest.raises(UserError, match="nothing to split"):
        ds.subset(ds.column("writer") == 3).split(0.5, by="writer")


# -- tonic ---------------------------------------------------------------------------------------------------------------


def test_without_tonic_a_download_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tonic", None)
    with pytest.raises(UserError, match=r"needs tonic.*pip install 'snnkit\[tonic\]'"):
        datasets.load("shd", root=tmp_path, download=True)
    with pytest.raises(UserError, match="download=True is for sets that tonic knows"):
        datasets.load("har", root=tmp_path, download=True)


def test_tonic_downloads_and_we_read(tmp_path, monkeypatch):
    """A stand-in for tonic: what is called, and that its files are found."""
    h5py = pytest.importorskip("h5py")
    asked = []

    class SHD:
        def __init__(self, save_to, train):
            import pathlib

            asked.append(train)
            folder = pathlib.Path(save_to) / "SHD"
            folder.mkdir(exist_ok=True)
            with h5py.File(folder / f"shd_{'train' if train else 'test'}.h5", "w") as file:
                file["labels"] = [3]
                for name, kind, row in (("times", "f2", [0.5]), ("units", "u2", [699])):
                    column = file.create_dataset(f"spikes/{name}", 1, h5py.vlen_dtype(np.dtype(kind)))
                    column[0] = np.array(row, kind)

    library = types.ModuleType("tonic.datasets")
    library.SHD = SHD
    tonic = types.ModuleType("tonic")
    tonic.datasets = library
    monkeypatch.setitem(sys.modules, "tonic", tonic)
    monkeypatch.setitem(sys.modules, "tonic.datasets", library)
    for split in ("test", "train", "train"):
        ds = datasets.load("shd", split, root=tmp_path, download=True)
        assert ds[0][0].t.tolist() == [500_000] and ds[0][1] == 3
    assert asked == [False, True]


# -- command line --------------------------------------------------------------------------------------------------------


def test_the_command_lists_shows_and_clears(small, capfd, monkeypatch):
    monkeypatch.setenv("SNNKIT_DATA", str(small.parent))
    load(small)
    assert run(["datasets", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)}
    assert set(rows) == set(NAMES) and rows["mnist"]["available"] and not rows["shd"]["available"]
    assert rows["mnist"]["where"].startswith(str(small))
    assert run(["datasets", "shd"]) == 0
    shown = capfd.readouterr().out
    assert "CC BY 4.0" in shown and "md5:f3252aeb" in shown and "snnkit[tonic]" in shown and "8156" in shown
    assert run(["datasets", "mnist", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["splits"] == {"train": 60_000, "test": 10_000}
    assert run(["datasets", "--where", "mnist"]) == 0
    assert "mnist-train" in capfd.readouterr().out
    assert run(["datasets", "--clear", "shd", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["deleted"] == [] and len(store.cached_folders()) == 1
    assert run(["datasets", "--clear", "--json"]) == 0
    assert [c["name"] for c in json.loads(capfd.readouterr().out)["deleted"]] == ["mnist-train"]
    assert store.cached_folders() == [] and small.exists()


def test_the_command_refuses_what_is_not_meant(capfd):
    assert run(["datasets", "--clear", "mnisst"]) == 2
    assert "did you mean 'mnist'" in capfd.readouterr().err
    assert run(["datasets", "--clear", "--where"]) == 2
    assert "give one of them" in capfd.readouterr().err
