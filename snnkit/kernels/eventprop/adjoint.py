"""The adjoint between spikes, backwards in time. With p_V = dL/dV and p_I = dL/dI,

    τ_m p_V' = p_V        τ_s p_I' = p_I - (τ_s/τ_m)·p_V        both 0 at the end
    at a spike of the neuron       p_V  ←  p_V + (p_V - τ_m·dL/dt)/(I - 1)
    at an arrival of weight w      dL/dw = p_I        dL/da = w·(p_I/τ_s - p_V/τ_m)        and nothing jumps

so p has jumps at the neuron's own spikes only: it is stored there, and looked up at arrivals, which need no order.
"""

from __future__ import annotations

import math

import numpy as np

from snnkit.kernels.eventprop.flow import response
from snnkit.kernels.sparse import jit


@jit
def settle(pointers, own, time, slope, grad, tm, ts, floor, first, last, pv, pi):
    """p just before every spike, for neurons without recurrence. Rows first to last of `pointers` are sample * neurons + neuron,
    own[pointers[r] : pointers[r + 1]] the spikes of the neuron in order, grad = dL/dt of every spike."""
    for r in range(first, last):
        j = r % len(tm)
        v, i, after = 0.0, 0.0, 0.0
        for k in range(pointers[r + 1] - 1, pointers[r] - 1, -1):
            x = own[k]
            gap = after - time[x] if k + 1 < pointers[r + 1] else 0.0
            em, es = math.exp(-gap / tm[j]), math.exp(-gap / ts[j])
            i = i * es + v * response(gap, em, es, tm[j], ts[j])
            v *= em
            v += (v - tm[j] * grad[x]) / max(slope[x], floor[j])
            pv[x], pi[x], after = v, i, time[x]


@jit
def _next(own, low, high, time, a):
    """The place of the first spike of own[low:high] after a, or high."""
    while low < high:
        middle = (low + high) // 2
        if time[own[middle]] > a:
            high = middle
        else:
            low = middle + 1
    return low


@jit
def settle_recurrent(begin, pointers, own, who, time, slope, grad, w, d, tm, ts, floor, first, last, pv, pi):
    """The same where spikes come back to the neurons after d > 0; w, d: neurons x neurons, from x to."""
    n = len(tm)
    for b in range(first, last):
        for x in range(begin[b + 1] - 1, begin[b] - 1, -1):
            i, total = who[x], grad[x]
            for j in range(n):
                a, end = time[x] + d[i, j], pointers[b * n + j + 1]
                k = _next(own, pointers[b * n + j], end, time, a)
                if k < end:
                    y = own[k]
                    gap = time[y] - a
                    em, es = math.exp(-gap / tm[j]), math.exp(-gap / ts[j])
                    current = pi[y] * es + pv[y] * response(gap, em, es, tm[j], ts[j])
                    total += w[i, j] * (current / ts[j] - pv[y] * em / tm[j])
            v, current = 0.0, 0.0
            k, end = (
                _next(own, pointers[b * n + i], pointers[b * n + i + 1], time, time[x]),
                pointers[b * n + i + 1],
            )
            if k < end:
                y = own[k]
                gap = time[y] - time[x]
                em, es = math.exp(-gap / tm[i]), math.exp(-gap / ts[i])
                current = pi[y] * es + pv[y] * response(gap, em, es, tm[i], ts[i])
                v = pv[y] * em
            pv[x] = v + (v - tm[i] * total) / max(slope[x], floor[i])
            pi[x] = current


@jit
def collect(begin, source, time, value, pointers, own, when, pv, pi, w, d, tm, ts, first, last, dw, dd, dt):
    """Gradients of weights, delays and times of arriving spikes, for the neurons first to last; w, d, dw, dd: neurons x inputs.

    `d` and `dd` are neurons x 0 where there are no delays; dt[spike] is added up over these neurons, and empty if not wanted.
    """
    n = len(tm)
    for j in range(first, last):
        for b in range(len(begin) - 1):
            low, high = pointers[b * n + j], pointers[b * n + j + 1]
            if low == high:
                continue
            latest = when[own[high - 1]]
            for k in range(begin[b], begin[b + 1]):
                i = source[k]
                a = time[k] + d[j, i] if d.shape[1] else time[k]
                if a >= latest:
                    continue
                y = own[low if high - low == 1 else _next(own, low, high, when, a)]
                gap = when[y] - a
                em, es = math.exp(-gap / tm[j]), math.exp(-gap / ts[j])
                current = pi[y] * es + pv[y] * response(gap, em, es, tm[j], ts[j])
                factor = 1.0 if value is None else value[k]
                dw[j, i] += factor * current
                later = factor * w[j, i] * (current / ts[j] - pv[y] * em / tm[j])
                if d.shape[1]:
                    dd[j, i] += later
                if len(dt):
                    dt[k] += later


@jit
def by_neuron(begin, who, neurons, pointers, own):
    """Spikes by sample and neuron, in order of time: own[pointers[r] : pointers[r + 1]] with r = sample * neurons + neuron."""
    pointers[:] = 0
    for b in range(len(begin) - 1):
        for k in range(begin[b], begin[b + 1]):
            pointers[b * neurons + who[k] + 1] += 1
    for r in range(len(pointers) - 1):
        pointers[r + 1] += pointers[r]
    cursor = np.empty(neurons, np.int64)
    for b in range(len(begin) - 1):
        cursor[:] = pointers[b * neurons : (b + 1) * neurons]
        for k in range(begin[b], begin[b + 1]):
            own[cursor[who[k]]] = k
            cursor[who[k]] += 1
