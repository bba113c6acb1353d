"""Recordings into dense arrays: counts per window and pixel, voxel grids, histograms of averaged time surfaces.

Columns must be on the sensor and windows within the columns: nothing is checked here. `out` comes filled with zeros.
"""

import numba as nb
import numpy as np

jit = nb.njit(cache=True, nogil=True, error_model="numpy")


@jit
def count(x, y, p, starts, stops, steps, batch, limit, out):
    """out[steps[k], batch[k], p, y, x] = events of window k there, but at most `limit`."""
    for k in range(len(starts)):
        frame = out[steps[k], batch[k]]
        for i in range(starts[k], stops[k]):
            if frame[p[i], y[i], x[i]] < limit:
                frame[p[i], y[i], x[i]] += 1


@jit
def voxels(t, x, y, p, offsets, signed, out):
    """out[b, r, c, y, x] += sign · (1 - |b - t*|) for the two bins next to t* = (bins - 1)(t - t0) / (tN - t0).

    With `signed`, c is 0 and the sign is -1 for polarity 0; otherwise c is the polarity and the sign is 1.
    """
    bins = out.shape[0]
    for r in range(len(offsets) - 1):
        a, b = offsets[r], offsets[r + 1]
        if b == a:
            continue
        span = t[b - 1] - t[a]
        scale = (bins - 1) / span if span > 0 else 0.0
        for i in range(a, b):
            channel = 0 if signed else np.int64(p[i])
            sign = -1.0 if signed and p[i] == 0 else 1.0
            at = min(max((t[i] - t[a]) * scale, 0.0), bins - 1.0)
            low = np.int64(at)
            part = at - low
            out[low, r, channel, y[i], x[i]] += sign * (1 - part)
            if part > 0:
                out[low + 1, r, channel, y[i], x[i]] += sign * part


@jit
def hats(t, x, y, order, groups, cells, window, tau, out):
    """Sums of local memory surfaces, one histogram (2R+1) x (2R+1) per group of events.

    order: rows of the columns by group and, within it, by time. groups: where each group begins in `order`, and the end.
    cells: index of each group's histogram in `out` [n, 2R+1, 2R+1].

        out[cell, v, u] = Σ_i Σ_j exp(-(t_i - t_j) / tau)   over t_i - window <= t_j < t_i at x_i + u - R, y_i + v - R
    """
    R = out.shape[1] // 2
    for g in range(len(groups) - 1):
        histogram = out[cells[g]]
        for k in range(groups[g], groups[g + 1]):
            i = order[k]
            for m in range(k - 1, groups[g] - 1, -1):
                j = order[m]
                if t[j] < t[i] - window:
                    break
                u, v = np.int64(x[j]) - x[i] + R, np.int64(y[j]) - y[i] + R
                if t[j] < t[i] and 0 <= u <= 2 * R and 0 <= v <= 2 * R:
                    histogram[v, u] += np.exp(-(t[i] - t[j]) / tau)
