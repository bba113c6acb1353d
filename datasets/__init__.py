"""Event recordings: reading and writing files, known datasets, transforms, batches for training.

events = snnkit.datasets.read("recording.raw")
ds = snnkit.datasets.load("digits", split="train")
for events, labels in snnkit.datasets.batches(ds, dt=10e-3, steps=30, shuffle=True): ...
"""

from snnkit.datasets import augment, transforms
from snnkit.datasets.arrays import ArrayDataset, SignalDataset
from snnkit.datasets.batches import Batches, batches, collate
from snnkit.datasets.dataset import EventDataset
from snnkit.datasets.errors import DataNotFound, EventFileError, EventFileWarning
from snnkit.datasets.files import FileInfo, Reader, inspect, read, write
from snnkit.datasets.files.nmnist import read_nmnist
from snnkit.datasets.packed import PackedEvents, pack
from snnkit.datasets.registry import about, info, load, locate, names
from snnkit.datasets.store import cache_folder
from snnkit.recordings import Events, Packed

__all__ = [
    "read",
    "write",
    "inspect",
    "Reader",
    "FileInfo",
    "Events",
    "load",
    "names",
    "info",
    "about",
    "locate",
    "EventDataset",
    "ArrayDataset",
    "SignalDataset",
    "Packed",
    "PackedEvents",
    "pack",
    "cache_folder",
    "transforms",
    "augment",
    "batches",
    "Batches",
    "collate",
    "read_nmnist",
    "DataNotFound",
    "EventFileError",
    "EventFileWarning",
]
