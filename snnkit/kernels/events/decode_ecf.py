"""ECF, Prophesee's compression of chunks of events in HDF5 files (https://github.com/prophesee-ai/hdf5_ecf).

    uint32   n << 2 | all packed << 1 | x and p packed
    uint64   time of the first event
    times    bytes dt << 4 | count: time goes on by dt, then there are `count` events; 15 stands for a uint16 that follows.
             dt = 15: the low four bits are part of a larger step, lowest part first, that ends with the next other byte
    then, if all are packed, four events in three uint32: 24 bits each, y << 12 | x << 1 | p; else
    y        uint16 y << 5 | count; 31 stands for a uint16 that follows
    then, if x and p are packed, four events in three uint16: 12 bits each, x << 1 | p; else
    x        uint16 x << 5 | mask: events at x and at x + 1 to x + 5, whose bits are 4 down to 0
    p        bytes p << 7 | count; 127 stands for a uint16 that follows

All little-endian, nothing aligned.
"""

import numpy as np

from snnkit.kernels.events.decode_common import jit

RUNS, PACKED_XP, PACKED = 0, 1, 2  # the two flags
CUT = -1  # what the loops return for data that ends too early, or has more events than it says


@jit
def _u16(data, at):
    return np.int64(data[at]) | np.int64(data[at + 1]) << 8


@jit
def _u32(data, at):
    return _u16(data, at) | _u16(data, at + 2) << 16


@jit
def _times(data, at, n, t):
    """Fill n times; returns where they end."""
    if at + 8 > len(data):
        return CUT
    now = np.uint64(_u32(data, at)) | np.uint64(_u32(data, at + 4)) << np.uint64(32)
    at += 8
    i, step, shift = 0, np.uint64(0), 0
    while i < n:
        if at >= len(data):
            return CUT
        head, count = data[at] >> 4, np.int64(data[at] & 15)
        at += 1
        if head == 15:
            if shift < 64:
                step |= np.uint64(count) << np.uint64(shift)
            shift += 4
            continue
        now += step + np.uint64(head)
        step, shift = np.uint64(0), 0
        if count == 15:
            if at + 2 > len(data):
                return CUT
            count = np.int64(_u16(data, at))
            at += 2
        if i + count > n:
            return CUT
        t[i : i + count] = np.int64(now)
        i += int(count)
    return at


@jit
def _rows(data, at, n, y):
    i = 0
    while i < n:
        if at + 2 > len(data):
            return CUT
        word = _u16(data, at)
        at += 2
        count = word & 31
        if count == 31:
            if at + 2 > len(data):
                return CUT
            count = np.int64(_u16(data, at))
            at += 2
        if i + count > n:
            return CUT
        y[i : i + count] = word >> 5
        i += int(count)
    return at


@jit
def _columns(data, at, n, x):
    i = 0
    while i < n:
        if at + 2 > len(data):
            return CUT
        word = _u16(data, at)
        at += 2
        x[i] = word >> 5
        i += 1
        for j in range(5):
            if (word >> (4 - j)) & 1 and i < n:
                x[i] = (word >> 5) + j + 1
                i += 1
    return at


@jit
def _polarities(data, at, n, p):
    i = 0
    while i < n:
        if at >= len(data):
            return CUT
        word = np.int64(data[at])
        at += 1
        count = word & 127
        if count == 127:
            if at + 2 > len(data):
                return CUT
            count = np.int64(_u16(data, at))
            at += 2
        if i + count > n:
            return CUT
        p[i : i + count] = word >> 7
        i += int(count)
    return at


@jit
def _packed(data, at, n, x, y, p):
    for i in range(0, n, 4):
        if at + 12 > len(data):
            return CUT
        a, b, c = _u32(data, at), _u32(data, at + 4), _u32(data, at + 8)
        at += 12
        values = (a >> 8, (a & 0xFF) | (b >> 16) << 8, (b & 0xFFFF) | (c >> 24) << 16, c & 0xFFFFFF)
        for j in range(min(4, n - i)):
            y[i + j] = (values[j] >> 12) & 0x7FF
            x[i + j] = (values[j] >> 1) & 0x7FF
            p[i + j] = values[j] & 1
    return at


