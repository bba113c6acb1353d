"""Formats of one record per event: N-MNIST (5 bytes) and Prophesee DAT (8 bytes).

N-MNIST: byte 0 x, byte 1 y, byte 2 polarity in bit 7, then 23 bits of microseconds, big-endian. A record in row 240 is
no event on sensors of at most 240 rows: it adds 2^13 us to all later times (Orchard 2015).

DAT: 32 bits of microseconds, then, version 2: x:14 | y:14 | polarity:4, version 1: x:9 | y:8 | polarity:1, from the lowest bit
up. A fall of the time by more than 2^31 is a wrap (Prophesee, "DAT File Format"). Version 0 stands for version 1 without
a header: there, the bits above the polarity must be 0, for nothing else tells such a file from others.
"""

import numpy as np

from snnkit.kernels.events.decode_common import BACKWARDS, GOOD, OUTSIDE, UNDEFINED, jit

OVERFLOW_ROW, OVERFLOW_TIME = 240, 1 << 13
LAST, OFFSET, ODD, VERSION = 2, 3, 4, 5  # entries of the state after width and height


def start(width, height, version=0):
    """The state at the beginning of a file."""
    return np.array([width, height, 0, 0, 0, version], np.int64)


@jit
def nmnist(records, state, t, x, y, p, n, limit):
    """Events of N-MNIST; see `decode_common`. `records` has five columns. State: last time, sum of the overflows."""
    width, height, last, offset = state[0], state[1], state[LAST], state[OFFSET]
    overflows = height <= OVERFLOW_ROW
    k, code = 0, GOOD
    stop = min(len(records), limit - n)
    while k < stop:
        j = np.uint64(k)
        px, py, high = np.int64(records[j, 0]), np.int64(records[j, 1]), np.int64(records[j, 2])
        if px >= width or py >= height:
            if not (overflows and py == OVERFLOW_ROW):
                code = OUTSIDE
                break
            offset += OVERFLOW_TIME
            k += 1
            continue
        now = offset + ((high & 0x7F) << 16 | np.int64(records[j, 3]) << 8 | np.int64(records[j, 4]))
        if now < last:
            code = BACKWARDS
            break
        last = now
        i = np.uint64(n)
        t[i] = now
        x[i] = px
        y[i] = py
        p[i] = high >> 7
        n += 1
        k += 1
    state[LAST], state[OFFSET] = last, offset
    return k, n, code


@jit
def dat(records, state, t, x, y, p, n, limit):
    """Events of DAT; see `decode_common`. `records` has two columns. State: last time, wraps, odd polarities, version."""
    width, height, last, offset, odd = state[0], state[1], state[LAST], state[OFFSET], state[ODD]
    wide = state[VERSION] >= 2
    k, code = 0, GOOD
    stop = min(len(records), limit - n)
    while k < stop:
        j = np.uint64(k)
        now, w = np.int64(records[j, 0]), np.int64(records[j, 1])
        px = w & 0x3FFF if wide else w & 0x1FF
        py = (w >> 14) & 0x3FFF if wide else (w >> 9) & 0xFF
        if px >= width or py >= height:
            code = OUTSIDE
            break
        if state[VERSION] == 0 and w >> 18:
            code = UNDEFINED
            break
        if last - now > 1 << 31:
            offset += 1 << 32
        last = now
        i = np.uint64(n)
        t[i] = offset + now
        x[i] = px
        y[i] = py
        p[i] = (w >> 28) & 1 if wide else (w >> 17) & 1
        odd += wide and w >> 29 != 0
        n += 1
        k += 1
    state[LAST], state[OFFSET], state[ODD] = last, offset, odd
    return k, n, code


@jit
def dat_triggers(records, state, t, ids, values, n, limit):
    """External triggers of DAT: value in the lowest 4 bits, id in the highest 6."""
    last, offset = state[LAST], state[OFFSET]
    stop = min(len(records), limit - n)
    for k in range(stop):
        j = np.uint64(k)
        now, w = np.int64(records[j, 0]), np.int64(records[j, 1])
        if last - now > 1 << 31:
            offset += 1 << 32
        last = now
        i = np.uint64(n)
        t[i], ids[i], values[i] = offset + now, w >> 26, w & 0xF
        n += 1
    state[LAST], state[OFFSET] = last, offset
    return max(stop, 0), n, GOOD
