"""Running the generated Numba kernels on CPU tensors: flat arrays, leased outputs, threads over tiles.

One neuron is always computed by one thread, in the order of time: the number of threads changes no bit.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnkit.kernels import lease
from snnkit.kernels.generated import load
from snnkit.kernels.neurons.loops_numba import adjoint_source, forward_source
from snnkit.kernels.neurons.program import Definition

TILE = 2048  # neurons side by side; their states stay in cache
SMALL = 1 << 17  # elements; below, a second thread costs more than it brings

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # a child has none of its parent's threads


def _pool(threads: int) -> ThreadPoolExecutor:
    with _lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads, thread_name_prefix="snnkit")
        return _pools[threads]


@lru_cache(maxsize=1024)
def _forward_kernel(definition: Definition, precision: str) -> Callable[..., None]:
    return load(forward_source(definition, precision)).forward


@lru_cache(maxsize=1024)
def _adjoint_kernel(definition: Definition, precision: str, wanted: tuple[str, ...]) -> Callable[..., None]:
    return load(adjoint_source(definition, precision, wanted)).adjoint


def _precision(x: Tensor) -> str:
    return {torch.float32: "float32", torch.float64: "float64"}[x.dtype]


def _flat(tensors: Sequence[Tensor], rows: bool) -> list[np.ndarray]:
    """Arrays [T, M] or [M], contiguous: the gradient of a mean over time, say, is not, and is copied."""
    out = []
    for tensor in tensors:
        tensor = tensor.detach()
        if not tensor.is_contiguous():
            tensor = lease.empty(tensor.shape, tensor.dtype).copy_(tensor)
        out.append(tensor.view(tensor.shape[0], -1).numpy() if rows else tensor.view(-1).numpy())
    return out


def _over_tiles(kernel: Callable[..., None], size: int, steps: int, tile: int, *arguments: Any) -> None:
    """Run a kernel on neurons 0..size, in parts of whole tiles, on as many threads as torch has."""
    tiles = -(-size // tile)
    threads = min(torch.get_num_threads(), tiles)
    if threads <= 1 or size * steps < SMALL:
        kernel(0, size, tile, *arguments)
        return
    parts = min(tiles, 4 * threads)
    bounds = [min(size, tile * (tiles * k // parts)) for k in range(parts + 1)]
    work = iter(list(pairwise(bounds)))  # whoever is free takes the next part

    def run() -> None:
        for first, last in work:
            kernel(first, last, tile, *arguments)

    others = [_pool(threads - 1).submit(run) for _ in range(threads - 1)]
    run()
    for other in others:
        other.result()


def _tile(size: int, tile: int | None) -> int:
    """Smaller tiles when there are few neurons, so that every thread has some."""
    if tile is not None:
        return tile
    share = -(-size // torch.get_num_threads())
    return max(64, min(TILE, -(-share // 64) * 64))


def scan(
    definition: Definition,
    chunk: int,
    inputs: Sequence[Tensor],
    constants: Sequence[Tensor],
    states: Sequence[Tensor],
    *,
    tile: int | None = None,
) -> list[Tensor]:
    """Outputs, end states and checkpoints; shapes as in `snnkit.kernels.neurons.operator.scan_op`."""
    x = inputs[0]
    steps, shape = x.shape[0], x.shape[1:]
    kept = -(-steps // chunk)
    outputs = [lease.empty(x.shape, x.dtype) for _ in range(definition.outputs)]
    ends = [torch.empty(shape, dtype=x.dtype) for _ in states]
    checkpoints = [lease.empty((kept, *shape), x.dtype) for _ in states]
    size = shape.numel()
    if size and steps:
        width = _tile(size, tile)
        _over_tiles(
            _forward_kernel(definition, _precision(x)), size, steps, width, chunk,
            *_flat(inputs, True), *_flat(constants, False), *_flat(states, False),
            *_flat(outputs, True), *_flat(ends, False), *_flat(checkpoints, True),
        )  # fmt: skip
    return [*outputs, *ends, *checkpoints]


def adjoint(
    definition: Definition,
    chunk: int,
    wanted: str,
    hyper: Sequence[float],
    inputs: Sequence[Tensor],
    constants: Sequence[Tensor],
    kept: Sequence[Tensor],
    output_bars: Sequence[Tensor],
    state_bars: Sequence[Tensor],
    *,
    tile: int | None = None,
) -> list[Tensor]:
    """Gradients of the states, then of what is wanted; shapes as in `snnkit.kernels.neurons.operator.adjoint_op`."""
    x, names = inputs[0], tuple(wanted.split())
    steps, shape = x.shape[0], x.shape[1:]
    ports = [lease.empty(x.shape, x.dtype) for name in names if name.startswith("port_")]
    summed = [torch.empty(shape, dtype=x.dtype) for name in names if not name.startswith("port_")]
    begins = [torch.empty(shape, dtype=x.dtype) for _ in kept]
    size = shape.numel()
    if size and steps:
        width = _tile(size, tile)
        chunk = min(chunk, steps)
        precision = _precision(x)
        _over_tiles(
            _adjoint_kernel(definition, precision, names), size, steps, width, chunk,
            np.arange(chunk - 1, -1, -1), np.arange(-(-steps // chunk) - 1, -1, -1), np.array(hyper, precision),
            *_flat(inputs, True), *_flat(constants, False), *_flat(kept, True),
            *_flat(output_bars, True), *_flat(state_bars, False),
            *_flat(ports, True), *_flat(summed, False), *_flat(begins, False),
        )  # fmt: skip
    return [*begins, *ports, *summed]
