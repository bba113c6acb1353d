"""Convolutional synapses and pooling over space, step by step in time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.layers.base import Stateless, expected
from snnkit.layers.initial import check_sizes, init_synapses

Pair = int | tuple[int, int]


class Conv2d(Stateless, nn.Conv2d):
    """Convolutional synapses, applied to every time step: `torch.nn.Conv2d` over `T B C H W`.

    Takes a dense sequence or an `EventTensor` (made dense inside: benchmarks/README.md has the figures). Weights start uniform with variance 1/fan_in, as in
    `Linear`, bias 0.

    Args:
        c_in, c_out: input and output channels.
        kernel_size, stride, padding, dilation, groups: as in torch; borders are padded with zeros.
        bias: add a learnable constant to every output channel in every step.
        generator: random numbers for the weights; default torch's own.

    Shapes: `T B c_in H W` to `T B c_out H' W'`. `weight` is `c_out c_in/groups kh kw` as in torch.

    >>> Conv2d(2, 8, 3, padding=1)(torch.zeros(5, 1, 2, 34, 34)).shape
    torch.Size([5, 1, 8, 34, 34])
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        bias: bool = False,
        *,
        dilation: Pair = 1,
        groups: int = 1,
        generator: torch.Generator | None = None,
    ):
        check_sizes("Conv2d", c_in=c_in, c_out=c_out, groups=groups)
        self.__dict__["_draw_from"] = generator  # for reset_parameters, which torch calls without arguments
        super().__init__(c_in, c_out, kernel_size, stride, padding, dilation, groups, bias)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the weights anew (torch calls this once from its constructor)."""
        generator = self.__dict__.pop("_draw_from", generator)
        init_synapses(self.weight, self.bias, generator)

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 5 or shape[2] != self.in_channels:
            raise expected(
                self.label(),
                f"T B {self.in_channels} H W",
                shape,
                lambda s: len(s) == 3 and s[0] == self.in_channels,
            )

    def rows(self, x: Tensor) -> Tensor:
        return nn.Conv2d.forward(self, x)

    def label(self) -> str:
        return f"Conv2d({self.in_channels}, {self.out_channels})"


class _Pool(Stateless):
    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0):
        super().__init__()
        self.kernel_size = _pair(kernel_size)
        self.stride = self.kernel_size if stride is None else _pair(stride)
        self.padding = _pair(padding)
        if min(self.kernel_size) < 1 or min(self.stride) < 1 or min(self.padding) < 0:
            raise UserError(f"{self.label()}: kernel_size and stride are at least 1, padding at least 0")

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 5:
            raise expected(self.label(), "T B C H W", shape, lambda s: len(s) == 3)

    def extra_repr(self) -> str:
        pad = f", padding={self.padding}" if any(self.padding) else ""
        return f"{self.kernel_size}, stride={self.stride}{pad}"


class AvgPool2d(_Pool):
    """Mean over windows of space, in every time step; padding counts as zeros.

    Args:
        kernel_size, stride, padding: as in torch; the stride is the kernel size by default.

    Shapes: `T B C H W` to `T B C H' W'`.
    """

    def rows(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class SumPool2d(_Pool):
    """Sum over windows of space, in every time step: spikes stay whole numbers, as chips pool them.

    Args:
        kernel_size, stride, padding: as in torch; the stride is the kernel size by default.

    Shapes: `T B C H W` to `T B C H' W'`.
    """

    def rows(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x, self.kernel_size, self.stride, self.padding, divisor_override=1)


def _pair(x: Pair) -> tuple[int, int]:
    pair = (x, x) if isinstance(x, int) else tuple(x)
    if len(pair) != 2 or not all(isinstance(n, int) for n in pair):
        raise TypeError(f"expected a whole number or a pair of them, got {x!r}")
    return pair
