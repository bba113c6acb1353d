"""Images before a moving camera: the path, real pixels, and MNIST against its N-MNIST recordings."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from snnkit.encoders.camera import Camera, Saccades, record_packed
from snnkit.encoders.camera_pixel import ideal
from snnkit.encoders.camera_saccades import SaccadeCamera, flow_times, record_saccades
from snnkit.errors import UserError

DATA = Path(os.environ.get("SNNKIT_DATA", "/nowhere"))
needs_mnist = pytest.mark.skipif(not (DATA / "mnist").is_dir(), reason="needs MNIST in SNNKIT_DATA/mnist")
needs_both = pytest.mark.skipif(
    not ((DATA / "mnist").is_dir() and (DATA / "nmnist_small").is_dir()),
    reason="needs mnist and nmnist_small in SNNKIT_DATA",
)


def mnist(count):
    with gzip.open(DATA / "mnist" / "train-images-idx3-ubyte.gz") as f:
        images = np.frombuffer(f.read(16 + 784 * count)[16:], np.uint8).reshape(count, 28, 28)
    with gzip.open(DATA / "mnist" / "train-labels-idx1-ubyte.gz") as f:
        labels = np.frombuffer(f.read(8 + count)[8:], np.uint8)
    return images / 255.0, labels


def cross():
    image = np.zeros((12, 12))
    image[5:7, 2:10] = image[2:10, 5:7] = 1
    return image


def test_ideal_pixels_are_those_of_the_plain_camera():
    dvs = ideal(0.35, response="log", eps=1e-12, random_phase=True)
    mine, plain = record_saccades(cross(), dvs=dvs), record_packed(cross(), camera=Camera(mismatch=0))
    assert len(mine.t) == len(plain.t) > 100
    np.testing.assert_array_equal(mine.x, plain.x)
    np.testing.assert_array_equal(mine.p, plain.p)
    np.testing.assert_allclose(mine.t, plain.t, atol=1)


def test_real_pixels_lag_and_make_noise():
    quick = record_saccades(cross(), dvs=ideal(0.35))
    slow = record_saccades(cross(), dvs=ideal(0.35, cutoff=20.0))
    assert slow.t.mean() > quick.t.mean() + 1000  # microseconds
    assert len(slow.t) < len(quick.t)
    dark = record_saccades(np.zeros((12, 12)), dvs=ideal(0.35, shot=50.0))
    expected = 50 * (1 - 0.75 * (0.15 * 255 + 20) / 275) * 256 * 0.315
    assert abs(len(dark.t) - expected) < 4 * np.sqrt(expected)


def test_a_recording_depends_neither_on_the_batch_nor_on_its_place():
    images = np.stack([cross(), cross().T * 0.5, np.roll(cross(), 1)])
    whole = record_saccades(images, seed=2)
    alone = record_saccades(images[2], seed=2)
    for column in "txyp":
        np.testing.assert_array_equal(getattr(whole[2], column), getattr(alone[0], column))
    assert len(record_saccades(images, seed=3).t) != len(whole.t)


def test_the_image_moves_by_at_most_the_flow_between_frames():
    times = flow_times(Saccades(), 0.5)
    way = np.abs(np.diff(Saccades().positions(times), axis=0)).max(axis=1)
    assert way.max() <= 0.5 + 1e-9 and np.diff(times).max() <= 10e-3 + 1e-9
    assert times[0] == 0 and times[-1] == 0.315 and len(times) < 150
    dense, sparse = (
        record_saccades(cross(), dvs=ideal(0.35)),
        record_saccades(cross(), dvs=ideal(0.35), flow=0.25),
    )
    assert abs(len(sparse.t) / len(dense.t) - 1) < 0.05


def test_the_encoder_takes_one_image_as_datasets_hold_it():
    events = SaccadeCamera(seed=1)(cross()[None].astype(np.float32))
    plain = record_packed(cross().astype(np.float32), seed=1)[0]
    assert len(events) == len(plain) and (events.t == plain.t).all()
    assert len(SaccadeCamera(dvs=ideal(0.2))(cross())) > len(events)
    assert hash(SaccadeCamera()) == hash(SaccadeCamera())
    with pytest.raises(UserError, match="one image"):
        SaccadeCamera()(np.zeros((3, 12, 12)))


@needs_mnist
def test_mnist_has_as_many_events_as_n_mnist_and_they_return():
    images, labels = mnist(200)
    packed = record_packed(images, pad=3)
    counts = np.diff(packed.offsets)
    assert abs(counts.mean() / 4100 - 1) < 0.2
    assert 0.48 < packed.p.mean() < 0.54
    by_digit = [counts[labels == k].mean() for k in range(10)]
    assert np.argmin(by_digit) == 1 and np.argmax(by_digit) == 0

    # the image is a disc of events around where the path puts it, and ends where it began
    def middle(a, b):
        rows = (packed.t >= a) & (packed.t < b)
        return np.array([packed.x[rows].mean(), packed.y[rows].mean()])

    start, end = middle(10_000, 25_000), middle(270_000, 290_000)
    assert np.linalg.norm(Saccades().positions(0.315) - Saccades().positions(0.0)) < 0.5
    assert np.abs(end - start).max() < 2.5 < np.abs(middle(85_000, 125_000) - start).max()


@needs_both
def test_the_recordings_resemble_the_real_ones_of_the_same_digits():
    from snnkit import datasets

    real = datasets.load("nmnist", split="train", root=DATA)
    images, labels = mnist(40)
    assert (np.asarray(real.labels)[:40] == labels).all()
    mine = record_packed(images, pad=3)
    theirs = [real[i][0] for i in range(40)]
    counts, true = np.diff(mine.offsets), np.array([len(e) for e in theirs])
    assert abs(counts.mean() / true.mean() - 1) < 0.2
    assert np.corrcoef(counts, true)[0, 1] > 0.8

    def profile(events):
        return sum(np.bincount(np.minimum(e.t // 5000, 63), minlength=64) for e in events)

    ours = [mine[i] for i in range(40)]
    assert np.corrcoef(profile(ours), profile(theirs))[0, 1] > 0.88

    def place(events):
        out = np.zeros((34, 34))
        np.add.at(out, (events.y, events.x), 1)
        return out

    shifts = [(a, b) for a in range(-3, 4) for b in range(-3, 4)]
    best = [
        max(np.corrcoef(np.roll(place(a), s, (0, 1)).ravel(), place(b).ravel())[0, 1] for s in shifts)
        for a, b in zip(ours, theirs, strict=True)
    ]
    assert np.mean(best) > 0.8
