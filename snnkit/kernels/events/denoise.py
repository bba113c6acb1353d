"""Noise filters over recordings: one pass, causal, with a map of last times that has one entry per pixel.

Every kernel takes the columns t, x, y, p of recordings end to end, their `offsets`, the sensor (P, H, W) and durations in
ticks, and returns which events stay. An event at time t is recent until t + tau, which does not belong to it any more.
Columns must be on the sensor: nothing is checked here.
"""

import numba as nb
import numpy as np

jit = nb.njit(cache=True, nogil=True, error_model="numpy")

NEVER = np.iinfo(np.int64).min  # older than any time


@jit
def _forget(last, x, y, first, stop):
    """Make the map empty again: where these events were, or everywhere if that is less work."""
    if stop - first > last.size:
        last[:] = NEVER
        return
    for i in range(first, stop):
        last[y[i], x[i]] = NEVER


@jit
def _near(at, size):
    """First and one past the last of a coordinate's neighbours, itself included, on a side of this size."""
    return max(at - 1, 0), min(at + 2, size)


@jit
def _support(last, signs, x, y, sign, after, diagonal, own):
    """How many neighbours of a pixel had an event later than `after`; of this sign, if it is not negative."""
    H, W = last.shape
    found = 0
    for v in range(*_near(y, H)):
        for u in range(*_near(x, W)):
            steps = abs(u - x) + abs(v - y)
            if (steps == 0 and not own) or (steps == 2 and not diagonal):
                continue
            if last[v, u] > after and (sign < 0 or signs[v, u] == sign):
                found += 1
    return found


@jit
def correlation(t, x, y, p, offsets, sensor, tau, k, same_polarity, diagonal, own):
    """Events with at least k neighbours that had an event less than tau ago: the nearest-neighbour filter and STCF."""
    last = np.full((sensor[1], sensor[2]), NEVER)
    signs = np.zeros((sensor[1], sensor[2]), np.uint8)
    stays = np.empty(len(t), np.bool_)
    for b in range(len(offsets) - 1):
        for i in range(offsets[b], offsets[b + 1]):
            cx, cy = np.int64(x[i]), np.int64(y[i])
            sign = np.int64(p[i]) if same_polarity else np.int64(-1)
            stays[i] = _support(last, signs, cx, cy, sign, t[i] - tau, diagonal, own) >= k
            last[cy, cx] = t[i]
            signs[cy, cx] = p[i]
        _forget(last, x, y, offsets[b], offsets[b + 1])
    return stays


@jit
def refractory(t, x, y, p, offsets, sensor, dead, retriggerable):
    """Events at least `dead` after the last one of their pixel that stayed; after any, if `retriggerable`."""
    last = np.full((sensor[1], sensor[2]), NEVER)
    stays = np.empty(len(t), np.bool_)
    for b in range(len(offsets) - 1):
        for i in range(offsets[b], offsets[b + 1]):
            before = last[y[i], x[i]]
            stays[i] = before == NEVER or before <= t[i] - dead
            if stays[i] or retriggerable:
                last[y[i], x[i]] = t[i]
        _forget(last, x, y, offsets[b], offsets[b + 1])
    return stays


@jit
def order_n(t, x, y, p, offsets, sensor, tau, own):
    """Events with a recent one next to them, as far as one entry per column and one per row can tell."""
    _, H, W = sensor
    column_t, column_y = np.full(W, NEVER), np.zeros(W, np.int64)
    row_t, row_x = np.full(H, NEVER), np.zeros(H, np.int64)
    stays = np.empty(len(t), np.bool_)
    for b in range(len(offsets) - 1):
        column_t[:] = NEVER
        row_t[:] = NEVER
        for i in range(offsets[b], offsets[b + 1]):
            cx, cy, after = np.int64(x[i]), np.int64(y[i]), t[i] - tau
            found = False
            for u in range(*_near(cx, W)):
                if (u != cx or own) and column_t[u] > after and abs(column_y[u] - cy) <= 1:
                    found = True
            for v in range(*_near(cy, H)):
                if (v != cy or own) and row_t[v] > after and abs(row_x[v] - cx) <= 1:
                    found = True
            stays[i] = found
            column_t[cx], column_y[cx] = t[i], cy
            row_t[cy], row_x[cy] = t[i], cx
    return stays


@jit
def shot_pairs(t, x, y, p, offsets, sensor, within):
    """Events that are not half of a pair: two of opposite polarity, one after the other at a pixel, within `within`."""
    before = np.full((sensor[1], sensor[2]), -1)
    stays = np.ones(len(t), np.bool_)
    for b in range(len(offsets) - 1):
        for i in range(offsets[b], offsets[b + 1]):
            j = before[y[i], x[i]]
            if j >= offsets[b] and p[j] != p[i] and t[j] > t[i] - within:
                stays[i] = stays[j] = False
                before[y[i], x[i]] = -1
            else:
                before[y[i], x[i]] = i
    return stays


@jit
def decimate(t, x, y, p, offsets, sensor, every):
    """Every n-th event of each pixel and polarity."""
    seen = np.zeros(sensor, np.int64)
    stays = np.empty(len(t), np.bool_)
    for b in range(len(offsets) - 1):
        for i in range(offsets[b], offsets[b + 1]):
            seen[p[i], y[i], x[i]] += 1
            stays[i] = seen[p[i], y[i], x[i]] % every == 0
        for i in range(offsets[b], offsets[b + 1]):
            seen[p[i], y[i], x[i]] = 0
    return stays
