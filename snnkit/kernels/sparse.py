"""Event-driven products: a weight matrix times rows of events, and the gradient of its weights.

    y[r] = bias + Σₖ values[k] · W[:, indices[k]]      k from rowptr[r] to rowptr[r + 1]
    dW[:, i] = Σₖ values[k] · g[row of k]              over the events k with indices[k] = i

Work is proportional to the number of events. Every sum has one owner and a fixed order, so the number of threads never
changes a bit of the result.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numba as nb
import numpy as np
import torch
from torch import Tensor

from snnkit.kernels import lease

jit = nb.njit(cache=True, nogil=True, error_model="numpy")

_CHUNK = 1024  # rows of the gradient that are summed together; part of the order of summation
_CROWDED = 4  # mean number of events of a channel in a chunk from which turning them pays


@jit
def _add_rows(table, places, values, k, end, y):
    """y += sum of values[k] * table[places[k]]: four rows at a time, a quarter of the loads and stores of y.

    `values` may be None, all one; the compiler then leaves its branches out, which makes the rest twice as fast.
    """
    n = len(y)
    while k + 4 <= end:
        a, b, c, d = table[places[k]], table[places[k + 1]], table[places[k + 2]], table[places[k + 3]]
        if values is None:
            for j in range(n):
                y[j] += (a[j] + b[j]) + (c[j] + d[j])
        else:
            va, vb, vc, vd = values[k], values[k + 1], values[k + 2], values[k + 3]
            for j in range(n):
                y[j] += (va * a[j] + vb * b[j]) + (vc * c[j] + vd * d[j])
        k += 4
    while k < end:
        a = table[places[k]]
        if values is None:
            for j in range(n):
                y[j] += a[j]
        else:
            va = values[k]
            for j in range(n):
                y[j] += va * a[j]
        k += 1


@jit
def _gather(pointers, places, values, table, bias, first, last, out):
    """out[r] = bias + sum of values[k] * table[.., places[k]]; table: blocks of columns, blocks x P x C; out: R x N."""
    for block in range(table.shape[0]):  # a block of the table stays in the second-level cache for all rows
        part, low = table[block], block * table.shape[2]
        n = min(table.shape[2], out.shape[1] - low)
        for r in range(first, last):
            y = out[r, low : low + n]
            if len(bias):
                y[:] = bias[low : low + n]
            else:
                y[:] = 0
            _add_rows(part, places, values, pointers[r], pointers[r + 1], y)


@jit
def _scatter(rowptr, indices, values, grad, first, last, out):
    """out[.., indices[k]] += values[k] * grad[row of k]; out: blocks of columns, blocks x channels x C; grad: R x N."""
    for block in range(first, last):  # a block of the sums stays in the second-level cache for all events
        part, low = out[block], block * out.shape[2]
        n = min(out.shape[2], grad.shape[1] - low)
        part[:] = 0
        for r in range(len(rowptr) - 1):
            g = grad[r, low : low + n]
            for k in range(rowptr[r], rowptr[r + 1]):
                y = part[indices[k]]
                if values is None:
                    for j in range(n):
                        y[j] += g[j]
                else:
                    v = values[k]
                    for j in range(n):
                        y[j] += v * g[j]


@jit
def _turn(rowptr, indices, values, first, last, starts, rows, turned):
    """Events by channel within chunks of `_CHUNK` rows: those of chunk c and channel i are starts[c, i] to starts[c, i+1].

    `rows` counts from the first of the chunk. The rows of a channel stay in order.
    """
    channels = starts.shape[1] - 1
    cursor = np.empty(channels, np.int64)
    for c in range(first, last):
        top, bottom = c * _CHUNK, min((c + 1) * _CHUNK, len(rowptr) - 1)
        start = starts[c]
        start[:] = 0
        for k in range(rowptr[top], rowptr[bottom]):
            start[indices[k] + 1] += 1
        start[0] = rowptr[top]
        for i in range(channels):
            cursor[i] = start[i]
            start[i + 1] += start[i]
        for r in range(top, bottom):
            for k in range(rowptr[r], rowptr[r + 1]):
                place = cursor[indices[k]]
                cursor[indices[k]] = place + 1
                rows[place] = r - top
                if values is not None:
                    turned[place] = values[k]


@jit
def _collect(starts, rows, values, grad, first, last, out):
    """What `_scatter` computes, from turned events: the sums stay in registers while rows of the gradient are read."""
    width = out.shape[2]
    copy = np.empty(
        (_CHUNK, width), grad.dtype
    )  # of a chunk's part of the gradient: stays in the second-level cache
    for block in range(first, last):
        part, low = out[block], block * width
        n = min(width, grad.shape[1] - low)
        part[:] = 0
        for c in range(len(starts)):
            for r in range(c * _CHUNK, min((c + 1) * _CHUNK, len(grad))):
                copy[r - c * _CHUNK, :n] = grad[r, low : low + n]
            for i in range(part.shape[0]):
                _add_rows(copy, rows, values, starts[c, i], starts[c, i + 1], part[i, :n])


# -- threads --------------------------------------------------------------------------------------------------------

_WIDTH = 128  # columns in a block: 2048 channels of float32 in 1 MB, a core's share of the second-level cache
_pool: tuple[int, ThreadPoolExecutor] | None = None  # number of threads besides the caller's, and they
_SMALL = 200_000  # multiply-adds below which starting threads costs more than it saves


def _forget_pool() -> None:
    global _pool
    _pool = None  # a forked process (a data-loading worker) has none of its parent's threads


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_forget_pool)


def run_pieces(pointers: np.ndarray, width: int, work: Callable[[int, int], None]) -> None:
    """Call `work(first, last)` on pieces of the rows that cost about the same, one piece per thread."""
    global _pool
    rows, threads = len(pointers) - 1, torch.get_num_threads()
    if threads == 1 or (int(pointers[-1]) + rows) * width < _SMALL:
        work(0, rows)
        return
    if _pool is None or _pool[0] < threads - 1:
        _pool = (threads - 1, ThreadPoolExecutor(threads - 1, thread_name_prefix="snnkit"))
    cost = pointers + np.arange(rows + 1)  # an event costs about as much as writing a row
    cuts = np.searchsorted(cost, np.linspace(0, cost[-1], threads + 1)[1:-1])
    edges = [0, *cuts.tolist(), rows]
    others = [_pool[1].submit(work, a, b) for a, b in pairwise(edges[1:])]
    work(edges[0], edges[1])
    for other in others:
        other.result()


def _packed(weight: Tensor) -> Tensor:
    """`out in` as blocks of columns, blocks x in x C: the weights of one channel side by side."""
    n, channels = weight.shape
    width = min(n, _WIDTH)
    blocks = -(-n // width)
    table = lease.empty((blocks, channels, width), weight.dtype)
    for b in range(blocks):
        part = weight.detach()[b * width : (b + 1) * width]
        table[b, :, : len(part)].copy_(part.t())
    return table


def _unpacked(table: Tensor, n: int) -> Tensor:
    """Blocks of columns, blocks x in x C, as `out in`."""
    blocks, channels, width = table.shape
    out = lease.empty((n, channels), table.dtype)
    for b in range(blocks):
        part = out[b * width : (b + 1) * width]
        part.copy_(table[b, :, : len(part)].t())
    return out


def _values(values: Tensor | None) -> np.ndarray | None:
    return None if values is None else values.numpy()


# -- operators: what torch sees ---------------------------------------------------------------------------------------


def gather_rows(
    rowptr: Tensor, indices: Tensor, values: Tensor | None, weight: Tensor, bias: Tensor | None
) -> Tensor:
    """The product of `event_linear`, without gradients."""
    out = lease.empty((len(rowptr) - 1, len(weight)), weight.dtype)
    table = _packed(weight)
    offset = weight.new_empty(0) if bias is None else bias.detach().contiguous()
    v, p, i = _values(values), rowptr.numpy(), indices.numpy()
    w, bias_, y = table.numpy(), offset.numpy(), out.numpy()
    run_pieces(p, len(weight), lambda a, b: _gather(p, i, v, w, bias_, a, b, y))
    return out


_event_linear = torch.library.custom_op(
    "snnkit::event_linear", gather_rows, mutates_args=(), device_types="cpu"
)


@_event_linear.register_fake
def _(rowptr, indices, values, weight, bias):
    return weight.new_empty(len(rowptr) - 1, len(weight))


def scatter_rows(
    rowptr: Tensor, indices: Tensor, values: Tensor | None, grad: Tensor, channels: int
) -> Tensor:
    """The gradient of the weights of `event_linear`, without gradients of its own."""
    n, p, i = grad.shape[1], rowptr.numpy(), indices.numpy()
    g, v = grad.detach().contiguous().numpy(), _values(values)
    width = min(n, _WIDTH)
    blocks = -(-n // width)
    summed = lease.empty((blocks, channels, width), grad.dtype)
    dw = summed.numpy()
    cost = np.arange(blocks + 1) * max(1, len(i))  # a thread owns some of the outputs
    chunks = -(-(len(p) - 1) // _CHUNK)
    if len(i) < _CROWDED * channels * chunks:
        run_pieces(cost, width, lambda a, b: _scatter(p, i, v, g, a, b, dw))
    else:
        starts, rows = np.empty((chunks, channels + 1), np.int64), np.empty(len(i), np.int32)
        turned = None if v is None else np.empty_like(v)
        pieces = np.arange(chunks + 1) * (len(i) // chunks + channels)
        run_pieces(pieces, 8, lambda a, b: _turn(p, i, v, a, b, starts, rows, turned))
        run_pieces(cost, width, lambda a, b: _collect(starts, rows, turned, g, a, b, dw))
    return _unpacked(summed, n)


_event_linear_weight = torch.library.custom_op(
    "snnkit::event_linear_weight", scatter_rows, mutates_args=(), device_types="cpu"
)


@_event_linear_weight.register_fake
def _(rowptr, indices, values, grad, channels):
    return grad.new_empty(grad.shape[1], channels)


def _one_set_of_events(in_dims: Any) -> None:
    if any(d is not None for d in in_dims[:3]):
        raise NotImplementedError(
            "vmap runs over weights and gradients, not over events: stack events as a batch"
        )


@_event_linear.register_vmap
def _(info, in_dims, rowptr, indices, values, weight, bias):
    """Many weights on the same events are one tall weight."""
    _one_set_of_events(in_dims)
    V, (dw, db) = info.batch_size, in_dims[3:5]
    weight = weight.expand(V, *weight.shape) if dw is None else weight.movedim(dw, 0)  # V out in
    if bias is not None:
        bias = (bias.expand(V, *bias.shape) if db is None else bias.movedim(db, 0)).reshape(-1)
    y = _event_linear(rowptr, indices, values, weight.reshape(-1, weight.shape[2]), bias)
    return y.view(len(y), V, -1), 1


@_event_linear_weight.register_vmap
def _(info, in_dims, rowptr, indices, values, grad, channels):
    _one_set_of_events(in_dims)
    grad = grad.movedim(in_dims[3], 1)  # R V out
    dw = _event_linear_weight(rowptr, indices, values, grad.reshape(len(grad), -1), channels)
    return dw.view(info.batch_size, -1, channels), 0


# -- gradients: each is the other's adjoint, so derivatives of any order exist ----------------------------------------


class _EventLinear(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(rowptr, indices, values, weight, bias):
        return _event_linear(rowptr, indices, values, weight, bias)

    @staticmethod
    def setup_context(ctx, inputs, output):
        rowptr, indices, values, weight, _ = inputs
        ctx.save_for_backward(rowptr, indices, values)
        ctx.channels = weight.shape[1]

    @staticmethod
    def backward(ctx, grad):
        rowptr, indices, values = ctx.saved_tensors
        dw = db = None
        if ctx.needs_input_grad[3]:
            dw = _EventLinearWeight.apply(rowptr, indices, values, grad, ctx.channels)
        if ctx.needs_input_grad[4]:
            db = grad.sum(0)
        return None, None, None, dw, db


class _EventLinearWeight(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(rowptr, indices, values, grad, channels):
        return _event_linear_weight(rowptr, indices, values, grad, channels)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:3])

    @staticmethod
    def backward(ctx, grad_weight):
        rowptr, indices, values = ctx.saved_tensors
        return None, None, None, _EventLinear.apply(rowptr, indices, values, grad_weight, None), None


def event_linear(
    rowptr: Tensor, indices: Tensor, values: Tensor | None, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Rows of events times a weight: the dense `x @ weight.T + bias` without the zeros of x.

    Args:
        rowptr, indices, values: events as in `EventTensor`, R rows; they get no gradient.
        weight: `out in`, float32 or float64, on the CPU.
        bias: `out` or None.

    Returns:
        `R out`, with gradients for weight and bias.
    """
    return _EventLinear.apply(rowptr, indices, values, weight, bias)
