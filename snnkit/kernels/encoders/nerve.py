"""Loops of the Heidelberg pipeline: Meddis' hair cell and the bushy cell behind it, channel by channel.

Random numbers are counter-based: the draw of step t of channel c is a hash of (seed, key of the clip, c, t).
"""

import numba as nb
import numpy as np

from snnkit.kernels.encoders.codes import _channel, _draw, _sample, room

jit = nb.njit(cache=True, nogil=True, error_model="numpy")

# entries of the vector of hair-cell constants
Y, G, L, R, X, A, B, H, M = range(9)


@jit
def hair_step(s, q, c, w, dt, h):
    """One Euler step of the hair cell: free transmitter q, cleft c, reprocessing store w. Returns the new ones."""
    k = h[G] * (s + h[A]) / (s + h[A] + h[B]) if s + h[A] > 0.0 else 0.0
    dq = h[Y] * max(h[M] - q, 0.0) + h[X] * w - k * q
    dc = k * q - (h[L] + h[R]) * c
    dw = h[R] * c - h[X] * w
    return q + dt * dq, c + dt * dc, w + dt * dw


@jit
def hair_rest(h):
    """q, c, w in silence."""
    k = h[G] * h[A] / (h[A] + h[B])
    c = h[M] * h[Y] * k / (h[L] * k + h[Y] * (h[L] + h[R]))
    return c * (h[L] + h[R]) / k, c, c * h[R] / h[X]


@jit
def hair(s, dt, h, out):
    """Release rate h·c of every channel, Hz. s, out: C T."""
    for n in range(s.shape[0]):
        q, c, w = hair_rest(h)
        for t in range(s.shape[1]):
            q, c, w = hair_step(s[n, t], q, c, w, dt, h)
            out[n, t] = h[H] * c


@jit
def binomial(n, p, u):
    """How many of n happen, each with probability p, from one uniform number: inversion of the distribution."""
    if p >= 1.0:
        return n
    odds, mass = p / (1.0 - p), np.exp(n * np.log1p(-p))
    k = 0
    while u >= mass and k < n:
        u -= mass
        mass *= odds * (n - k) / (k + 1)
        k += 1
    return k


@jit
def nerve(s, dt, h, fibres, rest, weight, keep_synapse, charge, keep_membrane, cell_rest, seed, key):
    """Spikes of one bushy cell per channel, driven by `fibres` nerve fibres of its hair cell.

    s: C T. rest: steps in which a fibre stays silent after a spike; cell_rest: the same for the cell. A step:
        released ~ Binomial(fibres at rest, h c dt);  i = keep_synapse i + weight · released;  v = keep_membrane v + charge · i
    Fibres of one channel are alike, so their number is all that counts. Returns step and channel of every spike, by channel.
    """
    C, T = s.shape
    when, where, k = np.empty(1024, np.float64), np.empty(1024, np.int32), 0
    sample = _sample(seed, key)
    for n in range(C):
        stream = _channel(sample, n)
        q, c, w = hair_rest(h)
        history, busy = np.zeros(max(rest, 1), np.int64), 0
        v, i, wait = 0.0, 0.0, 0
        when, where = room(when, k, T), room(where, k, T)
        for t in range(T):
            q, c, w = hair_step(s[n, t], q, c, w, dt, h)
            p = h[H] * c * dt
            slot = t % len(history)
            busy -= history[slot]
            released = binomial(fibres - busy, p, _draw(stream, t)) if p > 0.0 else 0
            if rest > 0:
                history[slot] = released
                busy += released
            i = keep_synapse * i + weight * released
            if wait > 0:
                wait -= 1
                continue
            v = keep_membrane * v + charge * i
            if v >= 1.0:
                when[k], where[k] = t, n
                k, v, wait = k + 1, 0.0, cell_rest
    return when[:k].copy(), where[:k].copy()
