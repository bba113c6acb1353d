"""Event-driven convolutions over space: work in proportion to the events, forward and for the gradient of the weights.

    y[r, :, i, j] = bias + Σₖ values[k] · W[:, c, a, b]       over the events k of row r at (c, h, w) and all taps (a, b)
    dW[:, c, a, b] = Σₖ values[k] · g[r, :, i, j]             with h + pad = stride · i + a,  w + pad = stride · j + b

An event at column w reaches output columns j whose taps b = w + pad - stride · j share one remainder by the stride. With
the taps of a remainder stored side by side, last tap first, and channels innermost, all that an event adds to one output
row is one run of numbers. Every sum has one owner and a fixed order, so threads never change a bit of the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnkit.kernels import lease
from snnkit.kernels.sparse import jit, run_pieces

Pair = tuple[int, int]


@jit
def _reach(at, pad, stride, taps, out):
    """Outputs that an input at `at` reaches: the first, how many, and the place of the first among its taps."""
    last = min((at + pad) // stride, out - 1)
    first = max(0, -((taps - 1 - at - pad) // stride))  # the smallest with at + pad - stride * it < taps
    phase = (at + pad) % stride
    most = (taps - 1 - phase) // stride  # the highest tap of this remainder is phase + stride * most
    tap = at + pad - stride * first
    return first, last - first + 1, most - (tap - phase) // stride


@jit
def _add_run(a, values, k, y):
    """y += values[k] * a, or a where `values` is None."""
    if values is None:
        for o in range(len(a)):
            y[o] += a[o]
    else:
        v = values[k]
        for o in range(len(a)):
            y[o] += v * a[o]


@jit
def _forward(pointers, places, values, w, bias, kernel, size, out_size, pad, stride, first, last, out):
    """out[r] of the rows first to last; w: in x kh x stride x runs x C, flat from the third axis on; out: R x C x P."""
    channels = out.shape[1]
    height, width = size
    tile = np.empty(out_size[0] * out_size[1] * channels, out.dtype)
    for r in range(first, last):
        tile[:] = 0
        for k in range(pointers[r], pointers[r + 1]):
            cell = places[k]
            c, rest = cell // (height * width), cell % (height * width)
            y, x = rest // width, rest % width
            j, m, start = _reach(x, pad[1], stride[1], kernel[1], out_size[1])
            i, n, _ = _reach(y, pad[0], stride[0], kernel[0], out_size[0])
            if m <= 0:
                continue
            phase = (x + pad[1]) % stride[1]
            for up in range(n):
                a = y + pad[0] - stride[0] * (i + up)
                part = w[c, a, phase].reshape(-1)[start * channels : (start + m) * channels]
                low = ((i + up) * out_size[1] + j) * channels
                _add_run(part, values, k, tile[low : low + m * channels])
        y_row = out[r]
        for o in range(channels):
            add = bias[o] if len(bias) else out.dtype.type(0)
            for p in range(out.shape[2]):
                y_row[o, p] = tile[p * channels + o] + add


@jit
def _channels_last(x, first, last, out):
    """out[r, p, c] = x[r, c, p], a few places at a time, so that lines of memory are read and written whole."""
    for r in range(first, last):
        for low in range(0, x.shape[2], 16):
            high = min(low + 16, x.shape[2])
            for c in range(x.shape[1]):
                for p in range(low, high):
                    out[r, p, c] = x[r, c, p]


@jit
def _weight(pointers, places, values, grad, kernel, size, out_size, pad, stride, first, last, dw):
    """dw of the units first to last, a unit being an input channel and a row of taps; grad: R x P x C; dw as w above."""
    channels = grad.shape[2]
    height, width = size
    kh, kw = kernel
    flat = grad.reshape(grad.shape[0], -1)
    dw.reshape(dw.shape[0] * kh, -1)[first:last] = 0
    lowest, highest = first // kh * height * width, ((last - 1) // kh + 1) * height * width
    for r in range(len(pointers) - 1):
        g = flat[r]
        a, b = pointers[r], pointers[r + 1]
        k = a + np.searchsorted(places[a:b], lowest)
        while k < b and places[k] < highest:
            cell = places[k]
            c, rest = cell // (height * width), cell % (height * width)
            y, x = rest // width, rest % width
            j, m, start = _reach(x, pad[1], stride[1], kw, out_size[1])
            i, n, _ = _reach(y, pad[0], stride[0], kh, out_size[0])
            if m > 0:
                phase = (x + pad[1]) % stride[1]
                for up in range(n):
                    tap = y + pad[0] - stride[0] * (i + up)
                    if first <= c * kh + tap < last:
                        part = dw[c, tap, phase].reshape(-1)[start * channels : (start + m) * channels]
                        low = ((i + up) * out_size[1] + j) * channels
                        _add_run(g[low : low + m * channels], values, k, part)
            k += 1


class Shape:
    """Sizes of a convolution: of the input, the kernel and the output."""

    def __init__(self, size: Pair, kernel: Pair, stride: Pair, pad: Pair):
        self.size, self.kernel, self.stride, self.pad = size, kernel, stride, pad
        self.out: Pair = (
            (size[0] + 2 * pad[0] - kernel[0]) // stride[0] + 1,
            (size[1] + 2 * pad[1] - kernel[1]) // stride[1] + 1,
        )

    def packed(self, weight: Tensor) -> Tensor:
        """`out in kh kw` as in x kh x stride x runs x out, the taps of a remainder side by side, last first."""
        out, channels, kh, kw = weight.shape
        s = self.stride[1]
        runs = -(-kw // s)
        table = lease.empty((channels, kh, s, runs, out), weight.dtype)
        for phase in range(s):
            taps = range(phase, kw, s)[::-1]
            for place, tap in enumerate(taps):
                table[:, :, phase, place].copy_(weight.detach()[..., tap].permute(1, 2, 0))
            table[:, :, phase, len(taps) :].zero_()
        return table

    def unpacked(self, table: Tensor) -> Tensor:
        """The inverse of `packed`."""
        channels, kh, s, _, out = table.shape
        weight = lease.empty((out, channels, kh, self.kernel[1]), table.dtype)
        for phase in range(s):
            for place, tap in enumerate(range(phase, self.kernel[1], s)[::-1]):
                weight[..., tap].copy_(table[:, :, phase, place].permute(2, 0, 1))
        return weight


def _numpy(values: Tensor | None) -> np.ndarray | None:
    return None if values is None else values.numpy()


def gather_conv(
    rowptr: Tensor, places: Tensor, values: Tensor | None, weight: Tensor, bias: Tensor | None, shape: Shape
) -> Tensor:
    """The convolution of rows of events, `R out H' W'`, without gradients."""
    rows, n = len(rowptr) - 1, len(weight)
    out = lease.empty((rows, n, shape.out[0] * shape.out[1]), weight.dtype)
    offset = weight.new_empty(0) if bias is None else bias.detach().contiguous()
    p, i, v, w, b, y = (
        rowptr.numpy(),
        places.numpy(),
        _numpy(values),
        shape.packed(weight).numpy(),
        offset.numpy(),
        out.numpy(),
    )
    kernel, size, small, pad, stride = shape.kernel, shape.size, shape.out, shape.pad, shape.stride
    # an event adds to about kh·kw/stride² places, and every place is written once
    cost = p + np.arange(rows + 1) * (shape.out[0] * shape.out[1] // 8)
    run_pieces(
        cost, n, lambda first, last: _forward(p, i, v, w, b, kernel, size, small, pad, stride, first, last, y)
    )
    return out.view(rows, n, *shape.out)


def scatter_conv(
    rowptr: Tensor, places: Tensor, values: Tensor | None, grad: Tensor, channels: int, shape: Shape
) -> Tensor:
    """The gradient of the weights of `gather_conv`; grad: `R out H' W'`."""
    (kh, kw), s, n = shape.kernel, shape.stride[1], grad.shape[1]
    rows, places_out = len(grad), shape.out[0] * shape.out[1]
    g = lease.empty((rows, places_out, n), grad.dtype).numpy()
    flat = grad.detach().contiguous().view(rows, n, places_out).numpy()
    run_pieces(np.arange(rows + 1) * places_out, n, lambda a, b: _channels_last(flat, a, b, g))
    summed = lease.empty((channels, kh, s, -(-kw // s), n), grad.dtype)
    p, i, v, dw = rowptr.numpy(), places.numpy(), _numpy(values), summed.numpy()
    size, small, pad, stride = shape.size, shape.out, shape.pad, shape.stride
    cost = np.arange(channels * kh + 1) * max(1, len(i) // (channels * kh))
    run_pieces(cost, n, lambda a, b: _weight(p, i, v, g, (kh, kw), size, small, pad, stride, a, b, dw))
    return shape.unpacked(summed)


# -- operators: what torch sees ---------------------------------------------------------------------------------------


@torch.library.custom_op("snnkit::event_conv", mutates_args=(), device_types="cpu")
def _event_conv(
    rowptr: Tensor,
    places: Tensor,
    values: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    size: list[int],
    stride: list[int],
    pad: list[int],
) -> Tensor:
    return gather_conv(rowptr, places, values, weight, bias, _shape(size, weight.shape[2:], stride, pad))


@_event_conv.register_fake
def _(rowptr, places, values, weight, bias, size, stride, pad):
    out = _shape(size, weight.shape[2:], stride, pad).out
    return weight.new_empty(rowptr.shape[0] - 1, weight.shape[0], *out)


@torch.library.custom_op("snnkit::event_conv_weight", mutates_args=(), device_types="cpu")
def _event_conv_weight(
    rowptr: Tensor,
    places: Tensor,
    values: Tensor | None,
    grad: Tensor,
    weight: list[int],
    size: list[int],
    stride: list[int],
    pad: list[int],
) -> Tensor:
    return scatter_conv(rowptr, places, values, grad, weight[1], _shape(size, weight[2:], stride, pad))


@_event_conv_weight.register_fake
def _(rowptr, places, values, grad, weight, size, stride, pad):
    return grad.new_empty(weight)


def _shape(size: Any, kernel: Any, stride: Any, pad: Any) -> Shape:
    pairs = [(int(a), int(b)) for a, b in (size, kernel, stride, pad)]
    return Shape(*pairs)


class _EventConv(torch.autograd.Function):
    @staticmethod
    def forward(rowptr, places, values, weight, bias, size, stride, pad):
        return _event_conv(rowptr, places, values, weight, bias, size, stride, pad)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        rowptr, places, values, weight, _, *ctx.sizes = inputs
        ctx.save_for_backward(rowptr, places, values)
        ctx.weight = list(weight.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        dw = db = None
        if ctx.needs_input_grad[3]:
            dw = _EventConvWeight.apply(*ctx.saved_tensors, grad, ctx.weight, *ctx.sizes)
        if ctx.needs_input_grad[4]:
            db = grad.sum((0, 2, 3))
        return None, None, None, dw, db, None, None, None


class _EventConvWeight(torch.autograd.Function):
    @staticmethod
    def forward(rowptr, places, values, grad, weight, size, stride, pad):
        return _event_conv_weight(rowptr, places, values, grad, weight, size, stride, pad)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.sizes = inputs[5:]

    @staticmethod
    def backward(ctx: Any, grad_weight: Tensor) -> tuple:
        grad = _EventConv.apply(*ctx.saved_tensors, grad_weight, None, *ctx.sizes)
        return None, None, None, grad, None, None, None, None


def event_conv2d(
    rowptr: Tensor,
    places: Tensor,
    values: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    *,
    size: Pair,
    stride: Pair,
    padding: Pair,
) -> Tensor:
    """Rows of events times a convolution: `torch.nn.functional.conv2d` of the dense rows without their zeros.

    Args:
        rowptr, places, values: events as in `EventTensor`, R rows of flat places in `in H W`; they get no gradient.
        weight: `out in kh kw`, float32 or float64, on the CPU.
        bias: `out` or None.
        size: (H, W) of the input.
        stride, padding: as in torch; borders are padded with zeros.

    Returns:
        `R out H' W'`, with gradients for weight and bias.
    """
    return _EventConv.apply(rowptr, places, values, weight, bias, list(size), list(stride), list(padding))
