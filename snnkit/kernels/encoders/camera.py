"""Loops of the event camera: pixels with bandwidth, leak, noise and refractory time, and the bus that reads them out.

A pixel's photoreceptor voltage `lp` follows the response L of its light; `reference` is what it remembers; u = lp - reference
is compared with the thresholds. Between two frames L is a straight line and the bandwidth that of the mean light, so the
low-pass is exact over any step; steps are as long as u is nearly straight in them. Without a low-pass, one step is exact.
Random numbers are counter-based: draw j of a cell is a hash of (seed, cell, j).
"""

import numba as nb
import numpy as np

from snnkit.kernels.encoders.codes import _channel, _draw, _sample, room

jit = nb.njit(cache=True, nogil=True, error_model="numpy")

# columns of the table of pixels
ON, OFF, LEAK, HOT = 0, 1, 2, 3
# columns of the table of states
SEEN, GREY, LP, REFERENCE, LAST, NEXT, NOISE, DRAWS = 0, 1, 2, 3, 4, 5, 6, 7
# entries of the vector of constants
(
    THRESHOLD_ON,
    THRESHOLD_OFF,
    JITTER,
    CUTOFF,
    LEAK_JITTER,
    SHOT,
    VOLTAGE,
    REFRACTORY,
    MOVES,
    LINLOG,
    EPS,
    CONSTANTS,
) = range(12)
KNEE = 20.0  # grey levels below which the response of v2e is linear
BEND = 0.01  # thresholds: the most by which a step's straight line may miss the low-pass's curve
FINE = 0.1  # time constants: a step with photoreceptor noise


@jit
def response(grey, linlog, eps):
    """L of a grey level in 0..255: ln(I/255 + eps), or v2e's linear-logarithmic one."""
    if linlog == 0.0:
        return np.log(grey / 255.0 + eps)
    level = np.log(grey) if grey > KNEE else grey * (np.log(KNEE) / KNEE)
    return np.round(level * 1e8) * 1e-8


@jit
def responses(grey, linlog, eps, out):
    """L of every grey level."""
    for i in range(len(grey)):
        out[i] = response(grey[i], linlog, eps)


@jit
def _normal(stream, j):
    """A standard normal number from draws j and j + 1."""
    radius = np.sqrt(-2.0 * np.log(1.0 - _draw(stream, j)))
    return radius * np.cos(2.0 * np.pi * _draw(stream, j + 1))


@jit
def _cross(u, v, ta, tb, on, off, last, refractory, moves, cell, columns, k):
    """Events while u goes straight to v between ta and tb. Returns how far the reference moved, last and k."""
    when, where, polarity = columns
    moved, t = 0.0, ta
    while True:
        ready = t if moves else max(t, last + refractory)
        if ready > tb:
            break
        now = u + (v - u) * (ready - ta) / (tb - ta)
        if now >= on or now <= -off:  # it crossed before, or while the pixel rested
            sign, t = (1 if now >= on else 0), ready
        elif v >= on:
            sign, t = 1, ta + (on - u) / (v - u) * (tb - ta)
        elif v <= -off:
            sign, t = 0, ta + (-off - u) / (v - u) * (tb - ta)
        else:
            break
        shift = on if sign else -off
        u, v, moved = u - shift, v - shift, moved + shift
        if not moves or t - last >= refractory:
            when[k], where[k], polarity[k] = t, cell, sign
            k, last = k + 1, t
    return moved, last, k


@jit
def _follow(lp, level, slope, tau, dt):
    """A first-order low-pass after `dt` seconds of a straight input from `level`: exact for any dt."""
    if tau == 0.0:
        return level + slope * dt
    return level + slope * (dt - tau) + (lp - level + slope * tau) * np.exp(-dt / tau)


