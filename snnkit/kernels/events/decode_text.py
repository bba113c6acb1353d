"""Rows of numbers as text, exactly: decimal numbers are never made binary fractions.

A row ends with a line feed. Its fields are separated by a comma, semicolon, tab or bar with any spaces, or by spaces alone.
A number is [+-]digits[.digits][e[+-]digits]; truth values are words that begin with T or F. Rows that are empty or begin
with # or % are left out.
"""

import numpy as np

from snnkit.kernels.events.decode_common import jit

NEWLINE, SPACE, TAB, RETURN = 10, 32, 9, 13
GOOD, NO_NUMBER, FIELDS, OUTSIDE = 0, 1, 2, 3
DIGITS = 18  # of a number that are kept; int64 has room for them
TENS = np.array([10**k for k in range(19)], np.int64)
IGNORED = -1  # the role of a column that is not read


@jit
def _separator(c):
    return c == 44 or c == 59 or c == TAB or c == 124


@jit
def _number(data, at):
    """(where it ends, digits, power of ten); it ends where it begins if there is none."""
    start, sign = at, np.int64(1)
    if data[at] == 43 or data[at] == 45:
        sign = 44 - np.int64(data[at])
        at += 1
    c = data[at]
    if c == 84 or c == 116 or c == 70 or c == 102:  # T, t, F, f
        while (data[at] | 32) >= 97 and (data[at] | 32) <= 122:
            at += 1
        return at, np.int64(c == 84 or c == 116), np.int64(0)
    value, power, digits, kept, point = np.int64(0), np.int64(0), 0, 0, False
    while True:
        c = data[at]
        if c == 46 and not point:
            point = True
        elif c >= 48 and c <= 57:
            digits += 1
            if kept < DIGITS:
                value = 10 * value + (np.int64(c) - 48)
                kept += value != 0
                power -= point
            else:
                power += not point
        else:
            break
        at += 1
    if not digits:
        return start, np.int64(0), np.int64(0)
    if c == 69 or c == 101:  # E, e
        at += 1
        down = data[at] == 45
        at += data[at] == 43 or data[at] == 45
        exponent, digits = np.int64(0), 0
        while data[at] >= 48 and data[at] <= 57:
            exponent = min(10 * exponent + (np.int64(data[at]) - 48), np.int64(9999))
            digits += 1
            at += 1
        if not digits:
            return start, np.int64(0), np.int64(0)
        power += -exponent if down else exponent
    return at, sign * value, power


@jit
def _integer(value, power):
    """(value times ten to the power, rounded; was it whole; does it fit)."""
    if value == 0:
        return np.int64(0), True, True
    size = abs(value)
    if power >= 0:
        if power > 18 or size > 9223372036854775807 // TENS[power]:
            return np.int64(0), True, False
        size *= TENS[power]
        return size if value > 0 else -size, True, True
    if power < -18:
        return np.int64(0), False, True
    unit = TENS[-power]
    rest = size % unit
    size = size // unit + (rest >= unit - rest)
    return size if value > 0 else -size, rest == 0, True


@jit
def _blanks(data, at):
    while data[at] == SPACE or data[at] == TAB or data[at] == RETURN:
        at += 1
    return at


@jit
def _skip(data, at):
    """The end of a field that is not read."""
    while not (_separator(data[at]) or data[at] == SPACE or data[at] == NEWLINE):
        at += 1
    return at


@jit
def rows(data, roles, shift, width, height, t, x, y, p):
    """Decode rows until there are no more or the columns are full.

    data: bytes that end with a line feed. roles: what each field is, 0 to 3 for t, x, y, p, or IGNORED. shift: power of ten
    that makes times microseconds. Returns (bytes used, events, code, number of times that were not whole); on damage the
    bytes end before the row.
    """
    at, n, fractions = 0, 0, 0
    found = np.zeros(4, np.int64)
    while at < len(data) and n < len(t):
        start = at
        at = _blanks(data, at)
        if data[at] == 35 or data[at] == 37 or data[at] == NEWLINE:  # a remark, or empty
            while data[at] != NEWLINE:
                at += 1
            at += 1
            continue
        for k in range(len(roles)):
            if data[at] == NEWLINE:
                return start, n, FIELDS, fractions
            role = roles[k]
            if role == IGNORED:
                at = _skip(data, at)
            else:
                end, value, power = _number(data, at)
                if end == at:
                    return start, n, NO_NUMBER, fractions
                at = end
                found[role], whole, fits = _integer(value, power + (shift if role == 0 else 0))
                if role == 0:
                    fractions += not whole
                if not fits or not (whole or role == 0):
                    return start, n, OUTSIDE, fractions
            before = at
            while data[at] == SPACE or data[at] == RETURN:
                at += 1
            if k + 1 < len(roles):
                if _separator(data[at]):
                    at = _blanks(data, at + 1)
                elif at == before and data[at] != NEWLINE:
                    return start, n, NO_NUMBER, fractions
            elif data[at] == TAB:
                at = _blanks(data, at)
        if data[at] != NEWLINE:
            return start, n, FIELDS, fractions
        at += 1
        px, py, pp = found[1], found[2], found[3]
        if px < 0 or px >= width or py < 0 or py >= height or pp < -1 or pp > 1:
            return start, n, OUTSIDE, fractions
        t[n] = found[0]
        x[n] = px
        y[n] = py
        p[n] = pp > 0
        n += 1
    return at, n, GOOD, fractions
