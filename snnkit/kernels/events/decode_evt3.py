"""EVT3: 16-bit words, type in the upper four bits; a word says only what has changed since the last one.

    0   y: type | origin:1 | y:11                 6   time low: bits 11 to 0
    2   event: type | polarity:1 | x:11           8   time high: bits 23 to 12
    3   base of vectors: type | polarity:1 | x:11 A   external trigger: type | id:4 | 7 bits | value:1
    4   vector: 12 bits; bit i is an event at     D   IMU
        base + i; then base moves on by 12        E, F, 7   monitoring, its continuations of 12 and 4 bits
    5   vector of 8 bits (7 to 0), likewise       1   y of another kind of event: no events until the next y

Time is (high << 12 | low) microseconds, modulo 2^24. A changed high part sets the low one to 0. A fall of the high part
by more than half its range is a wrap; a smaller one is jitter between sources. The low part falls with every step of
the high one, and is never counted. (Prophesee, "EVT 3.0 Format".)
"""

import numpy as np

from snnkit.kernels.events.decode_common import DE_BRUIJN, GOOD, LOWEST_BIT, OUTSIDE, UNDEFINED, jit

# Entries of the state after width and height: wraps so far; high part (-1: none yet); time; y (-1: none yet, -2: events of
# another kind); base of vectors (-1: none yet) and their polarity; events that were left out for want of a time or
# a place; time of the last word that has one.
LOOPS, HIGH, NOW, ROW, VECTOR, POLARITY, DROPPED, LAST = 2, 3, 4, 5, 6, 7, 8, 9


def start(width, height):
    """The state at the beginning of a file."""
    return np.array([width, height, 0, -1, 0, -1, -1, 0, 0, -1], np.int64)


@jit
def evt3(words, state, t, x, y, p, n, limit):
    """Events; see `decode_common`."""
    width, height, loops, high, now = state[0], state[1], state[LOOPS], state[HIGH], state[NOW]
    row, vector, polarity, dropped = state[ROW], state[VECTOR], state[POLARITY], state[DROPPED]
    k, code = 0, GOOD
    while k < len(words) and n < limit:
        w = np.int64(words[np.uint64(k)])
        kind = w >> 12
        if kind == 2:
            px = w & 0x7FF
            if px >= width:
                code = OUTSIDE
                break
            i = np.uint64(n)
            t[i] = now
            x[i] = px
            y[i] = row
            p[i] = (w >> 11) & 1
            known = row >= 0 and high >= 0
            n += known
            dropped += not known
        elif kind == 4 or kind == 5:
            size = 12 if kind == 4 else 8
            mask = w & (0xFFF if kind == 4 else 0xFF)
            if row < 0 or high < 0 or vector < 0:
                dropped += mask != 0
                mask = np.int64(0)
            elif vector + size > width and mask >> max(width - vector, 0):
                code = OUTSIDE
                break
            while mask:
                i = np.uint64(n)
                t[i] = now
                x[i] = vector + LOWEST_BIT[(((mask & -mask) * DE_BRUIJN) & 0xFFFFFFFF) >> 27]
                y[i] = row
                p[i] = polarity
                n += 1
                mask &= mask - 1
            if vector >= 0:
                vector += size
        elif kind == 0:
            row = w & 0x7FF
            if row >= height:
                code = OUTSIDE
                break
        elif kind == 3:
            vector, polarity = w & 0x7FF, (w >> 11) & 1
        elif kind == 6:
            now = (now & ~0xFFF) | (w & 0xFFF)
        elif kind == 8:
            new = w & 0xFFF
            loops += high - new > 2048
            if new != high:
                now = (loops << 24) | (new << 12)
            high = new
        elif kind == 1:
            row = -2
        elif kind == 9 or kind == 0xB or kind == 0xC:
            code = UNDEFINED
            break
        k += 1
    state[LOOPS], state[HIGH], state[NOW], state[DROPPED] = loops, high, now, dropped
    state[ROW], state[VECTOR], state[POLARITY] = row, vector, polarity
    return k, n, code


@jit
def evt3_rest(words, state, t, raw, n, limit):
    """All words that are neither events nor time, with their time; a continuation has that of the word it continues."""
    loops, high, now, last = state[LOOPS], state[HIGH], state[NOW], state[LAST]
    k, code = 0, GOOD
    stop = min(len(words), limit - n)
    while k < stop:
        w = np.int64(words[np.uint64(k)])
        kind = w >> 12
        if kind == 6:
            now = (now & ~0xFFF) | (w & 0xFFF)
        elif kind == 8:
            new = w & 0xFFF
            loops += high - new > 2048
            if new != high:
                now = (loops << 24) | (new << 12)
            high = new
        elif kind == 7 or kind == 0xA or kind >= 0xD:
            if kind != 7 and kind != 0xF:
                last = np.int64(now if high >= 0 else -1)
            i = np.uint64(n)
            t[i] = last
            raw[i] = w
            n += 1
        elif kind == 9 or kind > 0xA:
            code = UNDEFINED
            break
        k += 1
    state[LOOPS], state[HIGH], state[NOW], state[LAST] = loops, high, now, last
    return k, n, code


@jit
def evt3_count(words, state):
    """No fewer than the events in these words."""
    count = np.int64(0)
    for k in range(len(words)):
        w = np.int64(words[np.uint64(k)])
        kind = w >> 12
        if kind == 2:
            count += 1
        elif kind == 4 or kind == 5:
            bits = w & (0xFFF if kind == 4 else 0xFF)
            bits -= (bits >> 1) & 0x555
            bits = (bits & 0x333) + ((bits >> 2) & 0x333)
            bits = (bits & 0xF0F) + ((bits >> 4) & 0xF0F)
            count += (bits & 0xF) + (bits >> 8)
    return count
