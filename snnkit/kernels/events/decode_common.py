"""What all decoding loops share.

A loop has the form `kernel(words, state, *columns, n, limit) -> (used, n, code)`. It decodes whole records from the start of
`words` into the columns from row n on, and stops when

    n >= limit          the columns are full. One record may add more than one event: columns have SLACK rows more than limit
    words end           `used` of them are decoded; a record that is cut off is left for the next call
    damage              `used` points at it and `code` says what it is

`state` is an int64 array that carries everything from one call to the next, so that any division of a file into blocks
gives the same events. Its first two entries are the sensor's width and height.

Indices are made unsigned where they are used: a signed one costs a test whether it counts from the end, in some loops
a third of the time.
"""

import numba as nb
import numpy as np

jit = nb.njit(cache=True, nogil=True, error_model="numpy")

SLACK = 32
WIDTH, HEIGHT = 0, 1  # of `state`, in all loops

GOOD, UNDEFINED, OUTSIDE, BACKWARDS, TOO_LONG = 0, 1, 2, 3, 4  # codes

# Position of the lowest set bit b of a 32-bit word: LOWEST_BIT[(b * DE_BRUIJN mod 2^32) >> 27] (Leiserson 1998).
DE_BRUIJN = 0x077CB531
LOWEST_BIT = np.zeros(32, np.int64)
for _k in range(32):
    LOWEST_BIT[((DE_BRUIJN << _k) & 0xFFFFFFFF) >> 27] = _k


@jit
def backwards(t):
    """How many times are earlier than the one before."""
    count = 0
    for k in range(1, len(t)):
        count += t[k] < t[k - 1]
    return count
