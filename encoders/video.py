"""An event camera in front of a video, or of anything that can be rendered.

`record_video` takes frames and their times; `watch` does the same in pieces, for videos longer than memory; `adaptive` renders
a scene as often as its brightness changes. The pixel is that of `snnkit.encoders.camera_pixel`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnkit.binning import to_numpy
from snnkit.encoders.camera_pixel import DVS
from snnkit.encoders.camera_state import PixelState, begin, run
from snnkit.errors import UserError
from snnkit.recordings import Events


def record_video(
    frames: ArrayLike | Iterable[tuple[float, ArrayLike]],
    times: ArrayLike | None = None,
    *,
    rate: float | None = None,
    dvs: DVS = DVS(),
    seed: int = 0,
) -> Events:
    """Events of a camera that sees a video. Between two frames the logarithm of the light is a straight line.

    Bytes have 256 levels, and at level 5 one of them is a contrast of 18 %: for dark scenes give floats, and for fast
    ones more frames than a film has, for what moves by pixels between frames flickers instead of moving.

    Args:
        frames: [T, H, W], bytes (0..255) or floats in [0, 1]; or pairs (time, frame) as from `adaptive`.
        times: of the frames in seconds, increasing; or
        rate: frames per second. Not needed with pairs.
        dvs: the camera's constants.
        seed: of the fixed pattern, the pixels' phases and all noise.

    Returns:
        `Events` with polarities (OFF, ON), microseconds, sorted by time, ties by y, x, polarity.

    Raises:
        UserError: frames of another shape or outside [0, 1]; times that do not increase.

    >>> import numpy as np
    >>> from snnkit.encoders.camera_pixel import esim
    >>> film = np.array([50, 200], np.uint8).reshape(2, 1, 1)
    >>> len(record_video(film, [0.0, 0.01], dvs=esim(threshold=0.2, mismatch=0.0, random_phase=False)))  # ⌊ln 4 / 0.2⌋
    6
    """
    return watch(frames, times, rate=rate, dvs=dvs, seed=seed)[0]


def watch(
    frames: ArrayLike | Iterable[tuple[float, ArrayLike]],
    times: ArrayLike | None = None,
    state: PixelState | None = None,
    *,
    rate: float | None = None,
    dvs: DVS = DVS(),
    seed: int = 0,
) -> tuple[Events, PixelState]:
    """The next piece of a video: (events, state). Pieces give the same events as the whole, wherever it is cut.

    `state` is None for the first piece, and what the last call returned for the others; the seed is then the first one's.
    With `rate`, a further piece goes on one frame after the last.
    """
    first = 0.0 if state is None or rate is None else state.t + 1 / rate
    pairs = iter(_pairs(frames, times, rate, first))
    shape: tuple[int, int] | None = None
    if state is None:
        t, frame = next(pairs, (0.0, None))
        if frame is None:
            raise UserError("expected at least one frame")
        shape = frame.shape
        keys = np.zeros(1, np.uint64)
        state = begin(dvs, t, frame.reshape(1, -1), seed=seed, keys=keys)
    start, count, seen = state.t, len(state.pixels), [shape]

    def checked() -> Iterator[tuple[float, NDArray[np.float64]]]:
        last = start
        for t, frame in pairs:
            if seen[0] is None and frame.size == count:
                seen[0] = frame.shape
            if frame.shape != seen[0]:
                raise UserError(
                    f"expected all frames of one size, got {frame.shape} after {seen[0] or count}"
                )
            if not t > last:
                raise UserError(f"expected times that increase, in seconds; got {t:g} s after {last:g} s")
            last = t
            yield t, frame.reshape(1, -1)

    (_, t_us, pixel, polarity), state = run(dvs, checked(), state)
    if seen[0] is None:
        raise UserError("expected at least one frame")
    height, width = seen[0]
    if len(t_us) and t_us[0] < 0:
        raise UserError("expected times >= 0: an event camera's clock starts at 0")
    return Events(t_us, pixel % width, pixel // width, polarity, sensor=(2, height, width)), state


def adaptive(
    render: Callable[[float], ArrayLike],
    duration: float,
    *,
    threshold: float = 0.2,
    share: float = 0.5,
    shortest: float = 1e-4,
    longest: float = 10e-3,
) -> Iterator[tuple[float, NDArray]]:
    """Frames of a scene, as close in time as its brightness asks for: dt = share · θ / max |dL/dt| (ESIM's rule).

    Args:
        render: time in seconds → frame (H, W) of intensities in [0, 1].
        duration: seconds.
        threshold: the camera's θ.
        share: λ_b of the paper, at most 1: the most that any pixel moves between frames, in thresholds.
        shortest, longest: limits of dt in seconds. The speed is that between the last two frames, so `longest` bounds
            what a sudden motion can skip.

    Yields:
        (time, frame); the last is at `duration`.
    """
    if not (0 < share <= 1 and threshold > 0 and 0 < shortest <= longest and duration > 0):
        raise UserError("expected 0 < share <= 1, threshold > 0, 0 < shortest <= longest and duration > 0")
    t, dt = 0.0, shortest
    frame = np.asarray(render(t), dtype=np.float64)
    while True:
        yield t, frame
        if t >= duration:
            return
        following = min(t + dt, duration)
        following = duration if duration - following < 0.5 * shortest else following
        after = np.asarray(render(following), dtype=np.float64)
        speed = np.abs(np.log(after + 1e-3) - np.log(frame + 1e-3)).max() / (following - t)
        dt = float(np.clip(share * threshold / max(speed, 1e-12), shortest, longest))
        t, frame = following, after


def _pairs(
    frames: Any, times: Any, rate: float | None, first: float
) -> Iterable[tuple[float, NDArray[np.float64]]]:
    """Frames with times, as grey levels 0..255."""
    if not hasattr(frames, "shape") and not isinstance(frames, list | tuple):
        return ((float(t), levels(frame)) for t, frame in frames)
    video = to_numpy(frames)
    if video.ndim != 3 or 0 in video.shape[1:]:
        raise UserError(
            f"expected frames of shape (T, H, W), got {video.shape}; colour becomes grey by a mean"
        )
    if (times is None) == (rate is None):
        raise UserError(
            "give the frames' times in seconds, or rate=30 for 30 frames per second; one of the two"
        )
    if rate is not None:
        if not (rate > 0 and np.isfinite(rate)):
            raise UserError(f"rate is frames per second, got {rate}")
        clock = first + np.arange(len(video)) / rate
    else:
        clock = np.asarray(times, dtype=np.float64)
        if clock.shape != (len(video),) or not np.isfinite(clock).all():
            raise UserError(
                f"expected one time in seconds per frame, {len(video)} of them, got {clock.shape}"
            )
    return ((float(t), levels(frame)) for t, frame in zip(clock, video, strict=True))


def levels(frame: ArrayLike) -> NDArray[np.float64]:
    """Grey levels 0..255 of a frame of bytes, or of floats in [0, 1]."""
    grey = to_numpy(frame)
    if grey.ndim != 2 or not grey.size:
        raise UserError(f"expected frames of shape (H, W), got {grey.shape}")
    if grey.dtype == np.uint8:
        return grey.astype(np.float64)
    if grey.dtype.kind not in "fbiu":
        raise UserError(f"expected frames of bytes or floats in [0, 1], got {grey.dtype}")
    grey = grey.astype(np.float64)
    if not (grey.min() >= 0 and grey.max() <= 1):  # also false for NaN
        hint = "; for 0..255 write frames / 255" if 1 < grey.max() <= 255 and grey.min() >= 0 else ""
        raise UserError(f"expected light in [0, 1], got {grey.min():g} to {grey.max():g}{hint}")
    return grey * 255.0
