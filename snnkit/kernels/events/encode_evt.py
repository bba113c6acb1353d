"""Events into the words of EVT2, EVT2.1 and EVT3; see the decoding loops for the layouts.

The clock is led through each of its turns by its highest and its lowest value, so that a reader sees every wrap however
long the pause. Rooms for words are as large as the writers in `datasets/files/prophesee_write.py` reckon.
"""

import numpy as np

from snnkit.kernels.events.decode_common import jit


@jit
def evt2(t, x, y, p, words):
    """Number of words written."""
    n, high = 0, np.int64(-1)
    for k in range(len(t)):
        new = t[k] >> 6
        if new != high:
            for _ in range((new >> 28) - (0 if high < 0 else high >> 28)):
                words[n] = 0x8FFFFFFF
                words[n + 1] = 0x80000000
                n += 2
            words[n] = 0x80000000 | (new & 0xFFFFFFF)
            n += 1
            high = new
        words[n] = np.int64(p[k]) << 28 | (t[k] & 0x3F) << 22 | np.int64(x[k]) << 11 | np.int64(y[k])
        n += 1
    return n


@jit
def evt21(t, x, y, p, words, legacy):
    """Number of words written, as pairs of halves. Neighbours in a block of 32 pixels share one if x ascends."""
    n, k, high, upper = 0, 0, np.int64(-1), 1 - legacy
    while k < len(t):
        new = t[k] >> 6
        if new != high:
            for _ in range((new >> 28) - (0 if high < 0 else high >> 28)):
                words[n, upper], words[n, legacy] = 0x8FFFFFFF, 0
                words[n + 1, upper], words[n + 1, legacy] = 0x80000000, 0
                n += 2
            words[n, upper], words[n, legacy] = 0x80000000 | (new & 0xFFFFFFF), 0
            n += 1
            high = new
        base, mask, last = np.int64(x[k]) & ~31, np.int64(0), np.int64(-1)
        first = k
        while k < len(t) and t[k] == t[first] and y[k] == y[first] and p[k] == p[first]:
            px = np.int64(x[k])
            if px <= last or px & ~31 != base:
                break
            mask |= np.int64(1) << (px - base)
            last = px
            k += 1
        words[n, upper] = np.int64(p[first]) << 28 | (t[first] & 0x3F) << 22 | base << 11 | np.int64(y[first])
        words[n, legacy] = mask
        n += 1
    return n


@jit
def _run(t, x, y, p, k, last):
    """End of the events from k on that one group of vectors can hold: one time, row and polarity, x ascending to `last`."""
    stop = k + 1
    while (
        stop < len(t)
        and t[stop] == t[k]
        and y[stop] == y[k]
        and p[stop] == p[k]
        and x[stop - 1] < x[stop] <= last
    ):
        stop += 1
    return stop


@jit
def evt3(t, x, y, p, words, width):
    """Number of words written. Groups of vectors (12, 12 and 8 pixels) where they are shorter than single events."""
    n, k, now, row = 0, 0, np.int64(-1), -1
    while k < len(t):
        if t[k] != now:
            for _ in range((t[k] >> 24) - (0 if now < 0 else now >> 24)):
                words[n] = 0x8FFF
                words[n + 1] = 0x8000
                n += 2
            if now < 0 or t[k] >> 12 != now >> 12:
                words[n] = 0x8000 | (t[k] >> 12 & 0xFFF)
                n += 1
            words[n] = 0x6000 | (t[k] & 0xFFF)
            n += 1
            now = t[k]
        if y[k] != row:
            row = y[k]
            words[n] = row
            n += 1
        polarity = np.int64(p[k]) << 11
        base = min(np.int64(x[k]), width - 32)  # a group that passes the edge is dropped by some readers
        stop = _run(t, x, y, p, k, base + 31) if base >= 0 else k + 1
        if stop - k <= 4:
            words[n] = 0x2000 | polarity | np.int64(x[k])
            n += 1
            k += 1
            continue
        mask = np.int64(0)
        for j in range(k, stop):
            mask |= np.int64(1) << (np.int64(x[j]) - base)
        words[n] = 0x3000 | polarity | base
        words[n + 1] = 0x4000 | (mask & 0xFFF)
        words[n + 2] = 0x4000 | (mask >> 12 & 0xFFF)
        words[n + 3] = 0x5000 | mask >> 24
        n += 4
        k = stop
    return n
