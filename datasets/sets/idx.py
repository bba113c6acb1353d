"""MNIST and Fashion-MNIST: 28x28 grey pictures in LeCun's idx files.

Big-endian: two zero bytes, the type (8 is unsigned bytes), the number of axes, the length of each as 32 bits, the data.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.archive import read_file
from snnkit.datasets.arrays import ArrayDataset
from snnkit.datasets.errors import EventFileError
from snnkit.datasets.sets.base import Request
from snnkit.datasets.writer import Writer

VERSION = 1
DIGITS = tuple(str(k) for k in range(10))
FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load(request: Request) -> ArrayDataset:
    """Pictures as float32 (1, 28, 28) in [0, 1], labels 0 to 9, in the order of the files.

    Raises:
        EventFileError: a file is truncated, damaged or no idx file, or pictures and labels differ in number.
    """

    def build(writer: Writer) -> None:
        images, labels = (read_idx(path) for path in request.paths)
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or labels.max(initial=0) > 9:
            shapes = f"shapes {images.shape} and {labels.shape}, labels to {labels.max(initial=0)}"
            raise EventFileError(
                str(request.paths[0]), None, f"expected pictures and as many labels 0 to 9, got {shapes}"
            )
        writer.save("images", images[:, None])
        writer.save("labels", labels.astype(np.int64))

    stored = request.stored(build, version=VERSION, columns={})
    classes = FASHION if request.name == "fashionmnist" else DIGITS
    labels = np.asarray(stored["labels"])
    return ArrayDataset(request.title, labels, classes, arrays=stored["images"], scale=1 / 255)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An idx file of bytes, packed with gzip or not.

    Raises:
        EventFileError: with the byte at which it goes wrong.
    """
    data = read_file(path)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != 8:
        raise EventFileError(str(path), 0, f"expected an idx file of bytes, got {data[:4]!r}")
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise EventFileError(str(path), len(data), "truncated in its header; download it again")
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", data[3], 4))
    if len(data) - start != math.prod(shape):
        reason = (
            f"expected {math.prod(shape)} bytes for shape {shape}, got {len(data) - start}; download it again"
        )
        raise EventFileError(str(path), start, reason)
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
