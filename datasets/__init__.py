"""Event recordings: reading files, known datasets, batches for training.

ds = snnkit.datasets.load("digits", split="train")
for events, labels in snnkit.datasets.batches(ds, dt=10e-3, steps=30, shuffle=True): ...
"""

from snnkit.datasets import augment
from snnkit.datasets.batches import Batches, batches
from snnkit.datasets.dataset import EventDataset
from snnkit.datasets.errors import DataNotFound, EventFileError, EventFileWarning
from snnkit.datasets.files import FileInfo, Reader, inspect, read, write
from snnkit.datasets.files.nmnist import read_nmnist
from snnkit.datasets.registry import about, info, load, locate, names
from snnkit.datasets.store import cache_folder
from snnkit.recordings import Events, Packed

__all__ = [
    "read",
    "write",
    "inspect",
    "Reader",
    "FileInfo",
    "load",
    "names",
    "info",
    "about",
    "locate",
    "batches",
    "Batches",
    "augment",
    "read_nmnist",
    "EventDataset",
    "Events",
    "Packed",
    "DataNotFound",
    "EventFileError",
    "EventFileWarning",
    "cache_folder",
]
