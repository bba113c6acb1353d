"""An event camera that looks at still images while it makes three saccades, as N-MNIST was recorded.

A pixel watches the logarithm of its intensity, L = ln I. It remembers a reference R and emits an event whenever L has
moved a contrast threshold away from it, then moves the reference by that threshold (Lichtsteiner 2008):

    L - R ≥ θ_on   → ON event,  R ← R + θ_on          R - L ≥ θ_off  → OFF event, R ← R - θ_off

Between two rendered frames L is a straight line, so event j of a crossing has the time (Rebecq 2018, "ESIM")

    t = t0 + (R_j - L0) / (L1 - L0) · (t1 - t0)

Several crossings in one frame give several events. Left out here: limited bandwidth, leak, shot noise, refractory time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.recordings import Events, Packed

VERSION = 2  # raise it when equal arguments give other events: caches of recordings depend on it
CHUNK = 64  # images simulated together: their frames then fit into the second-level cache


@dataclass(frozen=True, kw_only=True)
class Camera:
    """The sensor and the scene's light.

    Args:
        threshold: contrast threshold θ of both polarities, in units of ln(intensity). With `background` it sets the
            number of events; 0.35 and 0.15 give MNIST digits about as many as their N-MNIST recordings have
            (4 100 on average). v2e's default is 0.2, ESIM's example has 0.5.
        mismatch: standard deviation of θ between pixels, drawn once per pixel and polarity, since the pattern is
            fixed in the silicon (v2e, Hu 2021: 0.03). Thresholds stay at or above 0.01.
        background: intensity of black, where white is 1: I = background + (1 - background) · grey. A screen is never
            quite black, and ln 0 would be.
        blur: standard deviation of the lens's Gaussian blur in pixels.
        frame: time between rendered frames in seconds.
    """

    threshold: float = 0.35
    mismatch: float = 0.03
    background: float = 0.15
    blur: float = 0.5
    frame: float = 1e-3

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(f"expected threshold > 0 (in units of ln intensity), got {self.threshold}")
        if not 0 < self.background < 1:
            raise ValueError(
                f"expected 0 < background < 1 (white is 1, and ln 0 is none), got {self.background}"
            )
        if self.mismatch < 0 or self.blur < 0:
            raise ValueError(f"expected mismatch, blur >= 0, got {self.mismatch}, {self.blur}")
        if not 1e-6 <= self.frame <= 0.05:
            raise ValueError(f"expected frame in seconds, from 1e-6 to 0.05, got {self.frame}")


@dataclass(frozen=True, kw_only=True)
class Saccades:
    """The way of the image across the sensor, in pixels: x to the right, y downwards.

    Every leg takes `leg` seconds: it moves during the first `move` of them with a raised-cosine speed,
    position p(u) = u - sin(2πu)/(2π) of the way, then rests. The default is N-MNIST's triangle in its 34x34 frame
    (Orchard 2015, from the authors' stabilisation script), started so that the path is centred; the pauses are those
    of the recordings' event rate.
    """

    legs: tuple[tuple[float, float], ...] = ((3.5, 7.0), (3.5, -7.0), (-7.0, 0.0))
    start: tuple[float, float] = (-3.5, -3.5)
    leg: float = 0.105
    move: float = 0.085

    def __post_init__(self) -> None:
        if not 0 < self.move <= self.leg:
            raise ValueError(f"expected 0 < move <= leg in seconds, got move={self.move}, leg={self.leg}")

    @property
    def duration(self) -> float:
        return self.leg * len(self.legs)

    def scaled(self, factor: float) -> Saccades:
        """The same path, `factor` times as far; n/28 for an n x n image keeps N-MNIST's proportions."""
        legs = tuple((x * factor, y * factor) for x, y in self.legs)
        start = (self.start[0] * factor, self.start[1] * factor)
        return Saccades(legs=legs, start=start, leg=self.leg, move=self.move)

    def positions(self, times: ArrayLike) -> NDArray[np.float64]:
        """Shift of the image (x, y) at each time in seconds; shape (len(times), 2)."""
        t = np.atleast_1d(np.asarray(times, dtype=np.float64))
        out = np.tile(np.asarray(self.start, dtype=np.float64), (len(t), 1))
        for k, leg in enumerate(self.legs):
            u = np.clip((t - k * self.leg) / self.move, 0.0, 1.0)
            out += (u - np.sin(2 * np.pi * u) / (2 * np.pi))[:, None] * np.asarray(leg)
        return out


def record(images: ArrayLike, **options) -> list[Events]:
    """Record images with a moving event camera: one `Events` per image. Arguments as for `record_packed`.

    >>> import numpy as np
    >>> bar = np.zeros((1, 12, 12)); bar[:, 2:10, 5:7] = 1
    >>> record(bar, seed=0)[0].sensor
    (2, 16, 16)
    """
    packed = record_packed(images, **options)
    return [packed[i] for i in range(len(packed))]


def record_packed(
    images: ArrayLike,
    *,
    camera: Camera = Camera(),
    path: Saccades | None = None,
    pad: int | None = None,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> Packed:
    """Record images with a moving event camera, all recordings end to end in one set of columns.

    The same images, options and seed give the same events, in a batch of any size and order.

    Args:
        images: grey values in [0, 1], shape (B, h, w) or (h, w). Around the image the scene is black.
        camera: thresholds, light, blur.
        path: motion of the image; None is N-MNIST's triangle, scaled to the image by max(h, w)/28.
        pad: pixels that the sensor has beyond the image on each side; None is enough for the motion to fit.
            28x28 images with pad=3 give N-MNIST's 34x34 sensor.
        seed: of the camera's fixed pattern and of the pixels' references at the start.
        keys: one number per image that, with `seed`, draws the references at the start (each uniform between its
            two thresholds). None takes the image's own content, so that an image is recorded alike wherever it
            stands; give other keys to record one image several times with different phases.

    Returns:
        `Packed` recordings with polarities (OFF, ON), times in microseconds sorted, ties by y, then x.

    Raises:
        ValueError: images are not numbers in [0, 1], or of another shape.
    """
    grey = _checked_images(images)
    path = Saccades().scaled(max(grey.shape[1:]) / 28) if path is None else path
    frames = round(path.duration / camera.frame) + 1
    times = np.arange(frames) * camera.frame
    shifts = path.positions(times)
    pad = int(np.ceil(np.abs(shifts).max())) if pad is None else int(pad)
    height, width = grey.shape[1] + 2 * pad, grey.shape[2] + 2 * pad
    on, off = _thresholds(camera, height * width, seed)
    seeds = _seeds(grey, keys)
    parts, counts = [], []
    for a in range(0, len(grey), CHUNK):
        scene = _scene(grey[a : a + CHUNK], camera, pad + int(np.ceil(np.abs(shifts).max())) + 1)
        frames_of = ((t, _render(scene, s, height, width)) for t, s in zip(times, shifts, strict=True))
        phase = _phases(seed, seeds[a : a + CHUNK], height * width)
        image, t, pixel, polarity = pixel_events(frames_of, on=on, off=off, phase=phase)
        t_end = int(t.max(initial=0)) + 1
        key = np.sort(((image * t_end + t) * (height * width) + pixel) * 2 + polarity)
        parts.append(_columns(key, t_end, height, width))
        counts.append(np.bincount(image, minlength=len(phase)))
    return _pack(parts, counts, (2, height, width))


def pixel_events(
    frames: Iterable[tuple[float, NDArray]], *, on: ArrayLike, off: ArrayLike, phase: ArrayLike | float = 0.0
) -> tuple[NDArray[np.int64], ...]:
    """Events of ideal pixels that see a sequence of frames; the equations are at the top of this module.

    Args:
        frames: pairs (time in seconds, L) in order of time, L = ln(intensity) of shape (B, pixels).
        on, off: thresholds, positive, broadcastable to (B, pixels).
        phase: where L of the first frame lies between the thresholds, from -1 (next OFF) to 1 (next ON);
            0 puts the reference on L.

    Returns:
        image, time in microseconds (rounded down), pixel, polarity (1 ON, 0 OFF); each int64, in order of frames.

    >>> log = np.log([[[50.0]], [[200.0]]])
    >>> image, t, pixel, polarity = pixel_events(zip([0.0, 1.0], log), on=0.2, off=0.2)
    >>> len(t), polarity.tolist()  # floor(ln 4 / 0.2)
    (6, [1, 1, 1, 1, 1, 1])
    """
    frames = iter(frames)
    t0, before = next(frames)
    shape = before.shape
    on = np.broadcast_to(np.asarray(on, dtype=np.float64), shape).ravel()
    off = np.broadcast_to(np.asarray(off, dtype=np.float64), shape).ravel()
    before = np.asarray(before, dtype=np.float64).ravel()
    phase = np.broadcast_to(np.asarray(phase, dtype=np.float64), shape).ravel()
    reference = before - phase * np.where(phase > 0, on, off)
    found: list[tuple[NDArray, ...]] = []
    for t1, after in frames:
        after = np.asarray(after, dtype=np.float64).ravel()
        moved = after - reference
        for sign, threshold in ((1, on), (-1, off)):
            hit = np.flatnonzero(sign * moved >= threshold)
            if len(hit):
                found.append(_crossings(hit, sign, threshold, reference, before, after, (t0, t1)))
        t0, before = t1, after
    cell, t, polarity = (np.concatenate(c) if found else np.zeros(0, np.int64) for c in _transpose(found, 3))
    return cell // shape[-1], t, cell % shape[-1], polarity


def _crossings(hit, sign, threshold, reference, before, after, span) -> tuple[NDArray, ...]:
    """Events of the pixels `hit` in one frame interval; moves their references."""
    step = threshold[hit]
    count = np.floor(sign * (after[hit] - reference[hit]) / step).astype(np.int64)
    cell = np.repeat(hit, count)
    nth = np.arange(len(cell)) - np.repeat(np.cumsum(count) - count, count) + 1
    level = reference[cell] + sign * nth * threshold[cell]
    slope = after[cell] - before[cell]
    part = np.clip((level - before[cell]) / np.where(slope == 0, np.inf, slope), 0.0, 1.0)
    reference[hit] += sign * count * step
    t = np.floor((span[0] + part * (span[1] - span[0])) * 1e6 + 1e-6).astype(
        np.int64
    )  # 0.105 s is 105 000 us
    return cell, t, np.full(len(cell), int(sign > 0), dtype=np.int64)


def _transpose(rows: list[tuple], width: int) -> list[list]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def _checked_images(images: ArrayLike) -> NDArray[np.float64]:
    grey = np.asarray(images, dtype=np.float64)
    grey = grey[None] if grey.ndim == 2 else grey
    if grey.ndim != 3 or 0 in grey.shape[1:]:
        raise ValueError(f"expected images of shape (B, h, w) or (h, w), got {grey.shape}")
    if grey.size and not (grey.min() >= 0 and grey.max() <= 1):  # also false for NaN
        hint = "; for 0..255 write images / 255" if 1 < grey.max() <= 255 and grey.min() >= 0 else ""
        raise ValueError(f"expected grey values in [0, 1], got {grey.min():g} to {grey.max():g}{hint}")
    return grey


def _thresholds(camera: Camera, pixels: int, seed: int) -> tuple[NDArray, NDArray]:
    """ON and OFF thresholds of every pixel: the camera's fixed pattern."""
    draw = _generator(seed, 0).standard_normal((2, pixels))
    on, off = np.maximum(camera.threshold + camera.mismatch * draw, 0.01)
    return on, off


def _generator(seed: int, stream: int) -> np.random.Generator:
    """Independent draws for every pair of numbers (counter-based: nothing is shared between streams)."""
    key = np.array([seed % 2**64, stream % 2**64], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def _seeds(grey: NDArray, keys: Sequence[int] | None) -> list[int]:
    if keys is None:
        digests = (hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in grey)
        return [int.from_bytes(d, "little") | 1 for d in digests]
    if len(keys) != len(grey):
        raise ValueError(f"expected one key per image, got {len(keys)} keys for {len(grey)} images")
    return [2 * int(k) + 1 for k in keys]  # odd: 0 draws the thresholds


def _phases(seed: int, seeds: Sequence[int], pixels: int) -> NDArray[np.float64]:
    """Where each pixel stands between its thresholds when the recording starts, uniform in (-1, 1)."""
    return np.stack([_generator(seed, s).uniform(-1, 1, pixels) for s in seeds])


def _scene(grey: NDArray, camera: Camera, margin: int) -> NDArray[np.float64]:
    """The blurred intensity of the images with `margin` pixels of background around them, (B, H, W)."""
    scene = np.pad(grey, ((0, 0), (margin, margin), (margin, margin)))
    radius = int(np.ceil(3 * camera.blur))
    if radius:
        tap = np.exp(-0.5 * (np.arange(-radius, radius + 1) / camera.blur) ** 2)
        tap /= tap.sum()
        for axis in (1, 2):
            wide = np.pad(scene, [(radius, radius) if a == axis else (0, 0) for a in range(3)])
            size = scene.shape[axis]
            scene = sum(w * wide.take(range(k, k + size), axis=axis) for k, w in enumerate(tap))
    return camera.background + (1 - camera.background) * scene


def _render(scene: NDArray, shift: NDArray, height: int, width: int) -> NDArray[np.float64]:
    """ln of the scene moved by `shift` (x, y) pixels, bilinear, as the sensor in its middle sees it: (B, pixels)."""
    top, left = ((np.array(scene.shape[1:]) - (height, width)) // 2).tolist()
    x, y = left - shift[0], top - shift[1]
    i, j = int(np.floor(y)), int(np.floor(x))
    fy, fx = y - i, x - j
    rows = (1 - fy) * scene[:, i : i + height, j : j + width + 1] + fy * scene[
        :, i + 1 : i + height + 1, j : j + width + 1
    ]
    seen = (1 - fx) * rows[:, :, :-1] + fx * rows[:, :, 1:]
    return np.log(seen).reshape(len(scene), -1)


def _columns(key: NDArray[np.int64], t_end: int, height: int, width: int) -> tuple[NDArray, ...]:
    """t, x, y, p of sorted keys ((image · t_end + t) · pixels + pixel) · 2 + polarity."""
    rest, polarity = np.divmod(key, 2)
    rest, pixel = np.divmod(rest, height * width)
    y, x = np.divmod(pixel, width)
    return rest % t_end, x.astype(np.int16), y.astype(np.int16), polarity.astype(np.uint8)


def _pack(parts: list[tuple], counts: list[NDArray], sensor: tuple[int, int, int]) -> Packed:
    none = _columns(np.zeros(0, np.int64), 1, 1, 1)  # keeps the types where there are no images
    t, x, y, p = (np.concatenate(c) for c in _transpose([none, *parts], 4))
    offsets = np.cumsum(np.concatenate([np.zeros(1, np.int64), *counts]))
    return Packed(t=t, x=x, y=y, p=p, offsets=offsets, sensor=sensor)
