"""Recordings to one batch of an event tensor: a counting sort by (step, recording) and a merge of equal cells, in one pass.

A recording is sorted in time, so the events of one step are neighbours in its columns. The kernel finds where each step
begins, then visits the rows (step, recording) in the order of the result and writes it from front to back: no keys are
made and nothing is compared. Within a row, cells are put in order by a bitmap of two levels with one count per cell, so
the work is linear in the events, whatever the sensor.
"""

import numba as nb
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

jit = nb.njit(cache=True, nogil=True, error_model="numpy")

DONE, BACKWARDS, NEGATIVE, OUTSIDE = 0, 1, 2, 3  # what `collate` found; the last three name an event


@intrinsic
def _lowest(typing, word):
    """Position of the lowest bit that is set in a uint64 that is not 0."""

    def emit(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return nb.uint64(nb.uint64), emit


@jit
def _cut(t, first, stop, edges, begins):
    """begins[k] = first event of step k; (state, event) of the first that cannot be placed."""
    k, last = 0, len(edges) - 1
    before = np.int64(0)
    for i in range(first, stop):
        now = t[i]
        if now < before:
            return (NEGATIVE, i) if now < 0 else (BACKWARDS, i)
        before = now
        while k <= last and now >= edges[k]:
            begins[k] = i
            k += 1
    begins[k:] = stop
    return DONE, first


@jit
def collate(t, x, y, p, starts, stops, edges, sensor, counts, low, high, rowptr, indices, values):
    """Fill rowptr, indices and values; returns (state, event, cells written, largest count).

    t, x, y, p: columns. starts, stops: of each recording, B. edges: first tick of every step, T + 1; edges[T] ends the
    batch. sensor: (P, H, W). counts: P·H·W zeros, and they are zero again afterwards if the state is DONE. low, high:
    bitmaps of zeros, ⌈P·H·W / 64⌉ and ⌈P·H·W / 4096⌉. rowptr: T·B + 1. indices, values: room for one cell per event.
    """
    T, B = len(edges) - 1, len(starts)
    P, H, W = sensor
    begins = np.empty((B, T + 1), dtype=np.int64)
    for b in range(B):
        state, event = _cut(t, starts[b], stops[b], edges, begins[b])
        if state != DONE:
            return state, event, 0, 0
    n, largest = 0, 0
    rowptr[0] = 0
    for k in range(T):
        for b in range(B):
            first_top, last_top = len(high), -1
            for i in range(begins[b, k], begins[b, k + 1]):
                cx, cy, cp = np.int64(x[i]), np.int64(y[i]), np.int64(p[i])
                if not (0 <= cx < W and 0 <= cy < H and 0 <= cp < P):
                    return OUTSIDE, i, 0, 0
                cell = (cp * H + cy) * W + cx
                counts[cell] += 1
                word, top = cell >> 6, cell >> 12
                low[word] |= np.uint64(1) << np.uint64(cell & 63)
                high[top] |= np.uint64(1) << np.uint64(word & 63)
                first_top, last_top = min(first_top, top), max(last_top, top)
            for top in range(first_top, last_top + 1):
                words = high[top]
                high[top] = 0
                while words:
                    word = (top << 6) + np.int64(_lowest(words))
                    words &= words - np.uint64(1)
                    bits = low[word]
                    low[word] = 0
                    while bits:
                        cell = (word << 6) + np.int64(_lowest(bits))
                        bits &= bits - np.uint64(1)
                        indices[n] = cell
                        values[n] = counts[cell]
                        largest = max(largest, counts[cell])
                        counts[cell] = 0
                        n += 1
            rowptr[k * B + b + 1] = n
    return DONE, 0, n, largest


@jit
def frames(t, x, y, p, starts, stops, edges, sensor, out):
    """Count events into out, (T, B, P·H·W), whatever was in it; returns (state, event). Other arguments as for `collate`.

    Each frame is zeroed just before its events come, while it is in the cache.
    """
    T, B = len(edges) - 1, len(starts)
    P, H, W = sensor
    begins = np.empty(T + 1, dtype=np.int64)
    for b in range(B):
        state, event = _cut(t, starts[b], stops[b], edges, begins)
        if state != DONE:
            return state, event
        for k in range(T):
            frame = out[k, b]
            frame[:] = 0
            for i in range(begins[k], begins[k + 1]):
                cx, cy, cp = np.int64(x[i]), np.int64(y[i]), np.int64(p[i])
                if not (0 <= cx < W and 0 <= cy < H and 0 <= cp < P):
                    return OUTSIDE, i
                frame[(cp * H + cy) * W + cx] += np.float32(1)
    return DONE, 0
