"""Decoders of event files as their specifications read, one record at a time in plain Python.

Each gives (rows, bad): rows of (t, x, y, p) and the index of the first wrong record, or None.
"""

import struct


def evt2(words, width, height):
    rows, high, loops = [], None, 0
    for k, w in enumerate(words):
        kind = w >> 28
        if kind == 8:
            new = w & 0xFFFFFFF
            if high is not None and high - new > 2**27:
                loops += 1
            high = new
        elif kind in (0, 1):
            x, y = w >> 11 & 0x7FF, w & 0x7FF
            if x >= width or y >= height:
                return rows, k
            if high is not None:
                rows.append((loops * 2**34 + high * 64 + (w >> 22 & 63), x, y, kind))
        elif kind not in (0xA, 0xD, 0xE, 0xF):
            return rows, k
    return rows, None


def evt21(words, width, height):
    rows, high, loops = [], None, 0
    for k, w in enumerate(words):
        kind, upper = w >> 60, w >> 32
        if kind == 8:
            new = upper & 0xFFFFFFF
            if high is not None and high - new > 2**27:
                loops += 1
            high = new
        elif kind in (0, 1):
            pixels = [(upper >> 11 & 0x7FF) + i for i in range(32) if w >> i & 1]
            y = upper & 0x7FF
            if y >= height or any(x >= width for x in pixels):
                return rows, k
            if high is not None:
                t = loops * 2**34 + high * 64 + (upper >> 22 & 63)
                rows += [(t, x, y, kind) for x in pixels]
        elif kind not in (0xA, 0xE, 0xF):
            return rows, k
    return rows, None


def evt3(words, width, height):
    rows, high, low, loops, y, base, p = [], None, 0, 0, None, None, 0
    for k, w in enumerate(words):
        kind, value = w >> 12, w & 0xFFF
        pixels, polarity = [], p
        if kind == 0:
            y = w & 0x7FF
            if y >= height:
                return rows, k
        elif kind == 1:
            y = None
        elif kind == 2:
            pixels, polarity = [w & 0x7FF], w >> 11 & 1
            if pixels[0] >= width:
                return rows, k
        elif kind == 3:
            base, p = w & 0x7FF, w >> 11 & 1
        elif kind in (4, 5) and base is not None:
            size = 12 if kind == 4 else 8
            pixels = [base + i for i in range(size) if w >> i & 1]
            base += size
        elif kind == 6:
            low = value
        elif kind == 8:
            if high is not None and high - value > 2048:
                loops += 1
            if value != high:
                high, low = value, 0
        elif kind in (9, 0xB, 0xC):
            return rows, k
        if y is not None and high is not None:
            if any(x >= width for x in pixels):
                return rows, k
            rows += [(loops * 2**24 + high * 4096 + low, x, y, polarity) for x in pixels]
    return rows, None


def dat(data, width, height, version=2):
    rows, last, loops = [], 0, 0
    for k in range(len(data) // 8):
        t, w = struct.unpack_from("<II", data, 8 * k)
        bits = (14, 14) if version == 2 else (9, 8)
        x, y = w & 2 ** bits[0] - 1, w >> bits[0] & 2 ** bits[1] - 1
        if x >= width or y >= height:
            return rows, k
        loops += last - t > 2**31
        last = t
        rows.append((loops * 2**32 + t, x, y, w >> sum(bits) & 1))
    return rows, None


def es_dvs(data, width, height):
    """Here `bad` is a byte, and a record that is cut off is bad, too."""
    rows, t, k = [], 0, 0
    while k < len(data):
        if data[k] >= 254:
            t += 127 if data[k] == 255 else 0
            k += 1
            continue
        if k + 5 > len(data):
            return rows, k
        t += data[k] >> 1
        x, y = struct.unpack_from("<HH", data, k + 1)
        if x >= width or y >= height:
            return rows, k
        rows.append((t, x, height - 1 - y, data[k] & 1))
        k += 5
    return rows, None


def es_atis(data, width, height):
    """Rows are (t, x, y, polarity, exposure)."""
    rows, t, k = [], 0, 0
    while k < len(data):
        if data[k] >> 2 == 63:
            t += 63 * (data[k] & 3)
            k += 1
            continue
        if k + 5 > len(data):
            return rows, k
        t += data[k] >> 2
        x, y = struct.unpack_from("<HH", data, k + 1)
        if x >= width or y >= height:
            return rows, k
        rows.append((t, x, height - 1 - y, data[k] >> 1 & 1, data[k] & 1))
        k += 5
    return rows, None


def es_colour(data, width, height):
    """Rows are (t, x, y, r, g, b)."""
    rows, t, k = [], 0, 0
    while k < len(data):
        if data[k] >= 254:
            t += 254 if data[k] == 255 else 0
            k += 1
            continue
        if k + 8 > len(data):
            return rows, k
        t += data[k]
        x, y = struct.unpack_from("<HH", data, k + 1)
        if x >= width or y >= height:
            return rows, k
        rows.append((t, x, height - 1 - y, *data[k + 5 : k + 8]))
        k += 8
    return rows, None


def es_generic(data):
    """Rows are (t, payload)."""
    rows, t, k = [], 0, 0
    while k < len(data):
        if data[k] >= 254:
            t += 254 if data[k] == 255 else 0
            k += 1
            continue
        at, size, shift = k + 1, 0, 0
        while at < len(data):
            size |= (data[at] >> 1) << shift
            shift, at = shift + 7, at + 1
            if not data[at - 1] & 1:
                break
        else:
            return rows, k
        if at + size > len(data):
            return rows, k
        t += data[k]
        rows.append((t, data[at : at + size]))
        k = at + size
    return rows, None
