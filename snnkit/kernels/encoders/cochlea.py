"""Loops of the cochlea front ends: the filter bank, low-passes, and the codes that make spikes of channels over time.

Arrays are T C, time first; the channels are the inner loop wherever they are independent. Codes return the time of each spike
in samples (a float where it falls between two), its channel and its polarity, in order of time.
"""

import numba as nb
import numpy as np

from snnkit.kernels.encoders.codes import room

jit = nb.njit(cache=True, nogil=True, error_model="numpy")


@jit
def gammatone(audio, a0, a1, b1, b2, gain, out):
    """Four biquads with common poles per channel: y = a0 x + a1 x' - b1 y' - b2 y''. a1: 4 C. out: T C."""
    C = len(b1)
    x1, y1, y2 = np.zeros((4, C)), np.zeros((4, C)), np.zeros((4, C))
    x = np.empty(C)
    for t in range(len(audio)):
        for c in range(C):
            x[c] = audio[t] * gain[c]
        for s in range(4):
            for c in range(C):
                y = a0 * x[c] + a1[s, c] * x1[s, c] - b1[c] * y1[s, c] - b2[c] * y2[s, c]
                x1[s, c], y2[s, c], y1[s, c] = x[c], y1[s, c], y
                x[c] = y
        for c in range(C):
            out[t, c] = x[c]


@jit
def smooth(x, keep, out):
    """First-order low-pass along time, y = keep · y' + (1 - keep) x. x, out: T C; may be the same array."""
    y = np.zeros(x.shape[1])
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[c] = keep * y[c] + (1.0 - keep) * x[t, c]
            out[t, c] = y[c]


@jit
def fire(x, keep, weight, threshold, grow, fade, rest):
    """Adaptive leaky integrate-and-fire: v = keep v + weight x; at v ≥ threshold + b: spike, v = 0, b += grow; b fades.

    rest: samples after a spike in which v stays 0. keep = 1 is an integrator without leak, which keeps the remainder.
    """
    T, C = x.shape
    v, b, wait = np.zeros(C), np.zeros(C), np.zeros(C, np.int64)
    when, where, k = np.empty(1024, np.float64), np.empty(1024, np.int32), 0
    for t in range(T):
        when, where = room(when, k, C), room(where, k, C)
        for c in range(C):
            b[c] *= fade
            if wait[c] > 0:
                wait[c] -= 1
                continue
            v[c] = keep * v[c] + weight * x[t, c]
            if v[c] >= threshold + b[c]:
                when[k], where[k] = t, c
                k += 1
                v[c] = v[c] - (threshold + b[c]) if keep == 1.0 else 0.0
                v[c] = min(v[c], threshold)  # no debt of more than one spike
                b[c] += grow
                wait[c] = rest
    return when[:k].copy(), where[:k].copy(), np.ones(k, np.uint8)


@jit
def edges(x, keep_fast, keep_slow, threshold, rest):
    """Fast minus slow envelope: ON where it is above the threshold, OFF below minus it; each polarity rests on its own."""
    T, C = x.shape
    fast, slow, wait = x[0].copy(), x[0].copy(), np.zeros((2, C), np.int64)
    when, where = np.empty(1024, np.float64), np.empty(1024, np.int32)
    polarity, k = np.empty(1024, np.uint8), 0
    for t in range(T):
        when, where, polarity = room(when, k, C), room(where, k, C), room(polarity, k, C)
        for c in range(C):
            fast[c] = keep_fast * fast[c] + (1.0 - keep_fast) * x[t, c]
            slow[c] = keep_slow * slow[c] + (1.0 - keep_slow) * x[t, c]
            d = fast[c] - slow[c]
            for p in range(2):
                if wait[p, c] > 0:
                    wait[p, c] -= 1
                elif (d > threshold) if p else (d < -threshold):
                    when[k], where[k], polarity[k] = t, c, p
                    k += 1
                    wait[p, c] = rest
    return when[:k].copy(), where[:k].copy(), polarity[:k].copy()


@jit
def delta(x, threshold):
    """Send-on-delta: a spike at every whole threshold between the signal and its last sent value, at the time of crossing."""
    T, C = x.shape
    base = x[0].copy()
    when, where = np.empty(1024, np.float64), np.empty(1024, np.int32)
    polarity, k = np.empty(1024, np.uint8), 0
    for t in range(1, T):
        for c in range(C):
            n = np.int64((x[t, c] - base[c]) / threshold)
            if n == 0:
                continue
            m, sign = abs(n), 1.0 if n > 0 else -1.0
            when, where, polarity = room(when, k, m), room(where, k, m), room(polarity, k, m)
            slope = x[t, c] - x[t - 1, c]
            for j in range(1, m + 1):
                part = (base[c] + sign * j * threshold - x[t - 1, c]) / slope if slope != 0.0 else 1.0
                when[k], where[k], polarity[k] = t - 1 + min(max(part, 0.0), 1.0), c, n > 0
                k += 1
            base[c] += n * threshold
    return when[:k].copy(), where[:k].copy(), polarity[:k].copy()


@jit
def ladder(x, low, step, levels):
    """Crossings of fixed levels low + step · j, j = 0 .. levels - 1; the channel of a spike is c · levels + j."""
    T, C = x.shape
    when, where = np.empty(1024, np.float64), np.empty(1024, np.int32)
    polarity, k = np.empty(1024, np.uint8), 0
    for t in range(1, T):
        for c in range(C):
            before, after = x[t - 1, c], x[t, c]
            up = after > before
            first, last = np.int64(np.floor((before - low) / step)), np.int64(np.floor((after - low) / step))
            lower, upper = (first, last) if up else (last, first)
            j0, j1 = np.maximum(lower + 1, 0), np.minimum(upper, levels - 1)  # levels in (lower, upper]
            m = j1 - j0 + 1
            if m <= 0:
                continue
            when, where, polarity = room(when, k, m), room(where, k, m), room(polarity, k, m)
            for i in range(m):
                j = j0 + i if up else j1 - i
                when[k] = t - 1 + (low + step * j - before) / (after - before)
                where[k], polarity[k] = c * levels + j, up
                k += 1
    return when[:k].copy(), where[:k].copy(), polarity[:k].copy()


@jit
def pcen(energy, keep, alpha, delta_, power, eps, out):
    """Per-channel energy normalisation: (E/(eps + M)^alpha + delta)^power - delta^power, M a first-order mean of E."""
    mean = energy[0].copy()
    floor = delta_**power
    for t in range(energy.shape[0]):
        for c in range(energy.shape[1]):
            mean[c] = keep * mean[c] + (1.0 - keep) * energy[t, c]
            out[t, c] = (energy[t, c] / (eps + mean[c]) ** alpha + delta_) ** power - floor
