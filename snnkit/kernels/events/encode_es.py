"""Events into the bytes of an Event Stream (.es) of type DVS; see `decode_es`."""

import numpy as np

from snnkit.kernels.events.decode_common import jit


@jit
def dvs(t, x, y, p, height, data):
    """Number of bytes written: 5 per event, and one for every 127 us since the last one."""
    n, now = 0, np.int64(0)
    for k in range(len(t)):
        gap = t[k] - now
        while gap >= 127:
            data[n] = 0xFF
            n += 1
            gap -= 127
        now = t[k]
        row = height - 1 - y[k]
        data[n] = gap << 1 | np.int64(p[k])
        data[n + 1] = x[k] & 0xFF
        data[n + 2] = x[k] >> 8
        data[n + 3] = row & 0xFF
        data[n + 4] = row >> 8
        n += 5
    return n
