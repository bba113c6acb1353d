"""Naive twins: what the kernels compute, written so that it can be checked by eye."""

from __future__ import annotations

import numpy as np


def naive_reset(u, s, threshold, reset):
    return {"subtract": u - s * threshold, "zero": 0.0 if s else u, "none": u}[reset]


def naive_if(x, threshold, reset="subtract"):
    """x: [T] -> spikes [T], of one neuron in double precision."""
    v, spikes = 0.0, []
    for value in x:
        u = v + value
        s = float(u >= threshold)
        v = naive_reset(u, s, threshold, reset)
        spikes.append(s)
    return np.array(spikes)


def naive_lif(x, decay, threshold, reset="subtract"):
    v, spikes = 0.0, []
    for value in x:
        u = decay * v + value
        s = float(u >= threshold)
        v = naive_reset(u, s, threshold, reset)
        spikes.append(s)
    return np.array(spikes)


def naive_cuba_lif(x, decay_syn, decay_mem, threshold, reset="subtract"):
    i, v, spikes = 0.0, 0.0, []
    for value in x:
        i = decay_syn * i + value
        u = decay_mem * v + i
        s = float(u >= threshold)
        v = naive_reset(u, s, threshold, reset)
        spikes.append(s)
    return np.array(spikes)


def naive_adaptive_lif(x, decay, decay_adapt, threshold, beta, reset="subtract"):
    v, b, spikes = 0.0, 0.0, []
    for value in x:
        u = decay * v + value
        level = threshold + beta * b  # of before this spike
        s = float(u >= level)
        v = naive_reset(u, s, level, reset)
        b = decay_adapt * b + (1 - decay_adapt) * s
        spikes.append(s)
    return np.array(spikes)


def naive_leaky_integrator(x, decay):
    v, out = 0.0, []
    for value in x:
        v = decay * v + value
        out.append(v)
    return np.array(out)


def naive_lif_gradient(x, decay, threshold, psi, bars, detached=False):
    """d(sum of bars * spikes)/dx of a LIF with reset by subtraction: the chain rule, step by step backwards."""
    v, charge = 0.0, []
    for value in x:
        u = decay * v + value
        charge.append(u)
        v = u - float(u >= threshold) * threshold
    gradient, vbar = np.zeros(len(x)), 0.0
    for t in range(len(x) - 1, -1, -1):
        sbar = bars[t] - (0.0 if detached else threshold * vbar)
        ubar = vbar + psi(charge[t] - threshold) * sbar
        gradient[t] = ubar
        vbar = decay * ubar
    return gradient
