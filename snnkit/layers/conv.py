"""Convolutional synapses and pooling over space, step by step in time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.kernels.conv import event_conv2d
from snnkit.layers.base import Stateless, expected
from snnkit.layers.initial import check_sizes, init_synapses

Pair = int | tuple[int, int]

# Density of events up to which the event-driven convolution, forward and weight gradient together, beats making the events
# dense and torch's. benchmarks/conv.py measures where they meet: beyond 5 % for 2 channels of 34 x 34 pixels and above and a
# stride of 1, near 2 % with a stride of 2.
CROSSOVER = 0.03


class Conv2d(Stateless, nn.Conv2d):
    """Convolutional synapses, applied to every time step: `torch.nn.Conv2d` over `T B C H W`.

    Takes a dense sequence or an `EventTensor`. Events of low density on the CPU run event-driven, with work in proportion to
    the events, and are never made dense; events get no gradient, dense input does. Weights start uniform with variance
    1/fan_in, as in `Linear`, bias 0.

    Args:
        c_in, c_out: input and output channels.
        kernel_size, stride, padding, dilation, groups: as in torch; borders are padded with zeros.
        bias: add a learnable constant to every output channel in every step.
        generator: random numbers for the weights; default torch's own.

    Shapes: `T B c_in H W` to `T B c_out H' W'`. `weight` is `c_out c_in/groups kh kw` as in torch.

    >>> Conv2d(2, 8, 3, padding=1)(torch.zeros(5, 1, 2, 34, 34)).shape
    torch.Size([5, 1, 8, 34, 34])
    """

    takes_events = True

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
        if isinstance(self.padding, str):
            return
        for axis in (0, 1):
            reach = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
            if reach > shape[3 + axis] + 2 * self.padding[axis]:
                raise UserError(
                    f"{self.label()}: a kernel of {reach} does not fit into {shape[3 + axis]} {('rows', 'columns')[axis]} "
                    f"with padding {self.padding[axis]}; give more padding or a smaller kernel"
                )

    def rows(self, x: Tensor) -> Tensor:
        return nn.Conv2d.forward(self, x)

    def events(self, x: EventTensor) -> Tensor:
        simple = self.groups == 1 and self.dilation == (1, 1)
        if isinstance(self.padding, str) or not (simple and self.sparse_enough(x, CROSSOVER)):
            return self._fold(x.dense(self.weight.dtype))
        height, width = x.shape[3:]
        y = event_conv2d(
            x.rowptr,
            x.indices,
            x.values,
            self.weight,
            self.bias,
            size=(height, width),
            stride=(self.stride[0], self.stride[1]),
            padding=(self.padding[0], self.padding[1]),
        )
        return y.view(*x.shape[:2], *y.shape[1:])

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
