"""Running the generated Triton kernels on CUDA tensors; in Triton's interpreter (TRITON_INTERPRET=1) on CPU ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from snnkit.kernels.generated import load
from snnkit.kernels.neurons.loops_triton import adjoint_source, forward_source
from snnkit.kernels.neurons.program import Definition

BLOCK = 128  # neurons of one program: its registers hold their states


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether Triton is installed."""
    return find_spec("triton") is not None


@lru_cache(maxsize=1024)
def _forward_kernel(definition: Definition, precision: str) -> Any:
    return load(forward_source(definition, precision)).forward


@lru_cache(maxsize=1024)
def _adjoint_kernel(definition: Definition, precision: str, wanted: tuple[str, ...]) -> Any:
    return load(adjoint_source(definition, precision, wanted)).adjoint


def _precision(x: Tensor) -> str:
    return {torch.float32: "float32", torch.float64: "float64"}[x.dtype]


def _launch(kernel: Callable[..., Any], x: Tensor, chunk: int, block: int, *tensors: Tensor) -> None:
    size = x.shape[1:].numel()
    if not size or not x.shape[0]:
        return
    here = torch.cuda.device(x.device) if x.is_cuda else nullcontext()
    with here:  # no a*b + c in one rounding: its bits would differ from those of the CPU
        kernel[(-(-size // block),)](size, x.shape[0], chunk, *tensors, BLOCK=block, enable_fp_fusion=False)  # type: ignore[index]


def _flat(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [t.detach().contiguous() for t in tensors]


def scan(
    definition: Definition,
    chunk: int,
    inputs: Sequence[Tensor],
    constants: Sequence[Tensor],
    states: Sequence[Tensor],
    *,
    block: int = BLOCK,
) -> list[Tensor]:
    """Outputs, end states and checkpoints; shapes as in `snnkit.kernels.neurons.operator.scan_op`."""
    x = inputs[0]
    kept = -(-x.shape[0] // chunk)
    outputs = [x.new_empty(x.shape) for _ in range(definition.outputs)]
    ends = [x.new_empty(x.shape[1:]) for _ in states]
    checkpoints = [x.new_empty((kept, *x.shape[1:])) for _ in states]
    kernel = _forward_kernel(definition, _precision(x))
    given = (*_flat(inputs), *_flat(constants), *_flat(states))
    _launch(kernel, x, chunk, block, *given, *outputs, *ends, *checkpoints)
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
    block: int = BLOCK,
) -> list[Tensor]:
    """Gradients of the states, then of what is wanted; shapes as in `snnkit.kernels.neurons.operator.adjoint_op`."""
    x, names = inputs[0], tuple(wanted.split())
    found = [x.new_empty(x.shape if name.startswith("port_") else x.shape[1:]) for name in names]
    begins = [x.new_empty(x.shape[1:]) for _ in kept]
    history = [x.new_empty((min(chunk, x.shape[0]), *x.shape[1:])) for _ in kept]
    # A number given to a kernel arrives as float32, whatever it was; an element of a tensor does not.
    numbers = torch.tensor(list(hyper) or [0.0], dtype=x.dtype, device=x.device)
    given = (*_flat(inputs), *_flat(constants), *_flat(kept), *_flat(output_bars), *_flat(state_bars))
    kernel = _adjoint_kernel(definition, _precision(x), names)
    _launch(kernel, x, chunk, block, numbers, *given, *found, *begins, *history)
    return [*begins, *found]
