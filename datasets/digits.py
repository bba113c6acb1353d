"""scikit-learn's 1 797 handwritten digits, seen by an event camera: real data that needs no download."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.dataset import EventDataset
from snnkit.datasets.fingerprint import digest
from snnkit.datasets.store import cached, from_stored
from snnkit.datasets.writer import Writer
from snnkit.encoders.camera import VERSION, Camera, record_packed
from snnkit.errors import UserError

# Of the images and labels that scikit-learn ships; as a constant, for a cached load then needs no scikit-learn.
SOURCE = "3e2bf0f8773340426bd0aa86444cc5a4266a73006e8619c9a13d69cf802011ce"
CAMERA = Camera(
    threshold=0.15
)  # finer than for N-MNIST: the digits' grey levels count, for they have few pixels
SIZE, PAD = 10, 1  # of the image on the sensor, in the proportion of N-MNIST's 28 + 2 · 3 pixels
TEST = 360


def load(
    split: str = "train",
    *,
    camera: Camera = CAMERA,
    size: int = SIZE,
    pad: int = PAD,
    seed: int = 0,
    split_seed: int = 0,
    mix_writers: bool = True,
) -> EventDataset:
    """1 797 real handwritten digits of 8x8 pixels, turned into event streams of about 0.3 s.

    The image is enlarged to `size` x `size` pixels (bilinear) and recorded by `snnkit.encoders.camera` during three
    saccades with N-MNIST's path, scaled to the image. The sensor has `pad` pixels more on each side: 12x12 by default,
    OFF and ON. As in N-MNIST, the image's border leaves it for a moment where the path turns.

    The split is fixed: 1 437 train and 360 test samples, the same share of every class, drawn by a hash of
    `split_seed` and the sample's number, so it is the same on every machine. **It mixes writers.** The set was written
    by 13 people and does not say who wrote what, so a test digit usually has its writer in the training part, and
    accuracy is that for known hands. `mix_writers=False` takes the last fifth of every class in file order, which
    goes roughly by writer: harder, and closer to new hands.

    Args:
        split: "train", "test" or "all".
        camera: thresholds and light; see `snnkit.encoders.camera.Camera`.
        size, pad: pixels of the image on the sensor, and of the border around it.
        seed: of the camera's pattern and the recordings' phases.
        split_seed: another number is another random split.
        mix_writers: see above.

    Returns:
        An `EventDataset`; its `images` are the original digits in [0, 1], float32 (n, 1, 8, 8).

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI (1998), CC BY 4.0; scikit-learn
    ships its test part.
    """
    if split not in ("train", "test", "all"):
        raise UserError(f"digits has the splits train, test and all; got {split!r}")
    if size < 4 or pad < 0:
        raise UserError(f"expected size >= 4 and pad >= 0 pixels, got size={size}, pad={pad}")
    key: dict[str, Any] = {"source": SOURCE, "camera": asdict(camera), "size": size, "pad": pad, "seed": seed}
    key["encoder"] = VERSION
    stored = cached("digits", key, lambda store: _build(store, camera, size, pad, seed))
    labels = np.asarray(stored["labels"])
    held = _held_out(labels, split_seed, mix_writers)
    ids = {"train": np.flatnonzero(~held), "test": np.flatnonzero(held), "all": np.arange(len(labels))}[split]
    packed = from_stored(stored)
    classes = tuple(str(k) for k in range(10))
    return EventDataset(f"digits {split}", packed, labels, classes, ids=ids, pictures=stored["images"])


def _build(store: Writer, camera: Camera, size: int, pad: int, seed: int) -> None:
    from sklearn.datasets import load_digits  # a second of imports: only when nothing is cached

    bunch = load_digits()
    images = (bunch.images / 16).astype(np.float32)  # 0..16: exact in float32
    labels = bunch.target.astype(np.int64)
    found = digest(images.tobytes(), labels.astype("<i8").tobytes())
    if found != SOURCE:
        raise UserError(f"this scikit-learn has other digits than the 1 797 known ones (hash {found[:16]})")
    packed = record_packed(enlarge(images, size), camera=camera, pad=pad, seed=seed)
    store.add(packed)
    store.save("labels", labels)
    store.save("images", images[:, None])


def enlarge(images: NDArray, size: int) -> NDArray[np.float64]:
    """Bilinear interpolation of (B, n, n) images to (B, size, size), pixels as areas; the border is repeated."""
    n = images.shape[-1]
    at = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    weights = np.maximum(0.0, 1 - np.abs(at[:, None] - np.arange(n)))  # size x n, rows sum to 1
    return np.einsum("ai,bij,cj->bac", weights, images.astype(np.float64), weights)


def _held_out(labels: NDArray[np.int64], split_seed: int, mix_writers: bool) -> NDArray[np.bool_]:
    """Which samples are the test part: 360, in every class its share, rounded by largest remainder."""
    share = np.bincount(labels) * TEST / len(labels)
    quota = np.floor(share).astype(int)
    quota[np.argsort(quota - share, kind="stable")[: TEST - quota.sum()]] += 1
    held = np.zeros(len(labels), dtype=bool)
    for label, count in enumerate(quota):
        members = np.flatnonzero(labels == label).tolist()
        if mix_writers:
            members.sort(key=lambda i: hashlib.sha256(f"digits/{split_seed}/{i}".encode()).digest())
        held[members[len(members) - count :]] = True
    return held
