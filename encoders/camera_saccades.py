"""Still images before a moving event camera with real pixels, as N-MNIST and N-Caltech101 were recorded.

`snnkit.encoders.camera.record` does this with ideal pixels; here they have bandwidth, leak, noise and refractory time. The
motion, the light and the lens are the same (Orchard, Jayawant, Cohen, Thakor, Front. Neurosci. 9:437, 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.encoders.camera import (
    CHUNK,
    Camera,
    Saccades,
    _checked_images,
    _pack,
    _render,
    _scene,
    _seeds,
    record_packed,
)
from snnkit.encoders.camera_pixel import DVS
from snnkit.encoders.camera_state import begin, run
from snnkit.errors import UserError
from snnkit.recordings import Events, Packed

LIGHT = Camera()
NMNIST_DVS = DVS(threshold_on=0.35, threshold_off=0.35)


def record_saccades(
    images: ArrayLike,
    *,
    dvs: DVS = NMNIST_DVS,
    camera: Camera = LIGHT,
    path: Saccades | None = None,
    pad: int | None = None,
    flow: float | None = None,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> Packed:
    """Record images with a moving camera of real pixels.

    Args:
        images: grey values in [0, 1], (B, h, w) or (h, w).
        dvs: the pixels. Their thresholds count; those of `camera` do not.
        camera: background, blur and time between frames.
        path, pad, keys: as for `snnkit.encoders.camera.record_packed`.
        flow: render adaptively instead, so that the image moves at most this many pixels between frames (ESIM's
            second rule; 0.5 there), and at rest once per 10 ms.
        seed: of the fixed pattern, phases and noise.

    >>> bar = np.zeros((12, 12)); bar[2:10, 5:7] = 1
    >>> len(record_saccades(bar)), record_saccades(bar).sensor
    (1, (2, 16, 16))
    """
    grey = _checked_images(images)
    path = Saccades().scaled(max(grey.shape[1:]) / 28) if path is None else path
    times = np.arange(round(path.duration / camera.frame) + 1) * camera.frame
    times = times if flow is None else flow_times(path, flow, shortest=camera.frame)
    shifts = path.positions(times)
    reach = int(np.ceil(np.abs(shifts).max()))
    pad = reach if pad is None else int(pad)
    height, width = grey.shape[1] + 2 * pad, grey.shape[2] + 2 * pad
    names = np.array(_seeds(grey, keys), dtype=np.uint64)
    parts, counts = [], []
    for a in range(0, len(grey), CHUNK):
        scene = _scene(grey[a : a + CHUNK], camera, pad + reach + 1)
        light = (
            (float(t), np.exp(_render(scene, s, height, width)) * 255.0)
            for t, s in zip(times, shifts, strict=True)
        )
        t0, first = next(light)
        state = begin(dvs, t0, first, seed=seed, keys=names[a : a + CHUNK])
        (image, t, pixel, polarity), _ = run(dvs, light, state)
        y, x = np.divmod(pixel, width)
        parts.append((t, x.astype(np.int16), y.astype(np.int16), polarity.astype(np.uint8)))
        counts.append(np.bincount(image, minlength=len(first)))
    return _pack(parts, counts, (2, height, width))


def flow_times(
    path: Saccades, flow: float = 0.5, *, shortest: float = 1e-4, longest: float = 10e-3
) -> NDArray[np.float64]:
    """Times between which the image moves at most `flow` pixels: dt = flow / speed, within limits, in seconds."""
    if not (flow > 0 and 0 < shortest <= longest):
        raise UserError(
            f"expected flow > 0 in pixels and 0 < shortest <= longest, got {flow}, {shortest}, {longest}"
        )
    fine = np.linspace(0.0, path.duration, max(2, round(path.duration / shortest)) + 1)
    moved = np.abs(np.diff(path.positions(fine), axis=0)).max(axis=1)
    times, way, since = [0.0], 0.0, 0.0
    for k, step in enumerate(moved):
        if way and (way + step > flow or fine[k + 1] - since > longest + 1e-12):
            times.append(float(fine[k]))
            way, since = 0.0, float(fine[k])
        elif not way and fine[k + 1] - since > longest + 1e-12:
            times.append(float(fine[k]))
            since = float(fine[k])
        way += step
    return np.array([*times, path.duration])


@dataclass(frozen=True, kw_only=True)
class SaccadeCamera:
    """An encoder for image datasets: image (h, w) or (1, h, w), grey values in [0, 1] → `Events`. All its parameters are values.

    Args:
        camera: light, lens, and the ideal pixel's thresholds.
        dvs: real pixels instead; None is the ideal ones, which are faster.
        path: motion; None is N-MNIST's, scaled to the image.
        pad: pixels that the sensor has beyond the image; 3 makes 34x34 of MNIST's 28x28.
        seed: of pattern, phases and noise.

    >>> SaccadeCamera(pad=3)(np.zeros((28, 28)))
    Events(0 events, 34x34 pixels)
    """

    camera: Camera = LIGHT
    dvs: DVS | None = None
    path: Saccades | None = None
    pad: int | None = None
    seed: int = 0

    def __call__(self, image: ArrayLike) -> Events:
        pixels = np.asarray(image)
        pixels = pixels[0] if pixels.ndim == 3 and pixels.shape[0] == 1 else pixels
        if pixels.ndim != 2:
            raise UserError(f"expected one image of shape (h, w) or (1, h, w), got {pixels.shape}")
        if self.dvs is None:
            found = record_packed(pixels, camera=self.camera, path=self.path, pad=self.pad, seed=self.seed)
        else:
            found = record_saccades(
                pixels, dvs=self.dvs, camera=self.camera, path=self.path, pad=self.pad, seed=self.seed
            )
        return found[0]
