"""Spikes of neurons that do not see each other: one neuron after the other over its sorted arrivals.

Work is proportional to arrivals, spikes times synapses, and knows of no time steps. Samples are independent of each other, so the
number of threads changes no bit.
"""

from __future__ import annotations

import math

import numpy as np

from snnkit.kernels.eventprop.decay import decays
from snnkit.kernels.eventprop.flow import crossing, hopeless, response
from snnkit.kernels.sparse import jit


@jit
def arrivals(low, high, source, time, value, w, d, end, at, weight):
    """Times and weights of what spikes low..high bring to one neuron before `end`; w, d: its synapses. Their number.

    `d` is empty where synapses have no delay, `value` None where every spike counts as one.
    """
    n = 0
    for k in range(low, high):
        i = source[k]
        a = time[k] + d[i] if len(d) else time[k]
        if a < end:
            at[n] = a
            weight[n] = w[i] if value is None else w[i] * value[k]
            n += 1
    return n


@jit
def _merge(at, weight, n, keys, others):
    """The same by merging, whatever the times are like."""
    width = 1
    while width < n:
        for low in range(0, n, 2 * width):
            middle, high = min(low + width, n), min(low + 2 * width, n)
            a, b = low, middle
            for k in range(low, high):
                if a < middle and (b >= high or at[a] <= at[b]):
                    keys[k], others[k] = at[a], weight[a]
                    a += 1
                else:
                    keys[k], others[k] = at[b], weight[b]
                    b += 1
        at[:n] = keys[:n]
        weight[:n] = others[:n]
        width *= 2


@jit
def sort(at, weight, n, keys, others, heads):
    """Put the first n of `at`, and `weight` with them, into order; equal times stay as they are. The rest is scratch space.

    As many buckets as times, then insertion: linear where times are spread, and merging where they are not.
    """
    low = high = at[0]
    sorted_already = True
    for k in range(1, n):
        a = at[k]
        sorted_already &= a >= at[k - 1]
        low, high = min(low, a), max(high, a)
    if sorted_already:
        return
    scale = (n - 1) / (high - low)
    heads[: n + 1] = 0
    for k in range(n):
        heads[min(int((at[k] - low) * scale), n - 1) + 1] += 1
    for k in range(n):
        heads[k + 1] += heads[k]
    for k in range(n):
        bucket = min(int((at[k] - low) * scale), n - 1)
        place = heads[bucket]
        heads[bucket] = place + 1
        keys[place], others[place] = at[k], weight[k]
    moves = 0
    for k in range(n):
        a, x, j = keys[k], others[k], k
        while j > 0 and keys[j - 1] > a and moves <= 32 * n:
            keys[j], others[j] = keys[j - 1], others[j - 1]
            j -= 1
            moves += 1
        keys[j], others[j] = a, x
    if moves <= 32 * n:
        at[:n] = keys[:n]
        weight[:n] = others[:n]
    else:
        _merge(at, weight, n, keys, others)


@jit
def _fire(at, weight, n, tm, ts, end, neuron, room, time, who, slope, found, gaps, slow, fast):
    """Write the spikes of one neuron over its arrivals; the number of spikes found so far, written or not."""
    for k in range(n):
        gaps[k] = at[k] - at[k - 1] if k else at[0]
    gaps[n] = end - at[n - 1]
    decays(gaps, n + 1, 1.0 / tm, slow)
    decays(gaps, n + 1, 1.0 / ts, fast)
    v, i, now = 0.0, 0.0, 0.0
    for k in range(n + 1):
        gap, em, es = gaps[k], slow[k], fast[k]
        while i > 1.0 and not hopeless(v, i, gap, tm, ts):
            s = crossing(v, i, gap, tm, ts)
            if s < 0.0:
                break
            i *= math.exp(-s / ts)
            v, now, gap = 0.0, now + s, gap - s
            em, es = math.exp(-gap / tm), math.exp(-gap / ts)
            if found < room:
                time[found], who[found], slope[found] = now, neuron, i - 1.0
            found += 1
        v = v * em + i * response(gap, em, es, tm, ts)
        i *= es
        if k < n:
            i += weight[k]
            now = at[k]
    return found


@jit
def _in_order(time, who, slope, n):
    """Sort the spikes of a sample by time."""
    place, keys, others = np.empty(n), np.empty(n), np.empty(n)
    names, slopes = who[:n].copy(), slope[:n].copy()
    for k in range(n):
        place[k] = k
    if n:
        sort(time, place, n, keys, others, np.empty(n + 1, np.int64))
    for k in range(n):
        who[k], slope[k] = names[int(place[k])], slopes[int(place[k])]


@jit
def spike_times(
    begin, source, time, value, w, d, tm, ts, end, first, last, out_time, out_who, out_slope, counts
):
    """Spikes of the samples first to last, sorted by time, into rows of the outputs; counts may exceed what rows hold.

    w: neurons x inputs; d likewise, or neurons x 0.
    """
    room = out_time.shape[1]
    most = 1
    for b in range(first, last):
        most = max(most, begin[b + 1] - begin[b])
    at, weight, keys, others = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    heads = np.empty(most + 1, np.int64)
    gaps, slow, fast = np.empty(most + 1), np.empty(most + 1), np.empty(most + 1)
    for b in range(first, last):
        found = 0
        for j in range(len(w)):
            n = arrivals(begin[b], begin[b + 1], source, time, value, w[j], d[j], end, at, weight)
            if n:
                sort(at, weight, n, keys, others, heads)
                found = _fire(
                    at,
                    weight,
                    n,
                    tm[j],
                    ts[j],
                    end,
                    j,
                    room,
                    out_time[b],
                    out_who[b],
                    out_slope[b],
                    found,
                    gaps,
                    slow,
                    fast,
                )
        counts[b] = found
        n = min(found, room)
        _in_order(out_time[b], out_who[b], out_slope[b], n)
