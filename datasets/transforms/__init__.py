"""Changes to recordings, and forms to see them in: values that mutate nothing.

    change = Compose(CropTime(0, 0.3), HotPixels(), BackgroundActivity(tau=10e-3), Drop(0.1))
    cleaned = change(events, rng)              # one recording, or a batch of them (Packed)
    frames = Frames(SliceTime(10e-3))(cleaned)

All are frozen dataclasses, called with `Events` or `Packed` recordings and, those that draw by chance, a numpy Generator or
a seed. `parameters()` gives their name, version and parameters as JSON, which is what caches are keyed by.
"""

from snnkit.datasets.transforms.base import Compose, OneOf, Transform, compose, keep, parameters
from snnkit.datasets.transforms.denoise import (
    BackgroundActivity,
    HotPixels,
    OrderN,
    Refractory,
    ShotNoisePairs,
    SpatioTemporalCorrelation,
    hot_pixels,
)
from snnkit.datasets.transforms.hots import HOTSLayer, learn_hots
from snnkit.datasets.transforms.mix import CutMix, EventMix, Mix, one_hot
from snnkit.datasets.transforms.slices import SliceCount, SliceNumber, Slicer, SliceTime
from snnkit.datasets.transforms.space import (
    Crop,
    Decimate,
    Downsample,
    DropArea,
    DropPixels,
    DropSomePixels,
    FlipLeftRight,
    FlipPolarity,
    FlipUpDown,
    MergePolarity,
    RandomCrop,
    RandomRotate,
    Rotate,
    Shift,
    SpaceJitter,
)
from snnkit.datasets.transforms.surfaces import HATS, HOTS, SITS, TORE, LastTimes, TimeSurface
from snnkit.datasets.transforms.timing import (
    CropTime,
    DownsampleTime,
    Drop,
    DropTime,
    Jitter,
    Noise,
    RandomCropTime,
    ReverseTime,
    ScaleTime,
    StartAtZero,
    Stretch,
)
from snnkit.datasets.transforms.views import BinaRep, Frames, ToTensor, View, VoxelGrid
from snnkit.recordings import end_to_end

__all__ = [
    "Transform",
    "Compose",
    "compose",
    "OneOf",
    "parameters",
    "end_to_end",
    "keep",
    # place
    "Crop",
    "RandomCrop",
    "Shift",
    "FlipLeftRight",
    "FlipUpDown",
    "FlipPolarity",
    "MergePolarity",
    "Rotate",
    "RandomRotate",
    "SpaceJitter",
    "Downsample",
    "DropArea",
    "DropPixels",
    "DropSomePixels",
    "Decimate",
    # time
    "StartAtZero",
    "CropTime",
    "RandomCropTime",
    "Jitter",
    "Stretch",
    "ScaleTime",
    "ReverseTime",
    "DownsampleTime",
    "Drop",
    "DropTime",
    "Noise",
    # noise filters
    "HotPixels",
    "hot_pixels",
    "Refractory",
    "BackgroundActivity",
    "SpatioTemporalCorrelation",
    "OrderN",
    "ShotNoisePairs",
    # pieces and mixtures
    "Slicer",
    "SliceTime",
    "SliceCount",
    "SliceNumber",
    "Mix",
    "CutMix",
    "EventMix",
    "one_hot",
    # forms
    "View",
    "Frames",
    "BinaRep",
    "VoxelGrid",
    "LastTimes",
    "TimeSurface",
    "HOTS",
    "HOTSLayer",
    "learn_hots",
    "HATS",
    "SITS",
    "TORE",
    "ToTensor",
]
