"""Changes to the recordings of a batch while training, by their first names; all of them are in `snnkit.datasets.transforms`.

Each is called with the `Packed` recordings of a batch and a numpy Generator, and returns new ones.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from snnkit.datasets.transforms.base import keep
from snnkit.datasets.transforms.space import Shift
from snnkit.datasets.transforms.timing import Drop, Jitter, Stretch
from snnkit.recordings import Packed

__all__ = ["Augment", "Drop", "Jitter", "Shift", "Stretch", "keep"]


class Augment(Protocol):
    """What `batches(..., augment=)` takes: every `Transform`, and functions of one's own."""

    def __call__(self, packed: Packed, rng: np.random.Generator, /) -> Packed: ...
