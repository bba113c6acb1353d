"""LENS: frames of event counts along a route, driven twice; which frames show the same place is known."""

from __future__ import annotations

import io
import re
import warnings

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.archive import Members, members
from snnkit.datasets.arrays import ArrayDataset
from snnkit.datasets.errors import EventFileError
from snnkit.datasets.sets.base import Request
from snnkit.datasets.writer import Writer
from snnkit.errors import UserError, nearest

VERSION = 1
# collection: folders of reference and query, ground truth (reference x query), pixels
COLLECTIONS = {
    "brisbane": ("davis346/sunset1/", "davis346/sunset2/", "sunset2_sunset1_GT.npy", (7, 7)),
    "example": (
        "davis128/example-reference/",
        "davis128/example-query/",
        "example-reference_example-query_GT.npy",
        (80, 80),
    ),
}
LARGEST = 64 << 20  # bytes of one file
PIXELS = 1 << 24


def load(request: Request, *, collection: str = "brisbane") -> ArrayDataset:
    """Event-count frames (1, h, w) in [0, 1]; a reference frame's label is its place, a query's the first that matches.

    `ds.extras["ground_truth"]` is the whole truth: bool (references, queries), with all places a query matches.

    Args:
        request: from `snnkit.datasets.load("lens", "reference" or "query")`.
        collection: "brisbane" (a DAVIS346 on a car at two sunsets, 7x7) or "example" (80x80).

    Source: Hines, Milford, Fischer, Science Robotics (2025), doi:10.1126/scirobotics.ads3968.
    """
    if collection not in COLLECTIONS:
        raise UserError(f"lens has no collection {collection!r}; {nearest(str(collection), COLLECTIONS)}")
    reference, query, truth_name, size = COLLECTIONS[collection]

    def build(writer: Writer) -> None:
        with members(request.paths[0], r"\.(png|npy)$", largest=LARGEST) as found:
            frames = [_frames(found, folder, size) for folder in (reference, query)]
            truth = _truth(found, truth_name)
        if truth.shape != (len(frames[0]), len(frames[1])) or not truth.any(0).all():
            shapes = f"{truth.shape} for {len(frames[0])} and {len(frames[1])} frames"
            raise EventFileError(str(request.paths[0]), None, f"the ground truth does not fit: {shapes}")
        writer.save("reference", frames[0])
        writer.save("query", frames[1])
        writer.save("ground_truth", truth)

    stored = request.stored(build, version=VERSION, columns={}, part="all", collection=collection)
    truth = np.asarray(stored["ground_truth"])
    places = np.arange(len(truth)) if request.split == "reference" else truth.argmax(0)
    classes = tuple(f"place {k}" for k in range(len(truth)))
    frames, extras = stored[request.split], {"ground_truth": truth}
    return ArrayDataset(request.title, places, classes, arrays=frames, scale=1 / 255, extras=extras)


def _truth(found: Members, name: str) -> NDArray[np.bool_]:
    member = found.the(name)
    try:
        table = np.load(io.BytesIO(found.read(member)), allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise EventFileError(found.called(member), None, f"not a readable array ({error})") from error
    if table.ndim != 2 or table.dtype.kind not in "fiub":
        raise EventFileError(found.called(member), None, f"expected a table, got {table.dtype} {table.shape}")
    return table > 0


def _frames(found: Members, folder: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """All pictures of a folder by number, (n, 1, h, w)."""
    names = [n for n in found.names if re.search(f"(?:^|/){folder}[^/]*\\.png$", n)]
    if not names:
        raise EventFileError(str(found.path), None, f"expected pictures in {folder}, found none")
    return np.stack([read_png(found.read(n), found.called(n), size) for n in names])[:, None]


def read_png(data: bytes, source: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A grey picture of 8 bits.

    Raises:
        EventFileError: it is damaged, or another kind of picture.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if picture.mode != "L" or picture.size != (size[1], size[0]):
                came = f"{picture.mode} {picture.size[0]}x{picture.size[1]}"
                raise EventFileError(
                    source, None, f"expected a grey picture of {size[1]}x{size[0]}, got {came}"
                )
            return np.array(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning) as error:
        if isinstance(error, EventFileError):
            raise
        raise EventFileError(source, None, f"not a readable picture ({error})") from error
