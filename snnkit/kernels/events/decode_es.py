"""Event Stream (.es) 2.0: a byte of time since the last event, then the event.

    DVS      FF: time += 127; FE: nothing; else time += byte >> 1, polarity byte & 1; x:16 y:16
    ATIS     upper six bits set: time += 63 * (byte & 3); else time += byte >> 2, polarity bit 1, exposure bit 0; x:16 y:16
    colour   FF: time += 254; FE: nothing; else time += byte; x:16 y:16 r:8 g:8 b:8
    generic  as colour, then a length in groups of 7 bits, lowest first, in byte >> 1, bit 0: more follows; the payload

Row 0 of a file is the bottom one; y is turned to count from the top.
(https://github.com/neuromorphicsystems/event_stream)
"""

import numpy as np

from snnkit.kernels.events.decode_common import GOOD, OUTSIDE, TOO_LONG, jit

TIME, KIND, ROWS = (
    2,
    3,
    4,
)  # entries of the state after width and height; rows of the file, from which y is turned
DVS, ATIS, COLOUR = 1, 2, 4


def start(width, height, kind, rows):
    """The state at the beginning of a file."""
    return np.array([width, height, 0, kind, rows], np.int64)


@jit
def dvs(data, state, t, x, y, p, n, limit):
    """Events of a DVS file; see `decode_common`."""
    width, height, now, rows = state[0], state[1], state[TIME], state[ROWS]
    k, code = 0, GOOD
    while k < len(data) and n < limit:
        byte = np.int64(data[np.uint64(k)])
        if byte >= 254:
            now += 127 * (byte & 1)
            k += 1
            continue
        if k + 5 > len(data):
            break
        px = np.int64(data[np.uint64(k + 1)]) | np.int64(data[np.uint64(k + 2)]) << 8
        py = rows - 1 - (np.int64(data[np.uint64(k + 3)]) | np.int64(data[np.uint64(k + 4)]) << 8)
        if px >= width or py < 0 or py >= height:
            code = OUTSIDE
            break
        now += byte >> 1
        i = np.uint64(n)
        t[i] = now
        x[i] = px
        y[i] = py
        p[i] = byte & 1
        n += 1
        k += 5
    state[TIME] = now
    return k, n, code


@jit
def pixels(data, state, t, x, y, values, n, limit):
    """Events of an ATIS or a colour file; `values` has three columns: (polarity, exposure, 0) or (r, g, b)."""
    width, height, now, kind, rows = state[0], state[1], state[TIME], state[KIND], state[ROWS]
    size = 8 if kind == COLOUR else 5
    k, code = 0, GOOD
    while k < len(data) and n < limit:
        byte = np.int64(data[np.uint64(k)])
        if byte >= (254 if kind == COLOUR else 252):
            now += 254 * (byte & 1) if kind == COLOUR else 63 * (byte & 3)
            k += 1
            continue
        if k + size > len(data):
            break
        px = np.int64(data[np.uint64(k + 1)]) | np.int64(data[np.uint64(k + 2)]) << 8
        py = rows - 1 - (np.int64(data[np.uint64(k + 3)]) | np.int64(data[np.uint64(k + 4)]) << 8)
        if px >= width or py < 0 or py >= height:
            code = OUTSIDE
            break
        now += byte if kind == COLOUR else byte >> 2
        i = np.uint64(n)
        t[i] = now
        x[i] = px
        y[i] = py
        if kind == COLOUR:
            for j in range(3):
                values[i, j] = data[k + 5 + j]
        else:
            values[i, 0], values[i, 1], values[i, 2] = (byte >> 1) & 1, byte & 1, 0
        n += 1
        k += size
    state[TIME] = now
    return k, n, code


@jit
def generic(data, state, t, begin, length, n, limit):
    """Where the payloads of a generic file are in `data`, which is the whole rest of the file."""
    now = state[TIME]
    k, code = 0, GOOD
    while k < len(data) and n < limit:
        byte = np.int64(data[np.uint64(k)])
        if byte >= 254:
            now += 254 * (byte & 1)
            k += 1
            continue
        at, size, shift, more = k + 1, np.int64(0), 0, True
        while more and at < len(data) and shift < 42:
            group = np.int64(data[at])
            size |= (group >> 1) << shift
            more = group & 1 == 1
            shift += 7
            at += 1
        if more and shift >= 42:
            code = TOO_LONG
            break
        if more or size > len(data) - at:
            break
        now += byte
        i = np.uint64(n)
        t[i], begin[i], length[i] = now, at, size
        n += 1
        k = int(at + size)
    state[TIME] = now
    return k, n, code
