"""Events inside messages of ROS (https://github.com/ros-event-camera/event_camera_codecs; EVT3 is in `decode_evt3`).

mono          uint64: ns since the message's time base (bits 31 to 0), x (47 to 32), y (62 to 48), ON (63)
libcaer       as AEDAT 3.1, microseconds since the time base; a smaller time means that the 31 bits are full
libcaer_cmp   16-bit words, type in the upper four bits: 0 time bits 23 to 12, 1 time bits 11 to 0, 2 x, 3 y and ON (bit 11):
              an event, 4 y and ON from which vectors start, 5 eight rows in bits 7 to 0, then on by eight
dvs_msgs      x, y uint16, seconds, nanoseconds uint32, ON uint8; in ROS 2 aligned
"""

import numpy as np

from snnkit.kernels.events.decode_common import GOOD, OUTSIDE, UNDEFINED, jit

COLUMN, ROW, POLARITY = 2, 3, 4  # of the state of libcaer_cmp, after width and height; -1: none yet


def start(width, height):
    """The state of libcaer_cmp at the beginning."""
    return np.array([width, height, -1, -1, 0], np.int64)


@jit
def mono(words, base, width, height, t, x, y, p):
    """`base` in nanoseconds; returns how many events are in the sensor."""
    for k in range(len(words)):
        w = np.int64(words[k])
        px, py = (w >> 32) & 0xFFFF, (w >> 48) & 0x7FFF
        if px >= width or py >= height:
            return k
        t[k] = (base + (w & 0xFFFFFFFF)) // 1000
        x[k] = px
        y[k] = py
        p[k] = (w >> 63) & 1
    return len(words)


@jit
def libcaer(words, base, width, height, t, x, y, p):
    """`base` in microseconds; returns (records used, events). Records that are not valid are no events."""
    n, last = 0, np.int64(0)
    for k in range(len(words) // 2):
        w, now = np.int64(words[2 * k]), np.int64(words[2 * k + 1]) & 0x7FFFFFFF
        if now < last:
            base += 1 << 31
        last = now
        if w & 1:
            px, py = w >> 17, (w >> 2) & 0x7FFF
            if px >= width or py >= height:
                return k, n
            t[n] = base + now
            x[n] = px
            y[n] = py
            p[n] = (w >> 1) & 1
            n += 1
    return len(words) // 2, n


@jit
def libcaer_cmp(words, base, state, t, x, y, p):
    """`base` in microseconds; t, x, y, p have room for eight events per word. Returns (words used, events, code)."""
    width, height = state[0], state[1]
    column, row, polarity = state[COLUMN], state[ROW], state[POLARITY]
    high, low, n, code = np.int64(0), np.int64(0), 0, GOOD
    for k in range(len(words)):
        w = np.int64(words[k])
        kind = w >> 12
        mask = np.int64(0)
        first = row
        if kind == 0:
            high = w & 0xFFF
        elif kind == 1:
            low = w & 0xFFF
        elif kind == 2:
            column = w & 0x7FF
            if column >= width:
                code = OUTSIDE
        elif kind == 3:
            first, polarity, mask = w & 0x7FF, (w >> 11) & 1, np.int64(1)
        elif kind == 4:
            row, polarity = w & 0x7FF, (w >> 11) & 1
        elif kind == 5:
            mask = w & 0xFF if row >= 0 else np.int64(0)
            row += 8 if row >= 0 else 0
        else:
            code = UNDEFINED
        if column < 0:
            mask = np.int64(0)
        for j in range(8):
            if (mask >> j) & 1:
                if first + j >= height:
                    code = OUTSIDE
                    break
                t[n] = base + (high << 12 | low)
                x[n] = column
                y[n] = first + j
                p[n] = polarity
                n += 1
        if code != GOOD:
            return k, n, code
    state[COLUMN], state[ROW], state[POLARITY] = column, row, polarity
    return len(words), n, code


@jit
def _u32(data, at):
    return (
        np.int64(data[at])
        | np.int64(data[at + 1]) << 8
        | np.int64(data[at + 2]) << 16
        | np.int64(data[at + 3]) << 24
    )


@jit
def dvs(data, aligned, width, height, t, x, y, p):
    """Events of dvs_msgs from the start of `data`; returns how many there are before the end or one that is outside.

    data: bytes, the first of which is where numbers are aligned to, if `aligned`.
    """
    at = 0
    for k in range(len(t)):
        time = at + 4
        if aligned:
            at += at & 1
            time = at + 4 + (-at & 3)
        if time + 9 > len(data):
            return k
        px = np.int64(data[at]) | np.int64(data[at + 1]) << 8
        py = np.int64(data[at + 2]) | np.int64(data[at + 3]) << 8
        if px >= width or py >= height:
            return k
        t[k] = _u32(data, time) * 1000000 + _u32(data, time + 4) // 1000
        x[k] = px
        y[k] = py
        p[k] = data[time + 8] != 0
        at = time + 9
    return len(t)
