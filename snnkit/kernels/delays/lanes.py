"""Products with two taps per synapse on dense input, at the cost of two dense products and independent of density.

    y[t, b, o] = Σ_i a[i, o] · x[t - k[i, o], b, i] + c[i, o] · x[t - k[i, o] - 1, b, i]

Some samples lie side by side as lanes: a channel's course is then one row of memory, (time, lane), a delay of k steps is an
offset of k lines of the cache, and the sum over channels is a sum of shifted rows that stay in the first two levels of
the cache. The gradient of x is the same product with time reversed and the weights transposed; those of a and c are the
scalar products of shifted rows. The input may be anything; the result is causal to the bit, unlike one by Fourier transform.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import torch
from torch import Tensor

from snnkit.kernels import lease
from snnkit.kernels.sparse import run_pieces

# Multiply-adds may fuse, and in scalar products the order of the sum is the compiler's: fixed, but not that of the text.
_sum = nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
_dot = nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})

LINE = 64  # bytes in a line of the cache, which one step of all lanes fills
TIME = 128  # steps side by side
CHANNELS = 64  # channels whose courses stay in the second-level cache


@_sum
def _pack(x, b, lanes, low, count, first, steps, reverse, space):
    """space[i, r * lanes + l] = x[first + r, b + l, low + i], zero outside of time; reversed: x[T - 1 - (first + r), ..]."""
    T = len(x)
    for r in range(steps):
        t = first + r
        if 0 <= t < T:
            rows = x[T - 1 - t] if reverse else x[t]
            for l in range(lanes):
                row, at = rows[b + l], r * lanes + l
                for i in range(count):
                    space[i, at] = row[low + i]
        else:
            for i in range(count):
                for l in range(lanes):
                    space[i, r * lanes + l] = 0


@_sum
def _add_four(y, x, i, o, lanes, back, k, a, c):
    p0 = x[i, (back - k[i, o]) * lanes :]
    p1 = x[i + 1, (back - k[i + 1, o]) * lanes :]
    p2 = x[i + 2, (back - k[i + 2, o]) * lanes :]
    p3 = x[i + 3, (back - k[i + 3, o]) * lanes :]
    q0, q1, q2, q3 = p0[lanes:], p1[lanes:], p2[lanes:], p3[lanes:]
    a0, a1, a2, a3 = a[i, o], a[i + 1, o], a[i + 2, o], a[i + 3, o]
    c0, c1, c2, c3 = c[i, o], c[i + 1, o], c[i + 2, o], c[i + 3, o]
    for j in range(len(y)):
        y[j] += ((c0 * p0[j] + a0 * q0[j]) + (c1 * p1[j] + a1 * q1[j])) + (
            (c2 * p2[j] + a2 * q2[j]) + (c3 * p3[j] + a3 * q3[j])
        )


@_sum
def _add_one(y, x, i, o, lanes, back, k, a, c):
    p = x[i, (back - k[i, o]) * lanes :]
    q = p[lanes:]
    a0, c0 = a[i, o], c[i, o]
    for j in range(len(y)):
        y[j] += c0 * p[j] + a0 * q[j]


@_sum
def _product(x, k, a, c, start, window, reverse, first, last, lanes, space, sums, out):
    """Tiles first..last of `lanes` samples and all time; `out` has as many steps as time counted from its other end."""
    samples, outputs, total = x.shape[1], out.shape[2], out.shape[0]
    for tile in range(first, last):
        b = tile * lanes
        n = min(lanes, samples - b)
        for t in range(0, total, TIME):
            steps = min(TIME, total - t)
            size = steps * n
            for r in range(steps):
                for l in range(n):
                    for o in range(outputs):
                        sums[o, r * n + l] = start[t + r, b + l, o] if t + r < len(start) else 0
            for low in range(0, x.shape[2], CHANNELS):
                count = min(CHANNELS, x.shape[2] - low)
                _pack(x, b, n, low, count, t - window, steps + window, reverse, space)
                kb, ab, cb = k[low : low + count], a[low : low + count], c[low : low + count]
                for o in range(outputs):
                    y = sums[o][:size]  # in one piece, as the compiler can tell
                    for i in range(0, count - 3, 4):
                        _add_four(y, space, i, o, n, window - 1, kb, ab, cb)
                    for i in range(count - count % 4, count):
                        _add_one(y, space, i, o, n, window - 1, kb, ab, cb)
            for r in range(steps):
                row = out[total - 1 - (t + r)] if reverse else out[t + r]
                for l in range(n):
                    for o in range(outputs):
                        row[b + l, o] = sums[o, r * n + l]


@_dot
def _dot_two(g, x, size, i, o, lanes, k, da, dc):
    p0, p1 = x[i][:size], x[i + 1][:size]
    u0, u1 = g[k[i, o] * lanes :], g[k[i + 1, o] * lanes :]
    v0, v1 = u0[lanes:], u1[lanes:]
    a0, a1, c0, c1 = da[i, o], da[i + 1, o], dc[i, o], dc[i + 1, o]
    for j in range(len(p0)):
        a0 += p0[j] * u0[j]
        a1 += p1[j] * u1[j]
        c0 += p0[j] * v0[j]
        c1 += p1[j] * v1[j]
    da[i, o], da[i + 1, o], dc[i, o], dc[i + 1, o] = a0, a1, c0, c1


@_dot
def _dot_one(g, x, size, i, o, lanes, k, da, dc):
    p = x[i][:size]
    u = g[k[i, o] * lanes :]
    v = u[lanes:]
    a, c = da[i, o], dc[i, o]
    for j in range(len(p)):
        a += p[j] * u[j]
        c += p[j] * v[j]
    da[i, o], dc[i, o] = a, c


@_dot
def _correlate(x, grad, k, window, first, last, lanes, space, gs, da, dc):
    """da[i, o] = Σ x[t, b, i] · g[t + k], dc likewise at t + k + 1, for the channels first..last."""
    samples, outputs, total = x.shape[1], grad.shape[2], x.shape[0]
    da[first:last] = 0
    dc[first:last] = 0
    for b in range(0, samples, lanes):
        n = min(lanes, samples - b)
        for t in range(0, total, TIME):
            steps = min(TIME, total - t)
            _pack(grad, b, n, 0, outputs, t, steps + window, False, gs)
            for low in range(first, last, CHANNELS):
                count = min(CHANNELS, last - low)
                _pack(x, b, n, low, count, t, steps, False, space)
                kb, db, dd = k[low : low + count], da[low : low + count], dc[low : low + count]
                for o in range(outputs):
                    for i in range(0, count - 1, 2):
                        _dot_two(gs[o], space, steps * n, i, o, n, kb, db, dd)
                    if count % 2:
                        _dot_one(gs[o], space, steps * n, count - 1, o, n, kb, db, dd)


# -- on tensors -------------------------------------------------------------------------------------------------------


def _space(rows: int, columns: int, dtype: np.dtype) -> np.ndarray:
    """An array whose rows begin at lines of the cache, for every full step fills one."""
    per_line = LINE // dtype.itemsize
    columns = -(-columns // per_line) * per_line
    raw = np.empty(rows * columns + per_line, dtype)
    skip = (-raw.ctypes.data % LINE) // dtype.itemsize
    return raw[skip : skip + rows * columns].reshape(rows, columns)


def _run(
    x: Tensor, k: Tensor, a: Tensor, c: Tensor, window: int, steps: int, start: Tensor | None, reverse: bool
) -> Tensor:
    samples, outputs = x.shape[1], k.shape[1]
    out = lease.empty((steps, samples, outputs), x.dtype)
    if not out.numel():
        return out
    arrays = [u.detach().contiguous().numpy() for u in (x, k, a, c)]
    begin = x.new_zeros(0, samples, outputs) if start is None else start.detach().contiguous()
    y, s = out.numpy(), begin.numpy()
    lanes = min(samples, LINE // y.itemsize)
    width = min(TIME, steps) * lanes

    def work(first: int, last: int) -> None:
        space = _space(CHANNELS, width + window * lanes, y.dtype)
        sums = _space(outputs, width, y.dtype)
        _product(*arrays, s, window, reverse, first, last, lanes, space, sums, y)

    cost = x.shape[2] * steps * lanes // 8
    run_pieces(np.arange(-(-samples // lanes) + 1) * cost, outputs, work)
    return out


def product(
    x: Tensor, k: Tensor, a: Tensor, c: Tensor, window: int, rows: int, start: Tensor | None
) -> Tensor:
    """Rows 0 .. rows - 1 of the product, `rows batch out`; x: `T batch in`; k (int64), a, c: `in out`, 0 <= k <= W - 2."""
    return _run(x, k, a, c, window, rows, start, False)


def product_input(grad: Tensor, k: Tensor, a: Tensor, c: Tensor, window: int, steps: int) -> Tensor:
    """Gradient of x, `steps batch in`, from that of the rows."""
    whole = _run(grad, k.t(), a.t(), c.t(), window, len(grad), None, True)
    return whole[:steps]


def product_taps(x: Tensor, grad: Tensor, k: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Gradients of a and c, `in out`, from that of the rows."""
    xs, g = x.detach().contiguous().numpy(), grad.detach().contiguous().numpy()
    da, dc = np.zeros(k.shape, xs.dtype), np.zeros(k.shape, xs.dtype)
    channels, outputs = k.shape
    if x.numel() and grad.numel():
        lanes, delays = min(x.shape[1], LINE // xs.itemsize), k.contiguous().numpy()
        width = min(TIME, len(xs)) * lanes

        def work(first: int, last: int) -> None:
            space = _space(CHANNELS, width, xs.dtype)
            gs = _space(outputs, width + window * lanes, xs.dtype)
            _correlate(xs, g, delays, window, first, last, lanes, space, gs, da, dc)

        cost = x.shape[0] * x.shape[1] // 8 + 1
        run_pieces(np.arange(channels + 1) * cost, outputs, work)
    return torch.from_numpy(da), torch.from_numpy(dc)
