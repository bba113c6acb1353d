"""Gaussian taps of many synapses, and the gradients of weight and delay from those of the taps, in one pass each.

    k_n = g_n / Σ_m g_m,  g_n = exp(-((n - d)/σ)²/2)        K_n = w·k_n
    dw = Σ_n k_n·dK_n       dd = w/σ²·Σ_n k_n·((n - d) - Σ_m k_m·(m - d))·dK_n

The exponent is taken from the nearest step on, so the sum is never below one. Powers of two are set as bits for the
whole part and a polynomial for the rest, which runs over whole vectors where the library's exponential is called number by
number; hence for float32 only, where it is exact to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numba as nb
import numpy as np
import torch
from torch import Tensor

from snnkit.kernels import lease
from snnkit.kernels.sparse import run_pieces

LANES = 256  # synapses at a time
DEEPEST = 127  # from this exponent on a tap is zero

_sum = nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
_U = np.uint64

_SERIES = np.array(  # of 2^-f around f = 1/2
    [math.sqrt(0.5) * (-math.log(2)) ** k / math.factorial(k) for k in range(8)], np.float32
)


# Few arrays to a loop: the compiler has to prove, or to test, that they do not overlap.


@_sum
def _places(d, low, n, place):
    """The delay, its nearest step, and the square of what lies between them."""
    place[:] = 0
    for l in range(_U(n)):
        near = np.rint(d[low + l])
        r = near - d[low + l]
        place[l] = d[low + l]
        place[_U(LANES) + l] = near
        place[_U(2 * LANES) + l] = r * r


@_sum
def _exponents(place, step, scale, series, bits, g):
    """2^-u = g·2^-whole, u = ((step - d)² - that of the nearest step)·scale; bits are those of the float 2^-whole, 0 at the end."""
    c0, c1, c2, c3 = series[0], series[1], series[2], series[3]
    c4, c5, c6, c7 = series[4], series[5], series[6], series[7]
    most, half, zero = np.float32(DEEPEST), np.float32(0.5), np.float32(0)
    for l in range(_U(LANES)):
        r = step - place[l]
        u = (r * r - place[_U(2 * LANES) + l]) * scale
        u = u if u > zero else zero  # noqa: FURB136
        u = u if u < most else most  # noqa: FURB136
        whole = np.int32(u)
        f = u - np.float32(whole) - half
        p = c7
        p = p * f + c6
        p = p * f + c5
        p = p * f + c4
        p = p * f + c3
        p = p * f + c2
        p = p * f + c1
        g[l] = p * f + c0
        bits[l] = (np.int32(DEEPEST) - whole) << np.int32(23)


@_sum
def _bells(w, d, window, scale, series, first, last, out):
    """w, d: synapses; out: window x synapses."""
    size = len(w)
    place, g, total = (
        np.empty(3 * LANES, w.dtype),
        np.empty(window * LANES, w.dtype),
        np.empty(LANES, w.dtype),
    )
    bits, part = np.empty(LANES, np.int32), np.empty(LANES, w.dtype)
    power = bits.view(np.float32)
    for chunk in range(first, last):
        low = _U(chunk * LANES)
        n = min(LANES, size - chunk * LANES)
        _places(d, low, n, place)
        for l in range(_U(LANES)):
            total[l] = 0 * place[l]  # NaN stays NaN
        for step in range(window):
            _exponents(place, np.float32(step), scale, series, bits, part)
            at = _U(step * LANES)
            for l in range(_U(LANES)):
                e = part[l] * power[l]
                g[at + l] = e
                total[l] += e
        for l in range(_U(n)):
            total[l] = w[low + l] / total[l]
        for step in range(window):
            to, at = _U(step * size) + low, _U(step * LANES)
            for l in range(_U(n)):
                out[to + l] = g[at + l] * total[l]


@_sum
def _moments(grad, of, n, step, place, part, power, sums):
    """sums: of the taps, and those times distance, gradient, and both; distances are from the nearest step, which is exact."""
    for l in range(_U(n)):
        e, r = part[l] * power[l], step - place[_U(LANES) + l]
        pull = e * grad[of + l]
        sums[l] += e
        sums[_U(LANES) + l] += e * r
        sums[_U(2 * LANES) + l] += pull
        sums[_U(3 * LANES) + l] += pull * r


@_sum
def _pulls(w, d, grad, window, scale, sharp, series, first, last, dw, dd):
    """grad: window x synapses; sharp: 1/σ²."""
    size = len(w)
    place, sums = np.empty(3 * LANES, w.dtype), np.empty(4 * LANES, w.dtype)
    bits, part = np.empty(LANES, np.int32), np.empty(LANES, w.dtype)
    power = bits.view(np.float32)
    for chunk in range(first, last):
        low = _U(chunk * LANES)
        n = min(LANES, size - chunk * LANES)
        _places(d, low, n, place)
        sums[:] = 0
        for l in range(_U(LANES)):
            sums[l] = 0 * place[l]
        for step in range(window):
            _exponents(place, np.float32(step), scale, series, bits, part)
            _moments(grad, _U(step * size) + low, n, np.float32(step), place, part, power, sums)
        for l in range(_U(n)):
            total, mean = sums[l], sums[_U(LANES) + l]
            flat, tilted = sums[_U(2 * LANES) + l] / total, sums[_U(3 * LANES) + l] / total
            dw[low + l] = flat
            dd[low + l] = w[low + l] * sharp * (tilted - mean / total * flat)


# -- on tensors -------------------------------------------------------------------------------------------------------


def _flat(x: Tensor) -> np.ndarray:
    return x.detach().contiguous().view(-1).numpy()


def _pieces(size: int, window: int, work: Callable[[int, int], None]) -> None:
    run_pieces(np.arange(-(-size // LANES) + 1) * window, LANES, work)


def _constants(sigma: float) -> tuple:
    return np.float32(0.5 / math.log(2) / sigma**2), _SERIES


def bells(weight: Tensor, delay: Tensor, window: int, sigma: float) -> Tensor:
    """Taps times weights, window x the shape of both; float32, delays from 0 to window - 1."""
    out = lease.empty((window, *weight.shape), weight.dtype)
    w, d, y = _flat(weight), _flat(delay), out.view(-1).numpy()
    constants = _constants(sigma)

    def work(first: int, last: int) -> None:
        _bells(w, d, window, *constants, first, last, y)

    _pieces(len(w), window, work)
    return out


def pulls(weight: Tensor, delay: Tensor, grad: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Gradients of weight and delay from that of `bells`."""
    dw, dd = torch.empty(weight.shape), torch.empty(weight.shape)
    w, d, g, window = _flat(weight), _flat(delay), _flat(grad), len(grad)
    a, b, (scale, *tables) = dw.view(-1).numpy(), dd.view(-1).numpy(), _constants(sigma)

    def work(first: int, last: int) -> None:
        _pulls(w, d, g, window, scale, np.float32(1 / sigma**2), *tables, first, last, a, b)

    _pieces(len(w), window, work)
    return dw, dd
