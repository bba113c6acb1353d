"""Event-driven products with delays: every event adds to the rows in which its synapses deliver it.

    y[t + k[i, o], b, o] += v · a[i, o]        y[t + k[i, o] + 1, b, o] += v · c[i, o]       two taps
    y[t + n, b, o] += v · K[n, i, o]           n = 0 .. W - 1                                a window of taps

for each event of value v in channel i of sample b at time t; the gradients of a, c and K are the same loops read as sums
over events. Work is proportional to the number of events, and every sum has one owner and a fixed order, so the number of
threads changes no bit. As the order is that of time, a sequence cut in two gives the bits of the whole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from snnkit.kernels import lease
from snnkit.kernels.sparse import jit, run_pieces

WIDTH = 128  # outputs in a block: its rows under one event stay in the first-level cache


class Rows(NamedTuple):
    """Events by rows t * batch + b, as in `EventTensor`; values None says that all are 1."""

    rowptr: Tensor
    indices: Tensor
    values: Tensor | None
    batch: int

    @property
    def steps(self) -> int:
        return (len(self.rowptr) - 1) // max(1, self.batch)


@jit
def _begin(start, b, low, n, space):
    """Zeros, and what is under way at the start."""
    space[:] = 0
    for t in range(len(start)):
        row, at = start[t, b], t * n
        for o in range(n):
            space[at + o] = row[low + o]


@jit
def _finish(space, b, low, n, out):
    for t in range(len(out)):
        row, at = out[t, b], t * n
        for o in range(n):
            row[low + o] = space[at + o]


@jit
def _scatter_taps(rowptr, indices, values, a, c, at, start, first, last, space, out):
    """a, c, at: blocks x channels x C, at[.., i, o] = k * C + o; `c` None for one tap; space: (T + W) * C."""
    samples, one = out.shape[1], out.dtype.type(1)  # times one: the compiler leaves it out
    steps = (len(rowptr) - 1) // samples
    for block in range(a.shape[0]):
        width, low = a.shape[2], block * a.shape[2]
        n = min(width, out.shape[2] - low)
        for b in range(first, last):
            _begin(start, b, low, n, space)
            for t in range(steps):
                base = space[t * n :]
                for k in range(rowptr[t * samples + b], rowptr[t * samples + b + 1]):
                    i = indices[k]
                    p, where = a[block, i], at[block, i]
                    v = one if values is None else values[k]
                    if c is None:
                        for o in range(n):
                            base[np.uint64(where[o])] += v * p[o]
                    else:
                        r = c[block, i]
                        for o in range(n):
                            q = np.uint64(where[o])
                            base[q] += v * p[o]
                            base[q + np.uint64(n)] += v * r[o]
            _finish(space, b, low, n, out)


@jit
def _gather_taps(rowptr, indices, values, grad, at, first, last, space, da, dc):
    """da[.., i, o] += v * grad[t + k], dc[.., i, o] += v * grad[t + k + 1] over all events, for blocks first..last."""
    samples, one = grad.shape[1], grad.dtype.type(1)
    steps = (len(rowptr) - 1) // samples
    for block in range(first, last):
        low = block * da.shape[2]
        n = min(da.shape[2], grad.shape[2] - low)
        da[block] = 0
        dc[block] = 0
        space[:] = 0
        for b in range(samples):
            for t in range(len(grad)):
                row = grad[t, b]
                for o in range(n):
                    space[t * n + o] = row[low + o]
            for t in range(steps):
                base = space[t * n :]
                for k in range(rowptr[t * samples + b], rowptr[t * samples + b + 1]):
                    i = indices[k]
                    p, r, where = da[block, i], dc[block, i], at[block, i]
                    v = one if values is None else values[k]
                    for o in range(n):
                        q = np.uint64(where[o])
                        p[o] += v * base[q]
                        r[o] += v * base[q + np.uint64(n)]


@jit
def _scatter_windows(rowptr, indices, values, kernel, start, first, last, space, out):
    """kernel: channels x (W * outputs), the taps of a channel one after another; space: (T + W) * outputs."""
    samples, n = out.shape[1], out.shape[2]
    steps, size = (len(rowptr) - 1) // samples, kernel.shape[1]
    for b in range(first, last):
        _begin(start, b, 0, n, space)
        for t in range(steps):
            base = space[t * n : t * n + size]
            for k in range(rowptr[t * samples + b], rowptr[t * samples + b + 1]):
                taps = kernel[indices[k]]
                if values is None:
                    for q in range(size):
                        base[q] += taps[q]
                else:
                    v = values[k]
                    for q in range(size):
                        base[q] += v * taps[q]
        _finish(space, b, 0, n, out)


@jit
def _gather_windows(rowptr, indices, values, grad, first, last, space, dk):
    """dk[i] += v * grad[t .. t + W) over the events of the channels first..last."""
    samples, n = grad.shape[1], grad.shape[2]
    steps, size = (len(rowptr) - 1) // samples, dk.shape[1]
    one = grad.dtype.type(1)
    dk[first:last] = 0
    space[:] = 0
    for b in range(samples):
        for t in range(len(grad)):
            space[t * n : (t + 1) * n] = grad[t, b]
        for t in range(steps):
            base = space[t * n : t * n + size]
            for k in range(rowptr[t * samples + b], rowptr[t * samples + b + 1]):
                i = indices[k]
                if first <= i < last:
                    taps = dk[i]
                    v = one if values is None else values[k]
                    for q in range(size):
                        taps[q] += v * base[q]


# -- on tensors -------------------------------------------------------------------------------------------------------


def _blocks(table: Tensor, width: int) -> np.ndarray:
    """`in out` as blocks of columns, blocks x in x width."""
    channels, n = table.shape
    blocks = -(-n // width)
    out = torch.zeros(blocks, channels, width, dtype=table.dtype)
    for b in range(blocks):
        part = table[:, b * width : (b + 1) * width]
        out[b, :, : part.shape[1]] = part
    return out.numpy()


def _unblocked(table: np.ndarray, n: int) -> Tensor:
    blocks, channels, width = table.shape
    return torch.from_numpy(table).permute(1, 0, 2).reshape(channels, blocks * width)[:, :n]


def _places(k: Tensor, width: int) -> np.ndarray:
    """Where in a block of rows of the scratch space the first tap of each synapse lies."""
    n = k.shape[1]
    column = torch.arange(n)
    of = torch.full((n,), width)
    of[(n // width) * width :] = n % width or width  # the last block is narrower
    return _blocks((k * of + column % width).int(), width)


def _arrays(events: Rows, dtype: torch.dtype) -> tuple:
    values = None if events.values is None else events.values.detach().to(dtype).numpy()
    return events.rowptr.numpy(), events.indices.numpy(), values


def _start(start: Tensor | None, like: Tensor, batch: int, n: int) -> np.ndarray:
    return (like.new_zeros(0, batch, n) if start is None else start.detach().contiguous()).numpy()


def _cost(events: Rows) -> np.ndarray:
    share = len(events.indices) // max(1, events.batch) + events.steps
    return np.arange(events.batch + 1) * share


def scatter_taps(
    events: Rows, a: Tensor, c: Tensor | None, k: Tensor, window: int, rows: int, start: Tensor | None
) -> Tensor:
    """Rows 0 .. rows - 1 of the product with two taps (or one), `rows batch out`; a, c, k: `in out`, 0 <= k <= W - 2."""
    n, width = a.shape[1], min(a.shape[1], WIDTH)
    out = lease.empty((rows, events.batch, n), a.dtype)
    if out.numel():
        p, i, v = _arrays(events, a.dtype)
        tables = _blocks(a, width), None if c is None else _blocks(c, width), _places(k, width)
        begin, y = _start(start, a, events.batch, n), out.numpy()
        size = (max(events.steps + window, rows, len(begin)) + 1) * width

        def work(first: int, last: int) -> None:
            _scatter_taps(p, i, v, *tables, begin, first, last, np.empty(size, y.dtype), y)

        run_pieces(_cost(events), n, work)
    return out


def gather_taps(events: Rows, grad: Tensor, k: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Gradients of a and c of `scatter_taps`, `in out`, from that of its rows."""
    channels, n = k.shape
    threads = torch.get_num_threads()
    width = min(WIDTH, max(16, -(-n // threads)), n)
    p, i, v = _arrays(events, grad.dtype)
    at, g = _places(k, width), grad.detach().contiguous().numpy()
    da, dc = (np.zeros((at.shape[0], channels, width), g.dtype) for _ in range(2))
    if grad.numel():
        size = (max(events.steps + window, len(g)) + 1) * width

        def work(first: int, last: int) -> None:
            _gather_taps(p, i, v, g, at, first, last, np.empty(size, g.dtype), da, dc)

        run_pieces(np.arange(at.shape[0] + 1) * max(1, len(i)), width, work)
    return _unblocked(da, n), _unblocked(dc, n)


def scatter_windows(events: Rows, kernel: Tensor, rows: int, start: Tensor | None) -> Tensor:
    """Rows 0 .. rows - 1 of the product with a window of taps; kernel: `W in out`."""
    window, channels, n = kernel.shape
    out = lease.empty((rows, events.batch, n), kernel.dtype)
    if out.numel():
        p, i, v = _arrays(events, kernel.dtype)
        table = kernel.permute(1, 0, 2).reshape(channels, -1).contiguous().numpy()
        begin, y = _start(start, kernel, events.batch, n), out.numpy()
        size = (max(events.steps + window, rows, len(begin)) + 1) * n

        def work(first: int, last: int) -> None:
            _scatter_windows(p, i, v, table, begin, first, last, np.empty(size, y.dtype), y)

        run_pieces(_cost(events), window * n, work)
    return out


def gather_windows(events: Rows, grad: Tensor, window: int, channels: int) -> Tensor:
    """Gradient of the kernel of `scatter_windows`, `W in out`, from that of its rows."""
    n = grad.shape[2]
    p, i, v = _arrays(events, grad.dtype)
    g = grad.detach().contiguous().numpy()
    dk = np.zeros((channels, window * n), g.dtype)
    if grad.numel():
        size = (max(events.steps + window, len(g)) + 1) * n

        def work(first: int, last: int) -> None:
            _gather_windows(p, i, v, g, first, last, np.empty(size, g.dtype), dk)

        share = len(i) // max(1, channels) + 1
        run_pieces(np.arange(channels + 1) * share, window * n, work)
    return torch.from_numpy(dk).view(channels, window, n).permute(1, 0, 2)
