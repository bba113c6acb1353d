"""Loops of the static codes: random spikes, regular spikes, and spikes of channels put into the order of an event tensor.

Random numbers are counter-based (SplitMix64; Steele, Lea and Flood 2014): draw j of channel n of a sample is a hash of (seed,
key of the sample, n, j). So a sample's spikes depend neither on its place in the batch nor on the other samples, and a
longer run begins with the shorter one. Spikes come out channel by channel, by time within each; `arrange` sorts them.
"""

import numba as nb
import numpy as np

jit = nb.njit(cache=True, nogil=True, error_model="numpy")

SPARSE = 0.1  # probability below which drawing the gaps between spikes is faster than drawing every step

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@jit
def _mix(z):
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


@jit
def _sample(seed, key):
    return _mix(_mix(seed + _GOLDEN) ^ (key * _SECOND + _FIRST))


@jit
def _channel(sample, n):
    return _mix(sample + _GOLDEN * np.uint64(n + 1))


@jit
def _draw(stream, j):
    """Draw j of a stream, uniform on [0, 1) in steps of 2^-53."""
    return np.float64(_mix(stream + _GOLDEN * np.uint64(j + 1)) >> np.uint64(11)) * 2.0**-53


@jit
def room(column, used, more):
    """`column`, or a copy of its first `used` entries that has room for `more`."""
    if used + more <= len(column):
        return column
    wider = np.empty(max(2 * len(column), used + more), column.dtype)
    wider[:used] = column[:used]
    return wider


@jit
def bernoulli(p, seed, keys, steps):
    """Coins in every step. p: B N probabilities. Returns step and place b·N + n of every spike."""
    B, N = p.shape
    when, place = np.empty(1024, np.int32), np.empty(1024, np.int64)
    hit = np.empty(steps, np.uint8)
    k = 0
    for b in range(B):
        sample = _sample(seed, keys[b])
        for n in range(N):
            q = p[b, n]
            if q <= 0.0:
                continue
            when, place = room(when, k, steps), room(place, k, steps)
            stream, first = _channel(sample, n), k
            if q >= SPARSE:
                most = np.uint64(np.ceil(q * 2.0**53))  # draw < q, in whole numbers
                for t in range(steps):  # one loop for what the processor does for many steps at a time
                    hit[t] = (_mix(stream + _GOLDEN * np.uint64(t + 1)) >> np.uint64(11)) < most
                for t in range(steps):
                    when[k] = t
                    k += hit[t]
            else:
                scale, at, j = 1.0 / np.log1p(-q), 0.0, 0
                while True:  # gaps are geometric: P(gap ≥ g) = (1 - q)^g
                    at += np.floor(np.log(1.0 - _draw(stream, j)) * scale)
                    if not at < steps:
                        break
                    when[k] = np.int32(at)
                    k, j, at = k + 1, j + 1, at + 1.0
            place[first:k] = b * N + n
    return when[:k].copy(), place[:k].copy()


@jit
def poisson(rate, refractory, duration, seed, keys):
    """Times of Poisson spikes, gaps refractory + Exp(rate); rate: B N. Returns time and place of every spike."""
    B, N = rate.shape
    when, place = np.empty(1024, np.float64), np.empty(1024, np.int64)
    gaps = np.empty(64, np.float64)
    k = 0
    for b in range(B):
        sample = _sample(seed, keys[b])
        for n in range(N):
            if rate[b, n] <= 0.0:
                continue
            stream, mean, first = _channel(sample, n), 1.0 / rate[b, n], k
            t, drawn = -refractory, 0
            while t < duration:
                few = int(min(max((duration - t) / (mean + refractory), 1.0) + 1.0, float(len(gaps))))
                for j in range(few):  # one loop for what the processor does for many draws at a time
                    gaps[j] = refractory - np.log(1.0 - _draw(stream, drawn + j)) * mean
                drawn += few
                when, place = room(when, k, few), room(place, k, few)
                for j in range(few):
                    t += gaps[j]
                    if not t < duration:
                        break
                    when[k] = t
                    k += 1
            place[first:k] = b * N + n
    return when[:k].copy(), place[:k].copy()


@jit
def regular(p, steps, slack):
    """Spikes where ⌊t·p + slack⌋ grows, t = 0 .. steps. p: B N. Returns step and place of every spike."""
    B, N = p.shape
    when, place = np.empty(1024, np.int32), np.empty(1024, np.int64)
    k = 0
    for b in range(B):
        for n in range(N):
            q = p[b, n]
            total = np.int64(np.floor(steps * q + slack))
            when, place = room(when, k, total), room(place, k, total)
            for j in range(1, total + 1):
                t = np.int64(np.ceil((j - slack) / q))
                while (
                    t > 0 and np.floor((t - 1) * q + slack) >= j
                ):  # the quotient is rounded: look next to it
                    t -= 1
                while np.floor(t * q + slack) < j:
                    t += 1
                when[k], place[k] = t - 1, b * N + n
                k += 1
    return when[:k].copy(), place[:k].copy()


@jit
def merge(when, place):
    """Neighbours of the same step and place become one, with their number as its value."""
    steps, places, counts = np.empty_like(when), np.empty_like(place), np.empty(len(when), np.float32)
    k = -1
    for i in range(len(when)):
        if k >= 0 and steps[k] == when[i] and places[k] == place[i]:
            counts[k] += np.float32(1)
        else:
            k += 1
            steps[k], places[k], counts[k] = when[i], place[i], np.float32(1)
    return steps[: k + 1], places[: k + 1], counts[: k + 1]


@jit
def arrange(when, place, values, steps, batch, size):
    """Spikes in order of place to the columns of an event tensor, a stable counting sort by row step·batch + sample.

    values: float32, or empty for none. No two spikes share step and place.
    """
    rowptr = np.zeros(steps * batch + 1, np.int64)
    indices, sorted_values = np.empty(len(when), np.int32), np.empty(len(values), np.float32)
    b, end = 0, size
    for i in range(len(when)):
        while place[i] >= end:  # places only grow: no division
            b, end = b + 1, end + size
        rowptr[np.int64(when[i]) * batch + b + 1] += 1
    for r in range(1, len(rowptr)):
        rowptr[r] += rowptr[r - 1]
    cursor = rowptr[:-1].copy()
    b, end = 0, size
    for i in range(len(when)):
        while place[i] >= end:
            b, end = b + 1, end + size
        row = np.int64(when[i]) * batch + b
        at = cursor[row]
        cursor[row] = at + 1
        indices[at] = place[i] - (end - size)
        if len(values):
            sorted_values[at] = values[i]
    return rowptr, indices, sorted_values


@jit
def first_steps(rowptr, indices, values, steps, batch, size):
    """Step of the first event of every place, -1 where there is none: batch·size."""
    out = np.full(batch * size, -1, np.int64)
    for r in range(steps * batch):
        t, b = r // batch, r % batch
        for i in range(rowptr[r], rowptr[r + 1]):
            if out[b * size + indices[i]] < 0 and (len(values) == 0 or values[i] != 0):
                out[b * size + indices[i]] = t
    return out
