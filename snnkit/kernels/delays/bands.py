"""Fourier transforms along time of many columns, one band of frequencies at a time.

    X_f = Σ_t x[t]·exp(-2πi f t/n)        f = j + R·k,   k = 0 .. m - 1,   n = R·m

A band is what leaves the remainder j. Its columns are turned by exp(-2πi j t/n) and folded to m steps, z[t mod m], and what is
left is a transform of m steps, which halves twice as cosines are even and sines odd. So a band reads x once, and needs no
more memory than its own frequencies. Bands 0 and R/2 are their own mirror image and keep half of theirs; band R - j mirrors j.

A frequency has three components, real part, imaginary part, and their sum or difference, as complex products take three
real ones then; frequencies 0 and n/2 have one. Columns lie side by side, 128 at a time, in the first two levels of the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numba as nb
import numpy as np
from torch import Tensor

from snnkit.kernels.sparse import run_pieces

LANES = 128  # columns in the first level of the cache
SPAN = 1024  # in the second: as many are read side by side
_U = np.uint64

_sum = nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})


@dataclass(frozen=True, eq=False)
class Band:
    """The frequencies j + R·k that are kept."""

    turn: np.ndarray  # cosine and sine of 2π j t/n, 2 x n
    at: np.ndarray  # first component of frequency k, -1 where it is left out
    real: np.ndarray  # whether frequency k has one component
    components: int


@dataclass(frozen=True, eq=False)
class Plan:
    """A transform of n = R·m steps; cosines and sines of 2π k s/m for k, s = 0 .. m/2."""

    m: int
    table: np.ndarray  # 2 x h x h: cosines, sines, h a multiple of four, zero beyond m/2
    bands: tuple[Band, ...]


def _band(j: int, R: int, m: int, dtype: np.dtype) -> Band:
    n = R * m
    angle = 2 * math.pi / n * (j * np.arange(n) % n)
    f = j + R * np.arange(m)
    real = (f == 0) | (2 * f == n)
    kept = (2 * f <= n) | (2 * j % R != 0)
    size = np.where(kept, np.where(real, 1, 3), 0)
    at = np.where(kept, np.cumsum(size) - size, -1)
    return Band(np.stack([np.cos(angle), np.sin(angle)]).astype(dtype), at, real, int(size.sum()))


@lru_cache(maxsize=32)
def plan(R: int, m: int, dtype: np.dtype) -> Plan:
    h = m // 2 + 1
    angle = 2 * math.pi / m * (np.outer(np.arange(h), np.arange(h)) % m)
    table = np.zeros((2, -(-h // 4) * 4, -(-h // 4) * 4), dtype)
    table[0, :h, :h], table[1, :h, :h] = np.cos(angle), np.sin(angle)
    return Plan(m, table, tuple(_band(j, R, m, dtype) for j in range(R // 2 + 1)))


# In the loops arrays are flat and places unsigned: so they run over whole vectors, and no view is made for some hundred numbers.


@_sum
def _halves(table, h, u, v, low, width):
    """v[0], v[2] = cosines · u[0], u[2];  v[1], v[3] = sines · u[1], u[3]; u: 4 x h x LANES, v: 4 x h x width, from low on."""
    n, w = _U(LANES), _U(width)
    for q in range(4):
        for k in range(0, h, 4):
            y0 = _U((q * h + k) * width + low)
            y1, y2, y3 = y0 + w, y0 + _U(2) * w, y0 + _U(3) * w
            for l in range(n):
                v[y0 + l] = v[y1 + l] = v[y2 + l] = v[y3 + l] = 0
            for s in range(0, h, 4):
                x0 = _U((q * h + s) * LANES)
                x1, x2, x3 = x0 + n, x0 + _U(2) * n, x0 + _U(3) * n
                i = _U((q % 2 * h + k) * h + s)
                a0, a1, a2, a3 = table[i], table[i + _U(1)], table[i + _U(2)], table[i + _U(3)]
                i += _U(h)
                b0, b1, b2, b3 = table[i], table[i + _U(1)], table[i + _U(2)], table[i + _U(3)]
                i += _U(h)
                c0, c1, c2, c3 = table[i], table[i + _U(1)], table[i + _U(2)], table[i + _U(3)]
                i += _U(h)
                d0, d1, d2, d3 = table[i], table[i + _U(1)], table[i + _U(2)], table[i + _U(3)]
                for l in range(n):
                    e, f, g, r = u[x0 + l], u[x1 + l], u[x2 + l], u[x3 + l]
                    v[y0 + l] += (a0 * e + a1 * f) + (a2 * g + a3 * r)
                    v[y1 + l] += (b0 * e + b1 * f) + (b2 * g + b3 * r)
                    v[y2 + l] += (c0 * e + c1 * f) + (c2 * g + c3 * r)
                    v[y3 + l] += (d0 * e + d1 * f) + (d2 * g + d3 * r)


@_sum
def _parts(x, a, b, y, even, odd):
    for l in range(_U(LANES)):
        p, q = x[a + l], x[b + l]
        y[even + l] = p + q
        y[odd + l] = p - q


@_sum
def _split(z, low, m, h, u):
    """u[0], u[3]: even and odd part of z[0], u[2], u[1]: of z[1], over s = 0 .. m/2; z: 2 x m x SPAN."""
    for s in range(m // 2 + 1):
        r = (m - s) % m
        for i in range(2):
            a, b = _U((i * m + s) * SPAN + low), _U((i * m + r) * SPAN + low)
            even, odd = _U((2 * i * h + s) * LANES), _U(((3 - 2 * i) * h + s) * LANES)
            if r == s:
                for l in range(_U(LANES)):
                    u[even + l] = z[a + l]
                    u[odd + l] = 0
            else:
                _parts(z, a, b, u, even, odd)


@_sum
def _store(v, k, h, side, sign, at, real, width, low, n, out):
    """Components (a + b) + i·(c - d), or with b and d turned round."""
    a = _U(k * SPAN)
    b, c, d = a + _U(h * SPAN), a + _U(2 * h * SPAN), a + _U(3 * h * SPAN)
    if at < 0:
        return
    re = _U(at * width + low)
    if real:
        for l in range(_U(n)):
            out[re + l] = v[a + l] + side * v[b + l]
    else:
        im, both = re + _U(width), re + _U(2 * width)
        for l in range(_U(n)):
            p = v[a + l] + side * v[b + l]
            q = v[c + l] - side * v[d + l]
            out[re + l] = p
            out[im + l] = q
            out[both + l] = p + sign * q


@_sum
def _fold(x, turn, low, n, columns, m, z):
    """z[s] = Σ x[t]·exp(-2πi j t/n) over all t with the remainder s."""
    T = min(len(x) // columns, turn.shape[1])
    zero = turn.dtype.type(0)
    z[:] = 0
    for first in range(0, T, 4 * m):
        for s in range(first, min(first + m, T)):
            re, im = _U((s - first) * SPAN), _U((m + s - first) * SPAN)
            t1, t2, t3 = s + m, s + 2 * m, s + 3 * m
            a0, b0 = turn[0, s], turn[1, s]
            a1, b1 = (turn[0, t1], turn[1, t1]) if t1 < T else (zero, zero)
            a2, b2 = (turn[0, t2], turn[1, t2]) if t2 < T else (zero, zero)
            a3, b3 = (turn[0, t3], turn[1, t3]) if t3 < T else (zero, zero)
            i0 = _U(s * columns + low)
            i1 = _U(t1 * columns + low) if t1 < T else i0
            i2 = _U(t2 * columns + low) if t2 < T else i0
            i3 = _U(t3 * columns + low) if t3 < T else i0
            for l in range(_U(n)):
                p, q, r, e = x[i0 + l], x[i1 + l], x[i2 + l], x[i3 + l]
                z[re + l] += (a0 * p + a1 * q) + (a2 * r + a3 * e)
                z[im + l] -= (b0 * p + b1 * q) + (b2 * r + b3 * e)


@_sum
def _front(x, columns, m, table, h, turn, at, real, sign, first, last, out):
    """x: T x columns; out: components x columns."""
    z, u, v = (
        np.zeros(2 * m * SPAN, x.dtype),
        np.zeros(4 * h * LANES, x.dtype),
        np.zeros(4 * h * SPAN, x.dtype),
    )
    one = x.dtype.type(1)
    for span in range(first, last):
        low = span * SPAN
        n = min(SPAN, columns - low)
        _fold(x, turn, low, n, columns, m, z)
        for part in range(0, n, LANES):
            _split(z, part, m, h, u)
            _halves(table, h, u, v, part, SPAN)
        for k in range(m // 2 + 1):
            _store(v, k, h, one, sign, at[k], real[k], columns, low, n, out)
            if 0 < k < m - k:
                _store(v, k, h, -one, sign, at[m - k], real[m - k], columns, low, n, out)


@_sum
def _load(p, at, real, conjugate, scale, width, low, n, z, re, im):
    """A frequency from the three products of its components."""
    a = _U(at * width + low)
    b, c = a + _U(width), a + _U(2 * width)
    if at < 0 or real:
        for l in range(_U(n)):
            z[im + l] = 0
        for l in range(_U(n)):
            z[re + l] = 0 if at < 0 else scale * p[a + l]
    elif conjugate:
        for l in range(_U(n)):
            z[re + l] = (scale + scale) * (p[a + l] + p[b + l])
            z[im + l] = (scale + scale) * (p[a + l] - p[b + l] - p[c + l])
    else:
        for l in range(_U(n)):
            z[re + l] = (scale + scale) * (p[a + l] - p[b + l])
            z[im + l] = (scale + scale) * (p[c + l] - p[a + l] - p[b + l])


@_sum
def _unfold(z, turn, low, n, columns, m, y):
    """y[t] += the real part of z[t mod m]·exp(2πi j t/n)."""
    for t in range(len(y) // columns):
        c, q, i = turn[0, t], turn[1, t], _U(t * columns + low)
        re, im = _U(t % m * SPAN), _U((m + t % m) * SPAN)
        for l in range(_U(n)):
            y[i + l] += c * z[re + l] - q * z[im + l]


@_sum
def _back(p, columns, m, table, h, turn, at, real, conjugate, first, last, y):
    """y += the band's part of the inverse transform; p: components x columns, y: rows x columns."""
    z, u, v = (
        np.zeros(2 * m * SPAN, y.dtype),
        np.zeros(4 * h * LANES, y.dtype),
        np.zeros(4 * h * LANES, y.dtype),
    )
    one = y.dtype.type(1.0 / turn.shape[1])
    for span in range(first, last):
        low = span * SPAN
        n = min(SPAN, columns - low)
        for k in range(m):
            re, im = _U(k * SPAN), _U((m + k) * SPAN)
            _load(p, at[k], real[k], conjugate, one, columns, low, n, z, re, im)
        for part in range(0, n, LANES):
            _split(z, part, m, h, u)
            _halves(table, h, u, v, 0, LANES)
            for s in range(m // 2 + 1):
                a, r = _U(s * LANES), (m - s) % m
                b, c, d = a + _U(h * LANES), a + _U(2 * h * LANES), a + _U(3 * h * LANES)
                to, mirror = _U(s * SPAN + part), _U(r * SPAN + part)
                _parts(v, a, b, z, mirror, to)
                _parts(v, c, d, z, to + _U(m * SPAN), mirror + _U(m * SPAN))
        _unfold(z, turn, low, n, columns, m, y)


# -- on tensors -------------------------------------------------------------------------------------------------------


def _run(columns: int, cost: int, work: Callable[[int, int], None]) -> None:
    spans = -(-columns // SPAN)
    run_pieces(np.arange(spans + 1) * cost, SPAN, work)


def front(x: Tensor, of: Plan, band: Band, sign: int, out: Tensor) -> Tensor:
    """The components of a band, `components columns`, of x, `T columns`, with the sum (or difference) as the third."""
    a, o, (_, h, _) = x.detach().contiguous().view(-1).numpy(), out.view(-1).numpy(), of.table.shape
    tables = of.table.reshape(-1), h, band.turn, band.at, band.real, a.dtype.type(sign)

    def work(first: int, last: int) -> None:
        _front(a, x.shape[1], of.m, *tables, first, last, o)

    _run(x.shape[1], len(x) + band.components, work)
    return out


def back(products: Tensor, of: Plan, band: Band, conjugate: bool, y: Tensor) -> None:
    """Add to y, `rows columns`, what a band contributes, given the products of its components, `components columns`.

    `conjugate`: of the products the first factor has the difference as its third component, and the second, which has the
    sum, is to be conjugated.
    """
    p, o, (_, h, _) = products.view(-1).numpy(), y.view(-1).numpy(), of.table.shape
    tables = of.table.reshape(-1), h, band.turn, band.at, band.real, conjugate

    def work(first: int, last: int) -> None:
        _back(p, y.shape[1], of.m, *tables, first, last, o)

    _run(y.shape[1], len(y) + band.components, work)
