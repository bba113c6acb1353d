"""Loops of the signal codes: from samples s [T, B, N] straight to the columns (rowptr, indices, values) of an event tensor.

They walk through the samples in the order of the result, so nothing is sorted. A sample that is not finite emits nothing and
changes nothing. Levels are counted in whole thresholds from the first sample, so no rounding adds up.
"""

import numpy as np

from snnkit.kernels.encoders.codes import jit, room

FARTHEST = 2.0**24  # thresholds: float32 counts exactly as far


@jit
def _columns(T, B):
    return np.zeros(T * B + 1, np.int64), np.empty(1024, np.int32), np.empty(1024, np.float32)


@jit
def _bound(first, level, threshold, way):
    """A level a little nearer than first + (level + way) θ: on this side of it no event is due, whatever rounding says."""
    at = first + (level + way) * threshold
    return at - way * 1e-15 * (abs(first) + (abs(level) + 1.0) * threshold)


@jit
def _levels(s, threshold, start, single):
    """Events of a base that moves in whole thresholds: as many as fit, or at most one per sample. See its two callers."""
    T, B, N = s.shape
    rowptr, indices, values = _columns(T, B)
    first, level = start.copy(), np.zeros((B, N))
    down, up = np.empty((B, N)), np.empty((B, N))
    for b in range(B):
        for n in range(N):
            down[b, n] = _bound(first[b, n], 0.0, threshold[n], -1.0)  # NaN where there is no start yet
            up[b, n] = _bound(first[b, n], 0.0, threshold[n], 1.0)
    k = 0
    for t in range(T):
        for b in range(B):
            indices, values = room(indices, k, N), room(values, k, N)
            for n in range(N):
                x = np.float64(s[t, b, n])
                if down[b, n] < x < up[b, n] or not np.isfinite(x):
                    continue
                if np.isnan(first[b, n]):
                    first[b, n] = x
                away = (x - first[b, n]) / threshold[n] - level[b, n]
                moved = np.trunc(away)
                if single:
                    moved = np.sign(away) if abs(away) > 1 else 0.0
                if moved != 0:
                    level[b, n] += moved
                    if not abs(level[b, n]) <= FARTHEST:
                        rowptr[0] = -1
                        return rowptr, indices[:0], values[:0]
                    indices[k], values[k] = n, np.float32(moved)
                    k += 1
                down[b, n] = _bound(first[b, n], level[b, n], threshold[n], -1.0)
                up[b, n] = _bound(first[b, n], level[b, n], threshold[n], 1.0)
            rowptr[t * B + b + 1] = k
    return rowptr, indices[:k].copy(), values[:k].copy()


@jit
def send_on_delta(s, threshold, start):
    """k = trunc((s - base)/θ) events, base += k θ. start: B N, NaN for the first finite sample; threshold: N.

    rowptr[0] is -1 if a level lies more than `FARTHEST` thresholds away; then there are no events.
    """
    return _levels(s, threshold, start, False)


@jit
def step_forward(s, threshold, start):
    """s > base + θ: +1; s < base - θ: -1; one step per sample. Arguments as for `send_on_delta`."""
    return _levels(s, threshold, start, True)


@jit
def crossings(s, threshold, start, dt):
    """Send-on-delta with the time of every crossing, on the straight line between two finite samples.

    Returns time, place b·N + n and sign of every event.
    """
    T, B, N = s.shape
    when, place, sign = np.empty(1024), np.empty(1024, np.int64), np.empty(1024, np.float32)
    first, level = start.copy(), np.zeros((B, N))
    before, since = np.full((B, N), np.nan), np.zeros((B, N), np.int64)
    k = 0
    for t in range(T):
        for b in range(B):
            for n in range(N):
                x = np.float64(s[t, b, n])
                if not np.isfinite(x):
                    continue
                if np.isnan(first[b, n]):
                    first[b, n] = x
                moved = np.trunc((x - first[b, n]) / threshold[n] - level[b, n])
                count, way = np.int64(abs(moved)), np.sign(moved)
                when, place, sign = room(when, k, count), room(place, k, count), room(sign, k, count)
                old = before[b, n]
                for j in range(1, count + 1):
                    at = first[b, n] + (level[b, n] + way * j) * threshold[n]
                    part = 1.0 if np.isnan(old) else min(max((at - old) / (x - old), 0.0), 1.0)
                    when[k] = (since[b, n] + part * (t - since[b, n])) * dt
                    place[k], sign[k] = b * N + n, np.float32(way)
                    k += 1
                level[b, n] += moved
                before[b, n], since[b, n] = x, t
    return when[:k].copy(), place[:k].copy(), sign[:k].copy()


