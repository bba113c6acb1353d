"""Surfaces of last times, and what is made of them. Time is in ticks; columns must be on the sensor.

`offsets` say where each recording begins in the columns t, x, y, p, and the last ends.
"""

import numba as nb
import numpy as np

jit = nb.njit(cache=True, nogil=True, error_model="numpy")

NEVER = np.iinfo(np.int64).min


@jit
def last_times(t, x, y, p, offsets, out):
    """out[b, p, y, x] = time of the last event there; comes filled with NEVER."""
    for b in range(len(offsets) - 1):
        for i in range(offsets[b], offsets[b + 1]):
            out[b, p[i], y[i], x[i]] = t[i]


@jit
def decayed(t, x, y, p, offsets, stops, at, tau, last, out):
    """out[k, b] = exp(-(at[k, b] - S) / tau), S the last times of the rows before stops[k, b]; 0 where there is none.

    last: (P, H, W), for the work.
    """
    for b in range(len(offsets) - 1):
        last[:] = NEVER
        row = offsets[b]
        for k in range(len(stops)):
            for i in range(row, stops[k, b]):
                last[p[i], y[i], x[i]] = t[i]
            row = max(row, stops[k, b])
            old, new = last.ravel(), out[k, b].ravel()
            for c in range(len(old)):
                new[c] = 0.0 if old[c] == NEVER else np.exp(-(at[k, b] - old[c]) / tau)


@jit
def contexts(t, x, y, p, offsets, tau, last, out):
    """out[i, q, v, u] = exp(-(t_i - S(q, y_i + v - R, x_i + u - R)) / tau), event i itself being part of S."""
    P, H, W = last.shape
    R = out.shape[2] // 2
    for b in range(len(offsets) - 1):
        last[:] = NEVER
        for i in range(offsets[b], offsets[b + 1]):
            cx, cy = np.int64(x[i]), np.int64(y[i])
            last[p[i], cy, cx] = t[i]
            for q in range(P):
                for v in range(max(0, R - cy), min(2 * R + 1, H - cy + R)):
                    for u in range(max(0, R - cx), min(2 * R + 1, W - cx + R)):
                        before = last[q, cy + v - R, cx + u - R]
                        if before != NEVER:
                            out[i, q, v, u] = np.exp(-(t[i] - before) / tau)


@jit
def speed_invariant(x, y, p, offsets, radius, out):
    """out[b] (P, H, W), from zeros: an event counts its window down where it is not below its own pixel, then fills it."""
    top = (2 * radius + 1) ** 2
    for b in range(len(offsets) - 1):
        H, W = out.shape[2], out.shape[3]
        for i in range(offsets[b], offsets[b + 1]):
            surface, cx, cy = out[b, p[i]], np.int64(x[i]), np.int64(y[i])
            own = surface[cy, cx]
            for v in range(max(0, cy - radius), min(H, cy + radius + 1)):
                for u in range(max(0, cx - radius), min(W, cx + radius + 1)):
                    if surface[v, u] >= own and surface[v, u] > 0 and not (u == cx and v == cy):
                        surface[v, u] -= 1
            surface[cy, cx] = top


@jit
def recent(t, x, y, p, offsets, out):
    """out[b, k, p, y, x] = time of the event k before the last there; comes filled with NEVER."""
    for b in range(len(offsets) - 1):
        for i in range(offsets[b], offsets[b + 1]):
            for k in range(out.shape[1] - 1, 0, -1):
                out[b, k, p[i], y[i], x[i]] = out[b, k - 1, p[i], y[i], x[i]]
            out[b, 0, p[i], y[i], x[i]] = t[i]


@jit
def cluster(surfaces, prototypes, counts):
    """Online clustering (Lagorce 2017): every surface S moves its nearest prototype C_k, the k-th seen counts[k] times.

        C_k ← C_k + α (S - β C_k),   α = 0.01 / (1 + counts[k] / 20000),   β = S · C_k / (|S| |C_k|)

    surfaces: [n, D]. prototypes: [N, D] and counts: [N], both changed.
    """
    for i in range(len(surfaces)):
        best, nearest = np.inf, 0
        for k in range(len(prototypes)):
            far = 0.0
            for d in range(surfaces.shape[1]):
                far += (surfaces[i, d] - prototypes[k, d]) ** 2
            if far < best:
                best, nearest = far, k
        product = own = other = 0.0
        for d in range(surfaces.shape[1]):
            product += surfaces[i, d] * prototypes[nearest, d]
            own += surfaces[i, d] ** 2
            other += prototypes[nearest, d] ** 2
        cosine = product / np.sqrt(own * other) if own > 0 and other > 0 else 0.0
        rate = 0.01 / (1 + counts[nearest] / 20000)
        for d in range(surfaces.shape[1]):
            prototypes[nearest, d] += rate * (surfaces[i, d] - cosine * prototypes[nearest, d])
        counts[nearest] += 1
