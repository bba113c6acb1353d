"""One constant per neuron: `expand` whose backward sums in an order that no number of threads changes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def tree_sum(x: Tensor, dim: int) -> Tensor:
    """Sum over an axis by halving it: the same bits for any number of threads, unlike `torch.sum` to a scalar."""
    size = x.shape[dim]
    while size > 1:
        half = size // 2
        pairs = x.narrow(dim, 0, half) + x.narrow(dim, half, half)
        x = torch.cat([pairs, x.narrow(dim, 2 * half, 1)], dim) if size % 2 else pairs
        size = x.shape[dim]
    return x.sum(dim)  # of one or no element: drops the axis


class _Spread(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(constant: Tensor, shape: tuple[int, ...]) -> Tensor:
        return constant.expand(shape).clone(memory_format=torch.contiguous_format)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.before = inputs[0].shape

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        before = ctx.before
        while grad.dim() > len(before):
            grad = tree_sum(grad, 0)
        for axis, size in enumerate(before):
            if size == 1 and grad.shape[axis] != 1:
                grad = tree_sum(grad, axis).unsqueeze(axis)
        return grad, None


def spread(constant: Tensor, shape: tuple[int, ...] | torch.Size) -> Tensor:
    """`constant` expanded to `shape`, `[B, *N]`, one value per neuron and sample."""
    if not constant.requires_grad and constant.dim() == 0:
        return constant.expand(shape).contiguous()
    return _Spread.apply(constant, tuple(shape))