@jit
def _noise_kind(stream, draws, grey, on, off, hot, c):
    """What a candidate of the thinned noise process is: 1 ON, 0 OFF, -1 nothing."""
    light = (grey + 20.0) / 275.0
    fall = 1.0 - 0.75 * light  # in white a quarter is left
    p_on = 0.5 * c[SHOT] * c[THRESHOLD_ON] / on * fall
    p_off = 0.5 * c[SHOT] * c[THRESHOLD_OFF] / off * fall
    u = _draw(stream, draws) * noise_bound(on, off, hot, c)
    return 0 if u < p_off else 1 if u < p_off + p_on + hot else -1


@jit
def noise_bound(on, off, hot, c):
    """The highest rate of noise events a pixel can have."""
    return 0.5 * c[SHOT] * (c[THRESHOLD_ON] / on + c[THRESHOLD_OFF] / off) + hot


@jit
def start(grey, phase, t, seed, keys, pixels, c, state):
    """States of cells that begin to watch: `phase` is where L lies between the thresholds, -1 to 1."""
    n = len(pixels)
    for i in range(len(grey)):
        on, off, hot = pixels[i % n, ON], pixels[i % n, OFF], pixels[i % n, HOT]
        level = response(grey[i], c[LINLOG], c[EPS])
        stream, draws = _channel(_sample(seed, keys[i // n]), i % n), 0
        noise = 0.0
        if c[VOLTAGE] > 0.0:
            noise, draws = c[VOLTAGE] * _normal(stream, 0), 2
        bound, following = noise_bound(on, off, hot, c), np.inf
        if bound > 0.0:
            following, draws = t - np.log(1.0 - _draw(stream, draws)) / bound, draws + 1
        state[i, SEEN], state[i, GREY], state[i, LP] = level, grey[i], level
        state[i, REFERENCE] = level - phase[i] * (on if phase[i] > 0 else off)
        state[i, LAST], state[i, NEXT], state[i, NOISE], state[i, DRAWS] = -np.inf, following, noise, draws


@jit
def _length(lp, level, slope, tau, least, rest, noisy):
    """The next step's length: so short that the bend of the low-pass's curve is small against the threshold `least`."""
    if tau == 0.0:
        return rest
    if noisy:
        return min(FINE * tau, rest)
    bend = abs(
        lp - level + slope * tau
    )  # what decays as exp(-t/tau); a chord over h misses it by bend (h/tau)²/8
    if bend <= 8 * BEND * least:
        return rest if bend <= BEND * least else min(tau, rest)
    return min(tau * np.sqrt(8 * BEND * least / bend), rest)


@jit
def advance(grey, t0, t1, seed, keys, pixels, c, state):
    """Events of all cells while their light goes from what they saw to `grey` between t0 and t1; moves `state`.

    grey: cells, 0..255. keys: one per image. pixels: pixels 4. c: constants. state: cells 8.
    Returns time, cell and polarity of every event, cell by cell.
    """
    n, k = len(pixels), 0
    columns = (np.empty(256, np.float64), np.empty(256, np.int64), np.empty(256, np.uint8))
    for i in range(len(grey)):
        stream = _channel(_sample(seed, keys[i // n]), i % n)
        columns, k = _interval(i, grey[i], t0, t1, stream, pixels[i % n], c, state[i], columns, k)
    return columns[0][:k].copy(), columns[1][:k].copy(), columns[2][:k].copy()


@jit
def _interval(i, grey, t0, t1, stream, pixel, c, own, columns, k):
    """Events of one cell in one interval between frames; moves its row `own` of the states."""
    draws = np.int64(own[DRAWS])
    on, off, leak = pixel[ON], pixel[OFF], pixel[LEAK]
    if c[JITTER] > 0.0:  # thresholds of this interval
        on = max(on + c[JITTER] * _normal(stream, draws), 0.01)
        off = max(off + c[JITTER] * _normal(stream, draws + 2), 0.01)
        draws += 4
    if leak > 0.0 and c[LEAK_JITTER] > 0.0:
        leak *= 1.0 - c[LEAK_JITTER] * _normal(stream, draws)
        draws += 2
    leak *= c[THRESHOLD_ON]
    level, lp, reference, noise = own[SEEN], own[LP], own[REFERENCE], own[NOISE]
    after = level if grey == own[GREY] else response(grey, c[LINLOG], c[EPS])
    light, slope = 0.5 * (own[GREY] + grey), (after - level) / (t1 - t0)
    tau = 0.0 if c[CUTOFF] == 0.0 else 275.0 / ((light + 20.0) * 2.0 * np.pi * c[CUTOFF])
    noisy, drift = c[VOLTAGE] > 0.0, leak * (t1 - t0)
    low = min(lp, level, after) - reference + min(drift, 0.0)
    high = max(lp, level, after) - reference + max(drift, 0.0)
    quiet = (
        not noisy and own[NEXT] > t1 and high < on and low > -off
    )  # no step can hold an event: one will do
    a = t0
    while a < t1:
        base = level + slope * (a - t0)
        h = t1 - a if quiet else _length(lp, base, slope, tau, min(on, off), t1 - a, noisy)
        b = min(t1, a + h)
        lp_b = after if tau == 0.0 else _follow(lp, base, slope, tau, b - a)
        hum = noise
        if noisy:  # an Ornstein-Uhlenbeck process: white noise after the same low-pass
            keep = np.exp(-(b - a) / tau)
            hum = noise * keep + c[VOLTAGE] * np.sqrt(1.0 - keep * keep) * _normal(stream, draws)
            draws += 2
        u, v = lp + noise - reference, lp_b + hum - reference + leak * (b - a)
        own[DRAWS] = draws
        v, columns, k = _step(i, u, v, a, b, light, on, off, stream, pixel, c, own, columns, k)
        draws = np.int64(own[DRAWS])
        lp, noise, a = lp_b, hum, b
        reference = lp + noise - v
    own[SEEN], own[GREY], own[LP], own[REFERENCE], own[NOISE] = after, grey, lp, reference, noise
    own[DRAWS] = draws
    return columns, k


@jit
def _step(i, u, v, a, tb, light, on, off, stream, pixel, c, own, columns, k):
    """Events, signal and noise, while u goes straight to v between a and tb. Returns v as the events leave it."""
    bound = noise_bound(pixel[ON], pixel[OFF], pixel[HOT], c)
    while True:
        b = min(own[NEXT], tb)
        middle = v if b == tb or tb <= a else u + (v - u) * (b - a) / (tb - a)
        most = np.int64(max(abs(u), abs(middle)) / min(on, off)) + 3
        when, where, polarity = columns
        if k + most > len(when):
            columns = (room(when, k, most), room(where, k, most), room(polarity, k, most))
        if b > a:
            moved, last, k = _cross(
                u, middle, a, b, on, off, own[LAST], c[REFRACTORY], c[MOVES] > 0.0, i, columns, k
            )
            own[LAST], v, middle = last, v - moved, middle - moved
        if own[NEXT] > tb:
            return v, columns, k
        draws = np.int64(own[DRAWS])
        kind = _noise_kind(stream, draws, light, pixel[ON], pixel[OFF], pixel[HOT], c)
        if kind >= 0 and b - own[LAST] >= c[REFRACTORY]:
            columns[0][k], columns[1][k], columns[2][k] = b, i, kind
            k, own[LAST], v, middle = k + 1, b, v - middle, 0.0
        own[NEXT] = b - np.log(1.0 - _draw(stream, draws + 1)) / bound
        own[DRAWS] = draws + 2
        u, a = middle, b


@jit
def arbitrate(t, y, event_time, row_time, patience, served):
    """A bus that reads rows: every event takes `event_time` seconds, a new row `row_time` more.

    t: microseconds, sorted. An event that would wait longer than `patience` seconds is lost. Writes the time on the bus
    into `served`, -1 for lost ones.
    """
    free, row = -np.inf, np.int64(-1)
    for i in range(len(t)):
        arrival = t[i] * 1e-6
        begin = max(arrival, free) + (row_time if y[i] != row else 0.0)
        if begin - arrival > patience + 1e-12:
            served[i] = -1
            continue
        free, row = begin + event_time, y[i]
        served[i] = np.int64(np.floor(begin * 1e6 + 1e-6))
