"""EVT2.1: 64-bit words, type in the upper four bits; up to 32 events of neighbouring pixels in a word.

    type 0, 1   events of that polarity: type | time low:6 | x:11 | y:11 | mask:32; bit i is an event at x + i
    8           time high: type | bits 33 to 6 of the time | 32 bits unused
    A           external trigger: type | time low:6 | 9 bits | id:5 | 7 bits | value:1 | 32 bits unused
    E, F        monitoring, continuation

Times as in EVT2. In the order "legacy" the two halves of a word have changed places. (Prophesee, "EVT 2.1 Format".)
"""

import numpy as np

from snnkit.kernels.events.decode_common import DE_BRUIJN, GOOD, LOWEST_BIT, OUTSIDE, UNDEFINED, jit
from snnkit.kernels.events.decode_evt2 import BASE, DROPPED, HIGH, LAST, time_high

LEGACY = 6  # entry of the state after those of EVT2: 1 if the halves of a word are swapped


def start(width, height, legacy):
    """The state at the beginning of a file."""
    return np.array([width, height, -1, -1, 0, -1, legacy], np.int64)


@jit
def evt21(words, state, t, x, y, p, n, limit):
    """Events; see `decode_common`. `words` are the 32-bit halves, two columns."""
    width, height, base, high, dropped = state[0], state[1], state[BASE], state[HIGH], state[DROPPED]
    upper = 1 - state[LEGACY]
    k, code = 0, GOOD
    while k < len(words) and n < limit:
        w = np.int64(words[np.uint64(k), upper])
        kind = w >> 28
        if kind <= 1:
            px, py = (w >> 11) & 0x7FF, w & 0x7FF
            mask = np.int64(words[np.uint64(k), 1 - upper])
            if py >= height or (px + 32 > width and mask >> max(width - px, 0)):
                code = OUTSIDE
                break
            now = base | ((w >> 22) & 0x3F)
            if base < 0:
                dropped += 1
                mask = np.int64(0)
            while mask:
                i = np.uint64(n)
                t[i] = now
                x[i] = px + LOWEST_BIT[(((mask & -mask) * DE_BRUIJN) & 0xFFFFFFFF) >> 27]
                y[i] = py
                p[i] = kind
                n += 1
                mask &= mask - 1
        elif kind == 8:
            new = w & 0xFFFFFFF
            base = time_high(base, high, new)
            high = new
        elif kind != 0xA and kind < 0xE:
            code = UNDEFINED
            break
        k += 1
    state[BASE], state[HIGH], state[DROPPED] = base, high, dropped
    return k, n, code


@jit
def evt21_rest(words, state, t, raw, n, limit):
    """All words that are neither events nor time, with their time; a continuation has that of the word it continues."""
    base, high, last, upper = state[BASE], state[HIGH], state[LAST], 1 - state[LEGACY]
    k, code = 0, GOOD
    while k < len(words) and n < limit:
        w = np.int64(words[np.uint64(k), upper])
        kind = w >> 28
        if kind == 8:
            new = w & 0xFFFFFFF
            base = time_high(base, high, new)
            high = new
        elif kind == 0xA or kind >= 0xE:
            if kind != 0xF:
                last = np.int64(base | ((w >> 22) & 0x3F) if base >= 0 else -1)
            i = np.uint64(n)
            t[i] = last
            raw[i] = (np.uint64(words[np.uint64(k), upper]) << np.uint64(32)) | np.uint64(
                words[np.uint64(k), 1 - upper]
            )
            n += 1
        elif kind > 1:
            code = UNDEFINED
            break
        k += 1
    state[BASE], state[HIGH], state[LAST] = base, high, last
    return k, n, code


@jit
def evt21_count(words, state):
    """No fewer than the events in these words."""
    upper = 1 - state[LEGACY]
    count = np.int64(0)
    for k in range(len(words)):
        if words[np.uint64(k), upper] >> 28 <= 1:
            mask = np.int64(words[np.uint64(k), 1 - upper])
            mask -= (mask >> 1) & 0x55555555
            mask = (mask & 0x33333333) + ((mask >> 2) & 0x33333333)
            mask = (mask + (mask >> 4)) & 0x0F0F0F0F
            count += ((mask * 0x01010101) & 0xFFFFFFFF) >> 24
    return count
