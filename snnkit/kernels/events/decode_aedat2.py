"""AEDAT 1 and 2: an address (two or four bytes) and a time in microseconds (four), all big-endian.

DVS128    external:1 (bit 15 or 31) | y:7 (14 to 8) | x:7 (7 to 1) | OFF:1
DAVIS     bit 31 = 0, events:          y:9 (30 to 22) | x:10 (21 to 12) | ON:1 | external:1 (bit 10)
          bit 31 = 1, bits 11 and 10:  00 pixel after reset, 01 pixel after exposure; y, x as above, sample:10
                                       11 inertial: code:3 (30 to 28) | signed value:16 (27 to 12)

Rows count from the bottom and columns of events from the right (but those of the DAVIS' image from the left), as jAER
reads them. A fall of the time by more than 2^31 is a wrap. Loops are as in `decode_common`; the bytes of a record are a row.
"""

import numpy as np

from snnkit.kernels.events.decode_common import GOOD, OUTSIDE, jit

LAST, OFFSET, DAVIS = 2, 3, 4  # entries of the state after width and height
IMU = 5  # and for the inertial loop: next code, then the time and values of the sample so far
CODES = 7
BROKEN = 8  # as the next code: until there is a 0, nothing fits

EVENT, EXTERNAL, RESET, SIGNAL, INERTIAL, UNKNOWN = 0, 1, 2, 3, 4, 5


def start(width, height, davis):
    """The state at the beginning of a file."""
    return np.array([width, height, 0, 0, davis, BROKEN] + [0] * (1 + CODES), np.int64)


@jit
def _address(record):
    value = np.int64(0)
    for k in range(len(record) - 4):
        value = value << 8 | np.int64(record[k])
    return value


@jit
def _time(record, state):
    """Microseconds since the beginning of the recording's clock, wraps undone; the state goes on with it."""
    now = np.int64(0)
    for k in range(len(record) - 4, len(record)):
        now = now << 8 | np.int64(record[k])
    if state[LAST] - now > 1 << 31:
        state[OFFSET] += 1 << 32
    state[LAST] = now
    return state[OFFSET] + now


@jit
def _kind(a, davis):
    if not davis:
        return EXTERNAL if (a >> 15) & 1 or (a >> 31) & 1 else EVENT
    if not (a >> 31) & 1:
        return EXTERNAL if (a >> 10) & 1 else EVENT
    read = (a >> 10) & 3
    return RESET if read == 0 else SIGNAL if read == 1 else INERTIAL if read == 3 else UNKNOWN


@jit
def events(records, state, t, x, y, p, n, limit):
    """Changes of brightness."""
    width, height, davis = state[0], state[1], state[DAVIS]
    k, code = 0, GOOD
    while k < len(records) and n < limit:
        a = _address(records[k])
        if _kind(a, davis) == EVENT:
            column = (a >> 12) & 0x3FF if davis else (a >> 1) & 0x7F
            row = (a >> 22) & 0x1FF if davis else (a >> 8) & 0x7F
            if column >= width or row >= height:
                code = OUTSIDE
                break
            t[n] = _time(records[k], state)
            x[n] = width - 1 - column
            y[n] = height - 1 - row
            p[n] = (a >> 11) & 1 if davis else 1 - (a & 1)
            n += 1
        else:
            _time(records[k], state)
        k += 1
    return k, n, code


@jit
def external(records, state, t, address, n, limit):
    """Edges and pulses at the camera's input."""
    k = 0
    while k < len(records) and n < limit:
        a, now = _address(records[k]), _time(records[k], state)
        if _kind(a, state[DAVIS]) == EXTERNAL:
            t[n] = now
            address[n] = a
            n += 1
        k += 1
    return k, n, GOOD


@jit
def samples(records, state, t, x, y, sample, signal, n, limit):
    """The DAVIS' image, pixel by pixel, once after reset (signal 0) and once after exposure (1)."""
    width, height = state[0], state[1]
    k, code = 0, GOOD
    while k < len(records) and n < limit:
        a = _address(records[k])
        kind = _kind(a, state[DAVIS])
        column, row = (a >> 12) & 0x3FF, (a >> 22) & 0x1FF
        if kind in (RESET, SIGNAL):
            if column >= width or row >= height:
                code = OUTSIDE
                break
            t[n] = _time(records[k], state)
            x[n] = column
            y[n] = height - 1 - row
            sample[n] = a & 0x3FF
            signal[n] = kind == SIGNAL
            n += 1
        else:
            _time(records[k], state)
        k += 1
    return k, n, code


@jit
def inertial(records, state, t, values, n, limit):
    """Inertial samples of seven records with the codes 0 to 6; one that is not complete is left out."""
    k = 0
    while k < len(records) and n < limit:
        a, now = _address(records[k]), _time(records[k], state)
        if _kind(a, state[DAVIS]) == INERTIAL:
            code, value = (a >> 28) & 7, (a >> 12) & 0xFFFF
            if code == 0:
                state[IMU], state[IMU + 1] = 0, now
            if code != state[IMU]:
                state[IMU] = BROKEN
            else:
                state[IMU + 2 + code] = value - ((value >> 15) << 16)
                state[IMU] = code + 1 if code + 1 < CODES else BROKEN
                if code + 1 == CODES:
                    t[n] = state[IMU + 1]
                    for j in range(CODES):
                        values[n, j] = state[IMU + 2 + j]
                    n += 1
        k += 1
    return k, n, GOOD


@jit
def count(records, davis, kinds, largest):
    """Add to the number of records of each kind, and find the largest address, column and row."""
    for k in range(len(records)):
        a = _address(records[k])
        kind = _kind(a, davis)
        kinds[kind] += 1
        if kind in (EVENT, RESET, SIGNAL):
            largest[1] = max(largest[1], (a >> 12) & 0x3FF)
            largest[2] = max(largest[2], (a >> 22) & 0x1FF)
        largest[0] = max(largest[0], a)


@jit
def frames(t, x, y, sample, signal, resets, image, seen, state, times, images):
    """Make images of samples: what a pixel read after reset minus what it read after exposure.

    resets, image, seen: H x W and, like state (number of the image + 1, its pixels so far, incomplete images), carried on.
    An image is complete when all pixels were exposed; one in which a pixel comes again before that is dropped.
    Returns the number of images, written to times and images.
    """
    n = 0
    for k in range(len(t)):
        row, column = y[k], x[k]
        if not signal[k]:
            resets[row, column] = sample[k]
            continue
        if seen[row, column] == state[0]:
            state[0] += 1
            state[1] = 0
            state[2] += 1
        seen[row, column] = state[0]
        image[row, column] = resets[row, column] - np.int32(sample[k])
        state[1] += 1
        if state[1] == image.size:
            times[n] = t[k]
            images[n] = image
            n += 1
            state[0] += 1
            state[1] = 0
    return n
