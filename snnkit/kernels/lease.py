"""Output pages: large tensors whose memory is used again once the last reference to it is gone.

Fresh memory costs several times what a kernel takes to fill it, as the system hands it out page by page. A block is
lent as a numpy array that the tensor's storage owns, so the array dies with the last tensor, view, saved tensor or
numpy alias of it, and the block returns to the pool. Only public interfaces take part.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections import OrderedDict, deque

import numpy as np
import torch
from torch import Tensor

SMALLEST = 1 << 20  # bytes; below, torch.empty is as fast
_returned: deque[np.ndarray] = deque()  # filled by finalisers, which may run anywhere: they only append
_kept: OrderedDict[int, np.ndarray] = OrderedDict()  # id -> block, oldest first
_lock = threading.Lock()


def _default_cap() -> int:
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = 4 << 30
    return min(1 << 30, memory // 8)


_cap = _default_cap()


def set_cap(nbytes: int) -> None:
    """Keep at most so many bytes of unused blocks; 0 keeps none."""
    global _cap
    _cap = max(0, int(nbytes))
    trim(_cap)


def held() -> int:
    """Bytes of unused blocks that the pool keeps."""
    with _lock:
        _collect()
        return sum(block.nbytes for block in _kept.values())


def trim(nbytes: int = 0) -> None:
    """Give unused blocks back to the system until at most `nbytes` are kept, the oldest first."""
    with _lock:
        _collect()
        _evict(nbytes)


def _collect() -> None:
    while _returned:
        block = _returned.popleft()
        _kept[id(block)] = block
    _evict(_cap)


def _evict(nbytes: int) -> None:
    total = sum(block.nbytes for block in _kept.values())
    while _kept and total > nbytes:
        _, block = _kept.popitem(last=False)
        total -= block.nbytes


def _take(nbytes: int) -> np.ndarray:
    """An unused block that fits without wasting more than a quarter, the latest returned first, else a new one."""
    with _lock:
        _collect()
        for key in reversed(_kept):
            if nbytes <= _kept[key].nbytes <= nbytes + nbytes // 4:
                return _kept.pop(key)
    return np.empty(nbytes, np.uint8)


def empty(shape: tuple[int, ...] | torch.Size, dtype: torch.dtype) -> Tensor:
    """An uninitialised contiguous tensor on the CPU, like `torch.empty`, in leased memory when it is large."""
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < SMALLEST:
        return torch.empty(shape, dtype=dtype)
    block = _take(nbytes)
    lease = np.frombuffer(block, np.uint8)  # a new array object for each lease
    weakref.finalize(lease, _returned.append, block).atexit = False
    return torch.from_numpy(lease)[:nbytes].view(dtype).view(shape)
