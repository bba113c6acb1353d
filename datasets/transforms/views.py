"""Dense arrays of recordings that keep the order of time: frames, binary frames, voxel grids; and event tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnkit.datasets.transforms.base import Random, check_count, columns, parameters, whole
from snnkit.datasets.transforms.slices import SliceNumber, Slicer
from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.recordings import Events, Packed, end_to_end

MAX_BYTES = 16 << 30  # a larger array is a mistake in a parameter


class View:
    """A dense form of recordings: `view(events)` is one array, `view(packed)` has an axis for the batch in addition.

    `view(recordings, rng)` ignores `rng`, so that a view can be the last of a list of changes.
    """

    version = 1
    random = False
    batch_axis = 0

    def __call__(self, recordings: Events | Packed, rng: Random = None) -> Any:
        if isinstance(recordings, Events):
            return self.apply(end_to_end([recordings]))[(slice(None),) * self.batch_axis + (0,)]
        if isinstance(recordings, Packed):
            return self.apply(whole(recordings))
        raise UserError(
            f"{type(self).__name__} takes Events or Packed recordings, got {type(recordings).__name__}"
        )

    def apply(self, packed: Packed) -> NDArray:
        """The array of a batch."""
        raise NotImplementedError

    def parameters(self) -> dict[str, Any]:
        """Name, version and parameters as JSON."""
        return parameters(self)


def zeros(shape: Sequence[int], dtype: type) -> NDArray:
    """An array of zeros, unless it is too large to be meant."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > MAX_BYTES:
        raise UserError(
            f"an array of shape {tuple(shape)} takes {size / 2**30:.0f} GiB; take longer windows, fewer of them, a smaller "
            "sensor (Crop, Downsample), or a sparse tensor (ToTensor)"
        )
    return np.zeros(shape, dtype)


@dataclass(frozen=True)
class Frames(View):
    """Events per window, polarity and pixel, (K, P, H, W); of a batch (K, B, P, H, W), with K of the longest recording.

    Without overlap, and with every window kept, the sum is the number of events.

    Args:
        windows: `SliceTime`, `SliceCount` or `SliceNumber`.
        limit: a pixel counts up to it: 1 makes binary frames. uint8 up to 255, otherwise int16.
    """

    windows: Slicer
    limit: int = 2**15 - 1
    batch_axis = 1

    def __post_init__(self) -> None:
        if not isinstance(self.windows, Slicer):
            raise UserError(f"expected windows such as SliceTime(10e-3), got {self.windows!r}")
        check_count("limit", self.limit)
        if self.limit >= 2**15:
            raise UserError(f"a pixel counts to at most {2**15 - 1}, got limit={self.limit}")

    def apply(self, packed: Packed) -> NDArray:
        from snnkit.kernels.events.grid import count

        _, x, y, p, _ = columns(packed)
        w = self.windows.windows(packed)
        first = np.searchsorted(w.owners, np.arange(len(packed)))
        steps = np.arange(len(w.owners)) - first[w.owners]
        shape = (int(steps.max(initial=-1)) + 1, len(packed), *packed.sensor)
        out = zeros(shape, np.uint8 if self.limit < 256 else np.int16)
        count(x, y, p, w.starts, w.stops, steps, w.owners, self.limit, out)
        return out


@dataclass(frozen=True)
class BinaRep(View):
    """N-bit numbers of N binary frames, in [0, 1]: (frames, P, H, W) float32; of a batch (frames, B, P, H, W).

    The recording is cut into bits · frames equal windows. With b_k = 1 where window k of a group has an event,

        value = Σ_k b_k 2^(N-1-k) / (2^N - 1)

    Source: S. Barchid et al., "Bina-Rep event frames", IEEE ICIP (2022), doi:10.1109/ICIP46576.2022.9898061.
    """

    bits: int = 8
    frames: int = 1
    batch_axis = 1

    def __post_init__(self) -> None:
        check_count("bits", self.bits)
        check_count("frames", self.frames)
        if self.bits > 24:
            raise UserError(f"a float32 holds 24 bits, got bits={self.bits}")

    def apply(self, packed: Packed) -> NDArray:
        binary = Frames(SliceNumber(self.bits * self.frames), limit=1).apply(packed)
        if not len(binary):  # no recording has an event
            return zeros((self.frames, len(packed), *packed.sensor), np.float32)
        groups = binary.reshape(self.frames, self.bits, *binary.shape[1:])
        weights = 2.0 ** np.arange(self.bits - 1, -1, -1) / (2.0**self.bits - 1)
        return np.einsum("fn...,n->f...", groups, weights).astype(np.float32)


@dataclass(frozen=True)
class VoxelGrid(View):
    """Events shared between the two nearest of `bins` points in time, (bins, C, H, W) float32; of a batch (bins, B, C, H, W).

        t*_i = (bins - 1) (t_i - t_0) / (t_N - t_0)        V(b, y, x) = Σ_i s_i max(0, 1 - |b - t*_i|)

    with s = 1 for ON and -1 for OFF, so that the sum over the bins is the sum of the signs at every pixel. A recording
    whose events all come at once lies in bin 0.

    Args:
        bins: points in time, the first at the first event, the last at the last.
        split: one channel per polarity, with s = 1, instead of one channel with signs.
        normalise: shift and scale the cells that are not 0 to mean 0 and standard deviation 1, in every recording.

    Source: A. Zhu et al., "Unsupervised event-based learning of optical flow, depth, and egomotion", CVPR (2019),
    doi:10.1109/CVPR.2019.00108; normalised as in DSEC (M. Gehrig et al., IEEE RA-L 2021, doi:10.1109/LRA.2021.3068942).
    """

    bins: int
    split: bool = False
    normalise: bool = False
    batch_axis = 1

    def __post_init__(self) -> None:
        check_count("bins", self.bins)

    def apply(self, packed: Packed) -> NDArray:
        from snnkit.kernels.events.grid import voxels

        polarities, height, width = packed.sensor
        out = zeros((self.bins, len(packed), polarities if self.split else 1, height, width), np.float32)
        voxels(*columns(packed), not self.split, out)
        if self.normalise:
            for r in range(len(packed)):
                cells = out[:, r]
                cells[cells != 0] = _standard(cells[cells != 0])
        return out


def _standard(values: NDArray) -> NDArray:
    """Mean 0 and standard deviation 1; only the mean if all are equal."""
    spread = values.std() if len(values) else 0
    return (values - values.mean()) / (spread if spread > 0 else 1) if len(values) else values


@dataclass(frozen=True)
class ToTensor(View):
    """The recordings as one `EventTensor` (T, B, P, H, W), B = 1 for one recording; arguments as for `Packed.tensor`."""

    dt: float
    steps: int | None = None
    binary: bool = False

    def __call__(self, recordings: Events | Packed, rng: Random = None) -> EventTensor:
        return recordings.tensor(dt=self.dt, steps=self.steps, binary=self.binary)