@jit
def moving_window(s, threshold, window):
    """±1 where s leaves mean(s[t - window .. t - 1]) ± θ; all samples finite."""
    T, B, N = s.shape
    rowptr, indices, values = _columns(T, B)
    k = 0
    for t in range(T):
        for b in range(B):
            indices, values = room(indices, k, N), room(values, k, N)
            for n in range(N):
                if t > 0:
                    begin, base = max(0, t - window), 0.0
                    for i in range(begin, t):  # summed anew: a running sum would drift
                        base += s[i, b, n]
                    away = s[t, b, n] - base / (t - begin)
                    if abs(away) > threshold[n]:
                        indices[k], values[k] = n, np.float32(np.sign(away))
                        k += 1
            rowptr[t * B + b + 1] = k
    return rowptr, indices[:k].copy(), values[:k].copy()


@jit
def window_decode(o, threshold, window, r):
    """r[t] = mean(r[t - window .. t - 1]) + θ o[t] in place; r[0] is given. o, r: T B N."""
    T, B, N = o.shape
    for t in range(1, T):
        begin = max(0, t - window)
        for b in range(B):
            for n in range(N):
                base = 0.0
                for i in range(begin, t):
                    base += r[i, b, n]
                r[t, b, n] = base / (t - begin) + threshold[n] * o[t, b, n]


@jit
def changes(s, threshold):
    """±1 where |s[t] - s[t-1]| > θ, both finite. threshold: B N."""
    T, B, N = s.shape
    rowptr, indices, values = _columns(T, B)
    k = 0
    for t in range(T):
        for b in range(B):
            indices, values = room(indices, k, N), room(values, k, N)
            for n in range(N):
                if t > 0:
                    d = s[t, b, n] - s[t - 1, b, n]
                    if np.isfinite(d) and abs(d) > threshold[b, n]:
                        indices[k], values[k] = n, np.float32(np.sign(d))
                        k += 1
            rowptr[t * B + b + 1] = k
    return rowptr, indices[:k].copy(), values[:k].copy()


@jit
def delta_modulator(s, up, down, dead):
    """±1 when s is `up` above or `down` below base and the last event `dead` steps past; base ← s. up, down: N."""
    T, B, N = s.shape
    rowptr, indices, values = _columns(T, B)
    base, last = np.full((B, N), np.nan), np.full((B, N), -dead - 1, np.int64)
    k = 0
    for t in range(T):
        for b in range(B):
            indices, values = room(indices, k, N), room(values, k, N)
            for n in range(N):
                x = s[t, b, n]
                if not np.isfinite(x):
                    continue
                if np.isnan(base[b, n]):
                    base[b, n] = x
                away = x - base[b, n]
                if (away >= up[n] or -away >= down[n]) and t - last[b, n] >= dead:
                    base[b, n], last[b, n] = x, t
                    indices[k], values[k] = n, np.float32(np.sign(away))
                    k += 1
            rowptr[t * B + b + 1] = k
    return rowptr, indices[:k].copy(), values[:k].copy()


@jit
def messages(s, threshold, rounded):
    """What of s - sent is large enough: θ · round((s - sent)/θ), or all of it if it is at least θ; sent += message."""
    T, B, N = s.shape
    rowptr, indices, values = _columns(T, B)
    sent = np.zeros((B, N))
    k = 0
    for t in range(T):
        for b in range(B):
            indices, values = room(indices, k, N), room(values, k, N)
            for n in range(N):
                due = s[t, b, n] - sent[b, n]
                if rounded:
                    due = threshold[n] * np.floor(due / threshold[n] + 0.5)
                elif abs(due) < threshold[n]:
                    due = 0.0
                message = np.float32(due)
                if message != 0:
                    sent[b, n] += np.float64(message)  # what the receiver gets, rounded as it gets it
                    indices[k], values[k] = n, message
                    k += 1
            rowptr[t * B + b + 1] = k
    return rowptr, indices[:k].copy(), values[:k].copy()


