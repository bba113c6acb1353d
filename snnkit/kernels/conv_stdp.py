"""Loops of local learning with shared kernels: who fires first in a convolution, winners that learn, pairs of spikes.

Weights lie as C K K M, maps innermost; a window of an output place (i, j) begins at the input (i·stride - padding, ...).
"""

from __future__ import annotations

import numpy as np

from snnkit.kernels.sparse import jit


@jit
def _first(
    rowptr, indices, batch, b, steps, w, threshold, stride, padding, first, v, touched, when, who, level
):
    """Integrate one sample: the step of each input's first spike, and of each place its first map to reach the threshold.

    A map that fires keeps the others of its place silent from then on; of those that reach it in one step the one
    with the highest potential fires, level. -1 is never.
    """
    height, width = first.shape[1:]
    kernel, maps = w.shape[1], w.shape[3]
    first[:], when[:], touched[:], v[:] = -1, -1, -1, 0.0
    for t in range(steps):
        for k in range(rowptr[t * batch + b], rowptr[t * batch + b + 1]):
            c, rest = divmod(indices[k], height * width)
            y, x = divmod(rest, width)
            if first[c, y, x] < 0:
                first[c, y, x] = t
            for i in range(kernel):
                oy, off = divmod(y + padding - i, stride)
                if off != 0 or oy < 0 or oy >= when.shape[0]:
                    continue
                for j in range(kernel):
                    ox, off = divmod(x + padding - j, stride)
                    if off != 0 or ox < 0 or ox >= when.shape[1] or when[oy, ox] >= 0:
                        continue
                    touched[oy, ox] = t
                    for m in range(maps):
                        v[oy, ox, m] += w[c, i, j, m]
        for oy in range(when.shape[0]):
            for ox in range(when.shape[1]):
                if touched[oy, ox] != t:
                    continue
                best = np.argmax(v[oy, ox])
                if v[oy, ox, best] >= threshold:
                    when[oy, ox], who[oy, ox], level[oy, ox] = t, best, v[oy, ox, best]


@jit
def fire(rowptr, indices, batch, steps, w, threshold, stride, padding, first, when, who):
    """when[b], who[b] of every sample; first is room for one."""
    rows, columns = when.shape[1:]
    v, level = np.empty((rows, columns, w.shape[3])), np.empty((rows, columns))
    touched = np.empty((rows, columns), np.int64)
    for b in range(batch):
        _first(
            rowptr,
            indices,
            batch,
            b,
            steps,
            w,
            threshold,
            stride,
            padding,
            first,
            v,
            touched,
            when[b],
            who[b],
            level,
        )


@jit
def _winner(when, who, level, used, taken):
    """The place, flat, that fired first, highest potential first, then in order; -1 if there is none left."""
    best = -1
    columns = when.shape[1]
    for place in range(when.size):
        oy, ox = divmod(place, columns)
        if when[oy, ox] < 0 or taken[oy, ox] or used[who[oy, ox]]:
            continue
        if best >= 0:
            by, bx = divmod(best, columns)
            later = when[oy, ox] > when[by, bx]
            if later or (when[oy, ox] == when[by, bx] and level[oy, ox] <= level[by, bx]):
                continue
        best = place
    return best


@jit
def _teach(w, first, t, m, top, left, a_plus, a_minus):
    """One post spike: inputs that fired by then gain, all others lose, by w (1 - w)."""
    channels, height, width = first.shape
    for c in range(channels):
        for i in range(w.shape[1]):
            for j in range(w.shape[2]):
                y, x = top + i, left + j
                inside = 0 <= y < height and 0 <= x < width
                paired = inside and 0 <= first[c, y, x] <= t
                u = w[c, i, j, m]
                w[c, i, j, m] = u + (a_plus if paired else -a_minus) * u * (1.0 - u)


@jit
def learn(
    rowptr, indices, batch, steps, w, threshold, stride, padding, first, rows, columns, winners, radius, rates
):
    """Samples one after another, w changed in place; how many winners learned."""
    maps = w.shape[3]
    v, level = np.empty((rows, columns, maps)), np.empty((rows, columns))
    when, who = np.empty((rows, columns), np.int64), np.empty((rows, columns), np.int64)
    touched, taken, used = np.empty_like(when), np.empty((rows, columns), np.bool_), np.empty(maps, np.bool_)
    total = 0
    for b in range(batch):
        _first(
            rowptr,
            indices,
            batch,
            b,
            steps,
            w,
            threshold,
            stride,
            padding,
            first,
            v,
            touched,
            when,
            who,
            level,
        )
        taken[:], used[:] = False, False
        for _ in range(winners):
            place = _winner(when, who, level, used, taken)
            if place < 0:
                break
            oy, ox = divmod(place, columns)
            m = who[oy, ox]
            _teach(
                w, first, when[oy, ox], m, oy * stride - padding, ox * stride - padding, rates[0], rates[1]
            )
            used[m] = True
            taken[max(0, oy - radius) : oy + radius + 1, max(0, ox - radius) : ox + radius + 1] = True
            total += 1
    return total


@jit
def pairs(pre_ptr, pre, post_ptr, post, batch, steps, stride, padding, rates, keep, x, y, dw):
    """dw += A₊·x at post spikes, -= A₋·y at pre spikes, over all places, steps and samples; x: C H W, y: rows columns M."""
    channels, height, width = x.shape
    rows, columns, maps = y.shape
    kernel = dw.shape[1]
    for b in range(batch):
        x[:], y[:] = 0.0, 0.0
        for t in range(steps):
            row = t * batch + b
            for k in range(pre_ptr[row], pre_ptr[row + 1]):
                c, rest = divmod(pre[k], height * width)
                for i in range(kernel):
                    oy, off = divmod(rest // width + padding - i, stride)
                    if off != 0 or oy < 0 or oy >= rows:
                        continue
                    for j in range(kernel):
                        ox, off = divmod(rest % width + padding - j, stride)
                        if off == 0 and 0 <= ox < columns:
                            for m in range(maps):
                                dw[c, i, j, m] -= rates[1] * y[oy, ox, m]
            for k in range(post_ptr[row], post_ptr[row + 1]):
                m, place = divmod(post[k], rows * columns)
                top, left = place // columns * stride - padding, place % columns * stride - padding
                for c in range(channels):
                    for i in range(max(0, -top), min(kernel, height - top)):
                        for j in range(max(0, -left), min(kernel, width - left)):
                            dw[c, i, j, m] += rates[0] * x[c, top + i, left + j]
            for k in range(pre_ptr[row], pre_ptr[row + 1]):
                c, rest = divmod(pre[k], height * width)
                x[c, rest // width, rest % width] += 1.0
            for k in range(post_ptr[row], post_ptr[row + 1]):
                m, place = divmod(post[k], rows * columns)
                y[place // columns, place % columns, m] += 1.0
            x *= keep[0]
            y *= keep[1]
