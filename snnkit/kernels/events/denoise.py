"""Noise filters over recordings: one pass, causal, with a map of last times that has one entry per pixel.

Every kernel takes the columns t, x, y, p of recordings end to end, their `offsets`, the sensor (P, H, W) and durations in
ticks, and returns which events stay. An event at time t is recent until t + tau, which does not belong to it any more.
Columns must be on the sensor: nothing is checked here.
"""

import numba as nb
import numpy as np

jit = nb.njit(cache=True, nogil=True, error_model="numpy")

NEVER = -(2**62)  # older than any time, and far enough from the end of int64 to count from


@jit
def _forget(last, cells):
    """Make the map empty again: where these events were, or everywhere if that is less work."""
    if len(cells) > len(last):
        last[:] = NEVER
        return
    for cell in cells:
        last[cell] = NEVER


@jit
def _cells(x, y, sensor):
    """Flat index of every event's pixel on a map with a border of one pixel, so that all have eight neighbours."""
    cells, width = np.empty(len(x), np.uint64), sensor[2] + 2
    for i in range(len(x)):
        cells[i] = (np.int64(y[i]) + 1) * width + np.int64(x[i]) + 1
    return cells


@jit
def _recent(last, signs, cell, after, sign):
    """1 if the last event at a cell is later than `after`, and of this sign unless that is 2."""
    return np.int64((last[cell] > after) & ((sign == 2) | (signs[cell] == sign)))


@jit
def correlation(t, x, y, p, offsets, sensor, tau, k, same_polarity, diagonal, own):
    """Events with at least k neighbours that had an event less than tau ago: the nearest-neighbour filter and STCF.

    No branch depends on the events: they are too random for a processor to guess, which costs more than the sums.
    """
    cells = _cells(x, y, sensor)
    last = np.full((sensor[1] + 2) * (sensor[2] + 2), NEVER)
    signs = np.zeros(len(last), np.uint8)
    stays = np.empty(len(t), np.bool_)
    one, row = np.uint64(1), np.uint64(sensor[2] + 2)
    corners, middle = np.int64(diagonal), np.int64(own)
    for b in range(len(offsets) - 1):
        for i in range(offsets[b], offsets[b + 1]):
            c, after, sign = cells[i], t[i] - tau, p[i] if same_polarity else np.uint8(2)
            support = _recent(last, signs, c - row, after, sign) + _recent(last, signs, c + row, after, sign)
            support += _recent(last, signs, c - one, after, sign) + _recent(last, signs, c + one, after, sign)
            above = _recent(last, signs, c - row - one, after, sign) + _recent(
                last, signs, c - row + one, after, sign
            )
            below = _recent(last, signs, c + row - one, after, sign) + _recent(
                last, signs, c + row + one, after, sign
            )
            support += corners * (above + below) + middle * _recent(last, signs, c, after, sign)
            stays[i] = support >= k
            last[c], signs[c] = t[i], p[i]
        _forget(last, cells[offsets[b] : offsets[b + 1]])
    return stays


@jit
def refractory(t, x, y, p, offsets, sensor, dead, retriggerable):
    """Events at least `dead` after the last one of their pixel that stayed; after any, if `retriggerable`."""
    cells = _cells(x, y, sensor)
    last = np.full((sensor[1] + 2) * (sensor[2] + 2), NEVER)
    stays = np.empty(len(t), np.bool_)
    for b in range(len(offsets) - 1):
        for i in range(offsets[b], offsets[b + 1]):
            before = last[cells[i]]
            stay = before <= t[i] - dead
            stays[i] = stay
            last[cells[i]] = t[i] if stay | retriggerable else before
        _forget(last, cells[offsets[b] : offsets[b + 1]])
    return stays


@jit
def _near(at, size):
    """First and one past the last of a coordinate's neighbours, itself included, on a side of this size."""
    return max(at - 1, 0), min(at + 2, size)


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
                away = abs(column_y[u] - cy)
                if column_t[u] > after and away <= 1 and (own or u != cx or away != 0):
                    found = True
            for v in range(*_near(cy, H)):
                away = abs(row_x[v] - cx)
                if row_t[v] > after and away <= 1 and (own or v != cy or away != 0):
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
