"""The membrane between two events, in closed form: τ_m V' = I - V, τ_s I' = -I, in units of the threshold.

    V(s) = V·e^{-s/τ_m} + I·κ(s)        I(s) = I·e^{-s/τ_s}        κ(s) = τ_s/(τ_m - τ_s)·(e^{-s/τ_m} - e^{-s/τ_s})

V has one maximum at most and is concave as long as it rises, so Newton's steps from the left approach a crossing from the left and
cannot miss it. The kernels take time constants per neuron.
"""

from __future__ import annotations

import math

from snnkit.kernels.sparse import jit

ALIKE = 1e-5  # time constants closer than this are one: either form of κ then errs by less than 1e-11


@jit
def response(s, em, es, tm, ts):
    """κ(s): what a unit of current does to the membrane within s; em and es are the decays over s."""
    gap = tm - ts
    if abs(gap) > ALIKE * tm:
        return ts / gap * (em - es)
    return s / tm * math.sqrt(em * es)


@jit
def peak(v, i, tm, ts):
    """When V is highest, for I > V; infinite where it rises for ever (towards 0, from below)."""
    q = (tm - ts) / tm * (v / i - 1.0)
    if q <= -1.0:
        return math.inf
    share = math.log1p(q) / q if q != 0.0 else 1.0
    return ts * (1.0 - v / i) * share


@jit
def hopeless(v, i, longest, tm, ts):
    """Whether V surely does not reach 1 within `longest`, for I > 1, without a transcendental function.

    A tangent of the concave rise meets 1 after x·τ_s at the earliest, and V rises only while I >= V: I·e^{-x} < 1 is too late.
    """
    if v >= 1.0:
        return False
    x = tm * (1.0 - v) / ((i - v) * ts)
    return x * ts > longest or i < 1.0 + x * (1.0 + x * (0.5 + x / 6.0))


@jit
def crossing(v, i, longest, tm, ts):
    """The time until V reaches 1, or -1 where it does not within `longest`."""
    if v >= 1.0:
        return 0.0
    if i <= 1.0:  # V moves towards I
        return -1.0
    high = longest
    em, es = math.exp(-high / tm), math.exp(-high / ts)
    if v * em + i * response(high, em, es, tm, ts) < 1.0:
        high = peak(v, i, tm, ts)
        if not high < longest:
            return -1.0
        em, es = math.exp(-high / tm), math.exp(-high / ts)
        if v * em + i * response(high, em, es, tm, ts) < 1.0:
            return -1.0
    return _approach(v, i, high, tm, ts)


@jit
def _approach(v, i, high, tm, ts):
    """Newton's steps from the left towards V = 1, which lies in (0, high]; halving where rounding leads them astray."""
    low, at, current = 0.0, v, i
    for _ in range(200):
        slope = (current - at) / tm
        s = low + (1.0 - at) / slope if slope > 0.0 else math.inf
        if not s < high:
            s = 0.5 * (low + high)
        if s <= low or s >= high:  # no number lies between
            return low if s <= low else high
        em, es = math.exp(-s / tm), math.exp(-s / ts)
        there, then = v * em + i * response(s, em, es, tm, ts), i * es
        if there >= 1.0:
            if s - low <= 1e-15 * s:
                return s
            high = s
        else:
            if s - low <= 2e-16 * s:
                return s
            low, at, current = s, there, then
    return high