@jit
def sigma_delta(s, slack):
    """v += s; v ≥ 1: spike, v -= 1."""
    T, B, N = s.shape
    rowptr, indices, values = _columns(T, B)
    v = np.zeros((B, N))
    k = 0
    for t in range(T):
        for b in range(B):
            indices, values = room(indices, k, N), room(values, k, N)
            for n in range(N):
                v[b, n] += s[t, b, n]
                if v[b, n] >= 1.0 - slack:
                    v[b, n] -= 1.0
                    indices[k], values[k] = n, np.float32(1)
                    k += 1
            rowptr[t * B + b + 1] = k
    return rowptr, indices[:k].copy(), values[:k].copy()


@jit
def sigma_delta_signed(s, threshold, keep):
    """e = s - r; v += e; o = sign(v) if |v| ≥ θ; r = keep r + (1 - keep) o."""
    T, B, N = s.shape
    rowptr, indices, values = _columns(T, B)
    v, r = np.zeros((B, N)), np.zeros((B, N))
    k = 0
    for t in range(T):
        for b in range(B):
            indices, values = room(indices, k, N), room(values, k, N)
            for n in range(N):
                v[b, n] += s[t, b, n] - r[b, n]
                o = 0.0
                if abs(v[b, n]) >= threshold[n]:
                    o = np.sign(v[b, n])
                    indices[k], values[k] = n, np.float32(o)
                    k += 1
                r[b, n] = keep * r[b, n] + (1.0 - keep) * o
            rowptr[t * B + b + 1] = k
    return rowptr, indices[:k].copy(), values[:k].copy()


@jit
def growing_burst(x, threshold, beta):
    """v += x; g = β g after a spike, else 1; v ≥ g θ: v -= g θ, an event of value g θ."""
    T, B, N = x.shape
    rowptr, indices, values = _columns(T, B)
    v, g = np.zeros((B, N)), np.ones((B, N))
    k = 0
    for t in range(T):
        for b in range(B):
            indices, values = room(indices, k, N), room(values, k, N)
            for n in range(N):
                v[b, n] += x[t, b, n]
                weight = g[b, n] * threshold
                if v[b, n] >= weight:
                    v[b, n] -= weight
                    g[b, n] *= beta
                    indices[k], values[k] = n, np.float32(weight)
                    k += 1
                else:
                    g[b, n] = 1.0
            rowptr[t * B + b + 1] = k
    return rowptr, indices[:k].copy(), values[:k].copy()


@jit
def bens_spiker(s, h, threshold, slack):
    """BSA on rows of s, M T: spike where Σ|s - h| ≤ Σ|s| - θ over the taps, then s -= h there. Returns step and row."""
    M, T = s.shape
    L = len(h)
    when, place = np.empty(1024, np.int64), np.empty(1024, np.int64)
    k = 0
    for m in range(M):
        left = s[m].copy()
        when, place = room(when, k, T), room(place, k, T)
        for n in range(T - L + 1):
            with_spike, without = 0.0, 0.0
            for i in range(L):
                with_spike += abs(left[n + i] - h[i])
                without += abs(left[n + i])
            if with_spike <= without - threshold + slack:
                left[n : n + L] -= h
                when[k], place[k] = n, m
                k += 1
    return when[:k].copy(), place[:k].copy()


@jit
def hough_spiker(s, h, slack):
    """A spike where s ≥ h at every tap, then s -= h there. Arguments and result as for `bens_spiker`."""
    M, T = s.shape
    L = len(h)
    when, place = np.empty(1024, np.int64), np.empty(1024, np.int64)
    k = 0
    for m in range(M):
        left = s[m].copy()
        when, place = room(when, k, T), room(place, k, T)
        for n in range(T - L + 1):
            above = True
            for i in range(L):
                if left[n + i] < h[i] - slack:
                    above = False
                    break
            if above:
                left[n : n + L] -= h
                when[k], place[k] = n, m
                k += 1
    return when[:k].copy(), place[:k].copy()


@jit
def convolve(rowptr, indices, values, h, batch, out):
    """out[t + i, b, n] += value · h[i] for every event (t, b, n); out: T B N zeros."""
    T = out.shape[0]
    for r in range(len(rowptr) - 1):
        t, b = r // batch, r % batch
        for k in range(rowptr[r], rowptr[r + 1]):
            v = 1.0 if len(values) == 0 else np.float64(values[k])
            for i in range(min(len(h), T - t)):
                out[t + i, b, indices[k]] += v * h[i]
