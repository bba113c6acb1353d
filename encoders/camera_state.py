"""Running the pixels of an event camera over frames: state in, state out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnkit.encoders.camera import _generator
from snnkit.encoders.camera_pixel import DVS
from snnkit.encoders.values import checked_seed


class PixelState(NamedTuple):
    """What the pixels of a camera remember between two stretches of video."""

    t: float  # time of the last frame, seconds
    cells: NDArray[
        np.float64
    ]  # one row per pixel of every image; columns as in snnkit.kernels.encoders.camera
    pixels: NDArray[np.float64]  # the camera's fixed pattern
    seed: int
    keys: NDArray[np.uint64]  # one per image


def begin(
    dvs: DVS, t: float, grey: NDArray[np.float64], *, seed: int, keys: NDArray[np.uint64]
) -> PixelState:
    """Pixels that have looked at `grey` (images, pixels), 0..255, long enough to be adapted to it."""
    from snnkit.kernels.encoders import camera as loop

    images, count = grey.shape
    phase = np.zeros((images, count))
    if dvs.random_phase:
        phase = np.stack([_generator(seed, int(key) | 1).uniform(-1, 1, count) for key in keys])
    state = PixelState(t, np.zeros((images * count, 8)), dvs.pixels(count, seed), seed, keys)
    loop.start(
        np.ascontiguousarray(grey).reshape(-1),
        phase.reshape(-1),
        t,
        checked_seed(seed),
        keys,
        state.pixels,
        dvs.constants(),
        state.cells,
    )
    return state


def run(
    dvs: DVS, frames: Iterable[tuple[float, NDArray[np.float64]]], state: PixelState
) -> tuple[tuple[NDArray[np.int64], ...], PixelState]:
    """Events while the light goes through `frames`, pairs (time, (images, pixels)).

    Returns (image, t in microseconds, pixel, polarity), sorted by image, time, pixel, polarity; and the state after it.
    """
    from snnkit.kernels.encoders import camera as loop

    cells, constants, seed = state.cells.copy(), dvs.constants(), checked_seed(state.seed)
    found, t = [], state.t
    for after, grey in frames:
        flat = np.ascontiguousarray(grey, dtype=np.float64).reshape(-1)
        found.append(loop.advance(flat, t, after, seed, state.keys, state.pixels, constants, cells))
        t = after
    count = len(state.pixels)
    return _sorted(found, count), state._replace(t=t, cells=cells)


def _sorted(found: list[tuple[NDArray, ...]], count: int) -> tuple[NDArray[np.int64], ...]:
    when, cell, polarity = (
        np.concatenate([np.zeros(0, dtype), *(f[i] for f in found)])
        for i, dtype in enumerate((np.float64, np.int64, np.uint8))
    )
    t = np.floor(when * 1e6 + 1e-6).astype(np.int64)  # 0.105 s is 105 000 us
    image, pixel = np.divmod(cell, count)
    order = np.lexsort((polarity, pixel, t, image))
    return image[order], t[order], pixel[order], polarity[order].astype(np.int64)
