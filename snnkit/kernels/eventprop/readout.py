"""Membranes that do not fire, read at given times, over the whole run, or where they are highest; and the gradients of that.

An arrival of weight w at a lifts the membrane by w·h(t - a). With a synapse, h = κ of `flow`; without one (τ_s = 0), it jumps and
h(s) = e^{-s/τ_m}.
"""

from __future__ import annotations

import math

import numpy as np

from snnkit.kernels.eventprop.flow import ALIKE, peak, response
from snnkit.kernels.eventprop.forward import arrivals, sort
from snnkit.kernels.sparse import jit


@jit
def _decays(s, tm, ts):
    """e^{-s/τ_m}, e^{-s/τ_s} and κ(s)."""
    em = math.exp(-s / tm)
    if ts == 0.0:
        return em, 0.0, 0.0
    es = math.exp(-s / ts)
    return em, es, response(s, em, es, tm, ts)


@jit
def _place(at, a):
    """The first of the sorted times that is not before a, up to rounding."""
    low, high = 0, len(at)
    a -= 1e-12 * abs(a)
    while low < high:
        middle = (low + high) // 2
        if at[middle] < a:
            low = middle + 1
        else:
            high = middle
    return low


@jit
def trace(begin, source, time, value, w, d, tm, ts, at, first, last, out):
    """out[m, b, c]: the membrane of readout c in sample b at at[b, c, m], in order, for the samples first to last."""
    steps = at.shape[2]
    current = np.empty(steps + 1)
    voltage = np.empty(steps + 1)
    for b in range(first, last):
        for c in range(len(w)):
            current[:], voltage[:] = 0.0, 0.0
            times = at[b, c]
            for k in range(begin[b], begin[b + 1]):
                i = source[k]
                a = time[k] + d[c, i] if d.shape[1] else time[k]
                m = _place(times, a)
                if m < steps:
                    em, es, up = _decays(max(times[m] - a, 0.0), tm[c], ts[c])
                    x = w[c, i] if value is None else w[c, i] * value[k]
                    current[m] += x * es
                    voltage[m] += x * (em if ts[c] == 0.0 else up)
            v, i_now = 0.0, 0.0
            for m in range(steps):
                if m:
                    em, es, up = _decays(times[m] - times[m - 1], tm[c], ts[c])
                    v, i_now = v * em + i_now * up, i_now * es
                v, i_now = v + voltage[m], i_now + current[m]
                out[m, b, c] = v


@jit
def trace_back(begin, source, time, value, w, d, tm, ts, at, grad, first, last, dw, dd, dt):
    """Gradients of `trace` for the readouts first to last: dw, dd, and dt[spike] added up over them."""
    steps = at.shape[2]
    pv, pi = np.empty(steps), np.empty(steps)
    for c in range(first, last):
        for b in range(len(begin) - 1):
            times = at[b, c]
            v, i_now = 0.0, 0.0
            for m in range(steps - 1, -1, -1):
                if m + 1 < steps:
                    em, es, up = _decays(times[m + 1] - times[m], tm[c], ts[c])
                    v, i_now = v * em, i_now * es + v * up
                v += grad[m, b, c]
                pv[m], pi[m] = v, i_now
            for k in range(begin[b], begin[b + 1]):
                i = source[k]
                a = time[k] + d[c, i] if d.shape[1] else time[k]
                m = _place(times, a)
                if m == steps:
                    continue
                em, es, up = _decays(max(times[m] - a, 0.0), tm[c], ts[c])
                v = pv[m] * em
                if ts[c] == 0.0:
                    p, slope = v, v / tm[c]
                else:
                    p = pi[m] * es + pv[m] * up
                    slope = p / ts[c] - v / tm[c]
                _add(k, i, c, p, slope, value, w, dw, dd, dt)


@jit
def _add(k, i, c, p, slope, value, w, dw, dd, dt):
    """One arrival: p = dL/dw, slope = dL/da per weight."""
    factor = 1.0 if value is None else value[k]
    dw[c, i] += factor * p
    later = factor * w[c, i] * slope
    if dd.shape[1]:
        dd[c, i] += later
    if len(dt):
        dt[k] += later


