"""Loops of the tempotron: potentials on events, and the learning of one sample after the other."""

from __future__ import annotations

import numpy as np

from snnkit.kernels.sparse import jit


@jit
def _peaks(rowptr, indices, batch, sample, steps, tail, weights, slow, fast, norm, m, s, highest, at):
    """The highest potential of every neuron over steps + tail steps, and when: norm (m - s), traces of the input.

    A spike counts from the step after its own, where the kernel is still zero.
    """
    m[:], s[:], highest[:], at[:] = 0, 0, 0, 0
    for t in range(steps + tail):
        for c in range(len(m)):
            m[c] *= slow
            s[c] *= fast
            v = norm * (m[c] - s[c])
            if v > highest[c]:
                highest[c] = v
                at[c] = t
        if t < steps:
            row = t * batch + sample
            for k in range(rowptr[row], rowptr[row + 1]):
                w = weights[indices[k]]
                for c in range(len(m)):
                    m[c] += w[c]
                    s[c] += w[c]


@jit
def peaks(rowptr, indices, batch, steps, tail, weights, slow, fast, norm, first, last, highest):
    """highest[b, c] for the samples first to last; weights: in x C."""
    count = weights.shape[1]
    m, s, at = np.empty(count), np.empty(count), np.empty(count, np.int64)
    for b in range(first, last):
        _peaks(rowptr, indices, batch, b, steps, tail, weights, slow, fast, norm, m, s, highest[b], at)


@jit
def learn(
    rowptr, indices, batch, steps, tail, weights, slow, fast, norm, threshold, rate, order, wanted, kernel
):
    """One pass over the samples in `order`, weights changed in place after every error; the number of errors.

    wanted[b, c]: whether neuron c has to fire. kernel[n]: the postsynaptic potential n steps after a spike.
    """
    count = weights.shape[1]
    m, s, highest = np.empty(count), np.empty(count), np.empty(count)
    at = np.empty(count, np.int64)
    errors = 0
    for b in order:
        _peaks(rowptr, indices, batch, b, steps, tail, weights, slow, fast, norm, m, s, highest, at)
        for c in range(count):
            if (highest[c] >= threshold) == wanted[b, c]:
                continue
            errors += 1
            step = rate if wanted[b, c] else -rate
            for t in range(min(at[c], steps)):
                row = t * batch + b
                for k in range(rowptr[row], rowptr[row + 1]):
                    weights[indices[k], c] += step * kernel[at[c] - t]
    return errors
