"""Loops over the records of AEDAT 3.1 and AEDAT 4, and of libcaer's packets in ROS bags.

AEDAT 4 (16 bytes): int64 microseconds, int16 x, int16 y, bool ON, 3 bytes of padding.

AEDAT 3.1 and libcaer (8 bytes): valid:1 | ON:1 | y:15 | x:15 from the lowest bit up, then 31 bits of time.
"""

import numpy as np

from snnkit.kernels.events.decode_common import jit


@jit
def aedat4(words, width, height, t, x, y, p):
    """Decode pairs of int64 words, of which the second has x, y and polarity; returns how many are in the sensor."""
    for k in range(len(t)):
        w = words[2 * k + 1]
        px, py = w & 0xFFFF, (w >> 16) & 0xFFFF
        if px >= width or py >= height:
            return k
        t[k] = words[2 * k]
        x[k] = px
        y[k] = py
        p[k] = (w >> 32) & 0xFF != 0
    return len(t)


@jit
def polarity(words, base, width, height, t, x, y, p):
    """Decode pairs of uint32 words whose times count from `base`; returns (records used, events).

    Records that are not marked valid are no events. It stops at a record that is outside the sensor, or whose time is
    negative.
    """
    n = 0
    for k in range(len(words) // 2):
        w, now = np.int64(words[2 * k]), np.int64(words[2 * k + 1])
        if w & 1:
            px, py = w >> 17, (w >> 2) & 0x7FFF
            if px >= width or py >= height or now >> 31:
                return k, n
            t[n] = base + now
            x[n] = px
            y[n] = py
            p[n] = (w >> 1) & 1
            n += 1
    return len(words) // 2, n