@jit
def _charge(s, rate, tm, ts):
    """∫_0^s e^{-u·rate} h(u) du."""
    a = rate + 1.0 / tm
    if ts == 0.0:
        return -math.expm1(-a * s) / a
    z = rate + 1.0 / ts
    if abs(tm - ts) > ALIKE * tm:
        return ts / (tm - ts) * (math.expm1(-z * s) / z - math.expm1(-a * s) / a)
    a = 0.5 * (a + z)
    return (1.0 - math.exp(-a * s) * (1.0 + a * s)) / (a * a * tm)


@jit
def integrals(begin, source, time, value, w, d, tm, ts, end, rate, first, last, out):
    """out[b, c] = ∫_0^end e^{-t·rate} V(t) dt for the samples first to last."""
    for b in range(first, last):
        for c in range(len(w)):
            total = 0.0
            for k in range(begin[b], begin[b + 1]):
                i = source[k]
                a = time[k] + d[c, i] if d.shape[1] else time[k]
                if a < end:
                    x = w[c, i] if value is None else w[c, i] * value[k]
                    total += x * math.exp(-a * rate) * _charge(end - a, rate, tm[c], ts[c])
            out[b, c] = total


@jit
def integrals_back(begin, source, time, value, w, d, tm, ts, end, rate, grad, first, last, dw, dd, dt):
    """Gradients of `integrals` for the readouts first to last; grad: samples x readouts."""
    for c in range(first, last):
        for b in range(len(begin) - 1):
            for k in range(begin[b], begin[b + 1]):
                i = source[k]
                a = time[k] + d[c, i] if d.shape[1] else time[k]
                if a >= end:
                    continue
                em, _, up = _decays(end - a, tm[c], ts[c])
                p = math.exp(-a * rate) * _charge(end - a, rate, tm[c], ts[c])
                slope = -rate * p - math.exp(-end * rate) * (em if ts[c] == 0.0 else up)
                _add(k, i, c, grad[b, c] * p, grad[b, c] * slope, value, w, dw, dd, dt)


@jit
def peaks(begin, source, time, value, w, d, tm, ts, end, first, last, out, falls):
    """out[b, c]: when the membrane of a readout with synapse is highest within the run; 0 where it never rises above 0.

    Where an arrival ends the rise, the maximum moves with it: falls[b, c] is then the slope behind it, and 0 elsewhere.
    """
    most = 1
    for b in range(first, last):
        most = max(most, begin[b + 1] - begin[b])
    at, weight, keys, others = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    heads = np.empty(most + 1, np.int64)
    for b in range(first, last):
        for c in range(len(w)):
            n = arrivals(begin[b], begin[b + 1], source, time, value, w[c], d[c], end, at, weight)
            if n:
                sort(at, weight, n, keys, others, heads)
            out[b, c], falls[b, c] = _highest(at, weight, n, tm[c], ts[c], end)


@jit
def _highest(at, weight, n, tm, ts, end):
    v, i, now, best, when, fall = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(n + 1):
        then = at[k] if k < n else end
        if i > v and i > 0.0:
            top = peak(v, i, tm, ts)
            if top < then - now:
                em, es, up = _decays(top, tm, ts)
                if v * em + i * up > best:
                    best, when, fall = v * em + i * up, now + top, 0.0
        em, es, up = _decays(then - now, tm, ts)
        v, i, now = v * em + i * up, i * es, then
        later = i + weight[k] if k < n else i
        if v > best:
            best, when, fall = v, now, min(later - v, 0.0) / tm if k < n else 0.0
        i = later
    return when, fall


@jit
def kinks_back(begin, source, time, w, d, at, falls, grad, dd, dt):
    """What `trace_back` at the maxima misses: the maxima that move with an arrival; all samples and readouts."""
    for b in range(len(begin) - 1):
        for c in range(len(w)):
            if falls[b, c] == 0.0:
                continue
            for k in range(begin[b], begin[b + 1]):
                i = source[k]
                if (time[k] + d[c, i] if d.shape[1] else time[k]) == at[b, c]:
                    if dd.shape[1]:
                        dd[c, i] += grad[b, c] * falls[b, c]
                    if len(dt):
                        dt[k] += grad[b, c] * falls[b, c]
                    break
