"""Test vectors as plain arrays of events, and the float network's part of every report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

CHUNK = 2**26  # numbers of one layer's activity that are held at a time


def events_of(x: Tensor, name: str, values: bool = False) -> dict[str, np.ndarray]:
    """Non-zero entries of `[T, B, *N]`: `<name>_t` step, `_b` sample, `_i` flat channel (`_v` value)."""
    flat = x.flatten(2)
    t, b, i = flat.nonzero(as_tuple=True)
    found = {f"{name}_t": t, f"{name}_b": b, f"{name}_i": i}
    if values:
        found[f"{name}_v"] = flat[t, b, i]
    kinds = {"t": np.int32, "b": np.int32, "i": np.int32}
    return {
        key: value.numpy().astype(kinds.get(key[-1], value.numpy().dtype)) for key, value in found.items()
    }


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A compressed .npz of plain arrays; no pickle."""
    np.savez_compressed(path, allow_pickle=False, **arrays)


def chunks(x: Tensor, widest: int, first: int) -> Iterator[tuple[int, Tensor]]:
    """Samples in pieces small enough for memory; the first piece holds at least `first` samples."""
    size = max(1, first, CHUNK // max(1, len(x) * widest))
    for start in range(0, x.shape[1], size):
        yield start, x[:, start : start + size]
