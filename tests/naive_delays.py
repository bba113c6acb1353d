"""Synapses with delays as the equations say it, one number at a time."""

import math

import numpy as np

ROUTES = {
    "two-tap": ("events", "lanes", "conv"),
    "integer": ("events", "lanes", "conv"),
    "gaussian": ("events", "spectral", "conv"),
}
PAIRS = [(form, route) for form, routes in ROUTES.items() for route in routes]


def taps(form, d, window, sigma=1.0):
    """What is left of a spike after 0, 1, ..., window - 1 steps, for a delay of d steps."""
    n = np.arange(window)
    if form == "gaussian":
        g = np.exp(-0.5 * ((n - d) / sigma) ** 2)
        return g / g.sum()
    if form == "integer":
        return (n == math.floor(d + 0.5)).astype(float)
    return np.maximum(0.0, 1.0 - np.abs(n - d))


def delayed(x, w, d, form, window, sigma=1.0, rows=None):
    """x: T B in; w, d: in out; the answer: rows B out."""
    T, B, channels = x.shape
    rows = T if rows is None else rows
    y = np.zeros((rows, B, w.shape[1]))
    for i in range(channels):
        for o in range(w.shape[1]):
            k = taps(form, d[i, o], window, sigma)
            for t in range(T):
                for n in range(window):
                    if t + n < rows:
                        y[t + n, :, o] += w[i, o] * k[n] * x[t, :, i]
    return y