@jit
def _packed_xp(data, at, n, x, p):
    for i in range(0, n, 4):
        if at + 6 > len(data):
            return CUT
        a, b, c = _u16(data, at), _u16(data, at + 2), _u16(data, at + 4)
        at += 6
        values = (a >> 4, (a & 0xF) | (b >> 8) << 4, (b & 0xFF) | (c >> 12) << 8, c & 0xFFF)
        for j in range(min(4, n - i)):
            x[i + j] = values[j] >> 1
            p[i + j] = values[j] & 1
    return at


@jit
def decode(data, t, x, y, p):
    """Decode a chunk of bytes; returns how many events it has, or CUT if it is damaged or has more than there is room."""
    if len(data) < 4:
        return CUT
    head = _u32(data, 0)
    n = head >> 2
    if n > len(t):
        return CUT
    at = _times(data, 4, n, t)
    if at != CUT and (head >> 1) & 1:
        at = _packed(data, at, n, x, y, p)
    elif at != CUT:
        at = _rows(data, at, n, y)
        if at != CUT and head & 1:
            at = _packed_xp(data, at, n, x, p)
        elif at != CUT:
            at = _columns(data, at, n, x)
            if at != CUT:
                at = _polarities(data, at, n, p)
    return CUT if at == CUT else n


@jit
def _run(values, i):
    """How many values from i on are equal."""
    count = 1
    while i + count < len(values) and values[i + count] == values[i]:
        count += 1
    return count


@jit
def _put(out, at, value, size):
    for k in range(size):
        out[at + k] = (value >> (8 * k)) & 0xFF
    return at + size


@jit
def encode(t, x, y, p, mode, out):
    """Encode events whose times do not decrease into `out`, 20 bytes per event and 64; returns how many bytes it is."""
    n = len(t)
    at = _put(out, 0, np.int64(n) << 2 | mode, 4)
    now = t[0] if n else np.int64(0)
    at = _put(out, at, now, 8)
    i = 0
    while i < n:
        step = t[i] - now
        now = t[i]
        if step >= 15 or step < 0:  # negative only if the difference does not fit
            rest = np.uint64(step)
            while rest:
                out[at] = 0xF0 | (rest & np.uint64(15))
                rest >>= np.uint64(4)
                at += 1
            step = 0
        count = _run(t, i)
        at = _put(out, at, step << 4 | min(count, 15), 1)
        if count >= 15:
            at = _put(out, at, count, 2)
        i += int(count)
    if mode == PACKED:
        return _pack(x, y, p, out, at)
    i = 0
    while i < n:
        count = _run(y, i)
        at = _put(out, at, np.int64(y[i]) << 5 | min(count, 31), 2)
        if count >= 31:
            at = _put(out, at, count, 2)
        i += int(count)
    return _pack_xp(x, p, out, at) if mode == PACKED_XP else _masks(x, p, out, at)


@jit
def _pack(x, y, p, out, at):
    v = np.zeros(4, np.int64)
    for i in range(0, len(x), 4):
        for j in range(min(4, len(x) - i)):
            v[j] = np.int64(y[i + j]) << 12 | np.int64(x[i + j]) << 1 | np.int64(p[i + j])
        at = _put(out, at, v[0] << 8 | (v[1] & 0xFF), 4)
        at = _put(out, at, (v[1] >> 8) << 16 | (v[2] & 0xFFFF), 4)
        at = _put(out, at, (v[2] >> 16) << 24 | v[3], 4)
    return at


@jit
def _pack_xp(x, p, out, at):
    v = np.zeros(4, np.int64)
    for i in range(0, len(x), 4):
        for j in range(min(4, len(x) - i)):
            v[j] = np.int64(x[i + j]) << 1 | np.int64(p[i + j])
        at = _put(out, at, v[0] << 4 | (v[1] & 0xF), 2)
        at = _put(out, at, (v[1] >> 4) << 8 | (v[2] & 0xFF), 2)
        at = _put(out, at, (v[2] >> 8) << 12 | v[3], 2)
    return at


@jit
def _masks(x, p, out, at):
    i = 0
    while i < len(x):
        first, mask = np.int64(x[i]), 0
        i += 1
        for j in range(5):
            if i < len(x) and x[i] == first + j + 1:
                mask |= 1 << (4 - j)
                i += 1
        at = _put(out, at, first << 5 | mask, 2)
    i = 0
    while i < len(p):
        count = _run(p, i)
        at = _put(out, at, np.int64(p[i]) << 7 | min(count, 127), 1)
        if count >= 127:
            at = _put(out, at, count, 2)
        i += int(count)
    return at
