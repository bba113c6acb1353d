"""EVT2: 32-bit words, type in the upper four bits.

    type 0, 1   event of that polarity: type | time low:6 | x:11 | y:11
    8           time high: type | bits 33 to 6 of the time
    A           external trigger: type | time low:6 | 9 bits | id:5 | 7 bits | value:1
    D, E, F     IMU, monitoring, continuation of either

Time is (high << 6 | low) microseconds, modulo 2^34. A fall of the high part by more than half its range is a wrap; a
smaller one is jitter. Words before the first time high have no time. (Prophesee, "EVT 2.0 Format".)
"""

import numpy as np

from snnkit.kernels.events.decode_common import GOOD, OUTSIDE, UNDEFINED, jit

# Entries of the state after width and height: time of the last time high (-1: none yet), its bits; events that were left
# out for want of a time; time of the last word that has one.
BASE, HIGH, DROPPED, LAST = 2, 3, 4, 5


def start(width, height):
    """The state at the beginning of a file."""
    return np.array([width, height, -1, -1, 0, -1], np.int64)


@jit
def time_high(base, high, new):
    """The time that a word of 28 bits sets, after one with the bits `high` that set `base`."""
    loops = (base >> 34) if base >= 0 else 0
    if high - new > 1 << 27:
        loops += 1
    return (loops << 34) | (new << 6)


@jit
def evt2(words, state, t, x, y, p, n, limit):
    """Events; see `decode_common`."""
    width, height, base, high, dropped = state[0], state[1], state[BASE], state[HIGH], state[DROPPED]
    k, code = 0, GOOD
    stop = min(len(words), limit - n)  # a word is one event at most, so that the loop need not look for room
    while k < stop:
        w = np.int64(words[np.uint64(k)])
        kind = w >> 28
        if kind <= 1:
            px, py = (w >> 11) & 0x7FF, w & 0x7FF
            if px >= width or py >= height:
                code = OUTSIDE
                break
            i = np.uint64(n)
            t[i] = base | ((w >> 22) & 0x3F)
            x[i] = px
            y[i] = py
            p[i] = kind
            n += base >= 0
            dropped += base < 0
        elif kind == 8:
            new = w & 0xFFFFFFF
            base = time_high(base, high, new)
            high = new
        elif kind != 0xA and kind < 0xD:
            code = UNDEFINED
            break
        k += 1
    state[BASE], state[HIGH], state[DROPPED] = base, high, dropped
    return k, n, code


@jit
def evt2_rest(words, state, t, raw, n, limit):
    """All words that are neither events nor time, with their time; a continuation has that of the word it continues."""
    base, high, last = state[BASE], state[HIGH], state[LAST]
    k, code = 0, GOOD
    stop = min(len(words), limit - n)
    while k < stop:
        w = np.int64(words[np.uint64(k)])
        kind = w >> 28
        if kind == 8:
            new = w & 0xFFFFFFF
            base = time_high(base, high, new)
            high = new
        elif kind == 0xA or kind >= 0xD:
            if kind != 0xF:
                last = base | ((w >> 22) & 0x3F) if base >= 0 else -1
            i = np.uint64(n)
            t[i] = last
            raw[i] = w
            n += 1
        elif kind > 1:
            code = UNDEFINED
            break
        k += 1
    state[BASE], state[HIGH], state[LAST] = base, high, last
    return k, n, code
