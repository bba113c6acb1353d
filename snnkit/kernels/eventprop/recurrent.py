"""Spikes of neurons that drive each other: one queue of what is under way, one of crossings to come.

A spike under way is a single entry of the first queue, with a cursor into its synapses sorted by delay. The second holds for every
neuron with I > 1 a time before which it cannot cross: as V is concave while it rises, Newton's first step. Only when that time comes
before every arrival is the crossing worked out.
"""

from __future__ import annotations

import math

import numpy as np

from snnkit.kernels.eventprop.flow import crossing, response
from snnkit.kernels.sparse import jit


@jit
def _down(keys, names, places, n, at):
    """Let the entry at `at` sink in a heap of n; places[name] is where a name is, if there is room for that."""
    key, name = keys[at], names[at]
    while 2 * at + 1 < n:
        child = 2 * at + 1
        if child + 1 < n and keys[child + 1] < keys[child]:
            child += 1
        if not keys[child] < key:
            break
        keys[at], names[at] = keys[child], names[child]
        if len(places):
            places[names[at]] = at
        at = child
    keys[at], names[at] = key, name
    if len(places):
        places[name] = at


@jit
def _up(keys, names, places, at):
    """Let the entry at `at` rise."""
    key, name = keys[at], names[at]
    while at > 0:
        parent = (at - 1) // 2
        if not key < keys[parent]:
            break
        keys[at], names[at] = keys[parent], names[parent]
        if len(places):
            places[names[at]] = at
        at = parent
    keys[at], names[at] = key, name
    if len(places):
        places[name] = at


@jit
def _expect(j, key, keys, names, places):
    """Neuron j crosses not before `key`."""
    at = places[j]
    before = keys[at]
    keys[at] = key
    if key < before:
        _up(keys, names, places, at)
    elif key > before:
        _down(keys, names, places, len(keys), at)


@jit
def _bound(v, i, now, tm):
    """A time before which the membrane cannot reach 1."""
    return now + tm * max(1.0 - v, 0.0) / (i - v) if i > 1.0 else math.inf


@jit
def _sample(
    low, high, source, time, value, w, d, order, tm, ts, end, out_time, out_who, out_slope, work, names
):
    """One sample; the number of spikes, which stops one above what the outputs hold.

    w, d, order: (inputs + neurons) x neurons, `order` the targets of a source sorted by delay. `work` holds (start, cursor) of
    every spike under way, `names` its source and value index.
    """
    n, room, inputs = len(tm), len(out_time), len(w) - len(tm)
    v, i, last = np.zeros(n), np.zeros(n), np.zeros(n)
    expected, who, places = np.full(n, math.inf), np.arange(n), np.arange(n)
    exact = np.zeros(n, np.bool_)
    keys, slots, nowhere = (
        np.empty(high - low + room + 1),
        np.empty(high - low + room + 1, np.int64),
        np.empty(0, np.int64),
    )
    size = used = found = 0
    k = low
    while True:
        sent = time[k] if k < high else math.inf
        arrives = keys[0] if size else math.inf
        cross = expected[0]
        if not min(sent, arrives, cross) < end:
            return found
        if sent <= arrives and sent <= cross:  # an input spike sets out
            work[used, 0], work[used, 1] = sent, 1.0 if value is None else value[k]
            names[used, 0], names[used, 1] = source[k], 0
            keys[size], slots[size] = sent + d[source[k], order[source[k], 0]], used
            _up(keys, slots, nowhere, size)
            size, used, k = size + 1, used + 1, k + 1
        elif cross <= arrives:
            j = who[0]
            if not exact[j]:
                s = crossing(v[j], i[j], end - last[j], tm[j], ts[j])
                exact[j] = s >= 0.0
                _expect(j, last[j] + s if s >= 0.0 else math.inf, expected, who, places)
                continue
            if found == room:
                return found + 1
            i[j] *= math.exp(-(cross - last[j]) / ts[j])
            v[j], last[j], exact[j] = 0.0, cross, False
            _expect(j, _bound(0.0, i[j], cross, tm[j]), expected, who, places)
            out_time[found], out_who[found], out_slope[found] = cross, j, i[j] - 1.0
            found += 1
            work[used, 0], work[used, 1] = cross, 1.0
            names[used, 0], names[used, 1] = inputs + j, 0
            keys[size], slots[size] = cross + d[inputs + j, order[inputs + j, 0]], used
            _up(keys, slots, nowhere, size)
            size, used = size + 1, used + 1
        else:
            slot = slots[0]
            row, cursor = names[slot, 0], names[slot, 1]
            j = order[row, cursor]
            gap = arrives - last[j]
            em, es = math.exp(-gap / tm[j]), math.exp(-gap / ts[j])
            there = v[j] * em + i[j] * response(gap, em, es, tm[j], ts[j])
            if there >= 1.0 and i[j] * es > 1.0:  # rounding put the crossing behind the arrival
                exact[j] = True
                _expect(j, arrives, expected, who, places)
                continue
            v[j], i[j], last[j] = there, i[j] * es + work[slot, 1] * w[row, j], arrives
            exact[j] = False
            if i[j] > 1.0 or expected[places[j]] < math.inf:
                _expect(j, _bound(v[j], i[j], arrives, tm[j]), expected, who, places)
            names[slot, 1] = cursor + 1
            if cursor + 1 < n:
                keys[0] = work[slot, 0] + d[row, order[row, cursor + 1]]
            else:
                size -= 1
                keys[0], slots[0] = keys[size], slots[size]
            if size:
                _down(keys, slots, nowhere, size, 0)


@jit
def spike_times(
    begin, source, time, value, w, d, order, tm, ts, end, first, last, out_time, out_who, out_slope, counts
):
    """Spikes of the samples first to last in order of time; a count above what a row holds says that there are more."""
    most = 0
    for b in range(first, last):
        most = max(most, begin[b + 1] - begin[b])
    work = np.empty((most + out_time.shape[1], 2))
    names = np.empty((most + out_time.shape[1], 2), np.int64)
    for b in range(first, last):
        counts[b] = _sample(
            begin[b], begin[b + 1], source, time, value, w, d, order, tm, ts, end,
            out_time[b], out_who[b], out_slope[b], work, names,
        )  # fmt: skip
